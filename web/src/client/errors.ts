/** What can go wrong, in a form that a program can tell apart and a person can be told. */

/** The kinds of errors. */
export type RoomErrorKind =
  /** No WebSocket to the server could be opened. */
  | "unreachable"
  /** The server would not let us in; `code` says why. */
  | "refused"
  /** The connection broke while joining, or broke later and could not be had back. */
  | "lost"
  /** The session goes on elsewhere: in another window, for example. */
  | "replaced"
  /** No media can flow: ICE or DTLS failed, or the browser makes no connection. */
  | "media-failed"
  /** The two sides could not agree on what to send. */
  | "negotiation-failed"
  /** The server refused one request; `code` says why. The room goes on. */
  | "request-refused"
  /** The server sent something that this library does not understand. The room goes on. */
  | "protocol"
  /** The room was left while something was under way. */
  | "left";

/** An error of a room. */
export class RoomError extends Error {
  override readonly name = "RoomError";
  readonly kind: RoomErrorKind;
  /** The server's code, HTTP-like (403, 503, …), or null where it was not the server that complained. */
  readonly code: number | null;
  /** The type of the message that the server complained about, or null. */
  readonly request: string | null;

  constructor(
    kind: RoomErrorKind,
    message: string,
    details: { code?: number | null; request?: string | null } = {},
  ) {
    super(message);
    this.kind = kind;
    this.code = details.code ?? null;
    this.request = details.request ?? null;
  }
}
