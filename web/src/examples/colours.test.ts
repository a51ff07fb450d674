import { expect, test } from "vitest";
import styles from "../styles.css?raw";
import { scaleOf, share, tint } from "./colours";

test("all that is shown of a unit has one scale, the largest value of any sign", () => {
  expect(scaleOf({ 3: [0.5, -2, null], 9: [1] })).toBe(2);
  expect([scaleOf({}), scaleOf(undefined)]).toEqual([0, 0]);
});

test("zero is the ground, positive values have one hue and negative ones the other", () => {
  expect(tint(2, 2)).toBe("color-mix(in srgb, var(--positive) 100%, transparent)");
  expect(tint(-0.5, 2)).toBe("color-mix(in srgb, var(--negative) 25%, transparent)");
  expect(tint(-2, 2, 0.25)).toBe("color-mix(in srgb, var(--negative) 25%, transparent)");
  expect([tint(0, 2), tint(null, 2), tint(1, 0)]).toEqual(["transparent", "transparent", "transparent"]);
  expect([share(9, 2), share(-9, 2)]).toEqual([1, -1]);
});

/** The variables of the light theme, then of the dark one. */
function themes(): Map<string, string>[] {
  return styles.split(':root[data-theme="dark"]').map((part) => new Map([...part.matchAll(/--([\w-]+): (#[0-9a-f]{6});/g)].map((one) => [one[1] ?? "", one[2] ?? ""])));
}

function luminance(colour: string): number {
  const parts = [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16) / 255);
  const [red = 0, green = 0, blue = 0] = parts.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(one = "", other = ""): number {
  const [dark = 0, light = 0] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}

test("ink stays readable on the strongest values, in light and dark (WCAG: 4.5)", () => {
  for (const theme of themes()) {
    for (const hue of ["positive", "negative"]) expect(contrast(theme.get("ink"), theme.get(hue))).toBeGreaterThan(4.5);
  }
});
