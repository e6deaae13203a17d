/** One timer that can be reset. After each input of a machine it is set to the machine's `nextTimeout`. */
export class Alarm {
  readonly #ring: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(ring: () => void) {
    this.#ring = ring;
  }

  /** Rings once at `due`, in ms of `performance.now()`, and replaces the earlier time; null: does not ring. */
  set(due: number | null): void {
    clearTimeout(this.#timer);
    if (due !== null && due < Infinity) {
      this.#timer = setTimeout(this.#ring, Math.max(0, due - performance.now()));
    }
  }
}
