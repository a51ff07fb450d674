import { afterEach, expect, test, vi } from "vitest";
import { source } from "./source";

interface Asked {
  signal: AbortSignal;
  answer: (document: unknown) => void;
}

/** What was asked of the network, by address. */
function listened(): Map<string, Asked> {
  const asked = new Map<string, Asked>();
  vi.stubGlobal("fetch", (address: string, { signal }: { signal: AbortSignal }) => new Promise((resolve, reject) => {
    asked.set(address, { signal, answer: (document) => resolve(new Response(JSON.stringify(document))) });
    signal.addEventListener("abort", () => reject(signal.reason));
  }));
  return asked;
}

afterEach(() => vi.unstubAllGlobals());

test("a document that nobody waits for any more is given up, and asked for anew when it is wanted", async () => {
  const asked = listened();
  const [first, second] = [new AbortController(), new AbortController()];
  const waiting = [source.layer("a", 0, first.signal), source.layer("a", 0, second.signal)].map((one) => one.catch((error: unknown) => error));
  first.abort();
  expect(asked.get("data/a/layers/0.json")?.signal.aborted).toBe(false);
  second.abort();
  expect(asked.get("data/a/layers/0.json")?.signal.aborted).toBe(true);
  expect((await Promise.all(waiting)).map((one) => (one as DOMException).name)).toEqual(["AbortError", "AbortError"]);
  const again = source.layer("a", 0);
  asked.get("data/a/layers/0.json")?.answer({ id: 0 });
  expect(await again).toEqual({ id: 0 });
});

test("a document that somebody waits for, or that is here, is not given up", async () => {
  const asked = listened();
  const leaving = new AbortController();
  const [left, stays] = [source.layer("b", 1, leaving.signal), source.layer("b", 1)];
  leaving.abort();
  asked.get("data/b/layers/1.json")?.answer({ id: 1 });
  expect(await Promise.all([left, stays])).toEqual([{ id: 1 }, { id: 1 }]);
  asked.clear();
  expect(await source.layer("b", 1, AbortSignal.timeout(0))).toEqual({ id: 1 });
  expect(asked.size).toBe(0);
});
