import { describe, expect, it } from "vitest";
import { columnsFor, gridFor } from "../../src/page/layout.js";
import { initials } from "../../src/page/tile.js";

describe("columnsFor", () => {
  it("fills a wide and a tall box", () => {
    const wide = [1, 2, 3, 4, 5, 6, 7, 9, 10, 12].map((count) => columnsFor(count, 1600, 900));
    expect(wide).toEqual([1, 2, 2, 2, 3, 3, 3, 3, 4, 4]);
    const tall = [1, 2, 3, 4, 6, 8, 12].map((count) => columnsFor(count, 375, 700));
    expect(tall).toEqual([1, 1, 1, 1, 1, 2, 2]);
  });

  it("accepts an empty box", () => {
    expect(columnsFor(0, 0, 0)).toBe(1);
    expect(columnsFor(3, 0, 0)).toBe(1);
  });
});

describe("gridFor", () => {
  it("gives a screen the space of four people where there is room", () => {
    expect(gridFor(2, 0, 1600, 900)).toEqual({ columns: 2, rows: 1, isWide: true });
    expect(gridFor(3, 1, 1600, 900)).toEqual({ columns: 3, rows: 2, isWide: true });
    expect(gridFor(3, 1, 300, 2000)).toEqual({ columns: 1, rows: 3, isWide: false });
    expect(gridFor(0, 0, 0, 0)).toEqual({ columns: 1, rows: 1, isWide: false });
  });
});

describe("initials", () => {
  it("takes the first letter of the first and of the last word", () => {
    expect(
      ["Ada Lovelace", "grace", "Jean-Baptiste Joseph Fourier", "李 雷", "  ", "", "🇳🇴 x"].map(initials),
    ).toEqual(["AL", "G", "JF", "李雷", "", "", "🇳🇴X"]);
  });
});
