/** The one door to the data: the same documents, served or lying beside the app as files. */
import type { Card, ClassPage, Example, Layer, Stage, Study, Unit } from "./types";

export interface Change {
  study: string;
  layers: number[] | null;
}

export interface Watcher {
  progress(study: string, stage: Stage): void;
  changed(change: Change): void;
  connected(yes: boolean): void;
}

export class DataError extends Error {
  constructor(
    message: string,
    readonly hint: string,
  ) {
    super(message);
  }
}

export interface Source {
  /** Whether a server answers, not a host of files; known once a document was read. */
  served(): boolean;
  studies(): Promise<Card[]>;
  study(slug: string): Promise<Study>;
  layer(slug: string, layer: number): Promise<Layer>;
  unit(slug: string, layer: number, channel: number): Promise<Unit>;
  classPage(slug: string, index: number): Promise<ClassPage>;
  /** An example that is a text or a series. */
  example(slug: string, index: number): Promise<Example>;
  /** The address of a picture or sprite sheet of a study. */
  picture(slug: string, path: string): string;
  /** Forgets what was read of a study, or of some of its layers. */
  forget(change: Change): void;
  /** Tells what happens from now on; returns how to end it. Files never change: there nothing is told. */
  watch(watcher: Watcher): () => void;
}

const KEPT = 300;
/** A server says so with every document; a host of files does not. */
const SERVED = "x-torchlurk";

class Documents implements Source {
  private readonly known = new Map<string, Promise<unknown>>();
  private fromServer: boolean | null = null;
  private readonly waiting: (() => void)[] = [];

  private read<T>(path: string): Promise<T> {
    const known = this.known.get(path);
    if (known !== undefined) {
      this.known.delete(path);
      this.known.set(path, known);
      return known as Promise<T>;
    }
    const asked = this.fetch<T>(path);
    this.known.set(path, asked);
    asked.catch(() => this.known.delete(path));
    if (this.known.size > KEPT) {
      const oldest = this.known.keys().next().value;
      if (oldest !== undefined) this.known.delete(oldest);
    }
    return asked;
  }

  private async fetch<T>(path: string): Promise<T> {
    let answer: Response;
    try {
      answer = await fetch(`data/${path}`);
    } catch {
      throw new DataError("the server does not answer", "is it still running? torchlurk serve STUDY starts it");
    }
    if (this.fromServer === null) {
      this.fromServer = answer.headers.has(SERVED);
      for (const start of this.waiting.splice(0)) start();
    }
    if (answer.ok) return (await answer.json()) as T;
    const told = (await answer.json().catch(() => null)) as { error?: { message?: string; hint?: string } } | null;
    throw new DataError(told?.error?.message ?? `${answer.status} for data/${path}`, told?.error?.hint ?? "");
  }

  served(): boolean {
    return this.fromServer === true;
  }
  async studies(): Promise<Card[]> {
    return (await this.read<{ studies: Card[] }>("studies.json")).studies;
  }
  study(slug: string): Promise<Study> {
    return this.read(`${slug}/study.json`);
  }
  layer(slug: string, layer: number): Promise<Layer> {
    return this.read(`${slug}/layers/${layer}.json`);
  }
  unit(slug: string, layer: number, channel: number): Promise<Unit> {
    return this.read(`${slug}/layers/${layer}/units/${channel}.json`);
  }
  classPage(slug: string, index: number): Promise<ClassPage> {
    return this.read(`${slug}/classes/${index}.json`);
  }
  example(slug: string, index: number): Promise<Example> {
    return this.read(`${slug}/examples/${index}.json`);
  }
  picture(slug: string, path: string): string {
    return `data/${slug}/${path}`;
  }
  forget(change: Change): void {
    for (const path of this.known.keys()) {
      if (path === "studies.json" || path.startsWith(`${change.study}/`)) this.known.delete(path);
    }
  }

  watch(watcher: Watcher): () => void {
    let stream: EventSource | null = null;
    let ended = false;
    const start = (): void => {
      if (ended || this.fromServer !== true) return;
      stream = new EventSource("events");
      stream.onopen = () => watcher.connected(true);
      stream.onerror = () => watcher.connected(false);
      stream.addEventListener("progress", (event: MessageEvent<string>) => {
        const told = JSON.parse(event.data) as Stage & { study: string };
        watcher.progress(told.study, told);
      });
      stream.addEventListener("changed", (event: MessageEvent<string>) => {
        const change = JSON.parse(event.data) as Change;
        this.forget(change);
        watcher.changed(change);
      });
    };
    if (this.fromServer === null) this.waiting.push(start);
    else start();
    return () => {
      ended = true;
      stream?.close();
    };
  }
}

export const source: Source = new Documents();
