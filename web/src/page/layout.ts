/** How many columns show `count` tiles of 16:9 largest in a box of the given size. */
export function columnsFor(count: number, width: number, height: number): number {
  let best = { columns: 1, tileWidth: 1 };
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    const tileWidth = Math.min(width / columns, ((height / rows) * 16) / 9);
    // Of equally good ones the one with more columns: beside each other people look as they do at a table.
    if (tileWidth >= best.tileWidth - 0.5) best = { columns, tileWidth };
  }
  return best.columns;
}
