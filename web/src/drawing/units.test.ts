import { expect, test } from "vitest";
import type { Exemplar, Layer, Study, Unit } from "../types/documents";
import { bytes, duration, number, percent, quantity } from "./numbers";
import { chosen, classWords, constant, exciting, isDead, oneValued, outputLabels, outputOf, tied, unitWords, viewName } from "./units";

const layer = {
  statistics: { max: [1, 5, 5, null], fraction_active: [0.5, 0.1, 0.2, 0], selectivity: [], mean: [], std: [], min: [0, 0, 0, null] },
  best_class: [0, 1, 1, -1],
  second_class: [1, 2, 0, -1],
} as unknown as Layer;

test("units are sorted strongest first, equal ones by number, undefined ones last", () => {
  expect(chosen(layer, { sort: "max", ofClass: null, hideDead: false })).toEqual([1, 2, 0, 3]);
});

test("a class keeps the units that prefer it or hold it second; dead ones can be hidden", () => {
  expect(chosen(layer, { sort: "index", ofClass: 1, hideDead: false })).toEqual([0, 1, 2]);
  expect(chosen(layer, { sort: "index", ofClass: null, hideDead: true })).toEqual([0, 1, 2]);
});

test("a unit of the last layer is the output of its class, as far as classes are known", () => {
  const known = ["n02123045_tabby", "dog"].map((label, index) => ({ index, name: label, label }));
  const study = { classes: known, output_classes: [1, 0], layers: [{ name: "conv", channels: 2 }, { name: "head", channels: 2 }] } as unknown as Study;
  expect(["head:0", "head:1", "head#2:1", "conv:1", "head:7"].map((unit) => outputOf(study, unit))).toEqual(["dog", "tabby", "tabby", "", ""]);
  expect(outputOf({ ...study, classes: [], output_classes: null }, "head:1")).toBe("");
});

test("exemplars tie where all of several have one score", () => {
  expect([[1, 1, 1], [1, 1, 0.5], [1], []].map((scores) => tied(scores.map((score) => ({ score }))))).toEqual([true, false, false, false]);
});

test("a unit has one value on each example where it has no positions, or one", () => {
  expect([[], [1, 1], [1], [2], [1, 3]].map((shape) => oneValued({ shape }))).toEqual([true, true, true, false, false]);
});

test("a unit is dead that is the same everywhere; one that is below zero and varies is not", () => {
  const layer = { statistics: { fraction_active: [0, 0, 0.1], min: [0, -0.9, 0], max: [0, -0.1, 1] } } as unknown as Layer;
  expect([0, 1, 2].map((channel) => isDead(layer, channel))).toEqual([true, false, false]);
});

test("a unit is excited by examples above its minimum alone, and one that never changes by none", () => {
  const of = (min: number | null, max: number | null): Pick<Unit, "statistics"> => ({ statistics: { min, max } as Unit["statistics"] });
  const scored = [3, 1, 0, 0].map((score, rank) => ({ rank, score }) as Exemplar);
  expect(exciting(of(0, 3), scored).map((one) => one.rank)).toEqual([0, 1]);
  expect(exciting(of(-2, 3), scored)).toEqual(scored);
  expect(exciting(of(null, null), scored)).toEqual(scored);
  expect([constant(of(0, 0)), constant(of(-2, -1)), constant(of(null, null))]).toEqual([0, null, null]);
});

test("names are shown as words", () => {
  expect(classWords("n03394916_French_horn")).toBe("French horn");
  expect(classWords("owl")).toBe("owl");
  expect(viewName("attribution-guided_neg")).toBe("attribution: guided_neg");
});

test("numbers are short, and what is not there is a dash", () => {
  expect([number(null), number(0), number(0.25), number(3.14159), number(42.42), number(411.4), number(1e-5)]).toEqual(
    ["–", "0", "0.250", "3.14", "42.4", "411", "1.0e-5"],
  );
  expect([percent(0.004), percent(0.5), percent(undefined)]).toEqual(["<1 %", "50 %", "–"]);
  expect([bytes(512), bytes(27_181_056), bytes(254_476_288)]).toEqual(["512 B", "27.2 MB", "254 MB"]);
  expect([duration(5), duration(600), duration(7200)]).toEqual(["5 s", "10 min", "2.0 h"]);
});

test("units that are outputs are called by their class, or by the token that may come next", () => {
  const tokens = { outputs: { of: "tokens" as const, names: ["", "a", " ", "\n"] } };
  expect([0, 1, 2, 3, 4].map((channel) => unitWords(tokens, channel))).toEqual(["", "‘a’", "‘␣’", "‘↵’", ""]);
  expect(unitWords({ outputs: { of: "classes", names: ["n01440764_tench"] } }, 0)).toBe("tench");
  expect(unitWords({ outputs: null }, 0)).toBe("");
});

test("one thing is not several", () => {
  expect([quantity(1, "layer"), quantity(0, "layer"), quantity(2048, "layer")]).toEqual(["1 layer", "0 layers", "2,048 layers"]);
  expect([quantity(1, "class"), quantity(2, "class")]).toEqual(["1 class", "2 classes"]);
});

test("outputs are called as the study orders its classes", () => {
  const classes = ["0", "1", "10", "2"].map((label, index) => ({ index, name: label, label, examples: 1 }));
  expect(outputLabels({ classes, output_classes: null }, 4).map(([, label]) => label)).toEqual(["0", "1", "10", "2"]);
  expect(outputLabels({ classes, output_classes: [0, 1, 3, null, 2] }, 5)).toEqual([[0, "0"], [1, "1"], [2, "2"], [4, "10"]]);
  expect(outputLabels({ classes, output_classes: null }, 1000)).toEqual([]);
});
