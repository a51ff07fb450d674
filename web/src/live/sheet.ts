/** Where the maps of a layer lie in their sheet, and how one moves among them. */

export interface Grid {
  columns: number;
  units: number;
}

/** The unit at a place of the sheet, given in shares of its width and height; null where there is none. */
export function unitAt({ columns, units }: Grid, x: number, y: number): number | null {
  const rows = Math.ceil(units / columns);
  const [column, row] = [Math.floor(x * columns), Math.floor(y * rows)];
  const unit = row * columns + column;
  return column >= 0 && column < columns && row >= 0 && unit < units ? unit : null;
}

/** Steps of shift and an arrow: so many tiles at once. */
export const FAST = 5;

/** The unit to which an arrow key leads; at an edge it stays. */
export function moved({ columns, units }: Grid, from: number, key: string, fast: boolean): number | null {
  const by = fast ? FAST : 1;
  const row = Math.floor(from / columns);
  const column = from % columns;
  if (key === "ArrowLeft") return from - Math.min(by, column);
  if (key === "ArrowRight") return Math.min(from + Math.min(by, columns - 1 - column), units - 1);
  if (key === "ArrowUp") return from - columns * Math.min(by, row);
  if (key === "ArrowDown") return from + columns * Math.min(by, Math.floor((units - 1 - from) / columns));
  return null;
}

/** How wide the sheet is shown: tiles of whole pixels, so that all are alike; no wider than `width`, no higher than `height`. */
export function shownWidth(grid: Grid, tile: [height: number, width: number], width: number, height: number): number {
  const rows = Math.ceil(grid.units / grid.columns);
  const shape = tile[0] / tile[1];
  const fits = Math.min(width / grid.columns, height / rows / shape);
  return grid.columns * Math.max(1, fits >= 4 ? Math.floor(fits) : fits);
}

/** With how many columns the maps are largest in that room; `shape` is the height of a map over its width. */
export function columnsFor(units: number, shape: number, width: number, height: number): number {
  let [best, largest] = [1, 0];
  for (let columns = 1; columns <= units; columns += 1) {
    const side = Math.min(width / columns, height / Math.ceil(units / columns) / shape);
    if (side > largest) [best, largest] = [columns, side];
  }
  return best;
}

/** Below this share of the range a map counts as weak, and what is laid over it begins to show. */
const WEAK = 0.5;
const MOST_COVERED = 0.9;

/** How much of a unit's synthesis lies over its map: all of it where the map is empty, nothing from half the range on. */
export function cover(peak: number, reach: number): number {
  const share = reach > 0 ? peak / reach : 0;
  return MOST_COVERED * Math.max(0, 1 - share / WEAK);
}
