/** How a text is shown: which part of it, and with which signs. */
import type { Span, TextExample } from "../types/documents";

/** Characters shown of a long text: on the side of the strongest step that it has seen, and on the other. */
const SEEN = 150;
const UNSEEN = 60;

/** The neighbourhood of a step: whole where the text is short, otherwise mostly what the step has seen. */
export function neighbourhood(tokens: string[], step: number | null, reach: Span | null): Span {
  const length = tokens.reduce((sum, token) => sum + token.length, 0);
  if (length <= SEEN + UNSEEN) return [0, tokens.length];
  const at = step ?? 0;
  const past = reach === null || step === null || reach[0] < step;
  const future = reach === null || step === null || reach[1] > step + 1;
  const [before, after] = past === future ? [(SEEN + UNSEEN) / 2, (SEEN + UNSEEN) / 2] : past ? [SEEN, UNSEEN] : [UNSEEN, SEEN];
  // What one side does not need, at an end of the text, goes to the other.
  const left = taken(tokens, at - 1, -1, before);
  const right = taken(tokens, at, 1, after + before - left.characters);
  const stretched = taken(tokens, at - 1, -1, before + Math.max(0, after - right.characters));
  return [at - stretched.tokens, at + right.tokens];
}

function taken(tokens: string[], from: number, by: 1 | -1, most: number): { tokens: number; characters: number } {
  const found = { tokens: 0, characters: 0 };
  for (let at = from; at >= 0 && at < tokens.length; at += by) {
    const length = tokens[at]?.length ?? 0;
    if (found.characters + length > most) break;
    found.tokens += 1;
    found.characters += length;
  }
  return found;
}

/** Tokens of a text that tell whether they are words, and what stands between these; those in brackets tell nothing, and digits
 * alone are ids of tokens. */
const LOOKED_AT = 64;
function separator(tokens: string[]): string {
  const plain = tokens.slice(0, LOOKED_AT).filter((token) => !/^(<.+>|\[.+\])$/.test(token));
  if (plain.length > 1 && plain.every((token) => /^[0-9]+$/.test(token))) return " ";
  return plain.some((token) => token.length > 1) && !plain.some((token) => /^(\s+$|[ ▁Ġ])/.test(token)) ? " " : "";
}

/** What stands between a token and the next: a blank where the document has something there that is part of neither, and where
 * that is not known between words. */
export function gap({ tokens, offsets }: Pick<TextExample, "tokens" | "offsets">, step: number): string {
  if (offsets.length === 0) return step + 1 < tokens.length ? separator(tokens) : "";
  const [here, next] = [offsets[step], offsets[step + 1]];
  return here !== undefined && next !== undefined && next > here + (tokens[step]?.length ?? 0) ? " " : "";
}

/** The text of some tokens. */
export function joined(example: Pick<TextExample, "tokens" | "offsets">, [start, stop]: Span): string {
  const tokens = example.tokens.slice(start, stop);
  return tokens.map((token, index) => (index < tokens.length - 1 ? token + gap(example, start + index) : token)).join("");
}

const SIGNS: Record<string, string> = { "\n": "↵", "\r": "␍", "\t": "⇥", "": "▯" };

/** A token as it is read: line ends, tabs and empty tokens have signs; spaces have one where they would else be lost. */
export function shown(token: string, marked: boolean): string {
  if (token === "") return SIGNS[""] ?? "";
  const signs = token.replace(/[\n\r\t]/g, (one) => SIGNS[one] ?? one);
  return marked && /^ +$/.test(token) ? "␣".repeat(token.length) : signs;
}

/** A token where all is on one line, and in what a pointer is told. */
export function named(token: string): string {
  return /^ +$/.test(token) ? "␣".repeat(token.length) : shown(token, true);
}

/** Text on one line: line ends and tabs have signs. */
export function onOneLine(text: string): string {
  return text.replace(/[\n\r\t]/g, (one) => SIGNS[one] ?? one);
}
