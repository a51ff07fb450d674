import { expect, test } from "vitest";
import { emptied, usualMethod } from "./methods";

const marked = { similarity: 0.2, marked: true, limit: 0.15 };
const passed = { similarity: 0.02, marked: false, limit: 0.15 };

test("the usual method is guided, unless its pictures of the layer are known to show the image", () => {
  const methods = ["deconv", "guided", "guided_neg", "gradient"];
  expect(usualMethod(methods, {})).toBe("guided");
  expect(usualMethod(methods, { guided: passed })).toBe("guided");
  expect(usualMethod(methods, { guided: marked })).toBe("gradient");
  expect(usualMethod(methods, { guided: marked, gradient: marked, deconv: marked })).toBe("guided_neg");
  expect(usualMethod(["guided"], { guided: marked })).toBe("guided");
  expect(usualMethod(["deconv"], {})).toBe("deconv");
});

test("empty pictures are counted, and the method's rule is the reason", () => {
  expect(emptied("guided_neg", 0, 5)).toBeNull();
  expect(emptied("guided_neg", 4, 5)).toMatch(/^By guided_neg, nothing .* through 4 of 5 nodes: it stops every positive gradient/);
  expect(emptied("lrp", 2, 2)).toMatch(/through all 2 nodes\. The tree/);
});
