/** The errors of a room: a kind for the program and a message for the user. */

/** The kinds of errors. */
export type RoomErrorKind =
  /** No WebSocket to the server could be opened. */
  | "unreachable"
  /** The server refused the join; `code` says why. */
  | "refused"
  /** The connection broke while joining, or broke later and could not be restored. */
  | "lost"
  /** Another connection took over the session, for example from another window. */
  | "replaced"
  /** No media can flow: ICE or DTLS failed, or the browser cannot create an RTCPeerConnection. */
  | "media-failed"
  /** The offer/answer negotiation failed. */
  | "negotiation-failed"
  /** The server refused one request; `code` says why. The room continues. */
  | "request-refused"
  /** The server sent something that this library does not understand. The room continues. */
  | "protocol"
  /** The room was left while an operation was pending. */
  | "left";

/** An error of a room. */
export class RoomError extends Error {
  override readonly name = "RoomError";
  readonly kind: RoomErrorKind;
  /** The server's code, HTTP-like (403, 503, …), or null if the error is not from the server. */
  readonly code: number | null;
  /** The type of the message that the server refused, or null. */
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
