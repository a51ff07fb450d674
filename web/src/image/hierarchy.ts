/** The tree beneath a unit: which nodes are shown, what is not listed, and where all of it goes. */
import type { Branch, Child, Makeup } from "../types/answers";
import { child as childPath, layerOf, parent, ROOT, type Layers, type TreeState } from "./tree_state";

/** What the network's input is called among what feeds a layer. */
export const INPUT = "input";

export interface TreeNode {
  path: string;
  unit: string;
  /** What it gives to its parent; null for the root. */
  given: Child | null;
  open: boolean;
  /** Of an open node, once it is known. */
  makeup: Makeup | null;
  children: TreeNode[];
  rest: Rest | null;
}

/** What an open node is made of beside the children that are shown: shares of all magnitudes. */
export interface Rest {
  units: number;
  share: number;
  /** The part of `share` that comes past other layers, over a skip. */
  bypassing: number;
  /** What comes straight from the image. */
  image: number;
}

/** How many are named of what holds a unit down. */
const HOLDERS = 2;

/** What is said of a root whose nonlinearity makes zero of a value below zero: what holds it down. Null for one that is not off. */
export function off(node: TreeNode, activation: number, several: boolean): string | null {
  const made = node.makeup;
  if (node.given !== null || activation !== 0 || made === null || !(made.value < 0)) return null;
  const given = made.children.map((one): [number, string] => [one.contribution, layerOf(one.unit) === INPUT ? "the image" : one.unit]);
  const against = [...given, [made.rest, "its bias"] as [number, string]].filter(([amount]) => amount < 0).sort(([a], [b]) => a - b);
  const holders = [...new Set(against.map(([, name]) => name))].slice(0, HOLDERS);
  return `0: off in ${several ? "these images" : "this image"}${holders.length > 0 ? `; held down by ${holders.join(" and ")}` : ""}`;
}

/** The tree as far as it is known. */
export function grown(root: string, state: TreeState, usual: number, makeups: ReadonlyMap<string, Makeup>, layers: Layers): TreeNode {
  const node = (path: string, unit: string, given: Child | null): TreeNode => {
    const open = state.open.has(path);
    const makeup = open ? (makeups.get(path) ?? null) : null;
    if (makeup === null) return { path, unit, given, open, makeup, children: [], rest: null };
    const listed = makeup.children.filter((one) => layerOf(one.unit) !== INPUT);
    const count = state.counts.get(path) ?? usual;
    const shown = listed.filter((one, index) => {
      const at = childPath(path, one.unit, layers);
      return !state.removed.has(at) && (index < count || state.open.has(at));
    });
    const children = shown.map((one) => node(childPath(path, one.unit, layers), one.unit, one));
    return { path, unit, given, open, makeup, children, rest: left(makeup, shown) };
  };
  return node(ROOT, root, null);
}

function left(makeup: Makeup, shown: Child[]): Rest {
  const of = (some: { share: number }[]): number => some.reduce((sum, one) => sum + Math.abs(one.share), 0);
  const units = makeup.feeds.filter((feed) => feed.layer !== INPUT);
  const image = of(makeup.feeds.filter((feed) => feed.layer === INPUT));
  const skips = of(units.filter((feed) => feed.bypasses)) - of(shown.filter((one) => one.bypasses));
  return {
    units: units.reduce((sum, feed) => sum + feed.units, 0) - shown.length,
    share: Math.max(0, of(units) - of(shown)),
    bypassing: Math.max(0, skips),
    image,
  };
}

export function all(root: TreeNode): TreeNode[] {
  return [root, ...root.children.flatMap(all)];
}

export function branch(root: string, at: number[] | null, path: string, layers: Layers): Branch {
  return { units: layers.units(root, path), position: at };
}

export interface Sizes {
  card: [width: number, height: number];
  rest: number;
  gap: [x: number, y: number];
  gutter: number;
  margin: number;
}

