import { expect, test } from "vitest";
import type { StepNumbers, UnitAttributions } from "../types/documents";
import { attributionsBy, byStep, scaleOfNumbers } from "./attributions";

const one = (method: string, exemplars: "max" | "mean", rank: number, values: (number | null)[][]): StepNumbers => ({
  method,
  exemplars,
  rank,
  values,
  kept: null,
  conserved: null,
});
const FOUND: UnitAttributions = {
  layer: "rnn.l0",
  channel: 1,
  attributions: [one("lrp", "max", 0, [[1, -3], [null, 2]]), one("lrp", "max", 1, [[0, 0.5]]), one("lrp", "mean", 0, [[9]]), one("gradient", "max", 0, [[7]])],
};

test("a method's numbers are found by the rank of the exemplar, and have one scale", () => {
  const found = attributionsBy(FOUND, "lrp", "max");
  expect([...found.keys()]).toEqual([0, 1]);
  expect(scaleOfNumbers(found.values())).toBe(3);
  expect(attributionsBy(null, "lrp", "max").size).toBe(0);
});

test("the numbers of a step are the sum over its channels", () => {
  expect(byStep([[1, -3], [null, 2]])).toEqual([1, -1]);
  expect(byStep([])).toEqual([]);
});
