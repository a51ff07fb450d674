import { expect, test } from "vitest";
import type { Example } from "../types/documents";
import { rowTo } from "./rows";
import { inputWords, isBounded, moved, overSteps, placeOf, placesOf, sees, stepsWords, strongest, valuesWords } from "./steps";

test("an exemplar's step is its position, without one where its trace is highest among the steps that count", () => {
  expect(strongest({ position: [7] }, undefined, [0, 2])).toBe(7);
  expect(strongest({ position: null }, [9, 1, 3, 3, null], [1, 5])).toBe(2);
  expect(strongest({ position: [] }, undefined, [0, 5])).toBe(null);
});

test("the place of a text's step is that of its own token, not of the first that counts", () => {
  const example = { kind: "text", counted: [4, 10], offsets: [96, 97, 98, 99, 100, 101, 102, 103, 104, 105] } as unknown as Example;
  expect(placeOf("a.txt@100", example, 7)).toBe("a.txt@103");
  expect(placeOf("a.txt@7", example, 7)).toBe("a.txt@7");
  expect(placeOf("a.txt@100", { ...example, offsets: [] } as Example, 7)).toBe("a.txt@100");
  expect(placeOf("words.csv", { ...example, kind: "series" } as Example, 7)).toBe("words.csv");
});

test("what a unit sees is said in steps", () => {
  const forwards = [{ step: 3, reach: [0, 4] as [number, number] }, { step: 0, reach: [0, 1] as [number, number] }];
  const backwards = [{ step: 3, reach: [3, 9] as [number, number] }];
  const both = [{ step: 3, reach: [0, 9] as [number, number] }];
  const near = [{ step: 3, reach: [1, 5] as [number, number] }];
  expect(sees(forwards, false, "text")).toBe("sees all steps up to its own");
  expect(sees(backwards, false, "text")).toBe("sees from its own step to the end");
  expect(sees(both, false, "series")).toBe("sees the whole series");
  const first = [{ step: 0, reach: [0, 9] as [number, number] }, { step: 0, reach: [0, 7] as [number, number] }];
  expect(sees(first, false, "text")).toBe("sees the whole text");
  expect(sees(first, false, "text", true)).toBe("sees from its own step to the end");
  expect(sees([{ step: null, reach: [0, 9] }], false, "text")).toBe("sees the whole text");
  const past = [3, 9, 14].map((step) => ({ step, reach: [0, Math.min(15, step + 2)] as [number, number] }));
  expect(sees(past, false, "series")).toBe("sees all steps up to 1 after its own");
  const future = [1, 4, 9].map((step) => ({ step, reach: [step - 1, 15] as [number, number] }));
  expect(sees(future, false, "series")).toBe("sees from 1 before its own step to the end");
  expect(sees(past.map(({ step }) => ({ step, reach: [0, 15] })), false, "series")).toBe("sees the whole series");
  expect(sees(near, true, "text")).toBe("sees its own step, 2 before and 1 after it");
  expect(sees([{ step: 3, reach: [3, 4] }], true, "text")).toBe("sees its own step alone");
  expect(sees([], false, "text")).toBe(null);
});

test("a layer with fewer positions than steps has each value over the steps that it stands for", () => {
  const trace = overSteps([1, 5, 3], 7);
  expect(trace).toEqual([1, 1, 1, 5, 5, 3, 3]);
  expect(strongest({ position: [1] }, trace, [0, 7], 3)).toBe(3);
  expect(strongest({ position: null }, trace, [0, 7], 3)).toBe(3);
  expect([overSteps(undefined, 3), overSteps([1, 2], 2)]).toEqual([undefined, [1, 2]]);
  const exemplar = { rank: 0, example: 0, path: "", class: null, score: 1, position: [2], reach: [3, 6] as [number, number], recall: null, picture: "" };
  expect(sees(placesOf([exemplar], 2), true, "text")).toBe("sees its own step, 1 before and 1 after it");
});

test("where a layer has its values is said by its stride", () => {
  const words = [null, [1, 1], [1, 4], [1, -1], [1, 0]].map((stride) => valuesWords({ stride: stride as [number, number] | null, shape: [20] }));
  expect(words).toEqual(["a value at each step", "a value at each step", "a value every 4 steps", "a value at each step, run backward", "20 steps of its own"]);
});

test("a field is bounded where it is shorter than the examples", () => {
  expect(isBounded({ receptive_field: [1, 3], shape: [20] })).toBe(true);
  expect(isBounded({ receptive_field: [1, 20], shape: [20] })).toBe(false);
  expect(isBounded({ receptive_field: null, shape: [20] })).toBe(false);
});

test("what the network is given is said by kind", () => {
  const inputs = { axes: "bt", window: 40, burn_in: 10, channels: [], vocabulary_size: 9 };
  expect(inputWords({ input: [40], kind: "text", inputs })).toBe("text in windows of at most 40 steps");
  expect(inputWords({ input: [40], kind: "text", inputs: { ...inputs, window: null, burn_in: null } })).toBe("text");
  expect(inputWords({ input: [40], kind: "text", inputs: { ...inputs, window: null, burn_in: null, example: "line" } })).toBe("lines of text");
  expect(inputWords({ input: [26, 12], kind: "series", inputs })).toBe("series of 12 channels");
  expect(inputWords({ input: [3, 8, 8], kind: "pictures", inputs })).toBe("input 3×8×8");
});

test("spans are half-open, and told by their first and last step", () => {
  expect([stepsWords([0, 69]), stepsWords([5, 6]), stepsWords([0, 0])]).toEqual(["steps 0–68", "step 5", "no step"]);
});

test("keys move among the steps that are shown, and among rows, and stop at the ends", () => {
  expect(moved("ArrowRight", false, 5, [0, 9])).toBe(6);
  expect(moved("ArrowLeft", true, 5, [2, 9])).toBe(2);
  expect([moved("Home", false, 5, [2, 9]), moved("End", false, 5, [2, 9]), moved("x", false, 5, [2, 9])]).toEqual([2, 8, null]);
  expect([rowTo("ArrowUp", 0, 5, 3), rowTo("PageDown", 1, 50, 3), rowTo("End", 0, 5, 3), rowTo("a", 0, 5, 3)]).toEqual([0, 4, 4, null]);
});
