/** The one door to the data: the same documents, served or lying beside the app as files. */
import type { Card, Changed, ClassPage, Example, Layer, Progress, Studies, Study, Unit, UnitAttributions } from "../types/documents";

export interface Watcher {
  progress(told: Progress): void;
  changed(told: Changed): void;
  connected(yes: boolean): void;
}

/** What the server told of an error; its kind is the server's word for it, or `Unreachable`. */
export class DataError extends Error {
  constructor(
    readonly kind: string,
    message: string,
    readonly hint: string,
  ) {
    super(message);
  }
}

const UNREACHABLE = "Unreachable";

/** Whether there was no answer at all: the server may come back. */
export function isUnreachable(error: unknown): boolean {
  return error instanceof DataError && error.kind === UNREACHABLE;
}

/** Asks the server, or the host of files; throws `DataError` for everything but an answer that holds what was asked for. */
export async function ask(address: string, command: string, given: RequestInit = {}): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(address, given);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new DataError(UNREACHABLE, "the server does not answer", `is it still running? ${command} starts it`);
  }
  if (answer.ok) return answer;
  const told = (await answer.json().catch(() => null)) as { error?: { kind?: string; message?: string; hint?: string } } | null;
  throw new DataError(told?.error?.kind ?? "", told?.error?.message ?? `${answer.status} for ${address}`, told?.error?.hint ?? "");
}

/** A document nobody waits for any more, as all their signals say, is not asked for any longer. */
export interface Source {
  /** Whether a server answers, not a host of files; known once a document was read. */
  served(): boolean;
  /** Whether the server takes notes; known once a document was read. */
  writable(): boolean;
  studies(signal?: AbortSignal): Promise<Card[]>;
  study(slug: string, signal?: AbortSignal): Promise<Study>;
  layer(slug: string, layer: number, signal?: AbortSignal): Promise<Layer>;
  unit(slug: string, layer: number, channel: number, signal?: AbortSignal): Promise<Unit>;
  /** What excited a unit in its exemplars that are texts or series. */
  attributions(slug: string, layer: number, channel: number, signal?: AbortSignal): Promise<UnitAttributions>;
  classPage(slug: string, index: number, signal?: AbortSignal): Promise<ClassPage>;
  /** An example that is a text or a series. */
  example(slug: string, index: number, signal?: AbortSignal): Promise<Example>;
  /** The address of a picture or sprite sheet of a study. */
  picture(slug: string, path: string): string;
  /** Forgets what was read of a study, or of some of its layers. */
  forget(change: Changed): void;
  /** Tells what happens from now on; returns how to end it. Files never change: there nothing is told. */
  watch(watcher: Watcher): () => void;
}

const KEPT = 300;
/** A server says so with every document, and whether it takes notes; a host of files does not. */
const SERVED = "x-torchlurk";
const WRITABLE = "writable";

interface Asked {
  document: Promise<unknown>;
  ending: AbortController;
  /** How many wait for it and may give it up. */
  waiting: number;
  here: boolean;
}

class Documents implements Source {
  private readonly known = new Map<string, Asked>();
  private fromServer: boolean | null = null;
  private takesNotes = false;
  private readonly waiting: (() => void)[] = [];

  private read<T>(path: string, signal?: AbortSignal): Promise<T> {
    const asked = this.known.get(path) ?? this.begin(path);
    this.known.delete(path);
    this.known.set(path, asked);
    if (this.known.size > KEPT) {
      const oldest = this.known.keys().next().value;
      if (oldest !== undefined) this.known.delete(oldest);
    }
    asked.waiting += 1;
    signal?.addEventListener("abort", () => this.giveUp(path, asked), { once: true });
    return asked.document as Promise<T>;
  }

  private begin(path: string): Asked {
    const ending = new AbortController();
    const asked: Asked = { document: this.fetch(path, ending.signal), ending, waiting: 0, here: false };
    asked.document.then(
      () => (asked.here = true),
      () => this.drop(path, asked),
    );
    return asked;
  }

  private giveUp(path: string, asked: Asked): void {
    asked.waiting -= 1;
    if (asked.waiting > 0 || asked.here) return;
    this.drop(path, asked);
    asked.ending.abort();
  }

  private drop(path: string, asked: Asked): void {
    if (this.known.get(path) === asked) this.known.delete(path);
  }

  private async fetch(path: string, signal: AbortSignal): Promise<unknown> {
    const answer = await ask(`data/${path}`, "torchlurk serve STUDY", { signal });
    if (this.fromServer === null) {
      this.fromServer = answer.headers.has(SERVED);
      for (const start of this.waiting.splice(0)) start();
    }
    this.takesNotes = answer.headers.get(SERVED) === WRITABLE;
    return answer.json();
  }

  served(): boolean {
    return this.fromServer === true;
  }
  writable(): boolean {
    return this.takesNotes;
  }
  async studies(signal?: AbortSignal): Promise<Card[]> {
    return (await this.read<Studies>("studies.json", signal)).studies;
  }
  study(slug: string, signal?: AbortSignal): Promise<Study> {
    return this.read(`${slug}/study.json`, signal);
  }
  layer(slug: string, layer: number, signal?: AbortSignal): Promise<Layer> {
    return this.read(`${slug}/layers/${layer}.json`, signal);
  }
  unit(slug: string, layer: number, channel: number, signal?: AbortSignal): Promise<Unit> {
    return this.read(`${slug}/layers/${layer}/units/${channel}.json`, signal);
  }
  attributions(slug: string, layer: number, channel: number, signal?: AbortSignal): Promise<UnitAttributions> {
    return this.read(`${slug}/layers/${layer}/units/${channel}-attributions.json`, signal);
  }
  classPage(slug: string, index: number, signal?: AbortSignal): Promise<ClassPage> {
    return this.read(`${slug}/classes/${index}.json`, signal);
  }
  example(slug: string, index: number, signal?: AbortSignal): Promise<Example> {
    return this.read(`${slug}/examples/${index}.json`, signal);
  }
  picture(slug: string, path: string): string {
    return `data/${slug}/${path}`;
  }
  forget(change: Changed): void {
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
        watcher.progress(JSON.parse(event.data) as Progress);
      });
      stream.addEventListener("changed", (event: MessageEvent<string>) => {
        const change = JSON.parse(event.data) as Changed;
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
