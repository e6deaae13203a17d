/** What a program tells a room, and what a room tells a program. */
import type { ConnectionState } from "./connection-state.js";
import type { RoomError } from "./errors.js";
import type { EndReason, Publication } from "./publications.js";
import type { TrackInfo } from "./protocol.js";
import type { RemoteTrack } from "./remote-tracks.js";
import type { RemotePeer } from "./roster.js";

/** The events of a room, and what comes with each. */
export interface RoomEvents {
  /** The membership changed its state; `error` says why when it is "failed" or "reconnecting". */
  stateChanged: { state: ConnectionState; previous: ConnectionState; error: RoomError | null };
  /** State of the media connection: "disconnected" may heal, "failed" is followed by another connection. */
  transportChanged: RTCPeerConnectionState;
  /** Somebody is in the room: those who came before us are announced too. */
  peerJoined: RemotePeer;
  peerLeft: RemotePeer;
  /** Somebody's connection broke: they come back (`peerResumed`), or they leave after all. */
  peerSuspended: RemotePeer;
  peerResumed: RemotePeer;
  /** Somebody switched a microphone, camera or screen on or off. */
  mediaStateChanged: RemotePeer;
  /**
   * Somebody publishes a track that can be received, or no longer does; what happened while we were away is told on
   * our return, and what was there before us is in `peers`.
   */
  trackPublished: { peer: RemotePeer; track: TrackInfo };
  trackUnpublished: { peer: RemotePeer; track: TrackInfo };
  /** Somebody's track is received from now on, or no longer. */
  trackSubscribed: RemoteTrack;
  trackUnsubscribed: RemoteTrack;
  /** A track of ours is published, on a new connection once more; or it is no longer. */
  published: Publication;
  publicationEnded: { publication: Publication; reason: EndReason };
  /** Something went wrong and the room goes on; what ends the room comes with `stateChanged`. */
  error: RoomError;
}

/** Whom to join, as whom. */
export interface JoinOptions {
  roomId: string;
  /** The name that others see. */
  name: string;
  /** The same for the same person each time; by default a random one. */
  userId?: string;
  /** The signaling address, "ws:" or "wss:"; by default `ws` beside the page. */
  url?: string;
  /** A signed join token, where the server asks for one. */
  token?: string;
  /**
   * Whether to keep the session in this tab's sessionStorage, so that a reload of the page comes back to it
   * instead of joining as somebody new; by default true.
   */
  remember?: boolean;
}

/** What the server gave us when it let us in. */
export interface Session {
  readonly peerId: string;
  readonly roomId: string;
  readonly sessionId: string;
  readonly sessionToken: string;
}
