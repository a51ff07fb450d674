import { expect, test } from "vitest";
import type { KnownTrack, LayerTrack } from "../types/documents";
import { bestUnits, ordered, share, strength, way } from "./knows";

const QUOTES = { track: "quotes", words: "inside quotation marks", measure: "auc", told: false, steps: 2000 } as const;
const COLUMN = { track: "column", words: "characters since the line began", measure: "r", told: false, steps: 2000 } as const;

test("a strength does not ask which way round", () => {
  expect(strength(QUOTES, 0.1)).toBeCloseTo(0.9);
  expect(strength(COLUMN, -0.7)).toBeCloseTo(0.7);
  expect(strength(COLUMN, null)).toBeNull();
});

test("it is told where a unit is clearly the other way round", () => {
  expect([0.1, 0.46, 0.9, null].map((score) => way(QUOTES, score))).toEqual(["lower where it holds", "", "", ""]);
  expect([-0.7, -0.04, 0.7].map((score) => way(COLUMN, score))).toEqual(["falls with it", "", ""]);
});

test("a bar is empty where nothing is known", () => {
  expect(share(QUOTES, 0.5)).toBe(0);
  expect(share(QUOTES, 1)).toBe(1);
  expect(share(COLUMN, 0.5)).toBe(0.5);
});

test("tracks come in the order of what training gave", () => {
  const known = (track: string, value: number | null, untrained: number): KnownTrack => ({ ...QUOTES, track, score: value, strength: value, untrained });
  const found = ordered([known("a", 0.97, 0.96), known("b", 0.8, 0.55), known("c", null, 0.5)]);
  expect(found.map((one) => one.track)).toEqual(["b", "a", "c"]);
});

test("the best units of a layer are found, the first of equals first", () => {
  const track: LayerTrack = { ...QUOTES, score: [0.5, 0.05, null, 0.95, 0.7], untrained: 0.6 };
  expect(bestUnits(track, 3).map((one) => one.channel)).toEqual([1, 3, 4]);
});
