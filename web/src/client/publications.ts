/** What this client publishes, and the transceivers that carry it. */
import { type Deferred, deferred } from "./deferred.js";
import { RoomError } from "./errors.js";
import { defaultSource, type Kind, type MediaState, type Source } from "./protocol.js";

/** How a track is to be published. */
export interface PublishOptions {
  /** What it is; by default audio is the microphone and video is the camera. */
  source?: Source;
  /** The encoder's parameters (RTCRtpTransceiverInit.sendEncodings); by default those of `DEFAULT_MAX_BITRATE`. */
  sendEncodings?: RTCRtpEncodingParameters[];
}

/**
 * The upper limit of what is sent per video source, in bit/s. A 1280x720 camera looks good at 1.5 Mbit/s; the
 * small print on a shared screen needs more for each of its fewer frames.
 */
export const DEFAULT_MAX_BITRATE: Readonly<Record<Source, number>> = {
  mic: 64_000,
  camera: 1_500_000,
  screen: 2_500_000,
};

/** Why a publication ended. */
export type EndReason =
  /** `unpublish` was called. */
  | "unpublished"
  /** The track ended: a device was unplugged, or the user stopped sharing in the browser's own bar. */
  | "track-ended"
  /** The server refused it. */
  | "refused"
  /** The server removed it. */
  | "removed"
  /** The room was left. */
  | "left";

/** One published track. */
export class Publication {
  readonly kind: Kind;
  readonly source: Source;
  readonly sendEncodings: RTCRtpEncodingParameters[];
  /**
   * Resolves with the trackId when the server has published the track; rejects with a RoomError when it will not.
   * Pending until the room is joined.
   */
  readonly ready: Promise<string>;
  #track: MediaStreamTrack | null;
  #trackId: string | null = null;
  #ended: EndReason | null = null;
  #muted = false;
  readonly #changed: () => void;
  readonly #onTrackEnded: () => void;
  #transceiver: RTCRtpTransceiver | null = null;
  /** Resolves when the transceiver has changed or was removed. */
  #moved: Deferred<undefined> = deferred();
  readonly #resolveReady: (trackId: string) => void;
  readonly #rejectReady: (error: RoomError) => void;

  /** Made by `Room.publish`. */
  constructor(
    track: MediaStreamTrack,
    options: PublishOptions,
    hooks: { changed: () => void; trackEnded: (publication: Publication) => void },
  ) {
    this.kind = track.kind as Kind;
    this.source = options.source ?? defaultSource(this.kind);
    this.sendEncodings = options.sendEncodings ?? [{ maxBitrate: DEFAULT_MAX_BITRATE[this.source] }];
    this.#changed = hooks.changed;
    this.#onTrackEnded = () => {
      hooks.trackEnded(this);
    };
    const ready = deferred<string>();
    this.ready = ready.promise;
    this.#resolveReady = ready.resolve;
    this.#rejectReady = ready.reject;
    // Programs that do not use `ready` learn of a failure from the room's events.
    this.ready.catch(() => undefined);
    this.#track = track;
    track.addEventListener("ended", this.#onTrackEnded);
  }

  /** What is sent now; null while the source is switched off by `replaceTrack(null)`. */
  get track(): MediaStreamTrack | null {
    return this.#track;
  }

  /** The server's id for it, or null before the server has published it. */
  get trackId(): string | null {
    return this.#trackId;
  }

  /** Why it ended, or null while it has not. */
  get ended(): EndReason | null {
    return this.#ended;
  }

  /** Others see it as switched off: it was muted, or has no track. */
  get muted(): boolean {
    return this.#muted || this.#track === null;
  }

  /** The transceiver that carries it; null before the room is joined, and after the end. */
  get transceiver(): RTCRtpTransceiver | null {
    return this.#transceiver;
  }