export interface Placed {
  node: TreeNode;
  x: number;
  y: number;
  row: number;
}

export interface Edge {
  from: Placed;
  to: Placed;
  /** Its magnitude over that of its strongest sibling. */
  strength: number;
  /** Where it passes each row between, in the order of the rows. */
  lanes: number[];
}

export interface PlacedRest {
  node: TreeNode;
  rest: Rest;
  x: number;
  y: number;
  row: number;
  from: Placed;
  lanes: number[];
}

export interface Row {
  y: number;
  layers: string[];
}

export interface TreeDrawing {
  width: number;
  height: number;
  nodes: Placed[];
  edges: Edge[];
  rests: PlacedRest[];
  rows: Row[];
}

/** How little of what a node is made of is not worth a place of its own. */
const NOTHING = 0.0005;

/** The children of one node that are in one row, and what is left of it. */
interface Block {
  parent: Placed;
  children: TreeNode[];
  rest: Rest | null;
  width: number;
}

/** Layers are rows, the root's at the top; side by side where neither feeds the other.
 *
 * The widest row decides how wide the drawing is. In every row the children of one node stay together, and as near below it as
 * the others allow, so that a deep tree grows downwards and not sideways.
 */
export function place(root: TreeNode, layers: Layers, sizes: Sizes): TreeDrawing {
  const every = all(root);
  const rowOf = rows(every, layers);
  const last = Math.max(...rowOf.values(), ...every.map((node) => (remains(node) && node.children.length === 0 ? (rowOf.get(layerOf(node.unit)) ?? 0) + 1 : 0)));
  const left = sizes.gutter + sizes.margin;
  const y = (row: number): number => sizes.margin + row * (sizes.card[1] + sizes.gap[1]);
  const wide = widths(every, rowOf, sizes);
  const room = Math.max(sizes.card[0], ...wide.values());
  const placed = new Map<string, Placed>([[ROOT, { node: root, x: left + (room - sizes.card[0]) / 2, y: y(0), row: 0 }]]);
  const rests: PlacedRest[] = [];
  for (let row = 1; row <= last; row += 1) {
    const blocks = [...placed.values()].sort((a, b) => a.x - b.x || a.row - b.row).flatMap((above) => blockOf(above, row, rowOf, sizes));
    const starts = nearest(
      blocks.map((block) => ({ wanted: wanted(block, row, sizes), width: block.width })),
      sizes.gap[0],
      [left, left + room],
    );
    for (const [index, block] of blocks.entries()) {
      let x = starts[index] ?? left;
      for (const node of block.children) {
        placed.set(node.path, { node, x, y: y(row), row });
        x += sizes.card[0] + sizes.gap[0];
      }
      if (block.rest) rests.push({ node: block.parent.node, rest: block.rest, x, y: y(row), row, from: block.parent, lanes: [] });
    }
  }
  const taken = takenIn([...placed.values()], rests, sizes);
  for (const one of rests) one.lanes = lanes(one.from, one.row, taken, sizes);
  const nodes = every.flatMap((node) => placed.get(node.path) ?? []);
  return {
    width: left + room + sizes.margin,
    height: y(last) + sizes.card[1] + sizes.margin,
    nodes,
    edges: edges(nodes, placed, taken, sizes),
    rests,
    rows: bands(rowOf, y),
  };
}

/** Below the node in the middle; what comes past the rows between goes down beside it. */
function wanted(block: Block, row: number, sizes: Sizes): number {
  const beside = row > block.parent.row + 1 ? sizes.card[0] + sizes.gap[0] : 0;
  return block.parent.x + beside + (sizes.card[0] - block.width) / 2;
}

function remains(node: TreeNode): Rest | null {
  return node.rest !== null && node.rest.share + node.rest.image > NOTHING ? node.rest : null;
}

