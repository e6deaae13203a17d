/** Has everything that is received stopped at once? That is how it looks when an address goes away. */

/** How often to look, in ms. */
export const LOOK_EVERY_MS = 100;

/** After how long without anything new it is a silence, in ms: sound comes every 20 ms, pictures every 33. */
export const SILENT_AFTER_MS = 300;

/** Notices when what arrived steadily ends; a machine without a browser. */
export class Silence {
  #newest = 0;
  #changedAt = -Infinity;
  /** It has been told, or nothing has arrived at all. */
  #told = true;

  /**
   * Takes the time of what arrived last, by any clock, 0 for nothing yet; `now` is in milliseconds.
   * Returns true once for every silence.
   */
  step(newest: number, now: number): boolean {
    if (newest !== this.#newest) {
      this.#newest = newest;
      this.#changedAt = now;
      this.#told = false;
      return false;
    }
    if (this.#told || now - this.#changedAt < SILENT_AFTER_MS) return false;
    this.#told = true;
    return true;
  }
}

/** Calls `silent` when all that the connection receives ends; returns the function that stops looking. */
export function watchSilence(connection: RTCPeerConnection, silent: () => void): () => void {
  const silence = new Silence();
  const timer = setInterval(() => {
    // The browser has this at hand, unlike statistics, which cost it some milliseconds.
    const times = connection
      .getReceivers()
      .flatMap((receiver) => receiver.getSynchronizationSources().map(({ timestamp }) => timestamp));
    if (silence.step(Math.max(0, ...times), performance.now())) silent();
  }, LOOK_EVERY_MS);
  return () => {
    clearInterval(timer);
  };
}
