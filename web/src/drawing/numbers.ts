/** Numbers as people read them. */

export function number(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 100_000 || size < 0.001) return value.toExponential(1);
  if (size >= 100) return value.toFixed(0);
  if (size >= 10) return value.toFixed(1);
  return value.toFixed(size >= 1 ? 2 : 3);
}

export function percent(share: number | null | undefined): string {
  if (share === null || share === undefined) return "–";
  const value = share * 100;
  if (value !== 0 && Math.abs(value) < 1) return "<1 %";
  return `${Math.round(value)} %`;
}

/** A change as a share of what was: with a plus sign where it is more. */
export function change(share: number): string {
  return `${share >= 0.01 ? "+" : ""}${percent(share)}`;
}

export function count(value: number): string {
  return value.toLocaleString("en-US");
}

/** The word for so many things. */
export function plural(value: number, thing: string, things = thing.endsWith("ss") ? `${thing}es` : `${thing}s`): string {
  return value === 1 ? thing : things;
}

/** So many things, in words: `1 layer`, `2,048 layers`. */
export function quantity(value: number, thing: string): string {
  return `${count(value)} ${plural(value, thing)}`;
}

export function bytes(value: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let size = value;
  let index = 0;
  while (size >= 1000 && index < units.length - 1) {
    size /= 1000;
    index += 1;
  }
  return `${size >= 100 || index === 0 ? size.toFixed(0) : size.toFixed(1)} ${units[index] ?? ""}`;
}

export function duration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

export function shape(of: number[]): string {
  return of.join("×");
}

/** The words for each statistic, and what it means. */
export const MEANING: Record<string, [string, string]> = {
  max: ["maximum", "the highest activation over all examples and positions"],
  mean: ["mean", "over all examples and positions"],
  std: ["std", "standard deviation over all examples and positions"],
  min: ["minimum", "the lowest activation over all examples and positions"],
  fraction_active: ["active", "share of examples and positions with an activation above zero"],
  selectivity: ["selectivity", "(best class − the rest) / (best class + the rest), Morcos et al. 2018; less the lowest class where one is negative"],
};

/** Why shares of some exemplars' activations are not shown. */
export const FAINT = "What is for and against the unit nearly cancels here, or other examples excite it a hundred times as much: whatever changes its activation is many times as large, so shares of it say nothing.";

/** Those of recurrent layers: of gates, and of what a gate keeps. */
export const OVER_TIME: Record<string, [string, string]> = {
  shut: ["shut", "share of examples and steps at which the gate is below 0.1 (Karpathy et al. 2015)"],
  open: ["open", "share of examples and steps at which the gate is above 0.9 (Karpathy et al. 2015)"],
  half_life: ["half-life", "after how many steps half is left of what is kept: ln 2 over the mean of −ln of the gate that keeps it"],
};
const SHARES = ["fraction_active", "shut", "open"];

/** A statistic as people read it: a share as percent, a number of steps with its unit. */
export function statistic(name: string, value: number | null | undefined): string {
  if (SHARES.includes(name)) return percent(value);
  return value !== null && value !== undefined && name === "half_life" ? `${number(value)} steps` : number(value);
}
