/** Names like one that does not exist. */

const MOST_NEAR = 3;
/** Of a name's letters, how many may differ in one that is near. */
const FARTHEST = 0.4;

/** The names that look most like what was asked for, as the end of a sentence; empty if none does. */
export function nearest(name: string, names: readonly string[]): string {
  const close = names
    .map((one) => ({ one, steps: distance(name.toLowerCase(), one.toLowerCase()) }))
    .filter(({ one, steps }) => steps <= Math.max(name.length, one.length) * FARTHEST)
    .sort((a, b) => a.steps - b.steps)
    .slice(0, MOST_NEAR);
  return close.length === 0 ? "" : `; nearest: ${close.map(({ one }) => one).join(", ")}`;
}

/** How many letters have to be put in, left out or exchanged to make one word of the other. */
function distance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (const [index, letter] of [...from].entries()) {
    const next = [index + 1];
    for (let at = 1; at <= to.length; at += 1) {
      next.push(Math.min((next[at - 1] ?? 0) + 1, (row[at] ?? 0) + 1, (row[at - 1] ?? 0) + (letter === to[at - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}
