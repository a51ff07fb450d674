/** What people noted of units: names, notes, stars. */
import { ask } from "../data/source";
import type { Mark, Remark, Study } from "../types/documents";

export const LONGEST_NAME = 100;
export const LONGEST_TEXT = 10_000;
const COMMAND = "torchlurk serve STUDY --write";

export type Noted = Omit<Remark, "written">;
const NOTHING: Noted = { name: "", text: "", starred: false };

/** The name and the star of a unit; null where it has neither. */
export function markOf(study: Pick<Study, "remarks">, unit: string): Mark | null {
  const found = study.remarks[unit];
  return found !== undefined && (found.starred || found.name !== "") ? found : null;
}

/** All units with a name or a star, in the order of the study. */
export function marked(study: Pick<Study, "remarks">): string[] {
  return Object.keys(study.remarks).filter((unit) => markOf(study, unit) !== null);
}

/** The mark in words, for a label. */
export function markWords(mark: Mark | null): string {
  return [mark?.name, mark?.starred ? "starred" : ""].filter(Boolean).join(", ");
}

export function noted(remark: Remark | null): Noted {
  return remark === null ? NOTHING : { name: remark.name, text: remark.text, starred: remark.starred };
}

/** What of a draft is not as it is noted: only that is sent, so that nobody else's words are lost. */
export function changes(before: Noted, draft: Noted): Partial<Noted> {
  const keys = Object.keys(NOTHING) as (keyof Noted)[];
  return Object.fromEntries(keys.filter((key) => draft[key] !== before[key]).map((key) => [key, draft[key]]));
}

/** The draft after somebody else has noted something: what was not changed in it is as it is noted now. */
export function merged(draft: Noted, before: Noted, now: Noted): Noted {
  return { ...now, ...changes(before, draft) };
}

/** Writes to the study, and returns what is noted now. */
export async function save(slug: string, unit: string, change: Partial<Noted>): Promise<Noted> {
  const given = { method: "PUT", headers: { "content-type": "application/json" }, body: JSON.stringify(change) };
  const answer = await ask(`notes/${encodeURIComponent(slug)}/${encodeURIComponent(unit)}`, COMMAND, given);
  return noted(((await answer.json()) as { remark: Remark | null }).remark);
}
