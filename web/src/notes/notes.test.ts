import { expect, test, vi } from "vitest";
import { search } from "../drawing/search";
import type { Study } from "../types/documents";
import { draftsIn } from "./drafts.svelte";
import { changes, marked, markOf, markWords, merged, noted } from "./notes";

// Searching makes links, and whoever does so looks at the address.
vi.hoisted(() => Object.assign(globalThis, { location: { hash: "" }, addEventListener: () => undefined }));

const remarks = { "a:0": { name: "wheels", starred: true }, "a:1": { name: "", starred: false }, "b:2": { name: "", starred: true } };

test("a unit has a mark where it has a name or a star", () => {
  expect(markOf({ remarks }, "a:0")).toEqual({ name: "wheels", starred: true });
  expect(markOf({ remarks }, "a:1")).toBeNull();
  expect(markOf({ remarks }, "a:7")).toBeNull();
  expect(marked({ remarks })).toEqual(["a:0", "b:2"]);
  expect(["a:0", "a:1", "b:2"].map((unit) => markWords(markOf({ remarks }, unit)))).toEqual(["wheels, starred", "", "starred"]);
});

test("only what was changed is sent", () => {
  const before = noted({ name: "wheels", text: "", starred: true, written: "now" });
  expect(changes(before, before)).toEqual({});
  expect(changes(before, { ...before, text: "rims" })).toEqual({ text: "rims" });
  expect(changes(noted(null), before)).toEqual({ name: "wheels", starred: true });
});

test("what others write is taken over where the draft was not changed", () => {
  const before = noted(null);
  const now = { name: "theirs", text: "their note", starred: true };
  expect(merged(before, before, now)).toEqual(now);
  expect(merged({ ...before, name: "mine" }, before, now)).toEqual({ ...now, name: "mine" });
  expect(changes(now, merged({ ...before, name: "mine" }, before, now))).toEqual({ name: "mine" });
});

test("units are found by their names", () => {
  const study = { slug: "s", layers: [{ name: "a", type: "Linear", channels: 3, units: 3 }], classes: [], remarks } as unknown as Study;
  expect(search(study, "whee").map(({ label, note }) => [label, note])).toEqual([["a:0", "wheels"]]);
  expect(search(study, "a:0")).toHaveLength(1);
  expect(search({ ...study, remarks: { "a:0": { name: "like a:0", starred: false } } }, "a:0")).toHaveLength(1);
});

test("drafts are read back, and what is no draft is left out", () => {
  const kept = { "s/a:0": { before: noted(null), draft: { name: "mine", text: "", starred: false } } };
  expect(draftsIn(JSON.stringify(kept))).toEqual(kept);
  for (const text of [null, "", "no", "3", "null", '{"s/a:0":{"draft":{"name":1}}}']) expect(draftsIn(text)).toEqual({});
});
