import { expect, test } from "vitest";
import type { Makeup } from "../types/answers";
import { all, edgePath, grown, nearest, off, place } from "./hierarchy";
import { child, closed, counted, Layers, opened, parseTree, removed, ROOT, treeText } from "./tree_state";

const layers = new Layers(["stem", "left", "right", "join", "head"].map((name, id) => ({ id, name })));
const given = (unit: string, share: number, bypasses = false) => ({ unit, share, bypasses, contribution: share, activation: 1, position: [0, 0], box: null });
const makeup = (children: Makeup["children"], feeds: Makeup["feeds"]): Makeup => ({ units: [], position: null, value: 1, rest: 0, children, feeds });
const feed = (layer: string, units: number, share: number, bypasses = false) => ({ layer, units, share, bypasses, contribution: share });

const KNOWN = new Map([
  [ROOT, makeup([given("left:2", 0.4), given("right:7", -0.3), given("left:5", 0.1), given("stem:0", 0.1, true)], [feed("left", 8, 0.55), feed("right", 8, 0.35), feed("stem", 4, 0.1, true)])],
  ["1.2", makeup([given("stem:3", 0.8)], [feed("stem", 4, 1)])],
  ["1.2-0.3", makeup([given("input:0", 0.6)], [feed("input", 3, 1)])],
]);
const SIZES = { card: [100, 80] as [number, number], rest: 40, gap: [10, 20] as [number, number], gutter: 50, margin: 5 };

test("what is open, removed and counted comes back from the address", () => {
  const text = "1.2-0.3_2.7*6_*1.5";
  const state = parseTree(text);
  expect([...state.open].sort()).toEqual(["", "1.2", "1.2-0.3", "2.7"].sort());
  expect(state.counts.get("2.7")).toBe(6);
  expect(treeText(state)).toBe(text);
  expect(parseTree(treeText(counted(state, ROOT, 9))).counts.get(ROOT)).toBe(9);
  expect(treeText(parseTree("<script>_*_9"))).toBe("");
});

test("closing and removing a node forgets what was beneath it", () => {
  const state = parseTree("1.2-0.3_2.7");
  expect(treeText(closed(state, "1.2"))).toBe("2.7");
  expect(treeText(removed(state, "1.2"))).toBe("2.7_*1.2");
  expect(treeText(closed(removed(state, "1.2"), ROOT))).toBe("");
  expect(removed(state, ROOT)).toBe(state);
});

test("a path is the units down from the root", () => {
  expect(layers.units("head:1", "1.2-0.3")).toEqual(["head:1", "left:2", "stem:3"]);
  expect(child("1.2", "stem:3", layers)).toBe("1.2-0.3");
});

test("an open node shows as many children as asked for, and those that are open besides", () => {
  const root = grown("head:1", parseTree(""), 2, KNOWN, layers);
  expect(root.children.map((one) => one.unit)).toEqual(["left:2", "right:7"]);
  const more = grown("head:1", parseTree("0.0_*2.7"), 2, KNOWN, layers);
  expect(more.children.map((one) => one.unit)).toEqual(["left:2", "stem:0"]);
});

test("the shares of the children and of the rest add up to all", () => {
  for (const tree of ["", "0.0", "*1.2", "1.2-0.3"]) {
    for (const node of all(grown("head:1", parseTree(tree), 2, KNOWN, layers))) {
      if (node.rest === null) continue;
      const shown = node.children.reduce((sum, one) => sum + Math.abs(one.given?.share ?? 0), 0);
      expect(shown + node.rest.share + node.rest.image).toBeCloseTo(1);
    }
  }
  const root = grown("head:1", parseTree(""), 2, KNOWN, layers);
  expect(root.rest).toMatchObject({ units: 18, image: 0 });
  expect(root.rest?.bypassing).toBeCloseTo(0.1);
});

test("a layer is a row below all that it feeds, and no two cards meet", () => {
  const state = opened(parseTree("0.0"), ["1.2"]);
  const drawing = place(grown("head:1", state, 3, KNOWN, layers), layers, SIZES);
  const row = new Map(drawing.nodes.map((one) => [one.node.unit, one.row]));
  expect(row.get("head:1")).toBe(0);
  expect(row.get("left:2")).toBe(1);
  expect(row.get("right:7")).toBe(1);
  expect(row.get("stem:3")).toBe(2);
  expect(row.get("stem:0")).toBe(2);
  const closed = place(grown("head:1", parseTree(""), 4, KNOWN, layers), layers, SIZES);
  expect(closed.nodes.map((one) => [one.node.unit, one.row])).toContainEqual(["stem:0", 2]);
  const cards = [...drawing.nodes.map((one) => ({ ...one, wide: 100 })), ...drawing.rests.map((one) => ({ ...one, wide: 40 }))];
  for (const a of cards) for (const b of cards) if (a !== b && Math.abs(a.y - b.y) < 80) expect(a.x + a.wide <= b.x || b.x + b.wide <= a.x).toBe(true);
  for (const one of cards) expect(one.x >= 50 && one.x + one.wide <= drawing.width && one.y + 80 <= drawing.height).toBe(true);
});

