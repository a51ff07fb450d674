/** How a series is drawn: channels as lines below each other, on one axis of time. */
import type { Column, SeriesExample } from "../types/documents";

export type Range = [lowest: number, highest: number];

/** By channel, over all series that are shown together, so that they can be compared. */
export function rangesOf(series: SeriesExample[]): Range[] {
  const channels = Math.max(0, ...series.map((one) => one.values.length));
  return Array.from({ length: channels }, (_, channel) => rangeOf(series.map((one) => one.values[channel] ?? [])));
}

export function rangeOf(columns: Column[]): Range {
  let [lowest, highest] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const column of columns) {
    for (const value of column) if (value !== null) [lowest, highest] = [Math.min(lowest, value), Math.max(highest, value)];
  }
  return lowest <= highest ? [lowest, highest] : [0, 1];
}

/** More channels than these are not readable as lines below each other. */
export const READABLE = 16;

/** The channels to draw: all where they are readable, otherwise those that vary most here, in their order. */
export function chosenChannels(values: Column[], ranges: Range[], most = READABLE): number[] {
  const all = values.map((_, channel) => channel);
  if (all.length <= most) return all;
  const varies = values.map((column, channel) => {
    const [lowest, highest] = rangeOf([column]);
    const [least, largest] = ranges[channel] ?? [0, 1];
    return largest > least ? (highest - lowest) / (largest - least) : 0;
  });
  return all.sort((a, b) => (varies[b] ?? 0) - (varies[a] ?? 0) || a - b).slice(0, most).sort((a, b) => a - b);
}

/** The middle of a step. */
export function across(step: number, steps: number, width: number): number {
  return ((step + 0.5) * width) / Math.max(1, steps);
}

/** From the top: the highest value lies at 0, the lowest at `height`; a flat channel in the middle. */
export function down(value: number, [lowest, highest]: Range, height: number): number {
  return highest > lowest ? (height * (highest - value)) / (highest - lowest) : height / 2;
}

/** An SVG path through the values, interrupted where there are none. With many steps a pixel, each pixel's lowest and highest
 * are drawn, so that no peak is lost. */
export function linePath(values: Column, range: Range, width: number, height: number): string {
  const points: string[] = [];
  let pen = "M";
  for (const step of kept(values, Math.max(1, Math.floor(width)))) {
    const value = values[step] ?? null;
    if (value === null) {
      pen = "M";
      continue;
    }
    points.push(`${pen}${round(across(step, values.length, width))} ${round(down(value, range, height))}`);
    pen = "L";
  }
  return points.join("");
}

/** The steps that a line of that many pixels needs, in order. */
function kept(values: Column, pixels: number): number[] {
  if (values.length <= 2 * pixels) return values.map((_, step) => step);
  const steps: number[] = [];
  for (let pixel = 0; pixel < pixels; pixel += 1) {
    const [start, stop] = [Math.floor((pixel * values.length) / pixels), Math.floor(((pixel + 1) * values.length) / pixels)];
    let [low, high] = [start, start];
    for (let step = start; step < stop; step += 1) {
      if ((values[step] ?? Infinity) < (values[low] ?? Infinity)) low = step;
      if ((values[step] ?? -Infinity) > (values[high] ?? -Infinity)) high = step;
    }
    steps.push(...(low === high ? [low] : [Math.min(low, high), Math.max(low, high)]));
  }
  return steps;
}

export interface Cell {
  start: number;
  stop: number;
  value: number;
}

/** The band of a unit's values: one cell a step, or as many as fit, each with the value of the largest size in it. */
export function cells(trace: Column, most: number): Cell[] {
  const count = Math.min(trace.length, Math.max(1, Math.floor(most)));
  return Array.from({ length: count }, (_, index) => {
    const [start, stop] = [Math.floor((index * trace.length) / count), Math.floor(((index + 1) * trace.length) / count)];
    const values = trace.slice(start, stop).map((value) => value ?? 0);
    return { start, stop, value: values.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a), 0) };
  });
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
