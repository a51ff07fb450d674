/** What the pictures of a unit's exemplars can show, by key in the address; the first has none there. */
import type { Study, Unit } from "../types/documents";
import { viewName } from "../drawing/units";
import { stepDrawingOf } from "../examples/kinds";

export function viewsOf(study: Study, unit: Unit): [key: string, words: string][] {
  const steps = stepDrawingOf(study);
  if (steps) {
    const excited = [...new Set((unit.attributions ?? []).map((one) => one.method))].map((method): [string, string] => [`attribution-${method}`, viewName(`attribution-${method}`)]);
    const whole = steps.views(study);
    return [...(whole.length > 0 || excited.length === 0 ? whole : [["values", "values"] satisfies [string, string]]), ...excited];
  }
  const methods = new Set(unit.images.attributions.map((one) => one.method));
  return [["whole", "whole image"], ["box", "box only"], ...[...methods].map((method): [string, string] => [`attribution-${method}`, viewName(method)])];
}

export { methodOf } from "../examples/attributions";
