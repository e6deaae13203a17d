/** Lays tiles out as large as possible. */
import { type RefObject, useEffect, useRef, useState } from "react";

/** A screen takes the space of four people (2 x 2) where there are at least two columns. */
const CELLS_OF_SCREEN = 4;

/** A grid of cells; `isWide`: it has at least two columns, and so space for large screens. */
export interface Grid {
  readonly columns: number;
  readonly rows: number;
  readonly isWide: boolean;
}

/** How many columns show `count` tiles of 16:9 largest in a box of the given size. */
export function columnsFor(count: number, width: number, height: number): number {
  let best = { columns: 1, tileWidth: 1 };
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    const tileWidth = Math.min(width / columns, ((height / rows) * 16) / 9);
    // If two are equally good, take more columns: people appear beside each other, as at a table.
    if (tileWidth >= best.tileWidth - 0.5) best = { columns, tileWidth };
  }
  return best.columns;
}

/** The grid for so many tiles, of which `screens` show screens, in a box of the given size. */
export function gridFor(tiles: number, screens: number, width: number, height: number): Grid {
  const cells = tiles + (CELLS_OF_SCREEN - 1) * screens;
  const columns = columnsFor(cells, width, height);
  const isWide = columns > 1;
  return { columns, rows: isWide ? Math.ceil(cells / columns) : Math.max(1, tiles), isWide };
}

/** The same for the element that gets the returned ref; it is updated when the element's size changes. */
export function useGrid(tiles: number, screens: number): [ref: RefObject<HTMLDivElement | null>, grid: Grid] {
  const ref = useRef<HTMLDivElement>(null);
  const [{ width, height }, setSize] = useState({ width: 0, height: 0 });
  useEffect(() => {
    const element = ref.current;
    if (element === null) return;
    const observer = new ResizeObserver(() => {
      setSize({ width: element.clientWidth, height: element.clientHeight });
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
    };
  }, []);
  return [ref, gridFor(tiles, screens, width, height)];
}
