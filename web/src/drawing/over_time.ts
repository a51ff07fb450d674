/** What is told of units over time: gates, memory, tokens. */
import type { Column, Layer, Token, UnitTokens } from "../types/documents";
import { number, percent } from "./numbers";

interface Words {
  name: string;
  meaning: string;
  written(value: number | null | undefined): string;
}

/** Statistics that only gates, and what they keep, have. */
export const OVER_TIME: Record<string, Words> = {
  shut: { name: "shut", meaning: "share of all steps at which the gate is below 0.1", written: percent },
  open: { name: "open", meaning: "share of all steps at which the gate is above 0.9", written: percent },
  half_life: {
    name: "half-life",
    meaning: "after how many steps half is left of what is kept, by the mean of the gate's logarithm",
    written: (value) => `${number(value)}${value === null || value === undefined ? "" : " steps"}`,
  },
};

/** Those that a unit of a layer has, as words. */
export function overTime({ statistics }: Pick<Layer, "statistics">, channel: number): { name: string; meaning: string; value: string }[] {
  return Object.entries(OVER_TIME).flatMap(([key, { name, meaning, written }]) => {
    const column = columnOf(statistics, key);
    return column ? [{ name, meaning, value: written(column[channel]) }] : [];
  });
}

/** A column of a layer by its name; undefined where the layer has none. */
export function columnOf(statistics: Layer["statistics"], name: string): Column | undefined {
  return (statistics as unknown as Record<string, Column | undefined>)[name];
}

interface Ends {
  title: string;
  note: string;
  highest: string;
  lowest: string;
}

const ENDS: Record<keyof UnitTokens, Ends> = {
  state: { title: "Mean value there", note: "over all steps at which the token stands", highest: "highest", lowest: "lowest" },
  change: { title: "Mean change there", note: "against the step before", highest: "rises most", lowest: "falls most" },
  next: { title: "What it says next", note: "", highest: "raises", lowest: "lowers" },
};

export interface TokenLists {
  title: string;
  note: string;
  lists: { name: string; tokens: Token[] }[];
}

/** The lists of a unit's tokens, by measure, with their words; none of a measure that it does not have. */
export function tokenLists(tokens: UnitTokens): TokenLists[] {
  return (Object.keys(ENDS) as (keyof UnitTokens)[]).flatMap((measure) => {
    const [ranking, { title, note, highest, lowest }] = [tokens[measure], ENDS[measure]];
    if (ranking === null) return [];
    const told = ranking.at === undefined ? note : `by how much a token's logit changes where the unit is ${number(ranking.at)}`;
    const lists = [
      { name: highest, tokens: ranking.highest },
      { name: lowest, tokens: ranking.lowest },
    ];
    return [{ title, note: told, lists }];
  });
}
