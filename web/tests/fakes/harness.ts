/** A room with a fake browser and a fake server. */
import { vi } from "vitest";
import { Room } from "../../src/client/room.js";
import type { RoomEvents } from "../../src/client/room-events.js";
import { SessionStore } from "../../src/client/session-store.js";
import { description, FakeConnection } from "./connection.js";
import { FakeStream } from "./media.js";
import { FakeStorage } from "./storage.js";
import { FakeSocket } from "./socket.js";

/** Runs the pending microtasks; timers do not move. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 30; turn += 1) await Promise.resolve();
}

const ACK = {
  success: true,
  peerId: "me",
  roomId: "lobby",
  resumed: false,
  sessionId: "s1",
  sessionToken: "t1",
};

export class RoomHarness {
  readonly sockets: FakeSocket[] = [];
  readonly connections: FakeConnection[] = [];
  /** The room's events in order, shortened to what tests compare. */
  readonly events: string[] = [];
  readonly room: Room;
  readonly storage: Storage;
  /** Reports a network change; null while there is no listener. */
  changeNetwork: (() => void) | null = null;
  /** Makes RTCPeerConnection throw, as in browsers whose user forbids WebRTC. */
  refuseConnections = false;

  /** A page; `storage` is the sessionStorage that an earlier page of the same tab used. */
  constructor(storage: Storage = new FakeStorage()) {
    vi.stubGlobal("MediaStream", FakeStream);
    this.storage = storage;
    this.room = new Room({
      random: () => 0,
      sessions: new SessionStore(() => storage),
      watchNetwork: (changed) => {
        this.changeNetwork = changed;
        return () => (this.changeNetwork = null);
      },
      createSocket: (url) => {
        const socket = new FakeSocket(url);
        this.sockets.push(socket);
        return socket as unknown as WebSocket;
      },
      createConnection: (configuration) => {
        if (this.refuseConnections) throw new ReferenceError("RTCPeerConnection is not defined");
        const connection = new FakeConnection(configuration);
        this.connections.push(connection);
        return connection as unknown as RTCPeerConnection;
      },
    });
    this.#log("stateChanged", ({ state, error }) => (error === null ? state : `${state}: ${error.kind}`));
    this.#log("transportChanged", (state) => `transport ${state}`);
    this.#log("peerJoined", ({ peerId }) => `+peer ${peerId}`);
    this.#log("peerLeft", ({ peerId }) => `-peer ${peerId}`);
    this.#log("peerSuspended", ({ peerId }) => `?peer ${peerId}`);
    this.#log("peerResumed", ({ peerId }) => `!peer ${peerId}`);
    this.#log("mediaStateChanged", ({ peerId }) => `media ${peerId}`);
    this.#log("trackSubscribed", ({ peerId, trackId, source }) => `+track ${peerId} ${trackId} ${source}`);
    this.#log("trackUnsubscribed", ({ peerId, trackId, source }) => `-track ${peerId} ${trackId} ${source}`);
    this.#log("published", ({ trackId, source }) => `published ${trackId} ${source}`);
    this.#log("publicationEnded", ({ publication, reason }) => `unpublished ${publication.source}: ${reason}`);
    this.#log("error", ({ kind, code }) => `error ${kind} ${code}`);
  }

  #log<Name extends keyof RoomEvents>(name: Name, print: (payload: RoomEvents[Name]) => string): void {
    this.room.on(name, (payload) => {
      this.events.push(print(payload));
    });
  }

  get socket(): FakeSocket {
    return last(this.sockets);
  }

  get connection(): FakeConnection {
    return last(this.connections);
  }

  /** Returns the events since the last call. */
  takeEvents(): string[] {
    return this.events.splice(0);
  }

  /** Starts to join; the promise is a property so that awaiting this does not await it. */
  startJoin(): { joined: Promise<void> } {
    const joined = this.room.join({ roomId: "lobby", name: "Me", userId: "u1", url: "ws://test/ws" });
    joined.catch(() => undefined);
    return { joined };
  }

  /** Joins a room with `peers`. */
  async join(peers: unknown[] = [], ack: Record<string, unknown> = {}): Promise<void> {
    const { joined } = this.startJoin();
    await this.admit(peers, ack);
    await joined;
  }

  /** The server accepts the WebSocket and the join to a room with `peers`. */
  async admit(peers: unknown[] = [], ack: Record<string, unknown> = {}): Promise<void> {
    this.socket.open();
    this.socket.deliver("join", { ...ACK, ...ack });
    this.socket.deliver("room-state", { peers, subscriptions: [] });
    await settle();
  }

  /** The server accepts the WebSocket and resumes our session. */
  async readmit(transport: "keep" | "new", peers: unknown[] = []): Promise<void> {
    await this.admit(peers, { resumed: true, transport, sessionToken: `t${this.sockets.length}` });
  }

  /** The server answers our last offer: it receives what we send, and sends `slots` on the spare slots, by index. */
  async answer(msids: string[] = []): Promise<void> {
    const left = [...msids];
    const sections = this.connection.getTransceivers().flatMap(({ mid, kind, direction }) => {
      if (mid === null) return [];
      if (direction === "sendonly") return [{ kind, mid, direction: "recvonly" }];
      const msid = direction === "recvonly" ? left.shift() : undefined;
      return [
        msid === undefined ? { kind, mid, direction: "inactive" } : { kind, mid, direction: "sendonly", msid },
      ];
    });
    this.socket.deliver("answer", { sdp: description(...sections), type: "answer", peerId: "me" });
    await settle();
  }

  /** The server sends an offer. */
  async offer(...sections: Parameters<typeof description>): Promise<void> {
    this.socket.deliver("offer", { sdp: description(...sections), type: "offer", peerId: "me" });
    await settle();
  }
}

function last<T>(items: T[]): T {
  const item = items.at(-1);
  if (item === undefined) throw new Error("there is none yet");
  return item;
}

/** A peer as in `room-state`. */
export function peer(peerId: string, tracks: unknown[] = [], mediaState: unknown = {}): unknown {
  return {
    peerId,
    userId: `user of ${peerId}`,
    name: `Name of ${peerId}`,
    mediaState,
    suspended: false,
    tracks,
  };
}
