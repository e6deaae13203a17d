/**
 * An RTCPeerConnection without network and codecs: transceivers, signaling states, implicit rollback and
 * `negotiationneeded` as the W3C's webrtc specification (sections 4.4 and 4.7) describes them, as far as the
 * library relies on them.
 */
import { readSections } from "../../src/client/sdp.js";
import { FakeTrack } from "./media.js";

type Direction = RTCRtpTransceiverDirection;

export class FakeTransceiver {
  mid: string | null = null;
  currentDirection: Direction | null = null;
  /** The direction in the last negotiation. */
  negotiated: Direction | null = null;
  readonly kind: string;
  readonly init: RTCRtpTransceiverInit;
  readonly receiver: { track: FakeTrack };
  readonly sender: FakeSender;
  readonly #owner: FakeConnection;
  #direction: Direction;

  constructor(owner: FakeConnection, kind: string, track: FakeTrack | null, init: RTCRtpTransceiverInit) {
    this.#owner = owner;
    this.kind = kind;
    this.init = init;
    this.#direction = init.direction ?? "sendrecv";
    this.receiver = { track: new FakeTrack(kind) };
    this.sender = new FakeSender(track);
  }

  get direction(): Direction {
    return this.#direction;
  }

  set direction(direction: Direction) {
    if (this.currentDirection === "stopped") throw new DOMException("stopped", "InvalidStateError");
    this.#direction = direction;
    this.#owner.checkNeeded();
  }

  /** The other side has rejected the m-section (section 4.4.1.5: "stop the RTCRtpTransceiver"). */
  stop(): void {
    this.mid = null;
    this.#direction = this.currentDirection = this.negotiated = "stopped";
  }
}

class FakeSender {
  track: FakeTrack | null;
  streams: unknown[] = [];
  #stalled: Promise<void> = Promise.resolve();

  constructor(track: FakeTrack | null) {
    this.track = track;
  }

  /** Operations from now on never finish, as those queued behind another when a connection is closed. */
  stall(): void {
    this.#stalled = new Promise(() => undefined);
  }

  async replaceTrack(track: FakeTrack | null): Promise<void> {
    await this.#stalled;
    this.track = track;
  }

  setStreams(...streams: unknown[]): void {
    this.streams = streams;
  }
}

interface Description {
  type: "offer" | "answer" | "rollback";
  sdp: string;
}

export class FakeConnection {
  readonly configuration: RTCConfiguration;
  signalingState: "stable" | "have-local-offer" | "have-remote-offer" | "closed" = "stable";
  connectionState: RTCPeerConnectionState = "new";
  localDescription: Description | null = null;
  onnegotiationneeded: (() => void) | null = null;
  onicecandidate: ((event: { candidate: unknown }) => void) | null = null;
  onconnectionstatechange: (() => void) | null = null;
  readonly candidates: unknown[] = [];
  /** When media arrived last. */
  arrivedAt = 0;
  /** The next calls of these methods reject. */
  readonly failures = new Set<"setLocalDescription" | "setRemoteDescription" | "rollback">();
  /** Each applied description, as "local offer", "remote answer", …, and "candidate" for each of the other side's. */
  readonly history: string[] = [];
  stats = new Map<string, Record<string, unknown>>();
  #transceivers: FakeTransceiver[] = [];
  #currentRemote: Description | null = null;
  #pendingRemote: Description | null = null;
  #nextMid = 0;
  #operating = false;
  #needed = false;
  /** What a rollback undoes: transceivers that the pending offer gave a mid, or created. */
  #tentative: FakeTransceiver[] = [];
  #made: FakeTransceiver[] = [];

  constructor(configuration: RTCConfiguration) {
    this.configuration = configuration;
  }

  get remoteDescription(): Description | null {
    return this.#pendingRemote ?? this.#currentRemote;
  }

  getTransceivers(): FakeTransceiver[] {
    return this.#transceivers;
  }

  addTransceiver(trackOrKind: FakeTrack | string, init: RTCRtpTransceiverInit): FakeTransceiver {
    const track = typeof trackOrKind === "string" ? null : trackOrKind;
    const kind = typeof trackOrKind === "string" ? trackOrKind : trackOrKind.kind;
    if (init.sendEncodings?.some(({ rid = "" }) => /[^0-9A-Za-z]/.test(rid)) === true)
      throw new TypeError("rid");
    const transceiver = new FakeTransceiver(this, kind, track, init);
    this.#transceivers.push(transceiver);
    this.checkNeeded();
    return transceiver;
  }

