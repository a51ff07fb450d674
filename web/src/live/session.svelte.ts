/** What the Live page holds: the stream, where frames come from, and the canvases on which answers are drawn. */
import { framing, type Size } from "./framing";
import { openCamera } from "./camera";
import { Stream, type Answer, type Pace, type Told, type View } from "./stream";
import type { Greeting, Header } from "../types/answers";

export type Part = "input" | "sheet" | "map" | "projection" | "predictions";

/** Frames are kept until their answer comes: those on their way and the one being taken. */
const KEPT_FRAMES = 4;
const FRAME_QUALITY = 0.92;
const MOST_FILE_BYTES = 64 * 2 ** 20;
/** What one frame may bring to the server; larger files are made smaller here. */
const MOST_SENT_BYTES = 4 * 2 ** 20;
const SMALLER_SIDE = 1600;

interface Kept {
  number: number;
  canvas: HTMLCanvasElement;
}

export class Session {
  state = $state<"connecting" | "open" | "lost" | "closed">("connecting");
  /** Why it is lost or closed, where the server said so. */
  ended = $state.raw<Told | null>(null);
  /** What is wrong with the source of frames. */
  trouble = $state.raw<Told | null>(null);
  /** What the server refused last. */
  refused = $state.raw<Told | null>(null);
  greeting = $state.raw<Greeting | null>(null);
  header = $state.raw<Header | null>(null);
  pace = $state.raw<Pace | null>(null);
  frozen = $state(false);
  /** Which parts are on the screen. */
  visible = $state.raw<ReadonlySet<Part>>(new Set());

  private readonly stream: Stream;
  private readonly canvases = new Map<Part, Set<HTMLCanvasElement>>();
  private readonly latest = new Map<Part, ImageBitmap>();
  private readonly seen = new Map<Element, Part>();
  private readonly observer: IntersectionObserver;
  private readonly video = document.createElement("video");
  private readonly kept: Kept[] = Array.from({ length: KEPT_FRAMES }, () => ({ number: -1, canvas: document.createElement("canvas") }));
  private turn = 0;
  private camera: MediaStream | null = null;
  private wanted: "camera" | "file" | "example" = "example";
  private file: Blob | null = null;
  /** What the file is called. */
  private name = "";
  private fresh = false;
  private busy = false;
  private opening = false;
  private over = false;

  constructor(
    slug: string,
    private readonly input: Size,
    private readonly resize: number[] | null,
  ) {
    this.video.muted = true;
    this.video.playsInline = true;
    this.observer = new IntersectionObserver((entries) => this.noticed(entries), { rootMargin: "60px" });
    this.stream = new Stream(slug, {
      greeted: (greeting) => {
        this.greeting = greeting;
        void this.again();
      },
      answered: (answer) => this.show(answer),
      refused: (error, frame) => {
        if (frame === null || this.wanted !== "file") this.refused = error;
        else [this.trouble, this.file] = [{ ...error, message: error.message.replace(/^what was sent/, this.name) }, null];
      },
      state: (state, error) => {
        this.state = state;
        this.ended = error;
        if (state !== "open") this.pace = null;
      },
      room: () => void this.pump(),
      pace: (pace) => (this.pace = pace),
    });
    document.addEventListener("visibilitychange", this.returned);
  }

  look(view: View): void {
    this.stream.look(view);
  }

  /** Frames from the camera, until another source is chosen. */
  async useCamera(): Promise<void> {
    this.wanted = "camera";
    this.trouble = null;
    this.refused = null;
    if (this.camera !== null || this.opening) return;
    this.opening = true;
    try {
      const camera = await openCamera();
      if (this.over || this.wanted !== "camera") {
        for (const track of camera.getTracks()) track.stop();
        return;
      }
      this.camera = camera;
      camera.getTracks()[0]?.addEventListener("ended", () => {
        this.stopCamera();
        this.trouble = { kind: "Camera", message: "the camera was switched off or unplugged", hint: "choose Camera again once it is back" };
      });
      this.video.srcObject = camera;
      await this.video.play();
      this.follow(camera);
    } catch (error) {
      // What was stopped while it began is no matter: something else was chosen.
      if (this.wanted === "camera" && !(error instanceof DOMException)) this.trouble = error as Told;
      else if (this.camera !== null) {
        this.stopCamera();
        this.trouble = { kind: "Camera", message: `the camera's picture does not play: ${String(error)}`, hint: "choose Camera again" };
      }
    } finally {
      this.opening = false;
    }
    // Chosen again while it was being opened for an earlier choice.
    if (!this.over && this.wanted === "camera" && this.camera === null && this.trouble === null) await this.useCamera();
  }

