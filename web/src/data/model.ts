/** The one door to a model that is open beside a study: it answers questions about an image.
 *
 * The server keeps a few images open. One that was closed, or a server that was started again, is no matter: the image is
 * opened once more and the question asked again.
 */
import { ask as askServer, DataError, isUnreachable } from "./source";
import type { About, Branch, Effect, Effects, Makeup, Makeups, Overview, PathPicture, PathPictures, Response, Use, Uses } from "../types/answers";

export interface Change {
  unit: string;
  factor: number;
  positions?: number[][] | null;
}

export interface Watched {
  unit: string;
  position: number[];
}

export interface Maps {
  url: string;
  columns: number;
  tile: [height: number, width: number];
  signed: boolean;
}

/** What is looked at: an example of the study, a class, or an image of one's own. */
export type Shown = { example: number } | { class: number } | { file: Blob };

/** What one question may hold. */
export const MOST_AT_ONCE = 64;
const WAIT = 700;
const LONGEST_WAIT = 5000;

function ask(address: string, given: RequestInit = {}): Promise<globalThis.Response> {
  return askServer(address, "torchlurk serve STUDY --model MODEL", given);
}

function posted(body: unknown): RequestInit {
  return { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
}

/** What can be asked beside a study; null where no model is open. */
export async function about(slug: string, signal?: AbortSignal): Promise<About | null> {
  const given = signal === undefined ? {} : { signal };
  const { studies } = (await (await ask("image", given)).json()) as { studies: Record<string, unknown> };
  return slug in studies ? ((await (await ask(`image/${slug}`, given)).json()) as About) : null;
}

/** An image in a model, open to questions for as long as the page wants. */
export class OpenImage {
  private opening: Promise<Overview>;
  private ended = false;

  /** `troubled` is told when the server is gone (with why) and when it is there again (with null). */
  constructor(
    private readonly slug: string,
    readonly shown: Shown,
    private readonly troubled: (error: DataError | null) => void = () => undefined,
  ) {
    this.opening = this.patient(() => this.open());
  }

  overview(): Promise<Overview> {
    return this.opening;
  }

  /** No more patience for what is still asked. */
  close(): void {
    this.ended = true;
  }

  async makeups(branches: Branch[], most: number): Promise<Makeup[]> {
    return (await this.post<Makeups>("makeups", { branches, most })).makeups;
  }

  async pictures(branches: Branch[], method: string): Promise<PathPicture[]> {
    return (await this.post<PathPictures>("pictures", { branches, method })).pictures;
  }

  async uses(unit: string, position: number[] | null, most: number): Promise<Record<string, Use[]>> {
    return (await this.post<Uses>("uses", { unit, position, most })).uses;
  }

  async effects(cases: Change[][], watched: Watched[]): Promise<Effect[]> {
    return (await this.post<Effects>("effects", { cases, watched })).effects;
  }

  async response(unit: string): Promise<Response> {
    const answer = await this.again((name) => ask(`image/${this.slug}/${name}/response?unit=${encodeURIComponent(unit)}`));
    return (await answer.json()) as Response;
  }

  /** The maps of these channels on one sheet, each over its own largest value. The address is to be revoked. */
  async maps(layer: string, channels: number[]): Promise<Maps> {
    const query = new URLSearchParams({ layer, channels: channels.join(",") });
    const answer = await this.again((name) => ask(`image/${this.slug}/${name}/maps?${query}`));
    const [height = 1, width = 1] = (answer.headers.get("x-torchlurk-tile") ?? "").split(",").map(Number);
    return {
      url: URL.createObjectURL(await answer.blob()),
      columns: Number(answer.headers.get("x-torchlurk-columns")),
      tile: [height, width],
      signed: answer.headers.get("x-torchlurk-signed") === "true",
    };
  }

  /** The image as the network sees it. The address is to be revoked. */
  async picture(): Promise<Blob> {
    return (await this.again((name) => ask(`image/${this.slug}/${name}/picture`))).blob();
  }

  private async open(): Promise<Overview> {
    const body = "file" in this.shown ? { method: "POST", body: this.shown.file, headers: { "content-type": this.shown.file.type || "application/octet-stream" } } : posted(this.shown);
    return (await (await ask(`image/${this.slug}`, body)).json()) as Overview;
  }

  private async post<T>(verb: string, body: unknown): Promise<T> {
    return (await (await this.again((name) => ask(`image/${this.slug}/${name}/${verb}`, posted(body)))).json()) as T;
  }

  /** Asks; where the image is not open any more, opens it and asks once more. */
  private again(question: (name: string) => Promise<globalThis.Response>): Promise<globalThis.Response> {
    return this.patient(async () => {
      const before = this.opening;
      const { image } = await before;
      try {
        return await question(image);
      } catch (error) {
        if (!(error instanceof DataError && error.kind === "UnknownImage")) throw error;
        if (this.opening === before) {
          this.opening = this.open();
          this.opening.catch(() => (this.opening = before));
        }
        return question((await this.opening).image);
      }
    });
  }

  /** Tries until the server answers. */
  private async patient<T>(work: () => Promise<T>): Promise<T> {
    for (let wait = WAIT; ; wait = Math.min(2 * wait, LONGEST_WAIT)) {
      try {
        const found = await work();
        this.troubled(null);
        return found;
      } catch (error) {
        if (!(error instanceof DataError && (isUnreachable(error) || error.kind === "Busy")) || this.ended) throw error;
        if (isUnreachable(error)) this.troubled(error);
        await new Promise((resolve) => setTimeout(resolve, wait));
        if (this.ended) throw error;
      }
    }
  }
}
