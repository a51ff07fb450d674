import { expect, test } from "vitest";
import { gap, joined, named, neighbourhood, onOneLine, shown } from "./text";

const letters = (count: number): string[] => Array.from({ length: count }, (_, index) => "abcdefghij"[index % 10] ?? "");

test("a short text is shown whole", () => {
  expect(neighbourhood(letters(210), 100, [0, 101])).toEqual([0, 210]);
});

test("of a long text mostly what the step has seen is shown: before it, after it, or both alike", () => {
  expect(neighbourhood(letters(1000), 500, [0, 501])).toEqual([350, 560]);
  expect(neighbourhood(letters(1000), 500, [500, 1000])).toEqual([440, 650]);
  expect(neighbourhood(letters(1000), 500, [490, 511])).toEqual([395, 605]);
});

test("at an end of the text, what one side does not need goes to the other", () => {
  expect(neighbourhood(letters(1000), 0, [0, 1])).toEqual([0, 210]);
  expect(neighbourhood(letters(1000), 999, [0, 1000])).toEqual([790, 1000]);
  expect(neighbourhood(letters(1000), null, null)).toEqual([0, 210]);
});

test("tokens of many letters are counted by their letters", () => {
  const words = Array.from({ length: 100 }, () => "word ");
  expect(neighbourhood(words, 50, [0, 51])).toEqual([20, 62]);
});

test("line ends, tabs and empty tokens have signs, a space only where it is marked", () => {
  expect([shown("\n", false), shown("\t", false), shown("", false)]).toEqual(["↵", "⇥", "▯"]);
  expect([shown(" ", false), shown(" ", true), shown(" the", true)]).toEqual([" ", "␣", " the"]);
  expect([named("  "), named("a\n")]).toEqual(["␣␣", "a↵"]);
  expect(onOneLine("one\ntwo\tthree")).toBe("one↵two⇥three");
});

test("between words that the document parts stands a blank, between characters nothing", () => {
  const words = { tokens: ["the", "sea", ",", "the"], offsets: [0, 4, 7, 10] };
  expect([0, 1, 2, 3].map((step) => gap(words, step))).toEqual([" ", "", " ", ""]);
  expect(joined(words, [0, 4])).toBe("the sea, the");
  expect(joined({ tokens: ["a", "b", "</s>"], offsets: [] }, [0, 3])).toBe("ab</s>");
  expect(joined({ tokens: ["the", "sea", "<unk>"], offsets: [] }, [0, 3])).toBe("the sea <unk>");
  expect(joined({ tokens: ["7", "1", "8"], offsets: [] }, [0, 3])).toBe("7 1 8");
  expect(joined({ tokens: ["Ġthe", "Ġsea"], offsets: [] }, [0, 2])).toBe("ĠtheĠsea");
});
