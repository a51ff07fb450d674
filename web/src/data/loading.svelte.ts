/** The one way of loading what a page shows. */
import { growth } from "./growth.svelte";
import { isUnreachable } from "./source";

const WAIT = 700;
const LONGEST_WAIT = 5000;

/** What was asked for, once it is here. */
export class Loaded<T> {
  /** Undefined until the first answer, and after one that says why there is none. */
  value = $state.raw<T | undefined>(undefined);
  /** Why there is no answer, or no newer one. */
  trouble = $state.raw<unknown>(null);
}

interface Loading {
  /** What the answer is about: once this changes, the last answer goes at once. It stays until the next one otherwise. */
  of?: () => unknown;
  /** Whether the first answer is enough, however the study grows: of what many are shown of at once. */
  steady?: boolean;
}

/** Asks during the life of a component, and again whenever what `ask` reads changes or the study grows.
 *
 * `ask` returns null where there is nothing to ask for yet. Only the newest question counts: an earlier one is given up.
 * A server that does not answer is asked until it does; meanwhile the last answer stays.
 */
export function load<T>(ask: (signal: AbortSignal) => Promise<T> | null, { of = () => null, steady = false }: Loading = {}): Loaded<T> {
  const loaded = new Loaded<T>();
  let before = of();
  $effect(() => {
    if (!steady) void growth.version;
    const ending = new AbortController();
    const first = ask(ending.signal);
    const now = of();
    if (now !== before || first === null) [loaded.value, loaded.trouble] = [undefined, null];
    before = now;
    if (first !== null) void answered(loaded, first, () => ask(ending.signal), ending.signal);
    return () => ending.abort();
  });
  return loaded;
}

async function answered<T>(loaded: Loaded<T>, first: Promise<T>, again: () => Promise<T> | null, ended: AbortSignal): Promise<void> {
  let asked: Promise<T> | null = first;
  for (let wait = WAIT; asked !== null; wait = Math.min(2 * wait, LONGEST_WAIT)) {
    try {
      const found: T = await asked;
      if (!ended.aborted) [loaded.value, loaded.trouble] = [found, null];
      return;
    } catch (error) {
      if (ended.aborted) return;
      loaded.trouble = error;
      if (!isUnreachable(error)) {
        loaded.value = undefined;
        return;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, wait));
    asked = ended.aborted ? null : again();
  }
}
