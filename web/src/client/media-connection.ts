/** The RTCPeerConnection of a stay in a room. It carries the published and the received tracks. */
import { type Deferred, deferred } from "./deferred.js";
import { Negotiator } from "./negotiator.js";
import type { NegotiationStatistics } from "./negotiation.js";
import type { Publications } from "./publications.js";
import type { ClientMessages, Kind, ServerMessage } from "./protocol.js";
import { readSections, type Section } from "./sdp.js";
import { watchSilence } from "./silence.js";

/** Opens an RTCPeerConnection; tests put a fake here. */
export type ConnectionFactory = (configuration: RTCConfiguration) => RTCPeerConnection;

/** Sends one message to the server. */
export type Send = <Type extends keyof ClientMessages>(type: Type, data: ClientMessages[Type]) => void;

/** A message of the server that is about negotiation. */
export type NegotiationMessage = Extract<
  ServerMessage,
  { type: "offer" | "answer" | "ice-restart-offer" | "ice-candidate" }
>;

/** Callbacks of a media connection. */
export interface MediaConnectionHooks {
  send: Send;
  /** What is received may have changed. */
  remoteDescriptionChanged(): void;
  /** Both sides have agreed on media. */
  agreed(): void;
  stateChanged(state: RTCPeerConnectionState): void;
  /** Everything that was received has stopped. */
  silent(): void;
  /** The server refused our last offer: the next one must contain less. */
  withdraw(): void;
  /** Negotiation has failed and cannot continue. */
  giveUp(reason: string): void;
}

/**
 * The number of m-lines for other peers' tracks in our first offer. They save a round trip at the join. In a larger
 * room the server offers the remaining m-lines itself.
 */
export const MAX_SLOTS_OFFERED = 32;

/** An RTCPeerConnection and its negotiation. */
export class MediaConnection {
  readonly #connection: RTCPeerConnection;
  readonly #negotiator: Negotiator;
  readonly #stopWatching: () => void;
  readonly #closed: Deferred<null> = deferred();
  /** The description that was parsed last. In a large room it has a million characters. */
  #read: { sdp: string; sections: readonly Section[] } = { sdp: "", sections: [] };

  /**
   * Opens a connection for the peer `peerId` and starts to negotiate `publications` and one slot for each of the
   * `expected` tracks.
   *
   * Throws the browser's error if it cannot create a connection or rejects a publication's encodings.
   */
  constructor(
    create: ConnectionFactory,
    iceServers: RTCIceServer[],
    peerId: string,
    publications: Publications,
    expected: readonly Kind[],
    hooks: MediaConnectionHooks,
  ) {
    const connection = create({ iceServers, bundlePolicy: "max-bundle" });
    this.#connection = connection;
    connection.onconnectionstatechange = () => {
      hooks.stateChanged(connection.connectionState);
    };
    this.#negotiator = new Negotiator(connection, {
      sendOffer: (sdp) => {
        hooks.send("offer", { sdp, type: "offer", peerId, tracks: publications.offer() });
      },
      sendAnswer: (sdp) => {
        hooks.send("answer", { sdp, type: "answer", peerId });
      },
      sendCandidate: (candidate) => {
        hooks.send("ice-candidate", {
          candidate: candidate?.candidate ?? "",
          sdpMid: candidate?.sdpMid ?? null,
          sdpMLineIndex: candidate?.sdpMLineIndex ?? null,
        });
      },
      remoteDescriptionChanged: () => {
        hooks.remoteDescriptionChanged();
      },
      agreed: () => {
        // Where every section is rejected there is nothing to connect.
        if (this.sections().length > 0) hooks.agreed();
      },
      withdraw: () => {
        hooks.withdraw();
      },
      giveUp: (reason) => {
        hooks.giveUp(reason);
      },
    });
    this.#stopWatching = watchSilence(connection, () => {
      hooks.silent();
    });
    try {
      publications.setConnection(connection);
      for (const kind of expected.slice(0, MAX_SLOTS_OFFERED)) {
        connection.addTransceiver(kind, { direction: "recvonly" });
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Handles a negotiation message from the server. */
  receive(message: NegotiationMessage): void {
    if (message.type === "offer" || message.type === "ice-restart-offer") {
      this.#negotiator.remoteOffer(message.data.sdp);
    } else if (message.type === "answer") {
      this.#negotiator.remoteAnswer(message.data.sdp);
    } else {
      this.#negotiator.remoteCandidate(message.data);
    }
  }

  /** The server answered our offer with an error. */
  offerRefused(code: number): void {
    this.#negotiator.refused(code);
  }

  /** The WebSocket is lost; media continues. */
  signalingLost(): void {
    this.#negotiator.signalingLost();
  }

  /** The session was resumed with this connection: pending negotiation continues. */
  signalingRestored(): void {
    this.#negotiator.signalingRestored();
  }

  /** What the server sends, as its last description says. */
  sections(): readonly Section[] {
    const sdp = this.#connection.remoteDescription?.sdp ?? "";
    if (sdp !== this.#read.sdp) this.#read = { sdp, sections: readSections(sdp) };
    return this.#read.sections;
  }

  /** The received track of each mid. */
  receivedTracks(): Map<string | null, MediaStreamTrack> {
    return new Map(this.#connection.getTransceivers().map(({ mid, receiver }) => [mid, receiver.track]));
  }

  /** Resolves with null where it is closed meanwhile: Firefox says nothing more then. */
  getStats(): Promise<RTCStatsReport | null> {
    return Promise.race([this.#connection.getStats(), this.#closed.promise]);
  }

  negotiationStatistics(): Readonly<NegotiationStatistics> {
    return this.#negotiator.statistics();
  }

  close(): void {
    this.#stopWatching();
    this.#negotiator.close();
    this.#connection.onconnectionstatechange = null;
    this.#closed.resolve(null);
    this.#connection.close();
  }
}