  useExample(): void {
    this.wanted = "example";
    this.trouble = null;
    this.refused = null;
    this.stopCamera();
  }

  /** One image file. What is no image the server says; what cannot be sent is said here. */
  async useFile(file: File): Promise<void> {
    this.wanted = "file";
    this.trouble = null;
    this.refused = null;
    this.stopCamera();
    this.name = `'${file.name}'`;
    try {
      this.file = await sendable(file);
    } catch (error) {
      this.file = null;
      this.trouble = error as Told;
      return;
    }
    await this.again();
  }

  freeze(frozen: boolean): void {
    this.frozen = frozen;
    if (!frozen) void this.pump();
  }

  /** A canvas shows a part, for as long as it is there; other elements only say that the part is looked at. */
  surface = (element: Element, first: Part): { update(part: Part): void; destroy(): void } => {
    let part = first;
    this.assign(element, part);
    this.observer.observe(element);
    return {
      update: (next) => {
        if (next === part) return;
        this.release(element, part);
        part = next;
        if (element instanceof HTMLCanvasElement) element.getContext("2d")?.clearRect(0, 0, element.width, element.height);
        this.assign(element, part);
        this.count();
      },
      destroy: () => {
        this.observer.unobserve(element);
        this.shownNow.delete(element);
        this.release(element, part);
        this.count();
      },
    };
  };

  private assign(element: Element, part: Part): void {
    if (element instanceof HTMLCanvasElement) {
      const all = this.canvases.get(part) ?? new Set();
      this.canvases.set(part, all.add(element));
      const known = this.latest.get(part);
      if (known !== undefined) draw(element, known);
    }
    this.seen.set(element, part);
    this.visible = new Set([...this.visible, part]);
  }

  private release(element: Element, part: Part): void {
    this.seen.delete(element);
    if (element instanceof HTMLCanvasElement) this.canvases.get(part)?.delete(element);
  }

  close(): void {
    this.over = true;
    document.removeEventListener("visibilitychange", this.returned);
    this.observer.disconnect();
    this.stopCamera();
    this.stream.close();
    for (const bitmap of this.latest.values()) bitmap.close();
  }

  private readonly shownNow = new Map<Element, boolean>();

  private noticed(entries: IntersectionObserverEntry[]): void {
    for (const entry of entries) this.shownNow.set(entry.target, entry.isIntersecting);
    this.count();
  }

  private count(): void {
    const now = new Set([...this.seen].filter(([element]) => this.shownNow.get(element) !== false).map(([, part]) => part));
    if (now.size !== this.visible.size || [...now].some((one) => !this.visible.has(one))) this.visible = now;
  }

  private stopCamera(): void {
    for (const track of this.camera?.getTracks() ?? []) track.stop();
    this.camera = null;
    this.video.srcObject = null;
    this.fresh = false;
  }

  private readonly returned = (): void => {
    if (!document.hidden) void this.pump();
  };

  /** Each new picture of the camera is noted; browsers that do not tell of them are asked before each repaint. */
  private follow(camera: MediaStream): void {
    const video = this.video as { requestVideoFrameCallback?: (done: () => void) => number };
    const note = (): void => {
      if (this.camera !== camera || this.over) return;
      this.fresh = true;
      void this.pump();
      next();
    };
    const next = (): void => {
      if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(note);
      else requestAnimationFrame(note);
    };
    next();
  }

