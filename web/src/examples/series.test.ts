import { expect, test } from "vitest";
import type { SeriesExample } from "../types/documents";
import { across, cells, chosenChannels, down, linePath, rangesOf } from "./series";

const series = (values: (number | null)[][]): SeriesExample => ({
  kind: "series", example: 0, path: "", class: null, counted: [0, values[0]?.length ?? 0], channels: values.map(() => ""), values,
});

test("a channel has one range over all series that are shown together", () => {
  expect(rangesOf([series([[0, 2], [5, 5]]), series([[-1, null], [7, 6]])])).toEqual([[-1, 2], [5, 7]]);
  expect(rangesOf([])).toEqual([]);
});

test("steps lie in the middle of their part of the axis, high values above low ones", () => {
  expect([across(0, 4, 80), across(3, 4, 80)]).toEqual([10, 70]);
  expect([down(2, [0, 2], 20), down(0, [0, 2], 20), down(1, [1, 1], 20)]).toEqual([0, 20, 10]);
});

test("a line goes through every value and stops where there is none", () => {
  expect(linePath([0, 1, null, 1], [0, 1], 40, 10)).toBe("M5 10L15 0M35 0");
});

test("of a long series each pixel keeps its lowest and highest value", () => {
  const values = Array.from({ length: 10_000 }, (_, step) => (step === 4_321 ? 9 : step === 7_007 ? -9 : 0));
  const path = linePath(values, [-9, 9], 100, 18);
  expect(path.match(/[ML]/g)?.length).toBeLessThanOrEqual(200);
  expect(path).toContain("L43.22 0");
  expect(path).toContain("L70.08 18");
});

test("of more channels than are readable those that vary most in their range are drawn, in their order", () => {
  const values = Array.from({ length: 20 }, (_, channel) => [0, channel % 2]);
  const ranges = values.map(() => [0, 1] as [number, number]);
  expect(chosenChannels(values, ranges, 10)).toEqual([1, 3, 5, 7, 9, 11, 13, 15, 17, 19]);
  expect(chosenChannels(values, ranges, 20).length).toBe(20);
});

test("a band has a cell a step, or as many as fit, with the value of the largest size in each", () => {
  expect(cells([1, null, -2], 10)).toEqual([{ start: 0, stop: 1, value: 1 }, { start: 1, stop: 2, value: 0 }, { start: 2, stop: 3, value: -2 }]);
  expect(cells([1, -3, 2, 0], 2)).toEqual([{ start: 0, stop: 2, value: -3 }, { start: 2, stop: 4, value: 2 }]);
});