test("a tree that is opened ever further down does not grow sideways", () => {
  const width = (tree: string): number => place(grown("head:1", parseTree(tree), 3, KNOWN, layers), layers, SIZES).width;
  expect(width("1.2-0.3")).toBe(width(""));
  expect(width("1.2")).toBe(width(""));
});

test("a line over a skip passes the rows between beside their cards", () => {
  const six = ["stem", "a", "b", "c", "d", "head"].map((name, id) => ({ id, name }));
  const all = new Layers(six);
  const wide = [0, 1, 2, 3, 4].map((channel) => given(`d:${channel}`, 0.15));
  const known = new Map([
    [ROOT, makeup([...wide, given("stem:1", 0.2, true), given("b:3", 0.1, true)], [feed("d", 8, 0.8), feed("stem", 4, 0.2, true)])],
    ["4.2", makeup([0, 1, 2, 3].map((channel) => given(`c:${channel}`, 0.25)), [feed("c", 4, 1)])],
    ["4.2-3.1", makeup([given("stem:0", 1, true)], [feed("stem", 4, 1, true)])],
  ]);
  const drawing = place(grown("head:0", parseTree("4.2_4.2-3.1"), 8, known, all), all, SIZES);
  const skips = drawing.edges.filter((edge) => edge.to.row > edge.from.row + 1);
  expect(skips.length).toBeGreaterThan(1);
  for (const edge of skips) {
    expect(edge.lanes).toHaveLength(edge.to.row - edge.from.row - 1);
    for (const [index, lane] of edge.lanes.entries()) {
      const beside = drawing.nodes.filter((one) => one.row === edge.from.row + 1 + index);
      for (const one of beside) expect(lane <= one.x || lane >= one.x + SIZES.card[0], `${edge.to.node.unit} passes ${one.node.unit}`).toBe(true);
    }
    expect(edgePath(edge, SIZES).match(/V/g)).toHaveLength(edge.lanes.length);
  }
});

test("things go where they want to as far as they do not meet, and stay within the range", () => {
  const two = (a: number, b: number): { wanted: number; width: number }[] => [{ wanted: a, width: 10 }, { wanted: b, width: 10 }];
  expect(nearest(two(0, 40), 2, [0, 100])).toEqual([0, 40]);
  expect(nearest(two(30, 30), 2, [0, 100])).toEqual([24, 36]);
  expect(nearest(two(-20, -20), 2, [0, 100])).toEqual([0, 12]);
  expect(nearest(two(95, 95), 2, [0, 100])).toEqual([78, 90]);
  expect(nearest([...two(0, 0), ...two(0, 0)], 2, [0, 46])).toEqual([0, 12, 24, 36]);
});

test("a root that is off says what holds it down, most first", () => {
  const held = { ...makeup([given("left:2", -0.5), given("right:7", 0.3), given("left:5", -0.2)], [feed("left", 8, 0.7), feed("right", 8, 0.3)]), value: -0.7, rest: -0.3 };
  const root = grown("head:1", parseTree(""), 2, new Map([[ROOT, held]]), layers);
  expect(off(root, 0, false)).toBe("0: off in this image; held down by left:2 and its bias");
  expect(off(root, 0, true)).toContain("these images");
  expect(off(root, 0.1, false)).toBeNull();
  const child = root.children[0];
  expect(child && off(child, 0, false)).toBeNull();
  const image = grown("stem:1", parseTree(""), 2, new Map([[ROOT, { ...held, children: [given("input:0", -0.4), given("input:1", -0.4)], rest: 0 }]]), layers);
  expect(off(image, 0, false)).toBe("0: off in this image; held down by the image");
  const nothing = grown("head:1", parseTree(""), 2, new Map([[ROOT, { ...held, value: 0 }]]), layers);
  expect(off(nothing, 0, false)).toBeNull();
});