  /**
   * Mutes or unmutes: while muted, silence or black is sent, and other peers are told.
   *
   * The device stays open, so that this takes no time. To release a camera, use `replaceTrack(null)`.
   */
  setMuted(muted: boolean): void {
    this.#muted = muted;
    if (this.#track !== null) this.#track.enabled = !muted;
    this.#changed();
  }

  /**
   * Sends another track of the same kind from now on, without negotiation; null sends nothing and shows others
   * that the source is off. The old track is not stopped: its creator owns it.
   */
  async replaceTrack(track: MediaStreamTrack | null): Promise<void> {
    if (this.#ended !== null) throw new Error("replaceTrack on a publication that has ended");
    if (track !== null && track.kind !== this.kind) throw new Error(`a ${track.kind} track for ${this.kind}`);
    this.#track?.removeEventListener("ended", this.#onTrackEnded);
    this.#track = track;
    track?.addEventListener("ended", this.#onTrackEnded);
    if (track !== null) track.enabled = !this.#muted;
    this.#changed();
    // Firefox never settles this promise if the connection closes meanwhile; the next connection has the new track.
    await Promise.race([this.#transceiver?.sender.replaceTrack(track), this.#moved.promise]);
  }

  /** For the room: sets the transceiver that carries it. */
  attach(transceiver: RTCRtpTransceiver | null): void {
    this.#moved.resolve(undefined);
    this.#moved = deferred();
    this.#transceiver = transceiver;
    this.#trackId = null;
  }

  /** For the room: the server has published it. */
  accept(trackId: string): void {
    this.#trackId = trackId;
    this.#resolveReady(trackId);
  }

  /** For the room: it has ended. */
  end(reason: EndReason): void {
    this.#moved.resolve(undefined);
    this.#ended = reason;
    this.#transceiver = null;
    this.#track?.removeEventListener("ended", this.#onTrackEnded);
    this.#rejectReady(
      new RoomError(reason === "refused" ? "request-refused" : "left", `not published: ${reason}`),
    );
  }
}

/** All publications of a client, in the order in which they were made. */
export class Publications {
  readonly #publications = new Set<Publication>();
  /** The publications that our last offer added. */
  #offered = new Set<Publication>();
  /** The publications that are offered again after others were accepted or refused. */
  #held = new Set<Publication>();
  #connection: RTCPeerConnection | null = null;
  /** Transceivers without a publication, by `slotKey`, to be used again: each new one lengthens the SDP. */
  #parked = new Map<string, RTCRtpTransceiver[]>();

  get all(): Publication[] {
    return [...this.#publications];
  }

  /** What other peers see as switched on. */
  get mediaState(): MediaState {
    const on = (source: Source) => this.all.some((each) => each.source === source && !each.muted);
    return { micEnabled: on("mic"), cameraEnabled: on("camera"), screenEnabled: on("screen") };
  }

  add(publication: Publication): void {
    if (this.#connection !== null) this.#carry(publication, this.#connection);
    this.#publications.add(publication);
  }

  /** Removes one. Its transceiver is kept for the next of its kind. */
  remove(publication: Publication, reason: EndReason): void {
    this.#publications.delete(publication);
    this.#offered.delete(publication);
    this.#held.delete(publication);
    const { transceiver } = publication;
    publication.end(reason);
    // One that was rejected cannot be used again.
    if (transceiver === null || transceiver.currentDirection === "stopped") return;
    // Not `stop()`: after a stop before the first negotiation Chromium keeps firing `negotiationneeded`.
    transceiver.direction = "inactive";
    void transceiver.sender.replaceTrack(null);
    const parked = this.#parked.get(slotKey(publication));
    if (parked === undefined) this.#parked.set(slotKey(publication), [transceiver]);
    else parked.push(transceiver);
  }

  /** Publishes everything on a new connection; null removes it from the old one. */
  setConnection(connection: RTCPeerConnection | null): void {
    this.#connection = connection;
    this.#parked = new Map();
    this.#offered = new Set();
    this.#held = new Set();
    for (const publication of this.#publications) {
      if (connection === null) publication.attach(null);
      else this.#carry(publication, connection);
    }
  }

  /** What an offer that was just made publishes: the source of each mid. */
  offer(): { mid: string; source: Source }[] {
    const tracks: { mid: string; source: Source }[] = [];
    this.#offered = new Set();
    for (const publication of this.#publications) {
      const mid = publication.transceiver?.mid ?? null;
      if (mid === null || this.#held.has(publication)) continue;
      this.#offered.add(publication);
      tracks.push({ mid, source: publication.source });
    }
    return tracks;
  }

  /**
   * The server has refused what was new in the last offer. Returns the publications to end.
   *
   * The server does not say which one it refused, but grants are for kinds and sources. If there are several of these,
   * none ends yet; they are offered one after the other.
   */
  refused(): Publication[] {
    const [alike, others] = firstAlike(this.#unaccepted);
    if (others.length === 0) return alike;
    this.#offered = new Set(alike);
    for (const publication of others) {
      this.#held.add(publication);
      if (publication.transceiver !== null) publication.transceiver.direction = "inactive";
    }
    return [];
  }

  /** Offers the next waiting publication, once the others were accepted or refused. */
  proceed(): void {
    if (this.#unaccepted.length > 0) return;
    for (const publication of firstAlike([...this.#held])[0]) {
      this.#held.delete(publication);
      if (publication.transceiver !== null) publication.transceiver.direction = "sendonly";
    }
  }

  /** Those of the last offer that the server has not published. */
  get #unaccepted(): Publication[] {
    return [...this.#offered].filter((publication) => publication.trackId === null);
  }

  /** Those whose m-section the server has rejected: the browser has stopped their transceivers. */
  get rejected(): Publication[] {
    return this.all.filter(({ transceiver }) => transceiver?.currentDirection === "stopped");
  }

  byMid(mid: string): Publication | null {
    return this.all.find((publication) => publication.transceiver?.mid === mid) ?? null;
  }

  byTrackId(trackId: string): Publication | null {
    return this.all.find((publication) => publication.trackId === trackId) ?? null;
  }

  #carry(publication: Publication, connection: RTCPeerConnection): void {
    const { track } = publication;
    const streams = track === null ? [] : [new MediaStream([track])];
    const parked = this.#takeParked(publication);
    if (parked === null) {
      publication.attach(
        connection.addTransceiver(track ?? publication.kind, {
          direction: "sendonly",
          streams,
          sendEncodings: publication.sendEncodings,
        }),
      );
      return;
    }
    parked.direction = "sendonly";
    parked.sender.setStreams(...streams);
    void parked.sender.replaceTrack(track);
    publication.attach(parked);
  }

  /**
   * A transceiver of the same kind, source and encodings whose end has been negotiated. Before that, the server
   * could not tell the old publication from the new one: it would see one m-section that never stopped sending.
   */
  #takeParked(publication: Publication): RTCRtpTransceiver | null {
    const parked = this.#parked.get(slotKey(publication)) ?? [];
    const index = parked.findIndex((transceiver) => transceiver.currentDirection === "inactive");
    return index < 0 ? null : (parked.splice(index, 1)[0] ?? null);
  }
}

/** Those that are of the kind and source of the first one, and the others. */
function firstAlike(publications: readonly Publication[]): [Publication[], Publication[]] {
  const isAlike = ({ kind, source }: Publication) =>
    kind === publications[0]?.kind && source === publications[0].source;
  return [publications.filter(isAlike), publications.filter((each) => !isAlike(each))];
}

/** What publications must have in common to use one transceiver after the other: it gets its encodings only once. */
function slotKey({ kind, source, sendEncodings }: Publication): string {
  return JSON.stringify([kind, source, sendEncodings]);
}
