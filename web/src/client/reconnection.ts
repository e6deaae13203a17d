/**
 * When to try to reach the server again, and when to stop trying: a machine without a browser.
 *
 *     up ──lost──> waiting ──timeout, network──> trying ──succeeded──> up
 *     up ──renew, network, draining then timeout──> trying
 *                     ^─── lost, timeout ───────── │ ──> over
 *
 * Delays grow and are drawn at random: after a server's restart its clients must not come back all at once.
 */

/** What happened. */
export type ReconnectionInput =
  /** The connection or the attempt to connect has ended. */
  | "lost"
  /** The connection works, but a new one is needed. */
  | "renew"
  /** The server is about to stop: the connection works, but should move to the next server soon. */
  | "draining"
  /** We are in the room again. */
  | "succeeded"
  /** The network has changed or come back: a connection over the old network is dead without a close event. */
  | "network"
  /** `nextTimeout` has come. */
  | "timeout";

/** What to do next. */
export type ReconnectionAction =
  /** Close the connection and open a new one. */
  | "try"
  /** Close the connection; the attempt timed out. */
  | "abandon"
  /** Close the connection and stop reconnecting. */
  | "give-up";

type State = "up" | "waiting" | "trying" | "over";
type Row = Partial<Record<ReconnectionInput, (now: number) => ReconnectionAction | null>>;

/** The first delay in ms, and the longest: a server that is back waits no longer. Each is up to a half shorter by chance. */
export const FIRST_DELAY_MS = 500;
export const MAX_DELAY_MS = 2000;

/** Slow growth: a restart takes seconds, and a client cannot use the room until its next attempt. */
export const DELAY_GROWTH = 1.5;

/**
 * Within how many ms clients leave a server that is draining, each at a time of its own: not all at once, but soon,
 * because those who have moved do not see those who have not.
 */
export const MOVE_WITHIN_MS = 1000;

/** How long one try may take, in ms: two losses of the first packet of a TCP connection take 3 s. */
export const TRY_WITHIN_MS = 10_000;

/**
 * How long to keep trying, in ms, but for the time that the computer sleeps: twice the time for which a server keeps a
 * session by default.
 */
export const GIVE_UP_AFTER_MS = 60_000;

/** A connection that breaks sooner than this, in ms, counts as one more failure in a row. */
export const LASTING_MS = 10_000;

/** The reconnection to one room. It starts when the room has been joined. */
export class Reconnection {
  readonly #random: () => number;
  #state: State = "up";
  #failures = 0;
  #upSince: number;
  #giveUpAt = Infinity;
  #due = Infinity;

  /** `random` gives numbers in [0, 1). Times are milliseconds of a monotonic clock. */
  constructor(random: () => number, now: number) {
    this.#random = random;
    this.#upSince = now;
  }

  /** When `timeout` is due, or null. */
  nextTimeout(): number | null {
    return this.#state === "over" || this.#due === Infinity ? null : this.#due;
  }

  /** Takes one input and returns what to do. An input that has no meaning in the state changes nothing. */
  step(input: ReconnectionInput, now: number): ReconnectionAction | null {
    if (now > this.#due) {
      // A computer that sleeps tries nothing, and after that its network is not there at once.
      this.#giveUpAt += now - this.#due;
      this.#due = now;
    }
    return this.#transitions[this.#state][input]?.(now) ?? null;
  }

  readonly #transitions: Record<State, Row> = {
    up: {
      lost: (now) => {
        this.#begin(now);
        return this.#wait(now);
      },
      renew: (now) => this.#move(now),
      network: (now) => this.#move(now),
      draining: (now) => {
        this.#due = Math.min(this.#due, now + this.#random() * MOVE_WITHIN_MS);
        return null;
      },
      timeout: (now) => (now < this.#due ? null : this.#move(now)),
    },
    waiting: {
      timeout: (now) => this.#try(now),
      network: (now) => this.#tryAnew(now),
    },
    trying: {
      succeeded: (now) => {
        this.#state = "up";
        this.#due = Infinity;
        this.#upSince = now;
        return null;
      },
      lost: (now) => this.#wait(now),
      network: (now) => this.#tryAnew(now),
      timeout: (now) => this.#wait(now) ?? "abandon",
    },
    over: {},
  };

  #begin(now: number): void {
    if (now - this.#upSince >= LASTING_MS) this.#failures = 0;
    this.#giveUpAt = now + GIVE_UP_AFTER_MS;
  }

  /** Replaces the connection by a new one. */
  #move(now: number): "try" {
    this.#begin(now);
    return this.#try(now);
  }

  /** On another network, where earlier failures say nothing. The first try may still be too early for its routes. */
  #tryAnew(now: number): "try" {
    this.#failures = 0;
    return this.#try(now);
  }

  #try(now: number): "try" {
    this.#state = "trying";
    this.#due = now + TRY_WITHIN_MS;
    return "try";
  }

  #wait(now: number): "give-up" | null {
    if (now >= this.#giveUpAt) {
      this.#state = "over";
      return "give-up";
    }
    const longest = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * DELAY_GROWTH ** this.#failures);
    this.#failures += 1;
    this.#state = "waiting";
    this.#due = now + longest * (1 - this.#random() / 2);
    return null;
  }
}
