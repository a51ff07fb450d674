/** What is looked at on the Live page: what the address says, as far as the model has it, and how it is changed. */
import { untrack } from "svelte";
import { checksOf } from "../data/checks";
import { load, type Loaded } from "../data/loading.svelte";
import { about } from "../data/model";
import type { About } from "../types/answers";
import { source } from "../data/source";
import type { Check, Layer, Study } from "../types/documents";
import { usualMethod } from "../drawing/methods";
import { router, type Route } from "../router.svelte";
import { Session } from "./session.svelte";
import { columnsFor, moved } from "./sheet";
import { after, channelOf, GAMMAS, layerOf, liveState, SHOWN, withChange, type Shown } from "./state";
import type { View } from "./stream";
import type { StreamLayer } from "../types/answers";

export const PREDICTIONS = 5;
/** Pixels of a map's longer side in the sheet, at most. */
const TILE = 48;
/** Pixels of a screen's height that are not the sheet's, and the least that it is given. */
const AROUND = 246;
const LEAST = 280;

export class Looking {
  /** Null where there is no model beside the study. */
  readonly about: Loaded<About | null>;
  session = $state.raw<Session | null>(null);
  /** What the study holds of the layer. */
  readonly document: Loaded<Layer>;
  /** How the methods did in the layer of the unit that is projected. */
  readonly checks: Loaded<Readonly<Record<string, Check>>>;
  /** Pixels that there are for the sheet. */
  wide = $state(600);
  screen = $state(innerHeight);
  /** Whether the strongest unit is to be chosen as soon as the layer's maps are known. */
  private seeking = $state(false);

  readonly now = $derived.by(() => liveState(this.route().query));
  readonly greeting = $derived(this.session?.greeting ?? null);
  readonly header = $derived(this.session?.header ?? null);
  readonly layers = $derived(this.greeting?.layers ?? []);
  /** The last that has maps, where none is chosen. */
  readonly layer = $derived<StreamLayer | undefined>(
    this.layers.find((one) => one.name === this.now.layer) ??
      this.layers.filter((one) => one.layout === "spatial" && one.shape.every((side) => side > 1)).at(-1) ??
      this.layers.at(-1),
  );
  readonly unit = $derived.by(() => {
    const { layer, now } = this;
    return layer !== undefined && layerOf(now.unit) === layer.name && (channelOf(now.unit) ?? layer.channels) < layer.channels ? now.unit : null;
  });
  readonly methods = $derived(this.greeting?.methods ?? []);
  /** The unit that is projected back. */
  readonly projected = $derived(this.now.hold ?? this.unit);
  readonly method = $derived.by(() => this.methods.find((one) => one === this.now.method) ?? usualMethod(this.methods, this.checks.value ?? {}));
  readonly examples = $derived(this.greeting?.examples ?? []);
  readonly example = $derived(this.now.example ?? this.examples[0] ?? null);
  /** How strong each unit of the layer is now, where its maps were asked for. */
  private readonly peaks = $derived(this.header?.layer === this.layer?.name ? this.header?.sheet?.peaks : undefined);
  readonly factor = $derived(this.now.changes.find((one) => one.unit === this.unit)?.factor ?? 1);
  readonly visible = $derived(this.session?.visible ?? new Set());
  private readonly sheets = $derived.by(() => Object.keys(this.document.value?.sheets ?? {}));
  /** The pictures that lie over weak maps. */
  readonly over = $derived.by(() => {
    if (!this.now.overlay || this.document.value?.name !== this.layer?.name) return null;
    return this.sheets.find((one) => one.startsWith("synthesis-")) ?? (this.sheets.includes("box") ? "box" : null);
  });
  readonly input = $derived.by(() => ({ width: this.study().input[2] ?? 1, height: this.study().input[1] ?? 1 }));
  readonly room = $derived<[width: number, height: number]>([this.wide, Math.max(LEAST, this.screen - AROUND)]);
  private readonly columns = $derived.by(() => {
    const [height = 1, width = 1] = this.layer?.layout === "spatial" ? this.layer.shape : [];
    return this.layer === undefined ? null : columnsFor(this.layer.channels, height / width, ...this.room);
  });
  private readonly view = $derived.by((): View => {
    const { now, layer, unit, visible } = this;
    return {
      layer: layer === undefined ? null : layer.name,
      // Without a unit there is no map to show either: which unit is strongest is read off the sheet.
      sheet: visible.has("sheet") || unit === null || this.seeking,
      unit: visible.has("map") ? unit : null,
      project: visible.has("projection") ? this.projected : null,
      method: this.method,
      predictions: visible.has("predictions") ? PREDICTIONS : 0,
      changes: now.changes,
      range: now.range,
      gamma: now.gamma,
      tile: TILE,
      columns: this.columns,
      example: now.source === "examples" ? this.example : null,
      prepared: now.source === "camera",
      input: visible.has("input"),
    };
  });
  // As text, so that the server is told of what has changed alone.
  private readonly viewed = $derived(JSON.stringify(this.view));

