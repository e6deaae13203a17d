/** A room, as a program in a browser uses it. */
import { type ConnectionEvent, type ConnectionState, nextState } from "./connection-state.js";
import { type Deferred, deferred } from "./deferred.js";
import { Emitter } from "./emitter.js";
import { RoomError } from "./errors.js";
import { type ConnectionFactory, MediaConnection } from "./media-connection.js";
import { type EndReason, Publication, Publications, type PublishOptions } from "./publications.js";
import type { MediaState, ServerMessage, ServerMessages } from "./protocol.js";
import type { JoinOptions, RoomEvents, Session } from "./room-events.js";
import { readSlots, type RemoteTrack, RemoteTracks } from "./remote-tracks.js";
import { type RemotePeer, Roster, type RosterChange } from "./roster.js";
import { SignalingConnection, type SocketFactory } from "./signaling.js";
import { type RoomStatistics, summarize } from "./stats.js";

/** How a room reaches the world; tests put fakes here. */
export interface RoomEnvironment {
  createSocket: SocketFactory;
  createConnection: ConnectionFactory;
}

/** How long the server may take from the first byte to being in the room, in ms. */
export const JOIN_DEADLINE_MS = 15_000;

const BROWSER: RoomEnvironment = {
  createSocket: (url) => new WebSocket(url),
  createConnection: (configuration) => new RTCPeerConnection(configuration),
};

/**
 * One person's membership in one room: publishes tracks, and reports the tracks of the others.
 *
 * It may be joined again after it was left or has failed; what was published and not withdrawn is then
 * published again.
 */
export class Room extends Emitter<RoomEvents> {
  readonly #environment: RoomEnvironment;
  readonly #publications = new Publications();
  #state: ConnectionState = "idle";
  #joining: Deferred<undefined> | null = null;
  #leaving: Promise<void> | null = null;
  #joinTimer: ReturnType<typeof setTimeout> | undefined;
  #signaling: SignalingConnection | null = null;
  #session: Session | null = null;
  #iceServers: RTCIceServer[] = [];
  #connection: MediaConnection | null = null;
  #roster = new Roster();
  #remoteTracks = new RemoteTracks();
  #announcedMediaState = "";

