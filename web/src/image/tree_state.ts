/** What of a tree is open, removed or shown in full, and how the address says so.
 *
 * A node goes by its path from the root: `21.5-18.7` is unit 7 of layer 18 beneath unit 5 of layer 21, layers by their number
 * in the study. Of a tree the address holds the open nodes, `21.5*6` with six children, and `*21.7` that are removed.
 */
import type { LayerInfo } from "../types/documents";

/** The root's path. */
export const ROOT = "";
export const MOST_CHILDREN = 24;

export interface TreeState {
  open: ReadonlySet<string>;
  removed: ReadonlySet<string>;
  /** How many children a node shows where that is not the usual number. */
  counts: ReadonlyMap<string, number>;
}

export const EMPTY: TreeState = { open: new Set([ROOT]), removed: new Set(), counts: new Map() };

export function parseTree(text: string | undefined): TreeState {
  const open = new Set([ROOT]);
  const removed = new Set<string>();
  const counts = new Map<string, number>();
  for (const entry of (text ?? "").split("_")) {
    const found = /^(\*?)(\d+\.\d+(?:-\d+\.\d+)*|)(?:\*(\d+))?$/.exec(entry);
    if (!found) continue;
    const [, gone, path = "", count] = found;
    if (gone && path !== ROOT) removed.add(path);
    else {
      for (let above = path; above !== ROOT; above = parent(above)) open.add(above);
      if (count !== undefined) counts.set(path, Math.min(MOST_CHILDREN, Math.max(1, Number(count))));
    }
  }
  return { open, removed, counts };
}

export function treeText({ open, removed, counts }: TreeState): string {
  const shown = [...open].filter((path) => path !== ROOT || counts.has(path)).sort(order);
  const inner = (path: string): boolean => shown.some((one) => one.startsWith(`${path}-`));
  const entries = shown.filter((path) => counts.has(path) || !inner(path)).map((path) => (counts.has(path) ? `${path}*${counts.get(path)}` : path));
  return [...entries, ...[...removed].sort(order).map((path) => `*${path}`)].join("_");
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export function parent(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("-")));
}

export function child(path: string, unit: string, layers: Layers): string {
  const short = layers.short(unit);
  return path === ROOT ? short : `${path}-${short}`;
}

function beneath(path: string, other: string): boolean {
  return path === ROOT || other === path || other.startsWith(`${path}-`);
}

export function opened(state: TreeState, paths: Iterable<string>): TreeState {
  return { ...state, open: new Set([...state.open, ...paths]) };
}

/** Whatever was opened or removed beneath is forgotten. */
export function closed(state: TreeState, path: string): TreeState {
  const kept = (one: string): boolean => one === ROOT || !beneath(path, one);
  return {
    open: new Set([...state.open].filter(kept)),
    removed: new Set([...state.removed].filter(kept)),
    counts: new Map([...state.counts].filter(([one]) => kept(one))),
  };
}

export function removed(state: TreeState, path: string): TreeState {
  if (path === ROOT) return state;
  const rest = closed(state, path);
  return { ...rest, removed: new Set([...rest.removed, path]) };
}

export function counted(state: TreeState, path: string, count: number): TreeState {
  const counts = new Map(state.counts).set(path, Math.min(MOST_CHILDREN, Math.max(1, count)));
  return opened({ ...state, counts }, [path]);
}

/** Layers by number and by name. */
export class Layers {
  private readonly names: Map<number, string>;
  private readonly ids: Map<string, number>;

  constructor(layers: Pick<LayerInfo, "id" | "name">[]) {
    this.names = new Map(layers.map(({ id, name }) => [id, name]));
    this.ids = new Map(layers.map(({ id, name }) => [name, id]));
  }

  id(unit: string): number {
    return this.ids.get(layerOf(unit)) ?? -1;
  }

  short(unit: string): string {
    return `${this.id(unit)}.${channelOf(unit)}`;
  }

  /** The units of a path, the root's first. */
  units(root: string, path: string): string[] {
    const beneath = path === ROOT ? [] : path.split("-");
    return [root, ...beneath.map((one) => this.long(one))];
  }

  private long(short: string): string {
    const [layer, channel] = short.split(".");
    return `${this.names.get(Number(layer)) ?? "?"}:${channel}`;
  }
}

export function layerOf(unit: string): string {
  return unit.slice(0, unit.lastIndexOf(":"));
}

export function channelOf(unit: string): number {
  return Number(unit.slice(unit.lastIndexOf(":") + 1));
}
