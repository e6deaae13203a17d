/**
 * What to do about media that does not flow: wait, restart ICE, or build a new connection. A machine without a browser.
 *
 *     connecting ──connected──> flowing <──connected── interrupted
 *                                  └──disconnected──────────^
 *     each of them ──failed──> connecting, on a new connection
 *     connecting ──timeout──> connecting, on a new connection
 *
 * A connection that never connects need not fail: without a candidate pair a browser keeps waiting for one, and a
 * DTLS handshake has no timeout. So the end of each negotiation starts a timeout here.
 *
 * An ICE restart keeps everything but the path: the server makes the offer for it, and media goes on along the
 * old path meanwhile if that still works.
 */

/** What happened. */
export type RecoveryInput =
  /** Both sides' descriptions are in force: from now on the connection should come up. */
  | "agreed"
  /** The RTCPeerConnection's states; its other states add no information. */
  | "connecting"
  | "connected"
  | "disconnected"
  | "failed"
  /** The browser reported a network change. */
  | "network"
  /** The server's offer for an ICE restart has arrived. */
  | "restart-offered"
  /** The WebSocket is lost, or restored. */
  | "signaling-lost"
  | "signaling-restored"
  /** A new RTCPeerConnection has replaced the old one. */
  | "replaced"
  /** The time `nextTimeout` is reached. */
  | "timeout";

/** What to do next. */
export type RecoveryAction =
  /** Ask the server for an ICE restart. */
  | "ask-restart"
  /** Build a new RTCPeerConnection. */
  | "replace"
  /** No connection could be established. */
  | "give-up";

type State = "connecting" | "flowing" | "interrupted";
type Row = Partial<Record<RecoveryInput, (now: number) => RecoveryAction | null>>;

/** How long a connection may have no candidate pair to check after a negotiation, in ms: candidates come with it. */
export const BEGIN_WITHIN_MS = 8000;

/** How long it may then try to connect, in ms. On a lossy network ICE and DTLS each retransmit with growing delays. */
export const CONNECT_WITHIN_MS = 20_000;

/** How long media may stop before the client asks for an ICE restart, in ms: most shorter breaks end by themselves. */
export const RESTART_AFTER_MS = 3000;

/** How long to wait for the effect of an ICE restart before asking for another, in ms. */
export const RESTART_AGAIN_MS = 8000;

/** The number of consecutive connections that never connected, after which recovery gives up. */
export const MAX_FAILED_CONNECTIONS = 3;

/** The recovery of media during one stay in a room, over several connections. */
export class Recovery {
  #state: State = "connecting";
  #failures = 0;
  #hasSignaling = true;
  /** An ICE restart was requested, or is due when the WebSocket is back, and its offer has not arrived yet. */
  #wanted = false;
  #restartAt = Infinity;
  /** When a connection that has not connected is given up. */
  #connectBy = Infinity;

  /** When `timeout` is due, or null. */
  nextTimeout(): number | null {
    if (!this.#hasSignaling || this.#state === "flowing") return null;
    const time = this.#state === "connecting" ? this.#connectBy : this.#restartAt;
    return time === Infinity ? null : time;
  }

  /** Takes one input and returns what to do. Times are milliseconds of a monotonic clock. */
  step(input: RecoveryInput, now: number): RecoveryAction | null {
    return (this.#transitions[this.#state][input] ?? this.#always[input])?.(now) ?? null;
  }

  /** What each state does with its inputs. */
  readonly #transitions: Record<State, Row> = {
    connecting: {
      agreed: (now) => {
        if (this.#connectBy === Infinity) this.#connectBy = now + BEGIN_WITHIN_MS;
        return null;
      },
      connecting: (now) => {
        this.#connectBy = now + CONNECT_WITHIN_MS;
        return null;
      },
      connected: () => this.#flow(),
      timeout: (now) => (now < this.#connectBy ? null : this.#fail()),
      "signaling-restored": (now) => {
        this.#hasSignaling = true;
        // The messages that it needs may have been lost with the WebSocket.
        if (this.#connectBy !== Infinity) this.#connectBy = Math.max(this.#connectBy, now + BEGIN_WITHIN_MS);
        return null;
      },
    },
    flowing: {
      disconnected: (now) => {
        this.#state = "interrupted";
        this.#restartAt = now + RESTART_AFTER_MS;
        return null;
      },
      network: (now) => this.#ask(now),
    },
    interrupted: {
      connected: () => this.#flow(),
      network: (now) => this.#ask(now),
      timeout: (now) => (now < this.#restartAt ? null : this.#ask(now)),
      "signaling-restored": (now) => {
        this.#hasSignaling = true;
        return this.#ask(now);
      },
    },
  };

  /** Handles inputs for which the state has no entry. */
  readonly #always: Row = {
    failed: () => this.#fail(),
    replaced: () => {
      this.#state = "connecting";
      this.#connectBy = Infinity;
      this.#wanted = false;
      return null;
    },
    "restart-offered": () => {
      this.#wanted = false;
      return null;
    },
    "signaling-lost": () => {
      this.#hasSignaling = false;
      return null;
    },
    "signaling-restored": (now) => {
      this.#hasSignaling = true;
      return this.#wanted ? this.#ask(now) : null;
    },
  };

  #flow(): null {
    this.#state = "flowing";
    this.#failures = 0;
    return null;
  }

  #fail(): "replace" | "give-up" {
    this.#connectBy = Infinity;
    this.#failures += 1;
    return this.#failures < MAX_FAILED_CONNECTIONS ? "replace" : "give-up";
  }

  #ask(now: number): "ask-restart" | null {
    this.#wanted = true;
    this.#restartAt = now + RESTART_AGAIN_MS;
    return this.#hasSignaling ? "ask-restart" : null;
  }
}
