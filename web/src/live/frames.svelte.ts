/** Where the pictures of the Live page come from, one after the other. */
import type { Looking } from "./looking.svelte";
import { after, type Source } from "./state";

const SLIDE = 2500;

export class Frames {
  files = $state.raw<File[]>([]);
  private file = $state(0);
  /** Whether the next picture comes by itself. */
  playing = $state(false);
  readonly source = $derived.by(() => this.looking.now.source);
  private readonly chosen = $derived(this.files[this.file]);

  /** `pick` lets files be chosen. */
  constructor(
    private readonly looking: Looking,
    private readonly pick: () => void,
  ) {
    $effect(() => {
      const { session } = looking;
      if (session === null) return;
      if (this.source === "camera") void session.useCamera();
      else if (this.source === "examples") session.useExample();
      else if (this.chosen !== undefined) void session.useFile(this.chosen);
    });
    $effect(() => {
      if (!this.playing || this.source === "camera") return;
      const timer = setInterval(() => this.next(1), SLIDE);
      return () => clearInterval(timer);
    });
  }

  /** Which of how many. */
  get place(): string {
    const { examples, example } = this.looking;
    if (this.source === "files") return `${this.files.length === 0 ? 0 : this.file + 1} of ${this.files.length}`;
    const at = example === null ? -1 : examples.indexOf(example);
    return at < 0 && example !== null ? `example ${example}` : `${at + 1} of ${examples.length}`;
  }

  choose(source: Source): void {
    const { session } = this.looking;
    if (source === "files" && this.files.length === 0) {
      this.pick();
      return;
    }
    if (source === "camera" && session?.trouble !== null) void session?.useCamera();
    this.looking.choose({ source: source === "examples" ? undefined : source });
  }
  take(found: FileList | null | undefined): void {
    if (!found || found.length === 0) return;
    this.files = [...found];
    this.file = 0;
    this.looking.choose({ source: "files" });
  }
  next(by: number): void {
    const { examples, example } = this.looking;
    if (this.source === "files") this.file = after([...this.files.keys()], this.file, by) ?? 0;
    else if (examples.length > 0) this.looking.choose({ source: undefined, example: String(after(examples, example ?? 0, by)) });
  }
  reset(): void {
    this.playing = false;
    this.looking.reset();
  }

  readonly keys: Record<string, () => void> = {
    w: () => this.next(-1),
    e: () => this.next(1),
    c: () => this.choose(this.source === "camera" ? "examples" : "camera"),
    Escape: () => this.reset(),
  };
}
