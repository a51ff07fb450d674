import { expect, test } from "vitest";
import { overTime, tokenLists } from "./over_time";

const statistics = { mean: [0], std: [0], max: [0], min: [0], fraction_active: [0], selectivity: [null] };

test("a unit has the words of the statistics that its layer has", () => {
  expect(overTime({ statistics }, 0)).toEqual([]);
  const gates = { ...statistics, shut: [0.55, 0.1], half_life: [null, 2.5] };
  expect(overTime({ statistics: gates }, 1).map(({ name, value }) => `${name} ${value}`)).toEqual(["shut 10 %", "half-life 2.50 steps"]);
  expect(overTime({ statistics: gates }, 0).at(-1)?.value).toBe("–");
});

test("a measure that a unit does not have has no lists, and scores of the next token are told for a value", () => {
  const token = { id: 3, token: "e", value: 0.5 };
  const lists = tokenLists({ state: null, change: null, next: { at: 0.25, highest: [token], lowest: [] } });
  expect(lists.map(({ title, lists }) => [title, ...lists.map(({ name }) => name)])).toEqual([["What it says next", "raises", "lowers"]]);
  expect(lists[0]?.note).toContain("0.250");
});
