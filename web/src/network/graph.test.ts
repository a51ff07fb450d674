import { expect, test } from "vitest";
import type { GraphNode, LayerInfo, Study } from "../types/documents";
import { blocks, bused, draw, openAtFirst, streamRows } from "./graph";

function node(id: number, name: string, type = "Conv2d", kind: GraphNode[1] = "module", module = ""): GraphNode {
  return [id, kind, name, module, type, [8, 4, 4]];
}

function layer(id: number, name: string, of: number, parameters = 10): LayerInfo {
  return {
    id, name, type: "Conv2d", layout: "spatial", channels: 8, shape: [4, 4], parameters, receptive_field: null, stride: null,
    nonlinearity: null, read_after: [], units: 8, dead: 1, node: of, kernels: false, provisional: null,
  };
}

function study(nodes: GraphNode[], edges: [number, number][], layers: LayerInfo[] = []): Study {
  return {
    slug: "s", name: "s", model: "m", data: "d", input: [3, 8, 8], kind: "pictures", inputs: { axes: null, window: null, burn_in: null, channels: [], vocabulary_size: null },
    preprocessing: { resize: null, crop: null, interpolation: "bilinear", mean: [], std: [] }, output_classes: null, version: "1", examples: 1, classes: [], layers,
    graph: { nodes, edges }, stages: [], methods: [], presets: [], notes: [], remarks: {}, skips: { count: 0, first: [] },
  };
}

/** A block of densely connected layers: concatenation k holds the input and all k convolutions before it. */
function dense(length: number): Study {
  const nodes = [node(0, "input", "", "input")];
  const edges: [number, number][] = [];
  for (let k = 0; k < length; k += 1) {
    const [cat, conv] = [2 * k + 1, 2 * k + 2];
    nodes.push(node(cat, "cat", "cat", "operation"), node(conv, `block.layer${k}`));
    for (let earlier = 0; earlier <= k; earlier += 1) edges.push([2 * earlier, cat]);
    edges.push([cat, conv]);
  }
  return study(nodes, edges);
}

test("a dense block of L layers has about 2 L lines after its first concatenations, not L²", () => {
  const joints = bused(dense(40));
  expect(dense(40).graph.edges.length).toBe(860);
  expect(joints.length).toBeLessThan(3 * 40 + 2);
  expect(joints.filter((one) => one.bus).length).toBe(38);
});

test("along the bus a concatenation still reaches everything that it holds", () => {
  const joints = bused(dense(12));
  const into = (target: number): number[] =>
    joints.filter((one) => one.target === target).flatMap((one) => (one.bus ? into(one.source) : [one.source]));
  for (let k = 0; k < 12; k += 1) {
    const held = Array.from({ length: k + 1 }, (_, earlier) => 2 * earlier);
    expect(into(2 * k + 1).sort((a, b) => a - b)).toEqual(held);
  }
});

test("concatenations of different things share no bus", () => {
  const nodes = [0, 1, 2, 3].map((id) => node(id, `c${id}`));
  nodes.push(node(4, "cat", "cat", "operation"), node(5, "cat", "cat", "operation"));
  expect(bused(study(nodes, [[0, 4], [1, 4], [2, 5], [3, 5]])).some((one) => one.bus)).toBe(false);
});

const nested = study(
  [node(0, "input", "", "input"), node(1, "a.0.conv1"), node(2, "a.0.conv2"), node(3, "a.1.conv1"), node(4, "head")],
  [[0, 1], [1, 2], [2, 3], [3, 4]],
  [layer(0, "a.0.conv1", 1), layer(1, "a.0.conv2", 2), layer(2, "a.1.conv1", 3), layer(3, "head", 4)],
);

test("a closed block is one node with what is inside it", () => {
  const drawing = draw(nested, new Set());
  expect(drawing.nodes.map((one) => one.id)).toEqual(["0", "a", "4"]);
  expect(drawing.nodes[1]).toMatchObject({ kind: "block", layers: 3, units: 24, dead: 3, parameters: 30 });
  expect(drawing.edges.map(({ from, to }) => [from, to])).toEqual([["0", "a"], ["a", "4"]]);
});

test("an opened block shows its parts, closed or open", () => {
  expect(draw(nested, new Set(["a"])).nodes.map((one) => one.id)).toEqual(["0", "a.0", "3", "4"]);
  expect(blocks(nested)).toEqual(["a", "a.0"]);
  expect(openAtFirst(nested)).toEqual(new Set(["a", "a.0"]));
});

test("a recurrent module is one node that holds its layers, a row for each layer and direction", () => {
  const names = ["rnn.l0", "rnn.l0.c", "rnn.l0_reverse", "rnn.l0_reverse.c"];
  const layers = names.map((name, id) => ({ ...layer(id, name, 1), node: null, layout: "sequence" as const }));
  const of = { ...study([node(0, "x", "", "input"), node(1, "rnn", "LSTM"), node(2, "rnnlike", "GRU")], [[0, 1], [1, 2]], layers), kind: "text" as const };
  const [, drawn, other] = draw(of, new Set()).nodes;
  expect([drawn?.kind, drawn?.units, drawn?.pictured, other?.kind]).toEqual(["layers", 32, null, "operation"]);
  expect(streamRows(drawn?.inside ?? []).map(([name, row]) => [name, row.map((one) => one.name)])).toEqual([
    ["l0", names.slice(0, 2)],
    ["l0_reverse", names.slice(2)],
  ]);
});
