/** Detects that all received media has stopped at once, as happens when an address is removed. */

/** How often to look, in ms. */
export const LOOK_EVERY_MS = 100;

/** The time without media that counts as silence, in ms. Audio arrives every 20 ms, video every 33. */
export const SILENT_AFTER_MS = 300;

/** A machine without a browser that detects when a steady flow of media ends. */
export class Silence {
  #newest = 0;
  #changedAt = -Infinity;
  /** The silence was reported, or nothing has arrived yet. */
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

/** Calls `silent` when all that the connection receives ends; returns a function that stops the check. */
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
