import { expect, test } from "vitest";
import type { Layer } from "../data/types";
import { bytes, duration, number, percent } from "./numbers";
import { chosen, classWords, outputLabels, viewName } from "./units";

const layer = {
  statistics: { max: [1, 5, 5, null], fraction_active: [0.5, 0.1, 0.2, 0], selectivity: [], mean: [], std: [], min: [] },
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

test("outputs are called as the study orders its classes", () => {
  const classes = ["0", "1", "10", "2"].map((label, index) => ({ index, name: label, label, examples: 1 }));
  expect(outputLabels({ classes }, 4).map(([, label]) => label)).toEqual(["0", "1", "10", "2"]);
  expect(outputLabels({ classes, output_classes: [0, 1, 3, null, 2] }, 5)).toEqual([[0, "0"], [1, "1"], [2, "2"], [4, "10"]]);
  expect(outputLabels({ classes }, 1000)).toEqual([]);
});
