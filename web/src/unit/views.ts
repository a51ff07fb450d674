/** What the pictures of a unit's exemplars can show, by key in the address; the first has none there. */
import type { Study, Unit } from "../types/documents";
import { viewName } from "../drawing/units";
import { stepDrawingOf } from "../examples/kinds";

export function viewsOf(study: Study, unit: Unit): [key: string, words: string][] {
  const steps = stepDrawingOf(study);
  if (steps) return steps.views(study);
  const methods = new Set(unit.images.attributions.map((one) => one.method));
  return [["whole", "whole image"], ["box", "box only"], ...[...methods].map((method): [string, string] => [`attribution-${method}`, viewName(method)])];
}

/** The method of a view that is an attribution; empty for others. */
export function methodOf(view: string): string {
  return view.startsWith("attribution-") ? view.slice("attribution-".length) : "";
}
