/** What is looked at on the Live page, as the address holds it. */
import type { Change, Range } from "./stream";

export const SOURCES = { camera: "Camera", files: "Images", examples: "Examples" } as const;
export type Source = keyof typeof SOURCES;

export const RANGES: Record<Range, string> = { layer: "of the layer", map: "of the map", study: "in the study" };

/** Exponents of brightness: 1 is in proportion, less makes weak activations plainer. The first is the usual one. */
export const GAMMAS = [0.7, 0.5, 0.35, 1] as const;

/** What is shown large in the middle. */
export const SHOWN = { sheet: "All maps", map: "Its map", projection: "Projection" } as const;
export type Shown = keyof typeof SHOWN;

export interface LiveState {
  source: Source;
  example: number | null;
  layer: string | null;
  /** A unit of the layer, by its address. */
  unit: string | null;
  /** The unit that is projected back whatever else is looked at. */
  hold: string | null;
  method: string | null;
  range: Range;
  gamma: number;
  overlay: boolean;
  shown: Shown;
  changes: Change[];
}

type Query = Record<string, string | undefined>;

export function liveState(query: Query): LiveState {
  const gamma = Number(query["gamma"] ?? GAMMAS[0]);
  return {
    source: oneOf(SOURCES, query["source"], "examples"),
    example: query["example"] !== undefined && /^\d+$/.test(query["example"]) ? Number(query["example"]) : null,
    layer: query["layer"] ?? layerOf(query["unit"]),
    unit: query["unit"] ?? null,
    hold: query["hold"] ?? null,
    method: query["method"] ?? null,
    range: oneOf(RANGES, query["range"], "layer"),
    gamma: gamma > 0 && gamma <= 10 ? gamma : GAMMAS[0],
    overlay: query["overlay"] === "1",
    shown: oneOf(SHOWN, query["show"], "sheet"),
    changes: changesOf(query["change"]),
  };
}

function oneOf<T extends string>(all: Record<T, unknown>, given: string | undefined, usual: T): T {
  return given !== undefined && given in all ? (given as T) : usual;
}

export function layerOf(unit: string | null | undefined): string | null {
  return unit ? unit.replace(/:\d+$/, "") : null;
}

export function channelOf(unit: string | null | undefined): number | null {
  const found = /:(\d+)$/.exec(unit ?? "");
  return found ? Number(found[1]) : null;
}

/** `block4:3*0,block4:9*1.5` */
export function changesOf(given: string | undefined): Change[] {
  return (given ?? "").split(",").flatMap((one) => {
    const found = /^(.+:\d+)\*(\d+(?:\.\d+)?)$/.exec(one);
    return found ? [{ unit: found[1] ?? "", factor: Number(found[2]) }] : [];
  });
}

/** The changes with that of one unit put in, or left out where it changes nothing. */
export function withChange(changes: Change[], unit: string, factor: number): string | undefined {
  const others = changes.filter((one) => one.unit !== unit);
  const all = factor === 1 ? others : [...others, { unit, factor }];
  return all.map((one) => `${one.unit}*${one.factor}`).join(",") || undefined;
}

/** The one after it, around; in the other direction where `by` is negative. */
export function after<T>(all: readonly T[], one: T, by = 1): T | undefined {
  return all[(Math.max(0, all.indexOf(one)) + by + all.length) % all.length];
}
