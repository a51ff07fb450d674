/** The row to which a key leads in a list of `rows`; null for any other key. */
export function rowTo(key: string, from: number, rows: number, page: number): number | null {
  const to = { ArrowUp: from - 1, ArrowDown: from + 1, PageUp: from - page, PageDown: from + page, Home: 0, End: rows - 1 }[key];
  return to === undefined || rows === 0 ? null : Math.max(0, Math.min(rows - 1, to));
}
