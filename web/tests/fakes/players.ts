/** Media playback and ResizeObserver, which jsdom lacks. */
import { vi } from "vitest";
import { FakeStream } from "./media.js";

/** The elements whose size is observed at this moment. */
export const observed = new Set<Element>();
const measure = new Set<() => void>();

/** Reports a new size of an element. */
export function resize(element: Element, clientWidth: number, clientHeight: number): void {
  Object.defineProperties(element, {
    clientWidth: { configurable: true, value: clientWidth },
    clientHeight: { configurable: true, value: clientHeight },
  });
  for (const each of measure) each();
}

/** Lets media elements accept and play streams. */
export function stubPlayers(): void {
  observed.clear();
  measure.clear();
  vi.stubGlobal("MediaStream", FakeStream);
  vi.stubGlobal(
    "ResizeObserver",
    class {
      readonly #callback: () => void;
      readonly #elements: Element[] = [];

      constructor(callback: () => void) {
        this.#callback = callback;
        measure.add(callback);
      }

      observe(element: Element): void {
        observed.add(element);
        this.#elements.push(element);
      }

      disconnect(): void {
        for (const element of this.#elements) observed.delete(element);
        measure.delete(this.#callback);
      }
    },
  );
  const sources = new WeakMap<HTMLMediaElement, unknown>();
  Object.defineProperty(HTMLMediaElement.prototype, "srcObject", {
    configurable: true,
    get(this: HTMLMediaElement) {
      return sources.get(this) ?? null;
    },
    set(this: HTMLMediaElement, source: unknown) {
      sources.set(this, source);
    },
  });
  vi.spyOn(HTMLMediaElement.prototype, "play").mockResolvedValue();
}
