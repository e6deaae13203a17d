/** The public interface to a room. */
import { Alarm } from "./alarm.js";
import { type ConnectionState, nextState } from "./connection-state.js";
import { type Deferred, deferred } from "./deferred.js";
import { Emitter } from "./emitter.js";
import { RoomError } from "./errors.js";
import { type ConnectionFactory, MediaConnection } from "./media-connection.js";
import { MediaRecovery } from "./media-recovery.js";
import { Membership, type MembershipEnvironment } from "./membership.js";
import { type NetworkWatch, watchNetwork } from "./network.js";
import { type EndReason, Publication, Publications, type PublishOptions } from "./publications.js";
import type { MediaState, ServerMessage, ServerMessages, Transport } from "./protocol.js";
import type { JoinOptions, RoomEvents, Session } from "./room-events.js";
import { readSlots, type RemoteTrack, RemoteTracks } from "./remote-tracks.js";
import { type RemotePeer, Roster, type RosterChange } from "./roster.js";
import { SessionStore } from "./session-store.js";
import { type RoomStatistics, summarize } from "./stats.js";
import { Subscriptions } from "./subscriptions.js";

/** The browser functions that a room uses; tests replace them. */
export interface RoomEnvironment extends MembershipEnvironment {
  createConnection: ConnectionFactory;
  watchNetwork: NetworkWatch;
}

const BROWSER: RoomEnvironment = {
  createSocket: (url) => new WebSocket(url),
  createConnection: (configuration) => new RTCPeerConnection(configuration),
  random: () => Math.random(),
  sessions: new SessionStore(() => sessionStorage),
  watchNetwork,
};

/** How long to wait before a message that an overloaded server dropped is sent again, in ms. */
export const REPEAT_AFTER_MS = 1000;

/** Requests that the server answers with error 409 when its end of the RTCPeerConnection has closed. */
const ABOUT_THE_CONNECTION: ReadonlySet<string | null> = new Set(["offer", "answer", "ice-restart-request"]);

/**
 * One person's membership in one room: publishes tracks, and reports the tracks of the others.
 *
 * When the connection to the server breaks, the room reconnects, and resumes the same session if possible. Media
 * continues meanwhile if it can. A room may be joined again after it was left or has failed; publications that were
 * not ended are then published again.
 */