/** The rows in which a node has children, and the one in which what is left of it is counted. */
function rowsBelow(node: TreeNode, rowOf: Map<string, number>): { row: number; children: TreeNode[]; rest: Rest | null }[] {
  const found = new Map<number, TreeNode[]>();
  for (const one of node.children) {
    const row = rowOf.get(layerOf(one.unit)) ?? 0;
    found.set(row, [...(found.get(row) ?? []), one]);
  }
  const rest = remains(node);
  const first = found.size > 0 ? Math.min(...found.keys()) : (rowOf.get(layerOf(node.unit)) ?? 0) + 1;
  if (rest && found.size === 0) found.set(first, []);
  return [...found].map(([row, children]) => ({ row, children, rest: row === first ? rest : null }));
}

function widthOf(children: number, rest: boolean, sizes: Sizes): number {
  return children * (sizes.card[0] + sizes.gap[0]) + (rest ? sizes.rest + sizes.gap[0] : 0) - sizes.gap[0];
}

function blockOf(above: Placed, row: number, rowOf: Map<string, number>, sizes: Sizes): Block[] {
  const here = rowsBelow(above.node, rowOf).find((one) => one.row === row);
  return here ? [{ parent: above, children: here.children, rest: here.rest, width: widthOf(here.children.length, here.rest !== null, sizes) }] : [];
}

function widths(every: TreeNode[], rowOf: Map<string, number>, sizes: Sizes): Map<number, number> {
  const found = new Map<number, number>();
  for (const node of every) {
    for (const { row, children, rest } of rowsBelow(node, rowOf)) {
      const own = widthOf(children.length, rest !== null, sizes);
      found.set(row, found.has(row) ? (found.get(row) ?? 0) + sizes.gap[0] + own : own);
    }
  }
  return found;
}

/** Where things of these widths begin, in this order, without meeting, all within the range, each as near as can be to where it
 * wants to: neighbours that would meet move as one, to the mean of what they want.
 */
export function nearest(things: { wanted: number; width: number }[], gap: number, [low, high]: [number, number]): number[] {
  const clusters: { start: number; wants: number[]; widths: number[]; width: number }[] = [];
  for (const { wanted, width } of things) {
    let cluster = { start: wanted, wants: [wanted], widths: [width], width };
    for (let before = clusters[clusters.length - 1]; before && before.start + before.width + gap > cluster.start; before = clusters[clusters.length - 1]) {
      clusters.pop();
      const shift = before.width + gap;
      const wants = [...before.wants, ...cluster.wants.map((one) => one - shift)];
      const mean = wants.reduce((sum, one) => sum + one, 0) / wants.length;
      cluster = { start: mean, wants, widths: [...before.widths, ...cluster.widths], width: shift + cluster.width };
    }
    clusters.push(cluster);
  }
  const starts = clusters.flatMap(({ start, widths }) => {
    let at = start;
    return widths.map((width) => {
      const here = { at, width };
      at += width + gap;
      return here;
    });
  });
  let least = low;
  for (const one of starts) {
    one.at = Math.max(one.at, least);
    least = one.at + one.width + gap;
  }
  let most = high;
  for (const one of [...starts].reverse()) {
    one.at = Math.min(one.at, most - one.width);
    most = one.at - gap;
  }
  return starts.map((one) => one.at);
}

/** The row of each layer: below all those that it feeds in this tree, and, where it comes past others, below those too. */
function rows(nodes: TreeNode[], layers: Layers): Map<string, number> {
  const found = new Map<string, number>();
  const layerAt = new Map(nodes.map((node) => [node.path, layerOf(node.unit)]));
  const downwards = [...new Set(layerAt.values())].sort((a, b) => layers.id(`${b}:0`) - layers.id(`${a}:0`));
  let deepest = -1;
  for (const layer of downwards) {
    const own = nodes.filter((node) => layerAt.get(node.path) === layer);
    const above = own.map((node) => (node.path === ROOT ? -1 : (found.get(layerAt.get(parent(node.path)) ?? "") ?? -1)));
    const row = Math.max(...above, own.some((node) => node.given?.bypasses) ? deepest : -1) + 1;
    found.set(layer, row);
    deepest = Math.max(deepest, row);
  }
  return found;
}

