/** Who else is in the room, and what they publish: a record kept from the server's messages. */
import {
  ALL_OFF,
  defaultSource,
  type Kind,
  type MediaState,
  type PeerIdentity,
  type PeerInfo,
  type Source,
  type TrackInfo,
} from "./protocol.js";

/** Somebody else in the room. A change makes a new object; the old one stays as it was. */
export interface RemotePeer extends PeerIdentity {
  readonly mediaState: MediaState;
  /** Its connection broke, and it may come back: nobody knows yet. Its media may go on meanwhile. */
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
  | { change: "media-state"; peer: RemotePeer };

/** The other peers of a room. */
export class Roster {
  readonly #peers = new Map<string, RemotePeer>();
  /**
   * Tracks that were unpublished while a slot still carries them: the message and the offer that empties the slot
   * are two things. Bounded by `keepRetired`.
   */
  readonly #retired = new Set<string>();

  get peers(): ReadonlyMap<string, RemotePeer> {
    return this.#peers;
  }

  /** The whole room, as the server sees it. */
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
      for (const trackId of known?.tracks.keys() ?? []) this.#retired.add(trackId);
      for (const trackId of peer.tracks.keys()) this.#retired.delete(trackId);
      this.#peers.set(peer.peerId, peer);
      if (known === undefined) {
        changes.push({ change: "joined", peer });
        continue;
      }
      if (known.suspended !== peer.suspended) changes.push(suspension(peer));
      if (!sameMediaState(known.mediaState, peer.mediaState)) changes.push({ change: "media-state", peer });
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
    for (const trackId of peer.tracks.keys()) this.#retired.add(trackId);
    return [{ change: "left", peer }];
  }

  /** Its connection broke, or is there again. */
  suspended(peerId: string, suspended: boolean): RosterChange[] {
    const peer = this.#peers.get(peerId);
    if (peer === undefined || peer.suspended === suspended) return [];
    const changed = { ...peer, suspended };
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

  published(peerId: string, track: TrackInfo): void {
    this.#retired.delete(track.trackId);
    const peer = this.#peers.get(peerId);
    if (peer === undefined) return;
    this.#peers.set(peerId, { ...peer, tracks: new Map(peer.tracks).set(track.trackId, track) });
  }

  unpublished(peerId: string, trackId: string): void {
    this.#retired.add(trackId);
    const peer = this.#peers.get(peerId);
    if (peer === undefined) return;
    const tracks = new Map(peer.tracks);
    tracks.delete(trackId);
    this.#peers.set(peerId, { ...peer, tracks });
  }

  /** What a track in a slot is; null when it has been unpublished. A track never heard of is the usual one of its kind. */
  sourceOf(peerId: string, trackId: string, kind: Kind): Source | null {
    if (this.#retired.has(trackId)) return null;
    return this.#peers.get(peerId)?.tracks.get(trackId)?.source ?? defaultSource(kind);
  }

  /** Forgets all retired tracks but those that a slot still carries. */
  keepRetired(inSlots: ReadonlySet<string>): void {
    for (const trackId of this.#retired) if (!inSlots.has(trackId)) this.#retired.delete(trackId);
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
