/** One timer that may be moved: what a machine's `nextTimeout` is handed to after every step. */
export class Alarm {
  readonly #ring: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(ring: () => void) {
    this.#ring = ring;
  }

  /** Rings once at `due`, in ms of `performance.now()`, instead of at any time set before; null: not at all. */
  set(due: number | null): void {
    clearTimeout(this.#timer);
    if (due !== null && due < Infinity) {
      this.#timer = setTimeout(this.#ring, Math.max(0, due - performance.now()));
    }
  }
}
