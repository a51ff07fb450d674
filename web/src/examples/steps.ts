/** Steps of a text or series: where a unit is strongest, what it can have seen from there, how one moves among them. */
import type { Column, Example, Exemplar, LayerInfo, Span, Study } from "../types/documents";
import { quantity, shape } from "../drawing/numbers";

/** A unit's values by step, from those by position: a layer with fewer positions than steps has each value over several steps. */
export function overSteps(values: Column | undefined, steps: number): Column | undefined {
  if (values === undefined || values.length === steps || values.length === 0) return values;
  return Array.from({ length: steps }, (_, step) => values[Math.floor((step * values.length) / steps)] ?? null);
}

/** The first step that a position stands for, of so many on an example; the number of positions is the steps' where it is not known. */
export function stepAt(position: number, positions: number, steps: number): number {
  return positions > 0 ? Math.ceil((position * steps) / positions) : position;
}

/** The step of an exemplar: that of its position, or else where its `trace`, by step, is highest among the steps that count. */
export function strongest(one: Pick<Exemplar, "position">, trace: Column | undefined, counted: Span, positions?: number): number | null {
  const [position] = one.position ?? [];
  if (position !== undefined) return stepAt(position, positions ?? 0, trace?.length ?? 0);
  let best: number | null = null;
  let highest = Number.NEGATIVE_INFINITY;
  for (let at = counted[0]; at < Math.min(counted[1], trace?.length ?? 0); at += 1) {
    const value = trace?.[at] ?? Number.NEGATIVE_INFINITY;
    if (value > highest) [best, highest] = [at, value];
  }
  return best;
}

/** Where a token of a text stands, as `file@offset`, of an example whose path is that of its first counted token; the path alone
 * where the token comes from no document.
 */
export function placeOf(path: string, example: Example, step: number): string {
  if (example.kind !== "text") return path;
  const [at, first] = [example.offsets[step], example.offsets[example.counted[0]]];
  const end = path.lastIndexOf("@");
  return end > 0 && at !== undefined && first !== undefined && path.slice(end + 1) === String(first) ? `${path.slice(0, end)}@${at}` : path;
}

export interface Place {
  step: number | null;
  reach: Span;
}

/** Where exemplars are, in a layer whose positions are `stride` steps apart. */
export function placesOf(exemplars: Exemplar[], stride = 1): Place[] {
  return exemplars.flatMap(({ position, reach }) => (reach ? [{ step: position?.[0] === undefined ? null : position[0] * stride, reach }] : []));
}

/** Where a layer over a text or series has its values. */
export function valuesWords({ stride, shape: [positions] }: Pick<LayerInfo, "stride" | "shape">): string {
  const along = stride?.[1];
  if (along === 0) return quantity(positions ?? 0, "step") + " of its own";
  if (isBackward({ stride })) return "a value at each step, run backward";
  return along !== undefined && along > 1 ? `a value every ${along} steps` : "a value at each step";
}

/** What units see, as their reaches tell; null where nothing is known. A `bounded` field is the same at all steps but those
 * near an end, any other goes on to the end of the example. At the first step, all that follows is also the whole: only a layer
 * that is `backward` sees less elsewhere. */
export function sees(places: Place[], bounded: boolean, whole: string, backward = false): string | null {
  const known = places.filter(({ reach }) => reach[1] > reach[0]);
  if (known.length === 0) return null;
  const stepped = known.flatMap(({ step, reach }) => (step === null || step < 0 ? [] : [{ step, reach }]));
  if (stepped.length < known.length) return `sees the whole ${whole}`;
  const [backs, aheads] = [stepped.map(({ step, reach }) => step - reach[0]), stepped.map(({ step, reach }) => reach[1] - 1 - step)];
  const [back, ahead] = [Math.max(...backs), Math.max(...aheads)];
  if (bounded) return back + ahead === 0 ? "sees its own step alone" : `sees its own step, ${back} before and ${ahead} after it`;
  if (ahead === 0) return "sees all steps up to its own";
  if (back === 0) return backward || stepped.some(({ step }) => step > 0) ? "sees from its own step to the end" : `sees the whole ${whole}`;
  if (fixed(aheads) && !fixed(backs)) return `sees all steps up to ${ahead} after its own`;
  return fixed(backs) && !fixed(aheads) ? `sees from ${back} before its own step to the end` : `sees the whole ${whole}`;
}

/** Whether a side of the reach is of one length, but for those near an end of their example, and does not go on to that end. */
function fixed(sides: number[]): boolean {
  const most = Math.max(...sides);
  return sides.filter((side) => side === most).length > sides.length / 2;
}

/** Whether a layer runs through the steps from the last to the first. */
export function isBackward(layer: Pick<LayerInfo, "stride">): boolean {
  return layer.stride?.[1] === -1;
}

/** Whether a layer's field ends before its examples do. */
export function isBounded(layer: Pick<LayerInfo, "receptive_field" | "shape">): boolean {
  const field = layer.receptive_field?.at(-1);
  return field !== undefined && field < (layer.shape[0] ?? 0);
}

/** What the network is given, in a few words. */
export function inputWords(study: Pick<Study, "input" | "kind" | "inputs">): string {
  const { window, channels, example } = study.inputs;
  if (study.kind === "text") return `${example ? `${example}s of text` : "text"}${window ? ` in windows of at most ${quantity(window, "step")}` : ""}`;
  if (study.kind === "series") return `series of ${quantity(channels.length || (study.input.at(-1) ?? 0), "channel")}`;
  return `input ${shape(study.input)}`;
}

/** A half-open range of steps as people read it, with its last step. */
export function stepsWords([start, stop]: Span): string {
  if (stop <= start) return "no step";
  return stop - start === 1 ? `step ${start}` : `steps ${start}–${stop - 1}`;
}

/** Steps of shift and an arrow: so many at once. */
const FAST = 10;

/** The step to which a key leads, within those that are shown; null for any other key. */
export function moved(key: string, fast: boolean, from: number, [start, stop]: Span): number | null {
  const by = fast ? FAST : 1;
  const to = { ArrowLeft: from - by, ArrowRight: from + by, Home: start, End: stop - 1 }[key];
  return to === undefined ? null : Math.max(start, Math.min(stop - 1, to));
}
