/** Colours of a unit's values: zero is the ground, positive values have one hue and negative ones the other. */
import type { Column } from "../types/documents";

/** The value that gets the full hue: the largest of any sign, so that all that is shown of a unit has one scale. */
export function scaleOf(traces: Record<string, Column> | undefined): number {
  let largest = 0;
  for (const trace of Object.values(traces ?? {})) for (const value of trace) largest = Math.max(largest, Math.abs(value ?? 0));
  return largest;
}

/** From −1 to 1, 0 where there is no value. */
export function share(value: number | null | undefined, scale: number): number {
  if (value === null || value === undefined || scale <= 0) return 0;
  return Math.max(-1, Math.min(1, value / scale));
}

/** A CSS colour; `strength` below 1 for what is only context. */
export function tint(value: number | null | undefined, scale: number, strength = 1): string {
  const part = share(value, scale) * strength;
  const percentage = Math.round(Math.abs(part) * 1000) / 10;
  if (percentage === 0) return "transparent";
  return `color-mix(in srgb, var(--${part > 0 ? "positive" : "negative"}) ${percentage}%, transparent)`;
}
