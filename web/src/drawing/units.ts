/** Which units of a layer are shown, and in which order. */
import { named } from "../examples/text";
import type { Column, Exemplar, Layer, LayerInfo, Outputs, Study, Unit } from "../types/documents";

export const SORTS = {
  index: "number",
  selectivity: "selectivity",
  max: "maximum",
  fraction_active: "share active",
} as const;
export type Sort = keyof typeof SORTS;

export interface Choice {
  sort: Sort;
  /** A class's index: only units that prefer it, or hold it second. */
  ofClass: number | null;
  hideDead: boolean;
}

export function chosen(layer: Layer, { sort, ofClass, hideDead }: Choice): number[] {
  let channels = layer.statistics.max.map((_, channel) => channel);
  if (hideDead) channels = channels.filter((channel) => !isDead(layer, channel));
  if (ofClass !== null) {
    channels = channels.filter((channel) => layer.best_class[channel] === ofClass || layer.second_class[channel] === ofClass);
  }
  if (sort === "index") return channels;
  const values: Column = layer.statistics[sort];
  const value = (channel: number): number => values[channel] ?? Number.NEGATIVE_INFINITY;
  return channels.sort((a, b) => value(b) - value(a) || a - b);
}

/** Whether a unit was never above zero and the same everywhere. */
export function isDead({ statistics: { fraction_active, min, max } }: Pick<Layer, "statistics">, channel: number): boolean {
  return fraction_active[channel] === 0 && min[channel] === max[channel];
}

/** The one value that a unit has wherever it is read; null where it has several. */
export function constant({ statistics: { min, max } }: Pick<Unit, "statistics">): number | null {
  return max !== null && max === min ? max : null;
}

/** Those of a unit's strongest examples that excite it at all: on others it is everywhere at its minimum, so which of them
 * were kept, and where their boxes are, means nothing.
 */
export function exciting({ statistics: { min } }: Pick<Unit, "statistics">, exemplars: Exemplar[]): Exemplar[] {
  return min === null ? exemplars : exemplars.filter((one) => one.score === null || one.score > min);
}

/** Whether several exemplars are shown and none is stronger than another, so that which they are says little. */
export function tied(exemplars: Pick<Exemplar, "score">[]): boolean {
  return exemplars.length > 1 && exemplars.every((one) => one.score === exemplars[0]?.score);
}

/** Whether a unit has a single value on each example, its maximum and its mean: it has no positions, or one. */
export function oneValued({ shape }: Pick<LayerInfo, "shape">): boolean {
  return shape.every((extent) => extent === 1);
}

/** A class's name as people read it: folders of ImageNet carry a number of WordNet before it. */
export function classWords(name: string): string {
  return name.replace(/^n\d{8}[_-]/, "").replaceAll("_", " ");
}

/** What an output of the network is called, as people read it: a class, or the token that may come next; empty where nobody knows. */
export function outputWords(of: Outputs["of"] | undefined, name: string | undefined): string {
  if (of === undefined || !name) return "";
  return of === "tokens" ? `‘${named(name)}’` : classWords(name);
}

/** The same of a unit of a layer. */
export function unitWords(layer: Pick<Layer, "outputs"> | undefined, channel: number): string {
  return outputWords(layer?.outputs?.of, layer?.outputs?.names[channel]);
}

/** What each of a network's outputs is called, as far as the study tells. */
export function outputLabels(study: Pick<Study, "classes" | "output_classes">, outputs: number): [number, string][] {
  const order = study.output_classes ?? study.classes.map((one) => one.index);
  if (order.length !== outputs) return [];
  return order.flatMap((of, output): [number, string][] => {
    const label = of === null ? undefined : study.classes[of]?.label;
    return label === undefined ? [] : [[output, label]];
  });
}

/** What a unit is the output for, where its layer is the network's last and its outputs are classes with names; else empty. */
export function outputOf(study: Pick<Study, "classes" | "output_classes" | "layers">, unit: string): string {
  const last = study.layers[study.layers.length - 1];
  const at = unit.lastIndexOf(":");
  if (last === undefined || unit.slice(0, at).split("#")[0] !== last.name.split("#")[0]) return "";
  const label = outputLabels(study, last.channels).find(([output]) => output === Number(unit.slice(at + 1)))?.[1];
  return label === undefined ? "" : classWords(label);
}

/** The words for a kind of picture. */
export function viewName(view: string): string {
  if (view === "box") return "what it sees";
  if (view === "whole") return "whole example";
  if (view === "kernel") return "kernel";
  const [kind, ...rest] = view.split("-");
  return kind === "attribution" ? `attribution: ${rest.join("-")}` : kind === "synthesis" ? `synthesis: ${rest.join("-")}` : view;
}
