import { expect, test } from "vitest";
import { cameraless } from "./camera";
import { parse } from "./stream";
import { framing } from "./framing";
import { after, liveState, withChange } from "./state";
import { columnsFor, cover, moved, shownWidth, unitAt } from "./sheet";

const grid = { columns: 4, units: 10 };

test("a place of the sheet is a unit, but for the places after the last", () => {
  expect(unitAt(grid, 0, 0)).toBe(0);
  expect(unitAt(grid, 0.99, 0.32)).toBe(3);
  expect(unitAt(grid, 0.3, 0.99)).toBe(9);
  expect(unitAt(grid, 0.6, 0.99)).toBeNull();
  expect(unitAt(grid, 1, 0.5)).toBeNull();
  expect(unitAt(grid, -0.1, 0.5)).toBeNull();
});

test("arrows move by one, with shift by five, and stay at the edges", () => {
  expect(moved(grid, 5, "ArrowLeft", false)).toBe(4);
  expect(moved(grid, 4, "ArrowLeft", false)).toBe(4);
  expect(moved(grid, 4, "ArrowRight", true)).toBe(7);
  expect(moved(grid, 9, "ArrowRight", false)).toBe(9);
  expect(moved(grid, 9, "ArrowUp", true)).toBe(1);
  expect(moved(grid, 1, "ArrowDown", true)).toBe(9);
  expect(moved(grid, 3, "ArrowDown", true)).toBe(7);
  expect(moved(grid, 3, "x", false)).toBeNull();
});

test("tiles are shown in whole pixels, and the sheet fits", () => {
  expect(shownWidth(grid, [13, 13], 403, 1000)).toBe(400);
  expect(shownWidth(grid, [13, 13], 403, 100)).toBe(132);
  expect(shownWidth({ columns: 32, units: 1000 }, [1, 1], 33, 900)).toBeCloseTo(33);
});

test("a sheet has the columns with which its maps are largest", () => {
  expect(columnsFor(96, 1, 680, 560)).toBe(11);
  expect(columnsFor(512, 1, 358, 400)).toBe(22);
  expect(columnsFor(1, 1, 10, 10)).toBe(1);
});

test("a synthesis covers what is weak", () => {
  expect(cover(0, 2)).toBeCloseTo(0.9);
  expect(cover(0.5, 2)).toBeCloseTo(0.45);
  expect(cover(1, 2)).toBe(0);
  expect(cover(0, 0)).toBeCloseTo(0.9);
});

test("of a camera's picture the centre is taken, cut as the network's pictures were", () => {
  const input = { width: 224, height: 224 };
  expect(framing({ width: 640, height: 480 }, input, null)).toEqual({ x: 80, y: 0, width: 480, height: 480 });
  expect(framing({ width: 640, height: 480 }, input, [256])).toEqual({ x: 110, y: 30, width: 420, height: 420 });
  expect(framing({ width: 480, height: 640 }, input, [224, 224])).toEqual({ x: 0, y: 80, width: 480, height: 480 });
});

test("where there can be no camera, the page says why", () => {
  expect(cameraless({ secure: true, port: "", devices: true })).toBeNull();
  expect(cameraless({ secure: false, port: "8000", devices: false })?.hint).toContain("ssh -L 8000:127.0.0.1:8000");
  expect(cameraless({ secure: true, port: "", devices: false })?.message).toContain("this browser");
});

test("an answer is a text and the pictures that it names", async () => {
  const header = { frame: 7, parts: [{ name: "sheet", type: "image/png", bytes: 2 }, { name: "map", type: "image/png", bytes: 3 }] };
  const text = new TextEncoder().encode(JSON.stringify(header));
  const bytes = new Uint8Array(4 + text.length + 5);
  new DataView(bytes.buffer).setUint32(0, text.length, true);
  bytes.set(text, 4);
  bytes.set([1, 2, 3, 4, 5], 4 + text.length);
  const { header: read, parts } = parse(bytes.buffer);
  expect(read.frame).toBe(7);
  expect([...new Uint8Array(await (parts.get("sheet") as Blob).arrayBuffer())]).toEqual([1, 2]);
  expect([...new Uint8Array(await (parts.get("map") as Blob).arrayBuffer())]).toEqual([3, 4, 5]);
});

test("the address holds what is looked at, and what makes no sense in it is left out", () => {
  const state = liveState({ unit: "block4:3", range: "nonsense", gamma: "-1", change: "a.b:3*0,oops,c:1*1.5", example: "x", show: "map" });
  expect(state).toMatchObject({ layer: "block4", range: "layer", gamma: 0.7, example: null, shown: "map", source: "examples" });
  expect(state.changes).toEqual([{ unit: "a.b:3", factor: 0 }, { unit: "c:1", factor: 1.5 }]);
  expect(withChange(state.changes, "a.b:3", 1)).toBe("c:1*1.5");
  expect(withChange([], "a:1", 1)).toBeUndefined();
  expect(withChange(state.changes, "c:1", 0)).toBe("a.b:3*0,c:1*0");
});

test("what comes after the last is the first", () => {
  expect(after(["a", "b", "c"], "c")).toBe("a");
  expect(after(["a", "b", "c"], "a", -1)).toBe("c");
  expect(after(["a", "b"], "x")).toBe("b");
});