  constructor(
    private readonly study: () => Study,
    private readonly route: () => Route,
  ) {
    const slug = (): string => study().slug;
    const info = $derived(study().layers.find((one) => one.name === this.layer?.name && one.units > 0));
    const traced = $derived(layerOf(this.projected));
    this.about = load((signal) => (source.served() ? about(slug(), signal) : Promise.resolve(null)));
    const open = $derived(Boolean(this.about.value));
    this.document = load((signal) => (info === undefined ? null : source.layer(slug(), info.id, signal)));
    this.checks = load(() => (traced === null ? null : checksOf(study(), traced)), { steady: true });
    $effect(() => {
      if (!open) return;
      const made = new Session(slug(), ...untrack(() => [this.input, study().preprocessing.resize] as const));
      this.session = made;
      return () => {
        made.close();
        this.session = null;
      };
    });
    $effect(() => {
      if (this.greeting !== null) this.session?.look(JSON.parse(this.viewed) as View);
    });
    // Without a choice it is the unit that stands out on the first picture.
    $effect(() => {
      if ((this.unit === null || this.seeking) && this.layer !== undefined && this.peaks !== undefined) untrack(() => this.strongest());
    });
  }

  choose(query: Record<string, string | undefined>): void {
    router.choose(query);
  }
  chooseUnit(channel: number): void {
    if (this.layer !== undefined) this.choose({ layer: undefined, unit: `${this.layer.name}:${channel}` });
  }
  strongest(): void {
    const { peaks } = this;
    this.seeking = peaks === undefined;
    if (peaks === undefined) return;
    this.chooseUnit(peaks.reduce<number>((found, one, channel) => ((one ?? 0) > (peaks[found] ?? 0) ? channel : found), 0));
  }
  chooseLayer(name: string | undefined): void {
    if (name !== undefined) this.choose({ layer: name, unit: undefined });
  }
  layerAfter(by = 1): void {
    this.chooseLayer(after(this.layers.map((one) => one.name), this.layer?.name ?? "", by));
  }
  show(shown: Shown): void {
    this.choose({ show: shown === "sheet" ? undefined : shown });
  }
  change(factor: number): void {
    if (this.unit !== null) this.choose({ change: withChange(this.now.changes, this.unit, factor) });
  }
  hold(): void {
    this.choose({ hold: this.now.hold === null ? (this.unit ?? undefined) : undefined });
  }
  overlay(): void {
    this.choose({ overlay: this.now.overlay ? undefined : "1" });
  }
  gamma(to: string | undefined): void {
    this.choose({ gamma: to === String(GAMMAS[0]) ? undefined : to });
  }
  reset(): void {
    this.session?.freeze(false);
    this.choose({ hold: undefined, method: undefined, range: undefined, gamma: undefined, overlay: undefined, show: undefined, change: undefined });
  }

  /** Whether a key moves among the maps of the layer; then it has. */
  moves(key: string, fast: boolean): boolean {
    if (this.layer === undefined || this.columns === null) return false;
    const to = moved({ columns: this.columns, units: this.layer.channels }, channelOf(this.unit) ?? 0, key, fast);
    if (to !== null) this.chooseUnit(to);
    return to !== null;
  }
  /** What other keys do. */
  readonly keys: Record<string, () => void> = {
    u: () => this.layerAfter(-1),
    o: () => this.layerAfter(),
    f: () => this.session?.freeze(!this.session.frozen),
    b: () => this.choose({ method: after(this.methods, this.method) }),
    d: () => this.hold(),
    z: () => this.show(after(Object.keys(SHOWN) as Shown[], this.now.shown) ?? "sheet"),
    s: () => this.overlay(),
    t: () => this.gamma(after(GAMMAS.map(String), String(this.now.gamma))),
  };
}
