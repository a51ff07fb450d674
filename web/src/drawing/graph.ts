/** The graph of layers on the tree of modules: a closed block is one node. */
import type { GraphNode, LayerInfo, Study } from "../data/types";

export interface Shown {
  id: string;
  kind: "input" | "output" | "layer" | "block" | "operation";
  label: string;
  type: string;
  shape: number[];
  layer: LayerInfo | null;
  /** Of a block: how many layers and units are inside. */
  layers: number;
  units: number;
}

export interface Drawing {
  nodes: Shown[];
  edges: [string, string][];
}

/** About so many nodes fit on a page without folding. */
const READABLE = 46;

/** What only changes the values of the layer before it is drawn as a part of that. */
const PART_OF_LAYER = /norm|relu|gelu|silu|swish|sigmoid|tanh|dropout|identity|elu|mish|softplus|clamp|contiguous|detach/i;

interface Placed {
  node: GraphNode;
  /** The modules around it, outermost first. */
  blocks: string[];
}

function placed(nodes: GraphNode[]): Placed[] {
  return nodes.map((node) => {
    const inside = node[1] === "module" ? node[2].replace(/#\d+$/, "") : node[3] ? `${node[3]}.` : "";
    const parts = inside.split(".").slice(0, -1);
    return { node, blocks: parts.map((_, index) => parts.slice(0, index + 1).join(".")) };
  });
}

/** All blocks with more than one node inside, outer ones before inner ones. */
export function blocks(study: Study): string[] {
  const sizes = new Map<string, number>();
  for (const one of placed(study.graph.nodes)) {
    for (const block of one.blocks) sizes.set(block, (sizes.get(block) ?? 0) + 1);
  }
  return [...sizes].filter(([, size]) => size > 1).map(([block]) => block);
}

/** The blocks to open at first: outer ones, as long as the drawing stays readable. */
export function openAtFirst(study: Study): Set<string> {
  const open = new Set<string>();
  const all = blocks(study).sort((a, b) => a.split(".").length - b.split(".").length);
  for (const block of all) {
    open.add(block);
    if (draw(study, open).nodes.length > READABLE) open.delete(block);
  }
  return open;
}

export function draw(study: Study, open: ReadonlySet<string>): Drawing {
  const foldable = new Set(blocks(study));
  const layers = new Map(study.layers.filter((layer) => layer.node !== null).map((layer) => [layer.node, layer]));
  const absorbed = absorb(study, layers);
  const shown = new Map<string, Shown>();
  const representative = new Map<number, string>();
  for (const { node, blocks: around } of placed(study.graph.nodes)) {
    const closed = around.find((block) => foldable.has(block) && !open.has(block));
    const layer = layers.get(node[0]) ?? null;
    const into = absorbed.get(node[0]);
    if (into !== undefined) {
      const id = representative.get(into) ?? `${into}`;
      representative.set(node[0], id);
      const drawn = shown.get(id);
      if (drawn) drawn.shape = node[5];
      continue;
    }
    const id = closed ?? `${node[0]}`;
    representative.set(node[0], id);
    const known = shown.get(id);
    if (known) {
      known.layers += layer ? 1 : 0;
      known.units += layer?.units ?? 0;
      known.shape = node[5];
    } else if (closed !== undefined) {
      shown.set(id, { ...block(closed, node), layers: layer ? 1 : 0, units: layer?.units ?? 0 });
    } else {
      shown.set(id, single(id, node, layer));
    }
  }
  return { nodes: [...shown.values()], edges: joined(study.graph.edges, representative) };
}

/** Nodes that are drawn as a part of the node before them. */
function absorb(study: Study, layers: Map<number | null, LayerInfo>): Map<number, number> {
  const before = new Map<number, number[]>();
  for (const [source, target] of study.graph.edges) before.set(target, [...(before.get(target) ?? []), source]);
  const found = new Map<number, number>();
  for (const [id, kind, name, , type] of study.graph.nodes) {
    const [only, ...others] = before.get(id) ?? [];
    if (only === undefined || others.length > 0 || kind === "input" || kind === "output" || layers.has(id)) continue;
    const whole = found.get(only) ?? only;
    if (PART_OF_LAYER.test(`${type} ${name}`) && (layers.has(whole) || found.has(only))) found.set(id, whole);
  }
  return found;
}

function block(name: string, node: GraphNode): Shown {
  return { id: name, kind: "block", label: name, type: "block", shape: node[5], layer: null, layers: 0, units: 0 };
}

function single(id: string, node: GraphNode, layer: LayerInfo | null): Shown {
  const [, kind, name, , type, shape] = node;
  const drawn = kind === "input" || kind === "output" ? kind : layer ? "layer" : "operation";
  return { id, kind: drawn, label: layer?.name ?? name, type: layer?.type ?? type, shape, layer, layers: layer ? 1 : 0, units: layer?.units ?? 0 };
}

function joined(edges: [number, number][], representative: Map<number, string>): [string, string][] {
  const seen = new Set<string>();
  const found: [string, string][] = [];
  for (const [source, target] of edges) {
    const from = representative.get(source);
    const to = representative.get(target);
    if (from === undefined || to === undefined || from === to || seen.has(`${from}→${to}`)) continue;
    seen.add(`${from}→${to}`);
    found.push([from, to]);
  }
  return found;
}
