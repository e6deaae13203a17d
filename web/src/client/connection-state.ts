/** The states of a client's membership in a room, and what leads from one to the next. */

/** Where a client stands. */
export type ConnectionState =
  /** Not in a room yet. */
  | "idle"
  /** The WebSocket is being opened. */
  | "connecting"
  /** The server has been asked to let us in. */
  | "joining"
  /** In the room. */
  | "joined"
  /** In the room for the others, but without the server's ear: on the way back to "joined". Media may go on. */
  | "reconnecting"
  /** The program has called `leave`; the last messages are on their way. */
  | "leaving"
  /** Left. */
  | "closed"
  /** Not let in, or lost. */
  | "failed";

/** What changes the state. */
export type ConnectionEvent =
  | "join"
  | "opened"
  | "accepted"
  | "refused"
  /** The connection broke, and the way back has begun. */
  | "interrupted"
  /** It is over: there is no way, or no way back. */
  | "lost"
  | "leave"
  | "closed";

const TRANSITIONS: Record<ConnectionState, Partial<Record<ConnectionEvent, ConnectionState>>> = {
  idle: { join: "connecting", leave: "idle" },
  connecting: { opened: "joining", lost: "failed", leave: "leaving" },
  joining: { accepted: "joined", refused: "failed", lost: "failed", leave: "leaving" },
  joined: { interrupted: "reconnecting", lost: "failed", leave: "leaving" },
  reconnecting: { accepted: "joined", refused: "failed", lost: "failed", leave: "leaving" },
  leaving: { closed: "closed", leave: "leaving" },
  closed: { join: "connecting", leave: "closed" },
  failed: { join: "connecting", leave: "closed" },
};

/** The state that follows. Throws where the event has no meaning in `state`: joining twice, for example. */
export function nextState(state: ConnectionState, event: ConnectionEvent): ConnectionState {
  const next = TRANSITIONS[state][event];
  if (next === undefined) throw new Error(`cannot ${event} while ${state}`);
  return next;
}
