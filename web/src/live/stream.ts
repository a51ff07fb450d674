/** The one door to the stream of a model beside a study: frames go, what there was to see of them comes back.
 *
 * Nothing is queued on either side. At most `MOST_IN_FLIGHT` frames are on their way, so that one travels while another is
 * computed; the page is asked for the next one when there is room. A server that goes away is asked again until it is back.
 */
import type { Greeting, Header } from "../types/answers";

export type Range = "layer" | "map" | "study";

export interface Change {
  unit: string;
  factor: number;
}

/** What is looked at, as a whole. */
export interface View {
  layer: string | null;
  sheet: boolean;
  unit: string | null;
  project: string | null;
  method: string;
  predictions: number;
  changes: Change[];
  range: Range;
  gamma: number;
  tile: number;
  columns: number | null;
  example: number | null;
  /** Frames have the network's size already: they are neither resized nor cropped. */
  prepared: boolean;
  /** Whether the server is to send what the network sees of a file or an example. */
  input: boolean;
}

export interface Answer {
  header: Header;
  parts: Map<string, Blob>;
}

export interface Told {
  kind: string;
  message: string;
  hint: string;
}

export interface Pace {
  /** Frames shown in a second. */
  rate: number;
  /** Milliseconds from a frame's being taken to its answer, at the median. */
  latency: number;
}

export interface Listener {
  greeted(greeting: Greeting): void;
  /** To be shown; the next frame is asked for once it is. */
  answered(answer: Answer): Promise<void> | void;
  /** A frame (by its number) or a view is refused; the stream goes on. */
  refused(error: Told, frame: number | null): void;
  /** The connection is there, gone for now, or refused for good. */
  state(state: "open" | "lost" | "closed", error: Told | null): void;
  /** There is room for a frame. */
  room(): void;
  pace(pace: Pace): void;
}

const MOST_IN_FLIGHT = 2;
const NUMBER_BYTES = 4;
const FIRST_WAIT = 500;
const LONGEST_WAIT = 5000;
/** Milliseconds over which frames a second are counted. */
const WINDOW = 2000;
const LATENCIES = 31;
/** The server's word for "not now" and for "never". */
const [TRY_LATER, REFUSED] = [1013, 1008];

export class Stream {
  private socket: WebSocket | null = null;
  private wait = FIRST_WAIT;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private ended = false;
  private ready = false;
  private view: View | null = null;
  private number = 0;
  private told: Told | null = null;
  /** Frames on their way, with the moment at which each was taken. */
  private readonly flying = new Map<number, number>();
  private readonly shown: number[] = [];
  private readonly latencies: number[] = [];
  private newest: { answer: Answer; taken: number | undefined } | null = null;
  private showing = false;

  constructor(
    private readonly slug: string,
    private readonly listener: Listener,
  ) {
    this.connect();
  }

  /** Says what is looked at. */
  look(view: View): void {
    // What waits for another kind of view is dropped there, and never answered.
    if (view.example !== this.view?.example || view.prepared !== this.view.prepared) this.flying.clear();
    this.view = view;
    if (this.ready) this.socket?.send(JSON.stringify(view));
  }

  get hasRoom(): boolean {
    return this.ready && this.flying.size < MOST_IN_FLIGHT;
  }

  /** Sends an image file, taken at that moment; its number, or null where it cannot go now. */
  async send(image: Blob, taken: number): Promise<number | null> {
    const bytes = await image.arrayBuffer();
    if (!this.ready || this.socket === null) return null;
    this.number = (this.number + 1) >>> 0;
    const message = new Uint8Array(NUMBER_BYTES + bytes.byteLength);
    new DataView(message.buffer).setUint32(0, this.number, true);
    message.set(new Uint8Array(bytes), NUMBER_BYTES);
    this.flying.set(this.number, taken);
    this.socket.send(message);
    return this.number;
  }

  close(): void {
    this.ended = true;
    clearTimeout(this.timer);
    this.socket?.close();
  }

  private connect(): void {
    const address = new URL(`live/${encodeURIComponent(this.slug)}`, document.baseURI);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    address.hash = "";
    const socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.told = null;
    socket.onmessage = (event: MessageEvent<ArrayBuffer | string>) => {
      if (this.ended) return;
      if (typeof event.data === "string") this.read(JSON.parse(event.data) as Greeting | { error: Told; frame: number | null });
      else this.receive(event.data);
    };
    socket.onclose = (event) => this.lost(event.code);
  }

  private lost(code: number): void {
    this.ready = false;
    this.flying.clear();
    this.shown.length = 0;
    if (this.ended) return;
    if (code === REFUSED) {
      this.listener.state("closed", this.told);
      return;
    }
    this.listener.state("lost", code === TRY_LATER ? this.told : null);
    this.timer = setTimeout(() => this.connect(), this.wait);
    this.wait = Math.min(2 * this.wait, LONGEST_WAIT);
  }

  private read(message: Greeting | { error: Told; frame: number | null }): void {
    if ("error" in message) {
      this.told = message.error;
      if (!this.ready) return; // the reason for which it closes now
      if (message.frame !== null) this.landed(message.frame);
      this.listener.refused(message.error, message.frame);
      this.listener.room();
      return;
    }
    this.ready = true;
    this.wait = FIRST_WAIT;
    if (this.view !== null) this.socket?.send(JSON.stringify(this.view));
    this.listener.state("open", null);
    this.listener.greeted(message);
    this.listener.room();
  }

  private receive(data: ArrayBuffer): void {
    const answer = parse(data);
    const taken = this.landed(answer.header.frame);
    this.newest = { answer, taken: taken ?? this.newest?.taken };
    this.listener.room();
    if (!this.showing) void this.show();
  }

  /** Shows what has come, the newest alone where several have. */
  private async show(): Promise<void> {
    this.showing = true;
    for (let next = this.newest; next !== null && !this.ended; next = this.newest) {
      this.newest = null;
      await this.listener.answered(next.answer);
      if (next.taken !== undefined) this.measure(next.taken);
    }
    this.showing = false;
  }

  /** A frame is answered: those before it never will be. The moment at which it was taken. */
  private landed(frame: number): number | undefined {
    const taken = this.flying.get(frame);
    if (taken !== undefined) {
      for (const one of this.flying.keys()) if (one <= frame) this.flying.delete(one);
    }
    return taken;
  }

  private measure(taken: number): void {
    const now = performance.now();
    this.shown.push(now);
    while ((this.shown[0] ?? now) < now - WINDOW) this.shown.shift();
    this.latencies.push(now - taken);
    if (this.latencies.length > LATENCIES) this.latencies.shift();
    const span = now - (this.shown[0] ?? now);
    const sorted = [...this.latencies].sort((a, b) => a - b);
    this.listener.pace({
      rate: span > 0 ? (1000 * (this.shown.length - 1)) / span : 0,
      latency: sorted[sorted.length >> 1] ?? 0,
    });
  }
}

/** An answer: the length of a JSON text, the text, and the pictures that it names. */
export function parse(data: ArrayBuffer): Answer {
  const length = new DataView(data).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, NUMBER_BYTES, length))) as Header;
  const parts = new Map<string, Blob>();
  let at = NUMBER_BYTES + length;
  for (const part of header.parts) {
    parts.set(part.name, new Blob([new Uint8Array(data, at, part.bytes)], { type: part.type }));
    at += part.bytes;
  }
  return { header, parts };
}