  setLocalDescription(description?: { type: "rollback" }): Promise<void> {
    return this.#operate(() => {
      this.#failIfAsked(description === undefined ? "setLocalDescription" : "rollback");
      if (description?.type === "rollback") this.#rollBack("have-local-offer");
      else if (this.signalingState === "stable") this.#offer();
      else if (this.signalingState === "have-remote-offer") this.#answer();
      else throw new Error(`setLocalDescription in ${this.signalingState}`);
    });
  }

  setRemoteDescription(description: Description): Promise<void> {
    return this.#operate(() => {
      this.#failIfAsked(description.type === "rollback" ? "rollback" : "setRemoteDescription");
      if (description.type === "rollback") this.#rollBack("have-remote-offer");
      else if (description.type === "offer") this.#applyOffer(description);
      else this.#applyAnswer(description);
    });
  }

  async addIceCandidate(candidate: unknown): Promise<void> {
    await Promise.resolve();
    if (this.remoteDescription === null) throw new Error("no remote description");
    this.candidates.push(candidate);
    this.history.push("candidate");
  }

  getReceivers(): { getSynchronizationSources(): { timestamp: number }[] }[] {
    return [{ getSynchronizationSources: () => (this.arrivedAt > 0 ? [{ timestamp: this.arrivedAt }] : []) }];
  }

  async getStats(): Promise<Map<string, Record<string, unknown>>> {
    await Promise.resolve();
    // Firefox never settles the promise when the connection is closed meanwhile.
    return this.signalingState === "closed" ? new Promise(() => undefined) : this.stats;
  }

  close(): void {
    this.signalingState = "closed";
  }

  /** Sets the connection's state and fires the event. */
  become(state: RTCPeerConnectionState): void {
    this.connectionState = state;
    this.onconnectionstatechange?.();
  }

  /** "Update the negotiation-needed flag" (section 4.7.3): one event for all changes until the next negotiation. */
  checkNeeded(): void {
    queueMicrotask(() => {
      if (this.#operating || this.signalingState !== "stable") return;
      if (!this.#isNeeded()) {
        this.#needed = false;
      } else if (!this.#needed) {
        this.#needed = true;
        this.onnegotiationneeded?.();
      }
    });
  }

  async #operate(operation: () => void): Promise<void> {
    if (this.#operating) throw new Error("the library runs two operations at once");
    this.#operating = true;
    await Promise.resolve();
    this.#operating = false;
    operation();
  }

  #isNeeded(): boolean {
    return this.#transceivers.some(
      ({ mid, negotiated, direction }) => direction !== "stopped" && (mid === null || negotiated !== direction),
    );
  }

  #offer(): void {
    for (const transceiver of this.#transceivers) {
      if (transceiver.mid !== null || transceiver.direction === "stopped") continue;
      transceiver.mid = `c${this.#nextMid++}`;
      this.#tentative.push(transceiver);
    }
    this.signalingState = "have-local-offer";
    this.localDescription = { type: "offer", sdp: this.#print() };
    this.history.push("local offer");
  }

  #applyOffer(description: Description): void {
    if (this.signalingState === "have-local-offer") this.#rollBack("have-local-offer");
    if (this.signalingState !== "stable") throw new Error(`remote offer in ${this.signalingState}`);
    for (const { mid, kind } of readSections(description.sdp)) {
      if (this.#transceivers.some((each) => each.mid === mid)) continue;
      const transceiver = new FakeTransceiver(this, kind, null, { direction: "recvonly" });
      transceiver.mid = mid;
      this.#transceivers.push(transceiver);
      this.#made.push(transceiver);
    }
    this.#pendingRemote = description;
    this.signalingState = "have-remote-offer";
    this.history.push("remote offer");
  }

  #answer(): void {
    this.localDescription = { type: "answer", sdp: this.#print() };
    this.history.push("local answer");
    this.#settle(this.#pendingRemote);
  }

  #applyAnswer(description: Description): void {
    if (this.signalingState !== "have-local-offer") throw new Error(`answer in ${this.signalingState}`);
    this.history.push("remote answer");
    this.#settle(description);
  }

  #settle(remote: Description | null): void {
    this.#currentRemote = remote;
    this.#pendingRemote = null;
    this.#tentative = [];
    this.#made = [];
    this.signalingState = "stable";
    this.#needed = false;
    const sdp = remote?.sdp ?? "";
    const mids = new Set(readSections(sdp).map(({ mid }) => mid));
    for (const transceiver of this.#transceivers) {
      if (transceiver.mid === null) continue;
      if (!mids.has(transceiver.mid)) {
        if (sdp.includes(`a=mid:${transceiver.mid}\r`)) transceiver.stop();
        continue;
      }
      transceiver.negotiated = transceiver.direction;
      transceiver.currentDirection = transceiver.direction;
    }
    this.checkNeeded();
  }

  #rollBack(from: "have-local-offer" | "have-remote-offer"): void {
    if (this.signalingState !== from) throw new Error(`rollback in ${this.signalingState}`);
    for (const transceiver of this.#tentative) transceiver.mid = null;
    this.#transceivers = this.#transceivers.filter((each) => !this.#made.includes(each));
    this.#tentative = [];
    this.#made = [];
    this.#pendingRemote = null;
    this.signalingState = "stable";
    this.#needed = false;
    this.history.push("rollback");
    this.checkNeeded();
  }

  #print(): string {
    const sections = this.#transceivers
      .filter(({ mid }) => mid !== null)
      .map(({ kind, mid, direction }) => section({ kind, mid: mid ?? "", direction }));
    return ["v=0", ...sections].join("\r\n") + "\r\n";
  }

  #failIfAsked(method: "setLocalDescription" | "setRemoteDescription" | "rollback"): void {
    if (this.failures.delete(method)) throw new Error(`${method} was told to fail`);
  }
}

/** Prints one m-section. */
export function section(options: {
  kind: string;
  mid: string;
  direction: string;
  msid?: string;
  port?: number;
}): string {
  const lines = [`m=${options.kind} ${options.port ?? 9} UDP/TLS/RTP/SAVPF 96`, `a=mid:${options.mid}`];
  lines.push(`a=${options.direction}`);
  if (options.msid !== undefined) lines.push(`a=msid:${options.msid}`);
  return lines.join("\r\n");
}

/** Prints a description of these m-sections, as the server would. */
export function description(...sections: Parameters<typeof section>[0][]): string {
  return ["v=0", "a=ice-lite", ...sections.map(section)].join("\r\n") + "\r\n";
}
