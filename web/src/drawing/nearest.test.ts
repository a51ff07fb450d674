import { expect, test } from "vitest";
import { nearest } from "./nearest";

test("the names most like a mistyped one are given, the nearest first, and none where none is like it", () => {
  const names = ["features.3.expand1x1", "features.10.squeeze", "features.1", "classifier"];
  expect(nearest("featurs.3.expand1x1", names)).toBe("; nearest: features.3.expand1x1");
  expect(nearest("zebra", names)).toBe("");
});
