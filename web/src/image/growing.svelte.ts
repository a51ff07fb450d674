/** What is known of the tree beneath one unit of one image. What is missing is asked for in as few requests as can be. */
import { branch } from "./hierarchy";
import type { Layers } from "./tree_state";
import { MOST_AT_ONCE, type OpenImage } from "../data/model";
import type { Makeup, PathPicture } from "../types/answers";

/** Of how many children a node is asked, so that showing more asks for nothing. */
const LISTED = 64;

export class Growing {
  makeups = $state.raw<ReadonlyMap<string, Makeup>>(new Map());
  /** By the method that drew them. */
  pictures = $state.raw<ReadonlyMap<string, ReadonlyMap<string, PathPicture>>>(new Map());
  trouble = $state.raw<unknown>(null);
  /** How many requests are out. */
  waiting = $state(0);
  private readonly asked = new Set<string>();
  private wanted = { makeups: new Set<string>(), pictures: new Map<string, Set<string>>() };
  private scheduled = false;

  constructor(
    private readonly image: OpenImage,
    private readonly root: string,
    private readonly at: number[] | null,
    private readonly layers: Layers,
  ) {}

  /** Asks for what is not known of these nodes, together with all else that is wanted in this moment. */
  want(makeups: Iterable<string>): void {
    for (const path of makeups) if (!this.asked.has(`makeup ${path}`)) this.wanted.makeups.add(path);
    this.schedule();
  }

  /** Asks for the pictures of these nodes that are not known, in the same way. */
  wantPictures(paths: Iterable<string>, method: string): void {
    const wanted = this.wanted.pictures.get(method) ?? new Set();
    for (const path of paths) if (!this.asked.has(`${method} ${path}`)) wanted.add(path);
    this.wanted.pictures.set(method, wanted);
    this.schedule();
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    queueMicrotask(() => {
      this.scheduled = false;
      const { makeups, pictures } = this.wanted;
      this.wanted = { makeups: new Set(), pictures: new Map() };
      for (const some of inPieces([...makeups])) void this.load(some);
      for (const [method, paths] of pictures) for (const some of inPieces([...paths])) void this.draw(some, method);
    });
  }

  /** What a node is made of, asked for where it is not known. */
  async makeup(path: string): Promise<Makeup | undefined> {
    if (!this.makeups.has(path)) await this.load([path]);
    return this.makeups.get(path);
  }

  private async load(paths: string[]): Promise<void> {
    await this.attempt("makeup", paths, async () => {
      const found = await this.image.makeups(this.branches(paths), LISTED);
      this.makeups = new Map([...this.makeups, ...zipped(paths, found)]);
    });
  }

  private async draw(paths: string[], method: string): Promise<void> {
    await this.attempt(method, paths, async () => {
      const found = await this.image.pictures(this.branches(paths), method);
      this.pictures = new Map(this.pictures).set(method, new Map([...(this.pictures.get(method) ?? []), ...zipped(paths, found)]));
    });
  }

  private async attempt(kind: string, paths: string[], work: () => Promise<void>): Promise<void> {
    for (const path of paths) this.asked.add(`${kind} ${path}`);
    this.waiting += 1;
    try {
      await work();
      this.trouble = null;
    } catch (error) {
      this.trouble = error;
    } finally {
      this.waiting -= 1;
    }
  }

  private branches(paths: string[]): { units: string[]; position: number[] | null }[] {
    return paths.map((path) => branch(this.root, this.at, path, this.layers));
  }
}

function inPieces(paths: string[]): string[][] {
  const pieces = Math.ceil(paths.length / MOST_AT_ONCE);
  return Array.from({ length: pieces }, (_, index) => paths.slice(index * MOST_AT_ONCE, (index + 1) * MOST_AT_ONCE));
}

function zipped<T>(paths: string[], found: T[]): [string, T][] {
  return paths.flatMap((path, index): [string, T][] => {
    const one = found[index];
    return one === undefined ? [] : [[path, one]];
  });
}
