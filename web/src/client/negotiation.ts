/**
 * The polite side of perfect negotiation, as a machine without a browser.
 *
 * Both ends of a connection may offer at any time, so offers can cross. The rule (W3C webrtc, section 10.7,
 * "perfect negotiation"): the impolite side, here the server, ignores an offer that crosses its own; the polite
 * side, here, rolls its own offer back, answers, and offers again. Three more things can go wrong on a real
 * connection and are handled here too: an offer without an answer, an offer that the server refuses, and a
 * description that the browser rejects.
 *
 * The WebSocket may also break and be restored while the RTCPeerConnection continues. Then each
 * side repeats its own unanswered offer. Ours is sent again unchanged: the server may have applied it and only its
 * answer was lost, so that its m-sections and their mids are agreed already. An offer of the server that names them
 * shows this. Then the rule is reversed: ours stays, and the server answers it again, since a rollback would make our
 * transceivers forget their mids.
 *
 * The machine decides; `negotiator.ts` carries out what it decides on an RTCPeerConnection. Exactly one operation
 * is under way at any time: the states ending in "-ing" wait for its result.
 */

/** What happened. Times are milliseconds of a monotonic clock. */
export type Input =
  /** Something is to be negotiated: the browser's `negotiationneeded`. */
  | { is: "needed" }
  /** Results of the operation under way. */
  | { is: "offer-made"; sdp: string }
  | { is: "answer-made"; sdp: string }
  | { is: "answer-applied" }
  | { is: "rolled-back" }
  | { is: "failed"; error: string }
  /** From the server. */
  | {
      is: "remote-offer";
      sdp: string;
      /** It names m-sections that the server can only know from our pending offer. */
      knowsOurs?: boolean;
    }
  | { is: "remote-answer"; sdp: string }
  | { is: "refused"; code: number }
  /** The WebSocket is lost, or restored. */
  | { is: "signaling-lost" }
  | { is: "signaling-restored" }
  /** The time `nextTimeout` is reached. */
  | { is: "timeout" }
  /** The connection was closed. */
  | { is: "close" };

/** What to do next. */
export type Action =
  /** Make and apply our offer; then `offer-made`. */
  | { do: "make-offer" }
  | { do: "send-offer"; sdp: string }
  /** Apply the server's answer; then `answer-applied`. */
  | { do: "apply-answer"; sdp: string }
  /** Apply the server's offer (rolling ours back where there is one), make and apply our answer; then `answer-made`. */
  | { do: "answer-offer"; sdp: string }
  | { do: "send-answer"; sdp: string }
  /** Return to the last stable state; then `rolled-back`. */
  | { do: "roll-back" }
  /** The server refused the last offer: remove what it added. */
  | { do: "withdraw" }
  /** Negotiation has failed: replace the connection. */
  | { do: "give-up"; reason: string };

/** The state of the machine. */
export type State =
  /** No negotiation is in progress. */
  | "stable"
  /** The browser creates our offer. */
  | "offering"
  /** Our offer was sent and waits for its answer. */
  | "offered"
  /** The browser applies the server's answer. */
  | "applying"
  /** The browser applies the server's offer and makes our answer. */
  | "answering"
  /** The browser rolls our offer back. */
  | "rolling-back"
  | "closed";

/** Counters, for tests and for a statistics display. */
export interface NegotiationStatistics {
  offers: number;
  answers: number;
  /** Offers of both sides that crossed. */
  collisions: number;
  /** Our offers that were not answered in time. */
  unanswered: number;
  /** Answers and refusals that came when no offer of ours was waiting for one. */
  unexpected: number;
}

/**
 * How long an offer waits for its answer, in ms. Answers take a round trip; a server that is still busy
 * after this long has lost the offer, or ignored it for an offer of its own that never reached us.
 */
export const ANSWER_DEADLINE_MS = 10_000;

/** How long to wait after the first, second, … failure in a row, in ms. After the last one the negotiation fails. */
export const RETRY_DELAYS_MS: readonly number[] = [500, 1000, 2000, 4000];

/** Temporary refusals by the server: too many requests, an error of its own, overload. */
const TEMPORARY_CODES: ReadonlySet<number> = new Set([429, 500, 503]);