type Span = [from: number, to: number];

/** What each row holds, from left to right, with half a gap at either side. */
function takenIn(nodes: Placed[], rests: PlacedRest[], { card, rest, gap }: Sizes): Map<number, Span[]> {
  const found = new Map<number, Span[]>();
  const take = (row: number, x: number, width: number): void => void found.set(row, [...(found.get(row) ?? []), [x - gap[0] / 2, x + width + gap[0] / 2]]);
  for (const one of nodes) take(one.row, one.x, card[0]);
  for (const one of rests) take(one.row, one.x, rest);
  for (const spans of found.values()) spans.sort(([a], [b]) => a - b);
  return found;
}

/** Where a line from a card down to a row passes the rows between: beside the card, or in the nearest gap. */
function lanes(from: Placed, row: number, taken: ReadonlyMap<number, Span[]>, { card, gap }: Sizes): number[] {
  const found: number[] = [];
  let lane = from.x + card[0] + gap[0] / 2;
  for (let between = from.row + 1; between < row; between += 1) {
    lane = free(lane, taken.get(between) ?? []);
    found.push(lane);
  }
  return found;
}

const ROUNDING = 0.01;

/** The place outside the spans that is nearest to the wanted one; the side of a span is outside. */
function free(wanted: number, spans: Span[]): number {
  const outside = (at: number): boolean => spans.every(([from, to]) => at < from + ROUNDING || at > to - ROUNDING);
  const places = [wanted, ...spans.flat()].filter(outside);
  return places.reduce((best, one) => (Math.abs(one - wanted) < Math.abs(best - wanted) ? one : best), places[0] ?? wanted);
}

function edges(every: Placed[], placed: Map<string, Placed>, taken: ReadonlyMap<number, Span[]>, sizes: Sizes): Edge[] {
  return every.flatMap((to) => {
    const from = to.node.path === ROOT ? undefined : placed.get(parent(to.node.path));
    if (!from) return [];
    const strongest = Math.max(...from.node.children.map((one) => Math.abs(one.given?.share ?? 0)));
    const strength = strongest > 0 ? Math.abs(to.node.given?.share ?? 0) / strongest : 0;
    return [{ from, to, strength, lanes: lanes(from, to.row, taken, sizes) }];
  });
}

function bands(rowOf: Map<string, number>, y: (row: number) => number): Row[] {
  const found = new Map<number, string[]>();
  for (const [layer, row] of rowOf) found.set(row, [...(found.get(row) ?? []), layer]);
  return [...found].sort(([a], [b]) => a - b).map(([row, layers]) => ({ y: y(row), layers: layers.sort() }));
}

/** From the middle below one card to the middle above another; past rows between them in gaps between their cards. */
export function edgePath({ from, to, lanes }: Pick<Edge, "from" | "to" | "lanes">, sizes: Sizes): string {
  return way(from, lanes, to.x + sizes.card[0] / 2, to.y, sizes);
}

/** The same to what is left of a card. */
export function restPath({ from, lanes, x, y }: PlacedRest, sizes: Sizes): string {
  return way(from, lanes, x + sizes.rest / 2, y, sizes);
}

function way(from: Placed, lanes: number[], x1: number, y1: number, { card, gap }: Sizes): string {
  let [x, y] = [from.x + card[0] / 2, from.y + card[1]];
  let path = `M${x},${y}`;
  for (const lane of lanes) {
    path += `${bend(x, y, lane, y + gap[1])}V${y + gap[1] + card[1]}`;
    [x, y] = [lane, y + gap[1] + card[1]];
  }
  return path + bend(x, y, x1, y1);
}

function bend(x0: number, y0: number, x1: number, y1: number): string {
  const middle = (y0 + y1) / 2;
  return `C${x0},${middle} ${x1},${middle} ${x1},${y1}`;
}
