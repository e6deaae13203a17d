/** The options and the events of a room. */
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
  /** State of the media connection: "disconnected" may recover, "failed" leads to a new connection. */
  transportChanged: RTCPeerConnectionState;
  /** A peer is in the room; peers that joined before us are announced too. */
  peerJoined: RemotePeer;
  peerLeft: RemotePeer;
  /** A peer's connection broke: the peer either comes back (`peerResumed`) or leaves. */
  peerSuspended: RemotePeer;
  peerResumed: RemotePeer;
  /** A peer switched a microphone, camera or screen on or off. */
  mediaStateChanged: RemotePeer;
  /**
   * A peer has started or stopped publishing a track. Changes during a reconnection are reported after it; tracks
   * published before our join are in `peers`.
   */
  trackPublished: { peer: RemotePeer; track: TrackInfo };
  trackUnpublished: { peer: RemotePeer; track: TrackInfo };
  /** A peer's track is now received, or no longer. */
  trackSubscribed: RemoteTrack;
  trackUnsubscribed: RemoteTrack;
  /** A track of ours is published (reported again for each new connection), or no longer. */
  published: Publication;
  publicationEnded: { publication: Publication; reason: EndReason };
  /** An error that does not end the room; errors that end it come with `stateChanged`. */
  error: RoomError;
}

/** The room to join, and the user's identity. */
export interface JoinOptions {
  roomId: string;
  /** The name that others see. */
  name: string;
  /** Identifies the user across joins; by default random. */
  userId?: string;
  /** The signaling address, "ws:" or "wss:"; by default `ws` beside the page. */
  url?: string;
  /** A signed join token, if the server requires one. */
  token?: string;
  /**
   * Whether to keep the session in this tab's sessionStorage, so that a reload of the page comes back to it
   * instead of joining as a new peer; by default true.
   */
  remember?: boolean;
}

/** The ids that the server assigned at the join. */
export interface Session {
  readonly peerId: string;
  readonly roomId: string;
  readonly sessionId: string;
  readonly sessionToken: string;
}