type InputOf<Is extends Input["is"]> = Extract<Input, { is: Is }>;
type Row = { [Is in Input["is"]]?: (input: InputOf<Is>, now: number) => Action[] };

/** Inputs that the server can cause at any time: in a state without an entry for them they are counted, not errors. */
const REMOTE_INPUTS: ReadonlySet<Input["is"]> = new Set(["remote-answer", "refused"]);

/** One connection's negotiation. */
export class Negotiation {
  #state: State = "stable";
  /** We have changes that need another offer. */
  #wanted = false;
  /** The server's offer that arrived during an operation. A newer one replaces it: the server has dropped the older. */
  #waitingOffer: string | null = null;
  #hasSignaling = true;
  /** Our offer while it waits for its answer. */
  #offer = "";
  /** The server has dropped the offer that is being answered: it makes the offer again. */
  #answersInVain = false;
  /** When the wait for an answer ends. */
  #answerDeadline = Infinity;
  /** We make no offer before this time. */
  #notBefore = -Infinity;
  /** Failures since the last success. */
  #failures = 0;
  /** The code with which the server refused the offer that is being rolled back. */
  #refusal: number | null = null;
  readonly #counters: NegotiationStatistics = {
    offers: 0,
    answers: 0,
    collisions: 0,
    unanswered: 0,
    unexpected: 0,
  };

  get state(): State {
    return this.#state;
  }

  /** Whether the WebSocket is connected. */
  get hasSignaling(): boolean {
    return this.#hasSignaling;
  }

  /** Whether an offer of the server waits to be applied. */
  get hasWaitingOffer(): boolean {
    return this.#waitingOffer !== null;
  }

  statistics(): Readonly<NegotiationStatistics> {
    return { ...this.#counters };
  }

  /** When `timeout` is due, or null. */
  nextTimeout(): number | null {
    if (!this.#hasSignaling) return null;
    if (this.#state === "offered") return this.#answerDeadline;
    return this.#state === "stable" && this.#wanted ? this.#notBefore : null;
  }

  /**
   * Takes one input and returns what to do, in order.
   *
   * Throws when the input is the result of an operation that was not requested: a bug of the caller.
   */
  step(input: Input, now: number): Action[] {
    if (input.is === "close") {
      this.#state = "closed";
      return [];
    }
    // The result of an operation may still arrive after the end.
    if (this.#state === "closed") return [];
    if (input.is === "signaling-lost") return this.#loseSignaling();
    if (input.is === "signaling-restored") return this.#restoreSignaling(now);
    const handler = this.#transitions[this.#state][input.is] as
      ((input: Input, now: number) => Action[]) | undefined;
    if (handler !== undefined) return handler(input, now);
    if (REMOTE_INPUTS.has(input.is)) this.#counters.unexpected += 1;
    else if (input.is !== "timeout") throw new Error(`${input.is} in state ${this.#state}`);
    return [];
  }

  readonly #want = (): Action[] => {
    this.#wanted = true;
    return [];
  };

  readonly #keep = (input: InputOf<"remote-offer">): Action[] => {
    this.#waitingOffer = input.sdp;
    return [];
  };

  /** What each state does with each input. An input without an entry has no meaning in that state. */
  readonly #transitions: Record<Exclude<State, "closed">, Row> = {
    stable: {
      needed: (_, now) => {
        this.#wanted = true;
        return this.#next(now);
      },
      "remote-offer": (input) => this.#answer(input.sdp),
      timeout: (_, now) => this.#next(now),
    },
    offering: {
      needed: this.#want,
      "remote-offer": this.#keep,
      "offer-made": (input, now) => {
        if (this.#waitingOffer !== null) return this.#collide(this.#waitingOffer);
        this.#state = "offered";
        this.#offer = input.sdp;
        this.#counters.offers += 1;
        return this.#hasSignaling ? this.#sendOffer(now) : [];
      },
      failed: (input, now) => this.#recover(`offer: ${input.error}`, now),
    },
    offered: {
      needed: this.#want,
      "remote-offer": (input) => (input.knowsOurs === true ? this.#persist() : this.#collide(input.sdp)),
      "remote-answer": (input) => {
        this.#state = "applying";
        return [{ do: "apply-answer", sdp: input.sdp }];
      },
      refused: (input, now) => {
        this.#refusal = input.code;
        return this.#recover(`the server refuses the offer (${input.code})`, now);
      },
      timeout: (_, now) => {
        if (now < this.#answerDeadline) return [];
        this.#counters.unanswered += 1;
        return this.#recover("the server does not answer", now);
      },
    },
    applying: {
      needed: this.#want,
      "remote-offer": this.#keep,
      "answer-applied": (_, now) => this.#succeed(now),
      failed: (input, now) => this.#recover(`answer of the server: ${input.error}`, now),
    },
    answering: {
      needed: this.#want,
      "remote-offer": this.#keep,
      "answer-made": (input, now) => {
        if (this.#answersInVain) return this.#succeed(now);
        this.#counters.answers += 1;
        return [{ do: "send-answer", sdp: input.sdp }, ...this.#succeed(now)];
      },
      failed: (input, now) => this.#recover(`offer of the server: ${input.error}`, now),
    },
    "rolling-back": {
      needed: this.#want,
      "remote-offer": this.#keep,
      "rolled-back": (_, now) => {
        this.#state = "stable";
        return [...this.#withdrawal(), ...this.#next(now)];
      },
      failed: (input) => this.#giveUp(`rollback: ${input.error}`),
    },
  };

  #loseSignaling(): Action[] {
    this.#hasSignaling = false;
    this.#answerDeadline = Infinity;
    this.#waitingOffer = null;
    this.#answersInVain = true;
    return [];
  }

  #restoreSignaling(now: number): Action[] {
    this.#hasSignaling = true;
    if (this.#state === "offered") return this.#sendOffer(now);
    return this.#state === "stable" ? this.#next(now) : [];
  }

  #sendOffer(now: number): Action[] {
    this.#answerDeadline = now + ANSWER_DEADLINE_MS;
    return [{ do: "send-offer", sdp: this.#offer }];
  }

  /** In a stable state: the next operation, if there is one. The server's offer goes first: it is waiting. */
  #next(now: number): Action[] {
    if (this.#waitingOffer !== null) return this.#answer(this.#waitingOffer);
    if (!this.#wanted || !this.#hasSignaling || now < this.#notBefore) return [];
    this.#wanted = false;
    this.#state = "offering";
    return [{ do: "make-offer" }];
  }

  #answer(sdp: string): Action[] {
    this.#waitingOffer = null;
    this.#answersInVain = false;
    this.#state = "answering";
    return [{ do: "answer-offer", sdp }];
  }

  /** Offers crossed. Applying the server's rolls ours back, so our changes need another offer. */
  #collide(sdp: string): Action[] {
    this.#counters.collisions += 1;
    this.#wanted = true;
    return this.#answer(sdp);
  }

  /** Offers crossed, but the server has applied ours: it answers ours again, and then repeats its own. */
  #persist(): Action[] {
    this.#counters.collisions += 1;
    return [];
  }

  #succeed(now: number): Action[] {
    this.#failures = 0;
    this.#notBefore = -Infinity;
    this.#state = "stable";
    return this.#next(now);
  }

  /** Rolls back to the last stable state, and retries later, a limited number of times. */
  #recover(reason: string, now: number): Action[] {
    const delay = RETRY_DELAYS_MS[this.#failures];
    if (delay === undefined) return this.#giveUp(reason);
    this.#failures += 1;
    this.#notBefore = now + delay;
    // The server repeats its own failed offer. We repeat ours unless the refusal was permanent.
    if (this.#state !== "answering" && !this.#isRefusedForGood()) this.#wanted = true;
    this.#state = "rolling-back";
    return [{ do: "roll-back" }];
  }

  /** After the rollback of a refused offer: a permanently refused offer must not be repeated. */
  #withdrawal(): Action[] {
    const actions: Action[] = this.#isRefusedForGood() ? [{ do: "withdraw" }] : [];
    this.#refusal = null;
    return actions;
  }

  #isRefusedForGood(): boolean {
    return this.#refusal !== null && !TEMPORARY_CODES.has(this.#refusal);
  }

  #giveUp(reason: string): Action[] {
    this.#state = "closed";
    return [{ do: "give-up", reason }];
  }
}
