/** The graph of layers on the tree of modules: a closed block is one node. */
import type { GraphNode, LayerInfo, Study } from "../types/documents";

export interface Shown {
  id: string;
  kind: "input" | "output" | "layer" | "layers" | "block" | "operation";
  label: string;
  type: string;
  shape: number[];
  layer: LayerInfo | null;
  /** Of a module that is several layers, as a recurrent one is: those. */
  inside: LayerInfo[];
  /** Of a block: how many layers and units are inside. */
  layers: number;
  units: number;
  dead: number;
  parameters: number;
  /** The layer whose units stand for it: its own, or a block's last one. */
  pictured: LayerInfo | null;
}

export interface Drawing {
  nodes: Shown[];
  edges: Edge[];
}

export interface Edge {
  from: string;
  to: string;
  /** It carries a concatenation on to a longer one. */
  bus: boolean;
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

/** The blocks to open at first: level by level, as long as the drawing stays readable, so that like is drawn alike. */
export function openAtFirst(study: Study): Set<string> {
  let open = new Set<string>();
  const all = blocks(study);
  const depth = (block: string): number => block.split(".").length;
  for (let level = 1; level <= Math.max(0, ...all.map(depth)); level += 1) {
    const next = new Set([...open, ...all.filter((block) => depth(block) === level)]);
    if (draw(study, next).nodes.length > READABLE) break;
    open = next;
  }
  return open;
}

export function draw(study: Study, open: ReadonlySet<string>): Drawing {
  const foldable = new Set(blocks(study));
  const layers = new Map(study.layers.filter((layer) => layer.node !== null).map((layer) => [layer.node, layer]));
  const several = streams(study);
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
    const inside = several.get(node[0]) ?? [];
    const drawn = known ?? (closed !== undefined ? block(closed, node) : inside.length > 0 ? recurrent(id, node, inside) : single(id, node, layer));
    shown.set(id, drawn);
    drawn.shape = node[5];
    for (const one of inside.length > 0 ? inside : layer ? [layer] : []) count(drawn, one, !stepped(study));
  }
  for (const drawn of shown.values()) drawn.parameters = drawn.layer?.parameters ?? parametersIn(study, drawn.id);
  return { nodes: [...shown.values()], edges: joined(bused(study), representative) };
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

/** By the number of a module's node: its layers, where they are several, as the layers, directions, cells and gates of a recurrent one. */
export function streams(study: Study): Map<number, LayerInfo[]> {
  const found = new Map<number, LayerInfo[]>();
  for (const [id, kind, name] of study.graph.nodes) {
    if (kind !== "module") continue;
    const own = study.layers.filter((layer) => layer.node === id || (layer.node === null && STREAM.exec(layer.name)?.[1] === name));
    if (own.length > 1) found.set(id, own);
  }
  return found;
}

/** MODULE.lN, with its direction and one of its streams. */
const STREAM = /^(.*)\.l\d+(_reverse)?(\.\w+)?$/;

/** The layers of a recurrent module, a row for each of its layers and directions, as it names them: its state, then its other streams. */
export function streamRows(inside: LayerInfo[]): [name: string, row: LayerInfo[]][] {
  const rows = new Map<string, LayerInfo[]>();
  for (const one of inside) {
    const name = /\.(l\d+(?:_reverse)?)(?:\.\w+)?$/.exec(one.name)?.[1] ?? one.name;
    rows.set(name, [...(rows.get(name) ?? []), one]);
  }
  return [...rows];
}

function stepped(study: Study): boolean {
  return study.kind !== "pictures";
}

function recurrent(id: string, [, , name, , type, shape]: GraphNode, inside: LayerInfo[]): Shown {
  return { ...EMPTY, id, kind: "layers", label: name, type, shape, inside };
}

function block(name: string, node: GraphNode): Shown {
  return { ...EMPTY, id: name, kind: "block", label: name, type: "block", shape: node[5] };
}

function single(id: string, node: GraphNode, layer: LayerInfo | null): Shown {
  const [, kind, name, , type, shape] = node;
  const drawn = kind === "input" || kind === "output" ? kind : layer ? "layer" : "operation";
  return { ...EMPTY, id, kind: drawn, label: layer?.name ?? name, type: layer?.type ?? type, shape, layer };
}

const EMPTY = { layer: null, inside: [], layers: 0, units: 0, dead: 0, parameters: 0, pictured: null };

function count(drawn: Shown, layer: LayerInfo, pictured: boolean): void {
  drawn.layers += 1;
  drawn.units += layer.units;
  drawn.dead += layer.dead;
  if (layer.units > 0 && pictured) drawn.pictured = layer;
}

/** Of the outermost layers in a block: a layer that is a whole block holds those of the layers inside it. */
function parametersIn(study: Study, block: string): number {
  const inside = study.layers.filter(({ name }) => name === block || name.startsWith(`${block}.`));
  const names = new Set(inside.map(({ name }) => name));
  const held = ({ name }: LayerInfo): boolean => name.split(".").some((_, index, parts) => index > 0 && names.has(parts.slice(0, index).join(".")));
  return inside.filter((layer) => !held(layer)).reduce((sum, layer) => sum + layer.parameters, 0);
}

interface Joint {
  source: number;
  target: number;
  bus: boolean;
}

/** The edges, each concatenation that holds an earlier one whole being fed by that one and by what is new: in a block of L
 * densely connected layers 2 L lines instead of L².
 */
export function bused(study: Study): Joint[] {
  const into = new Map<number, Set<number>>();
  for (const [source, target] of study.graph.edges) into.set(target, (into.get(target) ?? new Set()).add(source));
  const joining = study.graph.nodes.filter(([id, , name, , type]) => /\bcat|concat/i.test(`${type} ${name}`) && into.has(id)).map(([id]) => id);
  const carried = new Map<number, number>();
  for (const [index, id] of joining.entries()) {
    const parts = into.get(id) ?? new Set();
    let most = 1;
    for (const earlier of joining.slice(0, index)) {
      const held = into.get(earlier) ?? new Set();
      if (held.size <= most || held.size >= parts.size || ![...held].every((one) => parts.has(one))) continue;
      most = held.size;
      carried.set(id, earlier);
    }
  }
  return [...into].flatMap(([target, sources]) => {
    const earlier = carried.get(target);
    const held = earlier === undefined ? new Set<number>() : (into.get(earlier) ?? new Set<number>());
    const own = [...sources].filter((source) => !held.has(source)).map((source) => ({ source, target, bus: false }));
    return earlier === undefined ? own : [{ source: earlier, target, bus: true }, ...own];
  });
}

function joined(edges: Joint[], representative: Map<number, string>): Edge[] {
  const found = new Map<string, Edge>();
  for (const { source, target, bus } of edges) {
    const from = representative.get(source);
    const to = representative.get(target);
    if (from === undefined || to === undefined || from === to) continue;
    const known = found.get(`${from}→${to}`);
    if (known) known.bus ||= bus;
    else found.set(`${from}→${to}`, { from, to, bus });
  }
  return [...found.values()];
}
