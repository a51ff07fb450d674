/** What excited a unit in its exemplars that are texts or series: numbers by channel (one of a text) and step. */
import type { Column, StepNumbers, UnitAttributions } from "../types/documents";

/** The method of a view that is an attribution; empty for others. */
export function methodOf(view: string): string {
  return view.startsWith("attribution-") ? view.slice("attribution-".length) : "";
}

/** Those by a method of the exemplars of a ranking, by rank. */
export function attributionsBy(found: UnitAttributions | null, method: string, ranking: string): Map<number, StepNumbers> {
  const own = (found?.attributions ?? []).filter((one) => one.method === method && one.exemplars === ranking);
  return new Map(own.map((one) => [one.rank, one]));
}

/** The largest of any sign among numbers and their sums, so that all that is shown together has one scale. */
export function scaleOfNumbers(found: Iterable<StepNumbers>): number {
  let largest = 0;
  for (const one of found) for (const channel of [...one.values, byStep(one.values)]) for (const value of channel) largest = Math.max(largest, Math.abs(value ?? 0));
  return largest;
}

/** The sum over channels at each step. */
export function byStep(values: Column[]): Column {
  return (values[0] ?? []).map((_, step) => values.reduce((sum, channel) => sum + (channel[step] ?? 0), 0));
}
