/** The states of a client's membership in a room, and their transitions. */

/** The state of a client's membership. */
export type ConnectionState =
  /** Not in a room yet. */
  | "idle"
  /** The WebSocket is being opened. */
  | "connecting"
  /** The join was sent and is not answered yet. */
  | "joining"
  /** In the room. */
  | "joined"
  /** The WebSocket is lost and the client reconnects. The peer is still in the room; media may continue. */
  | "reconnecting"
  /** The program has called `leave`; the last messages are being sent. */
  | "leaving"
  /** Left. */
  | "closed"
  /** The join was refused, or the connection was lost. */
  | "failed";

/** What changes the state. */
export type ConnectionEvent =
  | "join"
  | "opened"
  | "accepted"
  | "refused"
  /** The connection broke, and reconnecting has begun. */
  | "interrupted"
  /** The join or the reconnection has failed. */
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

/** The state that follows. Throws if the event is not allowed in `state`: joining twice, for example. */
export function nextState(state: ConnectionState, event: ConnectionEvent): ConnectionState {
  const next = TRANSITIONS[state][event];
  if (next === undefined) throw new Error(`cannot ${event} while ${state}`);
  return next;
}
