/** Carries out what `Negotiation` decides, on an RTCPeerConnection. */
import { Alarm } from "./alarm.js";
import { type Action, type Input, Negotiation, type NegotiationStatistics } from "./negotiation.js";
import { isLite, readSections } from "./sdp.js";

/** Callbacks of a negotiator. */
export interface NegotiatorHooks {
  sendOffer(sdp: string): void;
  sendAnswer(sdp: string): void;
  sendCandidate(candidate: RTCIceCandidate | null): void;
  /** The remote description in force has changed. */
  remoteDescriptionChanged(): void;
  /** An offer and its answer are in force. */
  agreed(): void;
  /** The server refused our offer; it has been rolled back. The next must ask for less, from before this returns. */
  withdraw(): void;
  /** Negotiation has failed. */
  giveUp(reason: string): void;
}

/** The negotiation of one RTCPeerConnection, from its first offer until `close`. */
export class Negotiator {
  readonly #connection: RTCPeerConnection;
  readonly #hooks: NegotiatorHooks;
  readonly #machine = new Negotiation();
  readonly #alarm = new Alarm(() => {
    this.#step({ is: "timeout" });
  });
  /**
   * Candidates that belong to a description which has not been sent yet: they must not overtake it. The first wait for
   * the server's description too, which says whether the server is ICE-lite and needs none.
   */
  #candidates: (RTCIceCandidate | null)[] = [];
  /** The server's, which belong to an offer of it that waits. */
  #remoteCandidates: RTCIceCandidateInit[] = [];

  constructor(connection: RTCPeerConnection, hooks: NegotiatorHooks) {
    this.#connection = connection;
    this.#hooks = hooks;
    connection.onnegotiationneeded = () => {
      this.#step({ is: "needed" });
    };
    connection.onicecandidate = (event) => {
      this.#candidates.push(event.candidate);
      this.#sendWhatWaits();
    };
  }

  statistics(): Readonly<NegotiationStatistics> {
    return this.#machine.statistics();
  }

  remoteOffer(sdp: string): void {
    this.#step({ is: "remote-offer", sdp, knowsOurs: knowsPendingOffer(this.#connection, sdp) });
  }

  remoteAnswer(sdp: string): void {
    this.#step({ is: "remote-answer", sdp });
  }

  remoteCandidate(candidate: RTCIceCandidateInit): void {
    if (this.#machine.hasWaitingOffer) this.#remoteCandidates.push(candidate);
    else this.#addCandidate(candidate);
  }

  /** The server answered our offer with an error. */
  refused(code: number): void {
    this.#step({ is: "refused", code });
  }

  /** The WebSocket is lost: messages are lost until `signalingRestored`. */
  signalingLost(): void {
    this.#remoteCandidates = [];
    this.#step({ is: "signaling-lost" });
  }

  signalingRestored(): void {
    this.#step({ is: "signaling-restored" });
    this.#sendWhatWaits();
  }

  /** Ends the negotiation. The caller closes the RTCPeerConnection. */
  close(): void {
    this.#connection.onnegotiationneeded = null;
    this.#connection.onicecandidate = null;
    this.#candidates = [];
    this.#remoteCandidates = [];
    this.#step({ is: "close" });
  }

  #step(input: Input): void {
    const actions = this.#machine.step(input, performance.now());
    this.#alarm.set(this.#machine.nextTimeout());
    for (const action of actions) this.#perform(action);
  }

  #perform(action: Action): void {
    const connection = this.#connection;
    switch (action.do) {
      case "make-offer":
        this.#run(async () => {
          await connection.setLocalDescription();
          return { is: "offer-made", sdp: connection.localDescription?.sdp ?? "" };
        });
        break;
      case "send-offer":
        this.#hooks.sendOffer(action.sdp);
        this.#flushCandidates();
        break;
      case "apply-answer":
        this.#run(async () => {
          await connection.setRemoteDescription({ type: "answer", sdp: action.sdp });
          return { is: "answer-applied" };
        });
        break;
      case "answer-offer":
        // Candidates of an offer that is rolled back here are useless.
        this.#candidates = [];
        this.#run(async () => {
          const applied = connection.setRemoteDescription({ type: "offer", sdp: action.sdp });
          // The browser takes them in their turn, after the offer.
          for (const candidate of this.#remoteCandidates.splice(0)) this.#addCandidate(candidate);
          await applied;
          await connection.setLocalDescription();
          return { is: "answer-made", sdp: connection.localDescription?.sdp ?? "" };
        });
        break;
      case "send-answer":
        this.#hooks.sendAnswer(action.sdp);
        this.#flushCandidates();
        break;
      case "roll-back":
        this.#candidates = [];
        this.#run(async () => {
          await rollBack(connection);
          return { is: "rolled-back" };
        });
        break;
      case "withdraw":
        this.#hooks.withdraw();
        break;
      case "give-up":
        this.#hooks.giveUp(action.reason);
        break;
    }
  }

  /** Runs one operation and passes its result to the machine. The machine requests no other operation meanwhile. */
  #run(operation: () => Promise<Input>): void {
    const finish = (result: Input): void => {
      if (this.#machine.state === "closed") return;
      this.#hooks.remoteDescriptionChanged();
      if (result.is === "answer-made" || result.is === "answer-applied") this.#hooks.agreed();
      if (result.is === "answer-applied") this.#sendWhatWaits();
      this.#step(result);
    };
    operation().then(finish, (error: unknown) => {
      finish({ is: "failed", error: String(error) });
    });
  }

  #addCandidate(candidate: RTCIceCandidateInit): void {
    // Most are in the server's descriptions too; one that cannot be used is no loss.
    this.#connection.addIceCandidate(candidate).catch(() => undefined);
  }

  /** Sends our candidates, if the description that they belong to is with the server. */
  #sendWhatWaits(): void {
    const { state, hasSignaling } = this.#machine;
    if (hasSignaling && state !== "offering" && state !== "answering") this.#flushCandidates();
  }

  #flushCandidates(): void {
    const { remoteDescription } = this.#connection;
    if (remoteDescription === null) return;
    const candidates = this.#candidates.splice(0);
    // A computer with many networks has so many that the server would have no time for what comes next.
    if (isLite(remoteDescription.sdp)) return;
    for (const candidate of candidates) this.#hooks.sendCandidate(candidate);
  }
}

/** Whether an offer of the server names m-sections that only our pending offer has. */
function knowsPendingOffer(connection: RTCPeerConnection, sdp: string): boolean {
  if (connection.signalingState !== "have-local-offer") return false;
  const agreed = mids(connection.remoteDescription?.sdp);
  const offered = mids(connection.localDescription?.sdp);
  return mids(sdp).some((mid) => offered.includes(mid) && !agreed.includes(mid));
}

function mids(sdp = ""): string[] {
  return readSections(sdp).map(({ mid }) => mid);
}

/** Returns to the last stable state, whichever side's offer is pending. */
async function rollBack(connection: RTCPeerConnection): Promise<void> {
  if (connection.signalingState === "have-local-offer") {
    await connection.setLocalDescription({ type: "rollback" });
  } else if (connection.signalingState === "have-remote-offer") {
    await connection.setRemoteDescription({ type: "rollback" });
  }
}