  /** Sends the camera's newest picture where there is one, room for it, and somebody to look. */
  private async pump(): Promise<void> {
    if (this.busy || this.frozen || document.hidden || this.wanted !== "camera" || this.camera === null || !this.fresh || !this.stream.hasRoom) return;
    this.busy = true;
    this.fresh = false;
    const taken = performance.now();
    const kept = this.take();
    const image = kept === null ? null : await encoded(kept.canvas);
    if (kept !== null && image !== null && this.wanted === "camera") kept.number = (await this.stream.send(image, taken)) ?? -1;
    this.busy = false;
    if (this.fresh) void this.pump();
  }

  private take(): Kept | null {
    const size = { width: this.video.videoWidth, height: this.video.videoHeight };
    const kept = this.kept[this.turn];
    if (size.width === 0 || kept === undefined) return null;
    this.turn = (this.turn + 1) % this.kept.length;
    const { canvas } = kept;
    [canvas.width, canvas.height] = [this.input.width, this.input.height];
    const { x, y, width, height } = framing(size, this.input, this.resize);
    canvas.getContext("2d")?.drawImage(this.video, x, y, width, height, 0, 0, canvas.width, canvas.height);
    return kept;
  }

  /** After a connection was made: what does not come by itself is sent once more. */
  private async again(): Promise<void> {
    if (this.wanted === "file" && this.file !== null) await this.stream.send(this.file, performance.now());
    if (this.wanted === "camera" && this.frozen) {
      const last = this.kept.find((one) => one.number === this.header?.frame);
      const image = last === undefined ? null : await encoded(last.canvas);
      if (last !== undefined && image !== null) last.number = (await this.stream.send(image, performance.now())) ?? -1;
    }
  }

  private async show({ header, parts }: Answer): Promise<void> {
    const bitmaps = await Promise.all(
      [...parts].map(async ([name, blob]): Promise<[Part, ImageBitmap]> => [name as Part, await createImageBitmap(blob)]),
    );
    if (this.over) return;
    const frame = this.kept.find((one) => one.number === header.frame);
    if (frame !== undefined && header.example === undefined && !parts.has("input")) {
      for (const canvas of this.canvases.get("input") ?? []) draw(canvas, frame.canvas);
    }
    for (const [part, bitmap] of bitmaps) {
      this.latest.get(part)?.close();
      this.latest.set(part, bitmap);
      for (const canvas of this.canvases.get(part) ?? []) draw(canvas, bitmap);
    }
    this.refused = null;
    this.header = header;
  }
}

function draw(canvas: HTMLCanvasElement, picture: ImageBitmap | HTMLCanvasElement): void {
  if (canvas.width !== picture.width || canvas.height !== picture.height) [canvas.width, canvas.height] = [picture.width, picture.height];
  canvas.getContext("2d")?.drawImage(picture, 0, 0);
}

function encoded(canvas: HTMLCanvasElement): Promise<Blob | null> {
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", FRAME_QUALITY));
}

/** The file as it can be sent: as it is, or if it is too large, made smaller. */
async function sendable(file: File): Promise<Blob> {
  const name = `'${file.name}'`;
  if (file.size > MOST_FILE_BYTES) throw told(`${name} has ${Math.round(file.size / 2 ** 20)} MiB, more than the ${MOST_FILE_BYTES / 2 ** 20} that are read`, "choose a smaller image");
  if (file.size <= MOST_SENT_BYTES) return file;
  try {
    const bitmap = await createImageBitmap(file);
    const scale = Math.min(1, SMALLER_SIDE / Math.min(bitmap.width, bitmap.height));
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [Math.round(bitmap.width * scale), Math.round(bitmap.height * scale)];
    canvas.getContext("2d")?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
    const smaller = await encoded(canvas);
    if (smaller !== null) return smaller;
  } catch {
    // Said below.
  }
  throw told(`${name} is not an image that this browser can read, or is damaged`, "choose a JPEG, PNG or WebP file");
}

function told(message: string, hint: string): Told {
  return { kind: "File", message, hint };
}