  constructor(environment: Partial<RoomEnvironment> = {}) {
    super();
    this.#environment = { ...BROWSER, ...environment };
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Our own ids in the room, or null while not in one. */
  get session(): Session | null {
    return this.#session;
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
   * Enters a room; resolves when we are in it and know who else is.
   *
   * Rejects with a RoomError: "unreachable", "refused" (with the server's code), "lost", or "left" when `leave` was
   * called meanwhile. Throws when already in a room or on the way.
   */
  async join(options: JoinOptions): Promise<void> {
    this.#change("join");
    // Whoever heard that may have left again at once.
    if (this.state !== "connecting") throw new RoomError("left", "left the room");
    const joining = deferred<undefined>();
    this.#joining = joining;
    this.#joinTimer = setTimeout(() => {
      this.#fail(new RoomError("unreachable", "the server did not let us in in time"));
    }, JOIN_DEADLINE_MS);
    try {
      this.#signaling = new SignalingConnection(options.url ?? defaultUrl(), this.#environment.createSocket, {
        opened: () => {
          this.#sendJoin(options);
        },
        message: (message) => {
          this.#receive(message);
        },
        invalid: (reason) => {
          this.emit("error", new RoomError("protocol", `the server sent something unreadable: ${reason}`));
        },
        closed: (reason) => {
          this.#fail(new RoomError(this.#state === "connecting" ? "unreachable" : "lost", reason));
        },
      });
    } catch (error) {
      // The browser refuses some addresses at once, "ws:" from an "https:" page for example.
      this.#fail(new RoomError("unreachable", String(error)));
    }
    await joining.promise;
  }

  /**
   * Publishes a track: at once when in a room, else as soon as we are.
   *
   * The track stays the caller's: it is never stopped here. When it ends by itself, the publication ends.
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

  /** Leaves for good, whatever is under way; resolves when the server knows. All publications end. */
  leave(): Promise<void> {
    this.#leaving ??= this.#leave().finally(() => {
      this.#leaving = null;
    });
    return this.#leaving;
  }

  async #leave(): Promise<void> {
    const signaling = this.#signaling;
    this.#signaling = null;
    this.#change("leave");
    signaling?.send("leave", {});
    const closed = signaling?.close();
    this.#finish(new RoomError("left", "left the room"));
    for (const publication of this.publications) this.#endPublication(publication, "left");
    if (closed !== undefined) await withDeadline(closed, LEAVE_DEADLINE_MS);
    if (this.#state === "leaving") this.#change("closed");
  }

  /** Figures of what is received and sent now, per track. */
  async statistics(): Promise<RoomStatistics> {
    const report = await this.#connection?.getStats();
    return {
      ...summarize(report ?? new Map<string, never>(), this.#remoteTracks.all, this.#publications.all),
      signaling: this.#signaling?.statistics() ?? null,
      negotiation: this.#connection?.negotiationStatistics() ?? null,
    };
  }

  #sendJoin(options: JoinOptions): void {
    this.#change("opened");
    const { roomId, name, token } = options;
    const userId = options.userId ?? crypto.randomUUID();
    this.#signaling?.send("join", { roomId, userId, name, ...(token === undefined ? {} : { token }) });
  }

  #receive(message: ServerMessage): void {
    if (this.#state === "joining") this.#receiveJoining(message);
    else if (this.#state === "joined") this.#receiveJoined(message);
  }

  #receiveJoining(message: ServerMessage): void {
    if (message.type === "join" && message.data.success) {
      const { peerId, roomId, sessionId, sessionToken, iceServers } = message.data;
      this.#session = { peerId, roomId, sessionId, sessionToken };
      this.#iceServers = iceServers;
      this.#change("accepted");
    } else if (message.type === "join") {
      this.#fail(new RoomError("refused", message.data.reason, { request: "join" }));
    } else if (message.type === "error") {
      const { code, message: text, type } = message.data;
      this.#fail(new RoomError("refused", text, { code, request: type }));
    }
  }

  #receiveJoined(message: ServerMessage): void {
    switch (message.type) {
      case "room-state":
        this.#applyRoster(this.#roster.replaceAll(message.data.peers));
        if (this.#joining !== null) this.#entered(this.#joining, this.#session);
        break;
      case "peer-joined":
        this.#applyRoster(this.#roster.joined(message.data));
        break;
      case "peer-left":
        this.#applyRoster(this.#roster.left(message.data.peerId));
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
      case "offer":
      case "answer":
      case "ice-candidate":
        this.#connection?.receive(message);
        break;
      case "error":
        this.#requestRefused(message.data);
        break;
      case "join":
      case "ping":
      case "pong":
        break;
    }
  }

  /** Entering is complete: we know who is here, and so how many slots the first offer should bring. */
  #entered(joining: Deferred<undefined>, session: Session | null): void {
    clearTimeout(this.#joinTimer);
    const expected = [...this.peers.values()].flatMap(({ tracks }) => [...tracks.values()]);
    this.#connection = new MediaConnection(
      this.#environment.createConnection,
      this.#iceServers,
      session?.peerId ?? "",
      this.#publications,
      expected.map(({ kind }) => kind),
      {
        send: (type, data) => this.#signaling?.send(type, data),
        remoteDescriptionChanged: () => {
          this.#updateRemoteTracks();
        },
        stateChanged: (state) => {
          this.emit("transportChanged", state);
          if (state === "failed") this.#fail(new RoomError("media-failed", "no media can reach the server"));
        },
        withdraw: () => {
          for (const publication of this.#publications.unaccepted) this.#endPublication(publication, "refused");
        },
        giveUp: (reason) => {
          this.#fail(new RoomError("negotiation-failed", reason));
        },
      },
    );
    this.#announceMediaState();
    this.#joining = null;
    joining.resolve(undefined);
  }

  #trackPublished(data: ServerMessages["track-published"]): void {
    const { peerId, mid, ...track } = data;
    if (peerId !== this.#session?.peerId) {
      this.#roster.published(peerId, track);
      this.#updateRemoteTracks();
      return;
    }
    const publication = mid === null ? null : this.#publications.byMid(mid);
    if (publication === null || publication.trackId === track.trackId) return;
    publication.accept(track.trackId);
    this.emit("published", publication);
  }

  #trackUnpublished({ peerId, trackId }: ServerMessages["track-unpublished"]): void {
    if (peerId !== this.#session?.peerId) {
      this.#roster.unpublished(peerId, trackId);
      this.#updateRemoteTracks();
      return;
    }
    const publication = this.#publications.byTrackId(trackId);
    if (publication !== null) this.#endPublication(publication, "removed");
  }

  #requestRefused({ code, message, type }: ServerMessages["error"]): void {
    this.emit("error", new RoomError("request-refused", message, { code, request: type }));
    if (type === "offer") this.#connection?.offerRefused(code);
  }

  #endPublication(publication: Publication, reason: EndReason): void {
    if (publication.ended !== null) return;
    this.#publications.remove(publication, reason);
    this.emit("publicationEnded", { publication, reason });
    this.#announceMediaState();
  }

  /** Tells the others what is switched on here, when it has changed. */
  #announceMediaState(): void {
    if (this.#state !== "joined") return;
    const state = this.#publications.mediaState;
    const text = JSON.stringify(state);
    if (text === this.#announcedMediaState) return;
    this.#announcedMediaState = text;
    this.#signaling?.send("media-state", state);
  }

  #applyRoster(changes: RosterChange[]): void {
    // Tracks of those who left go first, so that a tile never outlives its person.
    this.#updateRemoteTracks();
    for (const { change, peer } of changes) {
      if (change === "joined") this.emit("peerJoined", peer);
      else if (change === "left") this.emit("peerLeft", peer);
      else this.emit("mediaStateChanged", peer);
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
    for (const track of added) this.emit("trackSubscribed", track);
  }

  /** The one place where a membership is lost: by a refusal, a broken WebSocket, or media that cannot flow. */
  #fail(error: RoomError): void {
    const signaling = this.#signaling;
    this.#signaling = null;
    const previous = this.#state;
    const isRefusal = previous === "joining" && error.kind === "refused";
    const state = (this.#state = nextState(previous, isRefusal ? "refused" : "lost"));
    void signaling?.close();
    this.#finish(error);
    // Last, when nothing of the old stay is left: whoever hears this may join again at once.
    this.emit("stateChanged", { state, previous, error });
  }

  /** Lets go of everything that belongs to one stay in a room; publications remain. */
  #finish(error: RoomError): void {
    clearTimeout(this.#joinTimer);
    this.#connection?.close();
    this.#connection = null;
    this.#publications.setConnection(null);
    this.#session = null;
    this.#announcedMediaState = "";
    this.#joining?.reject(error);
    this.#joining = null;
    const { removed } = this.#remoteTracks.update([], () => null);
    const left = this.#roster.replaceAll([]);
    this.#roster = new Roster();
    for (const track of removed) this.emit("trackUnsubscribed", track);
    for (const { peer } of left) this.emit("peerLeft", peer);
  }

  #change(event: ConnectionEvent): void {
    const previous = this.#state;
    this.#state = nextState(previous, event);
    if (this.#state !== previous) this.emit("stateChanged", { state: this.#state, previous, error: null });
  }
}

/** How long to wait for the server's goodbye, in ms. */
const LEAVE_DEADLINE_MS = 2000;

/** Waits for `promise`, but no longer than `limitMs`. */
async function withDeadline(promise: Promise<void>, limitMs: number): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const deadline = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, limitMs);
  });
  await Promise.race([promise, deadline]);
  clearTimeout(timer);
}

function defaultUrl(): string {
  const url = new URL("ws", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.search = "";
  url.hash = "";
  return url.href;
}