export class Room extends Emitter<RoomEvents> {
  readonly #environment: RoomEnvironment;
  readonly #membership: Membership;
  readonly #publications = new Publications();
  #joining: Deferred<undefined> | null = null;
  /** Set between an acknowledgement and its room-state: how the session continues. */
  #entry: Transport | null = null;
  #iceServers: RTCIceServer[] = [];
  #connection: MediaConnection | null = null;
  #recovery: MediaRecovery | null = null;
  #stopWatching: (() => void) | null = null;
  #roster = new Roster();
  #remoteTracks = new RemoteTracks();
  readonly #subscriptions = new Subscriptions((type, data) => {
    this.#membership.send(type, data);
  });
  #announcedMediaState = "";
  readonly #repetition = new Alarm(() => {
    this.#announceMediaState();
  });

  constructor(environment: Partial<RoomEnvironment> = {}) {
    super();
    this.#environment = { ...BROWSER, ...environment };
    this.#membership = new Membership(this.#environment, {
      stateChanged: (change) => {
        this.#stateChanged(change);
      },
      accepted: ({ resumed, transport, iceServers }) => {
        this.#iceServers = iceServers;
        this.#entry = resumed ? transport : "new";
        if (this.#entry === "new") this.#dropConnection();
      },
      message: (message) => {
        this.#receive(message);
      },
      invalid: (reason) => {
        this.emit("error", new RoomError("protocol", `the server sent something unreadable: ${reason}`));
      },
      silent: () => {
        this.#networkChanged();
      },
      transport: () => (this.#connection === null ? "new" : "keep"),
    });
  }

  get state(): ConnectionState {
    return this.#membership.state;
  }

  /** Whether the server counts us as in the room: "joined" or "reconnecting". */
  get inRoom(): boolean {
    return this.state === "joined" || this.state === "reconnecting";
  }

  /** Our own ids in the room, or null while not in one. */
  get session(): Session | null {
    return this.#membership.session;
  }

  /** The others in the room, by peerId. */
  get peers(): ReadonlyMap<string, RemotePeer> {
    return this.#roster.peers;
  }

  /** The tracks that are received at this moment. */
  get remoteTracks(): RemoteTrack[] {
    return this.#remoteTracks.all;
  }

  /** What we publish. */
  get publications(): Publication[] {
    return this.#publications.all;
  }

  /** What others see as switched on here. */
  get mediaState(): MediaState {
    return this.#publications.mediaState;
  }

  /**
   * Joins a room; resolves when the join is accepted and the other peers are known.
   *
   * Rejects with a RoomError: "unreachable", "refused" (with the server's code), "lost", or "left" when `leave` was
   * called meanwhile. Throws when already in a room or joining one.
   */
  async join(options: JoinOptions): Promise<void> {
    nextState(this.state, "join"); // throws if joining is not possible in this state
    const joining = (this.#joining = deferred<undefined>());
    this.#membership.join(options);
    await joining.promise;
  }

  /**
   * Publishes a track: at once when in a room, else as soon as we are.
   *
   * The caller owns the track: this library never stops it. When it ends by itself, the publication ends.
   */
  publish(track: MediaStreamTrack, options: PublishOptions = {}): Publication {
    const publication = new Publication(track, options, {
      changed: () => {
        this.#announceMediaState();
      },
      trackEnded: (ended) => {
        this.#endPublication(ended, "track-ended");
      },
    });
    this.#publications.add(publication);
    this.#announceMediaState();
    return publication;
  }

  /** Ends a publication; does nothing when it has ended already. */
  unpublish(publication: Publication): void {
    this.#endPublication(publication, "unpublished");
  }

  /**
   * Subscribes to a peer's track, up to the simulcast layer `layer` (null: the best one).
   *
   * Where the server subscribes everybody to everything this is needed only after `unsubscribe`. It holds until the
   * track ends, also when the connection breaks meanwhile. Resolves when the server agrees; rejects with a RoomError:
   * "request-refused", or how the room ended. Throws when not in a room, or when there is no such track.
   */
  async subscribe(trackId: string, layer: string | null = null): Promise<void> {
    await this.#subscriptions.want(this.#publisherOf(trackId), trackId, layer);
  }

  /** Unsubscribes from a peer's track until `subscribe`; resolves, rejects and throws like `subscribe`. */
  async unsubscribe(trackId: string): Promise<void> {
    await this.#subscriptions.refuse(this.#publisherOf(trackId), trackId);
  }

  /** Whether a peer's track is received, or will be once that is negotiated. */
  isSubscribed(trackId: string): boolean {
    return (
      this.#subscriptions.isWanted(trackId) ?? this.remoteTracks.some((track) => track.trackId === trackId)
    );
  }

  /** The highest simulcast layer requested of a peer's track, also by an earlier page; null: the best. */
  preferredLayer(trackId: string): string | null {
    return this.#subscriptions.preferredLayer(trackId);
  }

  /** Leaves the room in any state and ends all publications. Resolves when the WebSocket is closed or timed out. */
  async leave(): Promise<void> {
    const left = this.#membership.leave();
    this.#finish(new RoomError("left", "left the room"));
    for (const publication of this.publications) this.#endPublication(publication, "left");
    await left;
  }

  /** Figures of what is received and sent now, per track. */
  async statistics(): Promise<RoomStatistics> {
    const report = await this.#connection?.getStats();
    return {
      ...summarize(report ?? new Map<string, never>(), this.#remoteTracks.all, this.#publications.all),
      signaling: this.#membership.statistics(),
      negotiation: this.#connection?.negotiationStatistics() ?? null,
    };
  }

  #stateChanged(change: RoomEvents["stateChanged"]): void {
    if (change.state === "reconnecting") {
      this.#entry = null;
      this.#announcedMediaState = "";
      this.#connection?.signalingLost();
      this.#recovery?.step("signaling-lost");
    }
    // First, so that nothing of the old stay is left when a listener joins again at once.
    if (change.state === "failed") this.#finish(change.error);
    this.emit("stateChanged", change);
  }

  #receive(message: ServerMessage): void {
    switch (message.type) {
      case "room-state": {
        const changes = this.#roster.replaceAll(message.data.peers);
        // First, so that listeners of the changes can read the subscriptions.
        this.#subscriptions.restore(
          message.data.subscriptions,
          (peerId, trackId) => this.#roster.sourceOf(peerId, trackId) !== null,
        );
        this.#applyRoster(changes);
        if (this.#entry !== null) this.#entered(this.#entry);
        break;
      }
      case "peer-joined":
        this.#applyRoster(this.#roster.joined(message.data));
        break;
      case "peer-left":
        for (const trackId of this.peers.get(message.data.peerId)?.tracks.keys() ?? []) {
          this.#subscriptions.ended(trackId);
        }
        this.#applyRoster(this.#roster.left(message.data.peerId));
        break;
      case "peer-suspended":
      case "peer-resumed":
        this.#applyRoster(this.#roster.suspended(message.data, message.type === "peer-suspended"));
        break;
      case "media-state":
        this.#applyRoster(this.#roster.mediaState(message.data.peerId, message.data));
        break;
      case "track-published":
        this.#trackPublished(message.data);
        break;
      case "track-unpublished":
        this.#trackUnpublished(message.data);
        break;
      case "subscription-ack":
        this.#subscriptions.acknowledged(message.data);
        break;
      case "ice-restart-offer":
        this.#recovery?.step("restart-offered");
        this.#connection?.receive(message);
        break;
      case "offer":
      case "answer":
      case "ice-candidate":
        this.#connection?.receive(message);
        break;
      case "error":
        this.#requestRefused(message.data);
        break;
      case "join":
      case "server-draining": // the membership's
      case "ping":
      case "pong":
        break;
    }
  }

  /** We are in the room, or in it again, and know who is here. */
  #entered(entry: Transport): void {
    this.#entry = null;
    if (entry === "keep" && this.#connection === null) {
      // The connection that the server has kept failed here during the reconnection.
      this.#membership.renew();
      return;
    }
    this.#stopWatching ??= this.#environment.watchNetwork(() => {
      this.#networkChanged();
    });
    this.#recovery ??= this.#careForMedia();
    if (this.#connection === null) {
      try {
        this.#connection = this.#connect();
      } catch (error) {
        this.#membership.fail(new RoomError("media-failed", String(error)));
        return;
      }
      this.#recovery.step("replaced");
    } else {
      this.#connection.signalingRestored();
    }
    this.#recovery.step("signaling-restored");
    this.#announceMediaState();
    this.#joining?.resolve(undefined);
    this.#joining = null;
  }

  /** The network has changed: messages and media move to the new network at once. */
  #networkChanged(): void {
    this.#membership.networkChanged();
    this.#recovery?.step("network");
  }

  /** Opens a connection whose first offer has our publications and one m-line for each published track. */
  #connect(): MediaConnection {
    const expected = [...this.peers.values()].flatMap(({ tracks }) => [...tracks.values()]);
    return new MediaConnection(
      this.#environment.createConnection,
      this.#iceServers,
      this.session?.peerId ?? "",
      this.#publications,
      expected.map(({ kind }) => kind),
      {
        send: (type, data) => {
          this.#membership.send(type, data);
        },
        remoteDescriptionChanged: () => {
          this.#updateRemoteTracks();
          for (const publication of this.#publications.rejected) this.#endPublication(publication, "refused");
        },
        agreed: () => {
          this.#recovery?.step("agreed");
        },
        stateChanged: (state) => {
          this.emit("transportChanged", state);
          if (state !== "new" && state !== "closed") this.#recovery?.step(state);
          if (state === "disconnected") this.#membership.probe();
        },
        silent: () => {
          this.#membership.probe();
        },
        withdraw: () => {
          for (const publication of this.#publications.refused()) this.#endPublication(publication, "refused");
        },
        giveUp: (reason) => {
          this.#membership.fail(new RoomError("negotiation-failed", reason));
        },
      },
    );
  }

  #careForMedia(): MediaRecovery {
    return new MediaRecovery({
      askForRestart: () => {
        this.#membership.send("ice-restart-request", {});
      },
      replace: () => {
        this.#dropConnection();
        this.#membership.renew();
      },
      giveUp: () => {
        this.#membership.fail(new RoomError("media-failed", "no media can reach the server"));
      },
    });
  }

  #trackPublished(data: ServerMessages["track-published"]): void {
    const { peerId, mid, ...track } = data;
    if (peerId !== this.session?.peerId) {
      const peer = this.#roster.published(peerId, track);
      this.#updateRemoteTracks();
      if (peer !== null) this.emit("trackPublished", { peer, track });
      return;
    }
    const publication = mid === null ? null : this.#publications.byMid(mid);
    if (publication === null || publication.trackId === track.trackId) return;
    publication.accept(track.trackId);
    this.#publications.proceed();
    this.emit("published", publication);
  }

  #trackUnpublished({ peerId, trackId }: ServerMessages["track-unpublished"]): void {
    if (peerId !== this.session?.peerId) {
      const track = this.peers.get(peerId)?.tracks.get(trackId);
      const peer = this.#roster.unpublished(peerId, trackId);
      this.#subscriptions.ended(trackId);
      this.#updateRemoteTracks();
      if (peer !== null && track !== undefined) this.emit("trackUnpublished", { peer, track });
      return;
    }
    const publication = this.#publications.byTrackId(trackId);
    if (publication !== null) this.#endPublication(publication, "removed");
  }

  #requestRefused({ code, message, type }: ServerMessages["error"]): void {
    const error = new RoomError("request-refused", message, { code, request: type });
    this.#subscriptions.refused(error);
    if (code === 429 && type === "media-state") {
      this.#announcedMediaState = "";
      this.#repetition.set(performance.now() + REPEAT_AFTER_MS);
    }
    this.emit("error", error);
    if (code === 409 && ABOUT_THE_CONNECTION.has(type)) this.#recovery?.step("failed");
    else if (type === "offer") this.#connection?.offerRefused(code);
  }

  #publisherOf(trackId: string): string {
    if (!this.inRoom) throw new RoomError("left", "not in a room");
    for (const { peerId, tracks } of this.peers.values()) if (tracks.has(trackId)) return peerId;
    throw new RoomError("request-refused", "no peer publishes this track");
  }

  #endPublication(publication: Publication, reason: EndReason): void {
    if (publication.ended !== null) return;
    this.#publications.remove(publication, reason);
    this.#publications.proceed();
    this.emit("publicationEnded", { publication, reason });
    this.#announceMediaState();
  }

  /** Sends our switched-on sources to the server when they have changed. */
  #announceMediaState(): void {
    if (this.state !== "joined") return;
    const state = this.#publications.mediaState;
    const text = JSON.stringify(state);
    if (text === this.#announcedMediaState) return;
    this.#announcedMediaState = text;
    this.#membership.send("media-state", state);
  }

  #applyRoster(changes: RosterChange[]): void {
    // Tracks of peers that left end first, so that a track never outlives its peer.
    this.#updateRemoteTracks();
    for (const each of changes) {
      const { change, peer } = each;
      // A listener of the previous event may have left the room.
      if (change !== "left" && !this.peers.has(peer.peerId)) continue;
      if (change === "published") this.emit("trackPublished", { peer, track: each.track });
      else if (change === "unpublished") this.emit("trackUnpublished", { peer, track: each.track });
      else this.emit(ROSTER_EVENTS[change], peer);
    }
  }

  #updateRemoteTracks(): void {
    const connection = this.#connection;
    if (connection === null) return;
    const sections = connection.sections();
    const slots = readSlots(sections, (...track) => this.#roster.sourceOf(...track));
    const received = connection.receivedTracks();
    const { removed, added } = this.#remoteTracks.update(slots, (mid) => received.get(mid) ?? null);
    for (const track of removed) this.emit("trackUnsubscribed", track);
    for (const track of added) {
      if (this.#connection === connection) this.emit("trackSubscribed", track);
    }
  }

  /** Closes the RTCPeerConnection, and ends what was received through it; publications remain. */
  #dropConnection(): void {
    for (const track of this.#closeConnection()) this.emit("trackUnsubscribed", track);
  }

  /** The same without events; returns the tracks that were received. */
  #closeConnection(): RemoteTrack[] {
    this.#connection?.close();
    this.#connection = null;
    this.#publications.setConnection(null);
    return this.#remoteTracks.update([], () => null).removed;
  }

  /** Releases everything that belongs to one stay in a room; publications remain. */
  #finish(error: RoomError | null): void {
    this.#stopWatching?.();
    this.#stopWatching = null;
    this.#recovery?.close();
    this.#recovery = null;
    this.#repetition.set(null);
    this.#entry = null;
    this.#announcedMediaState = "";
    this.#subscriptions.close(error ?? new RoomError("lost", "the room has ended"));
    const removed = this.#closeConnection();
    const left = this.#roster.replaceAll([]);
    this.#roster = new Roster();
    if (error !== null) this.#joining?.reject(error);
    this.#joining = null;
    // Last: listeners of these events may join again at once.
    for (const track of removed) this.emit("trackUnsubscribed", track);
    for (const { peer } of left) this.emit("peerLeft", peer);
  }
}

/** The event for each change of the roster. */
const ROSTER_EVENTS = {
  joined: "peerJoined",
  left: "peerLeft",
  suspended: "peerSuspended",
  resumed: "peerResumed",
  "media-state": "mediaStateChanged",
} as const satisfies Partial<Record<RosterChange["change"], keyof RoomEvents>>;
