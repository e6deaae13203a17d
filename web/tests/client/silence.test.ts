import { describe, expect, it } from "vitest";
import { Silence, SILENT_AFTER_MS } from "../../src/client/silence.js";

/** A detector that received media at time 0. */
function listening(): Silence {
  const silence = new Silence();
  silence.step(100, 0);
  return silence;
}

describe("a silence", () => {
  it("is reported once, when nothing has arrived for long enough", () => {
    const silence = listening();
    expect(silence.step(100, SILENT_AFTER_MS - 1)).toBe(false);
    expect(silence.step(100, SILENT_AFTER_MS)).toBe(true);
    expect(silence.step(100, 10 * SILENT_AFTER_MS)).toBe(false);
  });

  it("is reported again after media arrived again", () => {
    const silence = listening();
    silence.step(100, SILENT_AFTER_MS);
    expect(silence.step(101, 2 * SILENT_AFTER_MS)).toBe(false);
    expect(silence.step(101, 3 * SILENT_AFTER_MS)).toBe(true);
  });

  it("is not reported when nothing has ever arrived", () => {
    expect(new Silence().step(0, 1000 * SILENT_AFTER_MS)).toBe(false);
  });
});
