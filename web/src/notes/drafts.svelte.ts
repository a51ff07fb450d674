/** Notes that were begun and not saved, by unit, for as long as the tab is open: also over another page and a reload. */
import { changes, merged, type Noted } from "./notes";

/** What was noted when it was begun, and what is written now. */
export interface Draft {
  before: Noted;
  draft: Noted;
}
type Kept = Readonly<Record<string, Draft>>;
const KEY = "torchlurk.drafts";

/** The drafts in a text that `JSON.stringify` made of some; none where it is anything else. */
export function draftsIn(text: string | null): Kept {
  try {
    const found: unknown = JSON.parse(text ?? "{}");
    if (typeof found !== "object" || found === null) return {};
    return Object.fromEntries(Object.entries(found).filter((one): one is [string, Draft] => isDraft(one[1])));
  } catch {
    return {};
  }
}

function isDraft(value: unknown): value is Draft {
  const { before, draft } = (value ?? {}) as Partial<Draft>;
  return [before, draft].every((one) => typeof one?.name === "string" && typeof one.text === "string" && typeof one.starred === "boolean");
}

class Drafts {
  #kept = $state.raw<Kept>(draftsIn(stored((storage) => storage.getItem(KEY))));

  /** That of a unit, which `slug/layer:channel` names. */
  of(where: string): Draft | null {
    return this.#kept[where] ?? null;
  }

  /** The other units of a study that have one. */
  besides(slug: string, where: string): string[] {
    return Object.keys(this.#kept).flatMap((one) => (one !== where && one.startsWith(`${slug}/`) ? [one.slice(slug.length + 1)] : []));
  }

  /** Keeps what is written, or lets go of it where all of it is saved. */
  keep(where: string, { before, draft }: Draft): void {
    const { [where]: known, ...others } = this.#kept;
    const unsaved = Object.keys(changes(before, draft)).length > 0;
    if (!unsaved && known === undefined) return;
    this.#kept = unsaved ? { ...others, [where]: { before: { ...before }, draft: { ...draft } } } : others;
    stored((storage) => storage.setItem(KEY, JSON.stringify(this.#kept)));
  }

  /** Takes over that this much of a draft was saved, after which the unit is noted so. */
  saved(where: string, given: Partial<Noted>, now: Noted): void {
    const known = this.of(where);
    if (known !== null) this.keep(where, { before: now, draft: merged(known.draft, { ...known.before, ...given }, now) });
  }
}

/** What the tab's storage gives; null where the browser has none for this page, or it is full. */
function stored<Found>(use: (storage: Storage) => Found): Found | null {
  try {
    return use(sessionStorage);
  } catch {
    return null;
  }
}

export const drafts = new Drafts();
