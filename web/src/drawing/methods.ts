/** Which method draws what excited a unit where none is chosen, and what is said of one that gives no picture. */
import type { Check } from "../types/documents";

/** The plainest pictures first. */
const PREFERRED = ["guided", "gradient", "deconv", "lrp"];

/** The first whose pictures of this layer are not known to show the image more than the unit; the plainest if all are. */
export function usualMethod(methods: readonly string[], checks: Readonly<Record<string, Check>>): string {
  const ranked = [...PREFERRED.filter((one) => methods.includes(one)), ...methods.filter((one) => !PREFERRED.includes(one))];
  return ranked.find((one) => checks[one]?.marked !== true) ?? ranked[0] ?? PREFERRED[0] ?? "";
}

/** What a method stops at each rectification that it goes back through. */
const STOPS: Readonly<Record<string, string>> = {
  guided: "it stops every negative gradient, and every gradient at a unit that is off",
  guided_neg: "it stops every positive gradient, and every gradient at a unit that is off",
  deconv: "it stops every negative gradient",
  gradient: "it stops every gradient at a unit that is off",
};

/** Why some nodes of a tree have an empty picture; null where none has. */
export function emptied(method: string, empty: number, drawn: number): string | null {
  if (empty === 0) return null;
  const which = drawn === 1 ? "the only node" : empty === drawn ? `all ${drawn} nodes` : `${empty} of ${drawn} nodes`;
  const reason = STOPS[method] === undefined ? "" : `: ${STOPS[method]}`;
  return `By ${method}, nothing of the image reaches the root through ${which}${reason}. The tree is the same for every method.`;
}
