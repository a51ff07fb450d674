/** How much room the nodes of the graph take. */
import { streamRows, type Shown } from "./graph";

/** What is written on a node that is only its name. */
export function title(node: Shown): string {
  return node.kind === "operation" ? node.type || node.label : node.label;
}

/** In pixels; `narrow` where two beside each other have to fit on a telephone. */
export function sizeOf(node: Shown, narrow: boolean): { width: number; height: number } {
  if (node.kind === "layer" || node.kind === "block") return { width: narrow ? 164 : 252, height: node.pictured ? 100 : node.kind === "block" ? 58 : 44 };
  if (node.kind === "operation") return { width: Math.max(56, 18 + 7.5 * title(node).length), height: 26 };
  if (node.kind === "layers") return { width: narrow ? 200 : 252, height: 52 + 24 * streamRows(node.inside).length };
  return { width: 130, height: 34 };
}
