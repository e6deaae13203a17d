/** The other peers in the room and their tracks, from the server's messages. */
import {
  ALL_OFF,
  type MediaState,
  type PeerIdentity,
  type PeerInfo,
  type Source,
  type TrackInfo,
} from "./protocol.js";

/** Another peer in the room. A change makes a new object; the old one stays as it was. */
export interface RemotePeer extends PeerIdentity {
  readonly mediaState: MediaState;
  /** Its connection broke; it may come back or leave. Its media may continue meanwhile. */
  readonly suspended: boolean;
  /** What this peer publishes, by trackId. */
  readonly tracks: ReadonlyMap<string, TrackInfo>;
}

/** What a message changed. */
export type RosterChange =
  | { change: "joined"; peer: RemotePeer }
  | { change: "left"; peer: RemotePeer }
  | { change: "suspended"; peer: RemotePeer }
  | { change: "resumed"; peer: RemotePeer }
  | { change: "media-state"; peer: RemotePeer }
  | { change: "published" | "unpublished"; peer: RemotePeer; track: TrackInfo };

/** The other peers of a room. */
export class Roster {
  readonly #peers = new Map<string, RemotePeer>();

  get peers(): ReadonlyMap<string, RemotePeer> {
    return this.#peers;
  }

  /** The whole room, as the server sees it. The tracks of a new peer are no change: they come with the peer. */
  replaceAll(peers: readonly PeerInfo[]): RosterChange[] {
    const present = new Set(peers.map((peer) => peer.peerId));
    const gone = [...this.#peers.keys()].filter((peerId) => !present.has(peerId));
    const changes = gone.flatMap((peerId) => this.left(peerId));
    for (const info of peers) {
      const known = this.#peers.get(info.peerId);
      const peer: RemotePeer = {
        peerId: info.peerId,
        userId: info.userId,
        name: info.name,
        mediaState: info.mediaState,
        suspended: info.suspended,
        tracks: new Map(info.tracks.map((track) => [track.trackId, track])),
      };
      this.#peers.set(peer.peerId, peer);
      if (known === undefined) {
        changes.push({ change: "joined", peer });
        continue;
      }
      if (known.suspended !== peer.suspended) changes.push(suspension(peer));
      if (!sameMediaState(known.mediaState, peer.mediaState)) changes.push({ change: "media-state", peer });
      for (const [trackId, track] of known.tracks) {
        if (!peer.tracks.has(trackId)) changes.push({ change: "unpublished", peer, track });
      }
      for (const [trackId, track] of peer.tracks) {
        if (!known.tracks.has(trackId)) changes.push({ change: "published", peer, track });
      }
    }
    return changes;
  }

  joined(identity: PeerIdentity): RosterChange[] {
    if (this.#peers.has(identity.peerId)) return [];
    const { peerId, userId, name } = identity;
    const peer: RemotePeer = { peerId, userId, name, mediaState: ALL_OFF, suspended: false, tracks: new Map() };
    this.#peers.set(peerId, peer);
    return [{ change: "joined", peer }];
  }

  left(peerId: string): RosterChange[] {
    const peer = this.#peers.get(peerId);
    if (peer === undefined) return [];
    this.#peers.delete(peerId);
    return [{ change: "left", peer }];
  }

  /** Its connection broke or is restored, perhaps under another name. */
  suspended({ peerId, name }: PeerIdentity, suspended: boolean): RosterChange[] {
    const peer = this.#peers.get(peerId);
    if (peer === undefined || peer.suspended === suspended) return [];
    const changed = { ...peer, suspended, name: name || peer.name };
    this.#peers.set(peerId, changed);
    return [suspension(changed)];
  }

  mediaState(peerId: string, state: MediaState): RosterChange[] {
    const peer = this.#peers.get(peerId);
    if (peer === undefined || sameMediaState(peer.mediaState, state)) return [];
    const { micEnabled, cameraEnabled, screenEnabled } = state;
    const changed = { ...peer, mediaState: { micEnabled, cameraEnabled, screenEnabled } };
    this.#peers.set(peerId, changed);
    return [{ change: "media-state", peer: changed }];
  }

  /** A peer publishes a track; returns the peer, or null if it is unknown. */
  published(peerId: string, track: TrackInfo): RemotePeer | null {
    return this.#changeTracks(peerId, (tracks) => tracks.set(track.trackId, track));
  }

  /** A track has ended; returns its peer, or null if it is unknown. */
  unpublished(peerId: string, trackId: string): RemotePeer | null {
    return this.#changeTracks(peerId, (tracks) => tracks.delete(trackId));
  }

  #changeTracks(peerId: string, change: (tracks: Map<string, TrackInfo>) => unknown): RemotePeer | null {
    const peer = this.#peers.get(peerId);
    if (peer === undefined) return null;
    const tracks = new Map(peer.tracks);
    change(tracks);
    const changed = { ...peer, tracks };
    this.#peers.set(peerId, changed);
    return changed;
  }

  /**
   * What a track in a slot is; null while it is not published.
   *
   * Messages and descriptions can arrive at different times: an offer that is still being applied may carry the track
   * of a peer that has left. The messages decide which peers and tracks exist.
   */
  sourceOf(peerId: string, trackId: string): Source | null {
    return this.#peers.get(peerId)?.tracks.get(trackId)?.source ?? null;
  }
}

function suspension(peer: RemotePeer): RosterChange {
  return { change: peer.suspended ? "suspended" : "resumed", peer };
}

function sameMediaState(a: MediaState, b: MediaState): boolean {
  return (
    a.micEnabled === b.micEnabled && a.cameraEnabled === b.cameraEnabled && a.screenEnabled === b.screenEnabled
  );
}
