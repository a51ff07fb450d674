/** Which units of a layer are shown, and in which order. */
import type { Column, Layer, Study } from "../data/types";

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
  if (hideDead) channels = channels.filter((channel) => layer.statistics.fraction_active[channel] !== 0);
  if (ofClass !== null) {
    channels = channels.filter((channel) => layer.best_class[channel] === ofClass || layer.second_class[channel] === ofClass);
  }
  if (sort === "index") return channels;
  const values: Column = layer.statistics[sort];
  const value = (channel: number): number => values[channel] ?? Number.NEGATIVE_INFINITY;
  return channels.sort((a, b) => value(b) - value(a) || a - b);
}

/** A class's name as people read it: folders of ImageNet carry a number of WordNet before it. */
export function classWords(name: string): string {
  return name.replace(/^n\d{8}[_-]/, "").replaceAll("_", " ");
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

/** The words for a kind of picture. */
export function viewName(view: string): string {
  if (view === "box") return "what it sees";
  if (view === "whole") return "whole example";
  if (view === "kernel") return "kernel";
  const [kind, ...rest] = view.split("-");
  return kind === "attribution" ? `attribution: ${rest.join("-")}` : kind === "synthesis" ? `synthesis: ${rest.join("-")}` : view;
}
