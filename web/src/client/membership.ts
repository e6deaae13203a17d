/** Keeps one session with the server over several WebSockets. */
import { Alarm } from "./alarm.js";
import { type ConnectionEvent, type ConnectionState, nextState } from "./connection-state.js";
import { RoomError } from "./errors.js";
import type { ClientMessages, ServerMessage, ServerMessages, Transport } from "./protocol.js";
import { Reconnection, type ReconnectionAction, type ReconnectionInput } from "./reconnection.js";
import type { JoinOptions, RoomEvents, Session } from "./room-events.js";
import type { SessionStore, StoredPlace } from "./session-store.js";
import {
  POLICY_VIOLATION,
  REPLACED,
  SignalingConnection,
  type SignalingStatistics,
  type SocketFactory,
} from "./signaling.js";

/** How long the server may take from the first byte to being in the room, in ms. */
export const JOIN_DEADLINE_MS = 15_000;

/** How long to wait for the server's close frame, in ms. */
const LEAVE_DEADLINE_MS = 2000;

/** Temporary refusals: too many requests, a server error, overload or a restart. */
const TEMPORARY_CODES: ReadonlySet<number> = new Set([429, 500, 503]);

/** The browser functions that a membership uses. */
export interface MembershipEnvironment {
  createSocket: SocketFactory;
  /** Numbers in [0, 1). */
  random: () => number;
  sessions: SessionStore;
}

/** Callbacks of a membership. */
export interface MembershipHooks {
  stateChanged(change: RoomEvents["stateChanged"]): void;
  /** The server has accepted a join or a resumption; a `room-state` message follows. */
  accepted(acknowledgement: ServerMessages["join"]): void;
  /** A message from the server after the join. */
  message(message: ServerMessage): void;
  /** A message that cannot be understood; it has been dropped. */
  invalid(reason: string): void;
  /** A probe was not answered. */
  silent(): void;
  /** The state that a resumed session continues with. */
  transport(): Transport;
}

/** The identity and room of one stay. */
interface Stay {
  options: JoinOptions;
  url: string;
  userId: string;
  place: StoredPlace | null;
  /** Null until the first acknowledgement. */
  reconnection: Reconnection | null;
}

/** A membership in one room at a time: from the join until it is left or cannot be restored. */
export class Membership {
  readonly #environment: MembershipEnvironment;
  readonly #hooks: MembershipHooks;
  #state: ConnectionState = "idle";
  #stay: Stay | null = null;
  #session: Session | null = null;
  #signaling: SignalingConnection | null = null;
  readonly #joinDeadline = new Alarm(() => {
    this.fail(new RoomError("unreachable", "the server did not answer the join in time"));
  });
  readonly #alarm = new Alarm(() => {
    this.#step("timeout");
  });

  constructor(environment: MembershipEnvironment, hooks: MembershipHooks) {
    this.#environment = environment;
    this.#hooks = hooks;
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Our own ids in the room, or null while not in one. */
  get session(): Session | null {
    return this.#session;
  }

  /** Counters of the WebSocket of this moment. */
  statistics(): Readonly<SignalingStatistics> | null {
    return this.#signaling?.statistics() ?? null;
  }

  /** Joins a room, or resumes the session that this tab remembers. Throws when in a room already. */
  join(options: JoinOptions): void {
    this.#change("join");
    if (this.#state !== "connecting") return; // a listener has called `leave`
    const { roomId } = options;
    let url: string;
    try {
      url = options.url ?? defaultUrl();
    } catch (error) {
      this.fail(new RoomError("unreachable", String(error)));
      return;
    }
    const place =
      options.remember === false ? null : this.#environment.sessions.claim(url, roomId, options.userId);
    const stored = place?.recall() ?? null;
    const userId = options.userId ?? stored?.userId ?? randomId();
    this.#stay = { options, url, userId, place, reconnection: null };
    this.#joinDeadline.set(performance.now() + JOIN_DEADLINE_MS);
    this.#open(this.#stay, stored);
  }

  /** Sends a message; while reconnecting it is dropped. */
  send<Type extends keyof ClientMessages>(type: Type, data: ClientMessages[Type]): void {
    if (this.#state === "joined") this.#signaling?.send(type, data);
  }

  /** Reconnects on a new WebSocket, to continue the session with a new RTCPeerConnection. */
  renew(): void {
    if (this.#state === "joined") this.#step("renew");
  }

  /** The network has changed: reconnects without waiting for the old WebSocket to close. */
  networkChanged(): void {
    this.#step("network");
  }

  /** Media has stopped: checks whether the server still answers. */
  probe(): void {
    if (this.#state === "joined") this.#signaling?.probe();
  }

  /** Ends the session; resolves when the server has closed the WebSocket or cannot be reached. */
  async leave(): Promise<void> {
    const signaling = this.#signaling;
    this.#signaling = null;
    const was = this.#state;
    this.#change("leave");
    this.#stay?.place?.forget();
    this.#end();
    signaling?.send("leave", {});
    // Never synchronously: the caller has more to release before the state becomes "closed".
    await within(LEAVE_DEADLINE_MS, signaling?.close() ?? Promise.resolve());
    if (was !== "leaving" && this.#state === "leaving") this.#change("closed");
  }

  /** Ends the membership because of `error`. */
  fail(error: RoomError): void {
    const refused = error.kind === "refused" && this.#state !== "joined" && this.#state !== "connecting";
    if (error.kind === "replaced") this.#stay?.place?.forget();
    this.#drop();
    this.#end();
    this.#change(refused ? "refused" : "lost", error);
  }

  // --- one connection ---

  #open(stay: Stay, proof: { sessionId: string; sessionToken: string } | null): void {
    try {
      this.#signaling = new SignalingConnection(stay.url, this.#environment.createSocket, {
        opened: () => {
          this.#sendJoin(stay, proof);
        },
        message: (message) => {
          this.#receive(message, stay);
        },
        invalid: (reason) => {
          this.#hooks.invalid(reason);
        },
        closed: (reason, code) => {
          this.#closed(reason, code);
        },
        silent: () => {
          this.#hooks.silent();
        },
      });
    } catch (error) {
      // The browser refuses some addresses at once, "ws:" from an "https:" page for example.
      this.fail(new RoomError("unreachable", String(error)));
    }
  }

  #sendJoin(stay: Stay, proof: { sessionId: string; sessionToken: string } | null): void {
    if (this.#state === "connecting") this.#change("opened");
    const { roomId, name, token } = stay.options;
    const message: ClientMessages["join"] = { roomId, userId: stay.userId, name };
    if (token !== undefined) message.token = token;
    if (proof !== null) {
      const { sessionId, sessionToken } = proof;
      Object.assign(message, { sessionId, sessionToken, transport: this.#hooks.transport() });
    }
    this.#signaling?.send("join", message);
  }

  #receive(message: ServerMessage, stay: Stay): void {
    if (this.#state === "joining" || this.#state === "reconnecting") this.#receiveJoining(message, stay);
    else if (this.#state === "joined") {
      if (message.type === "room-state") {
        this.#joinDeadline.set(null);
        this.#step("succeeded");
      }
      if (message.type === "server-draining") this.#step("draining");
      this.#hooks.message(message);
    }
  }

  #receiveJoining(message: ServerMessage, stay: Stay): void {
    if (message.type === "join" && message.data.success) {
      this.#accepted(message.data, stay);
    } else if (message.type === "join") {
      this.fail(new RoomError("refused", message.data.reason, { request: "join" }));
    } else if (message.type === "error") {
      const { code, message: text, type } = message.data;
      if (this.#state === "reconnecting" && TEMPORARY_CODES.has(code)) {
        this.#drop();
        this.#step("lost");
      } else {
        this.fail(new RoomError("refused", text, { code, request: type }));
      }
    }
  }

  #accepted(acknowledgement: ServerMessages["join"], stay: Stay): void {
    const { peerId, roomId, sessionId, sessionToken } = acknowledgement;
    this.#session = { peerId, roomId, sessionId, sessionToken };
    stay.place?.remember({ userId: stay.userId, sessionId, sessionToken });
    stay.reconnection ??= new Reconnection(this.#environment.random, performance.now());
    this.#change("accepted");
    this.#hooks.accepted(acknowledgement);
  }

  #closed(reason: string, code: number): void {
    this.#signaling = null;
    if (code === REPLACED) {
      this.fail(new RoomError("replaced", "the session was resumed by another connection"));
    } else if (code === POLICY_VIOLATION) {
      this.fail(new RoomError("refused", reason));
    } else if (this.#state === "joined") {
      this.#change("interrupted", new RoomError("lost", reason));
      this.#step("lost");
    } else if (this.#state === "reconnecting") {
      this.#step("lost");
    } else {
      this.fail(new RoomError(this.#state === "connecting" ? "unreachable" : "lost", reason));
    }
  }

  // --- reconnecting ---

  #step(input: ReconnectionInput): void {
    const reconnection = this.#stay?.reconnection ?? null;
    if (reconnection === null) return;
    const action = reconnection.step(input, performance.now());
    this.#alarm.set(reconnection.nextTimeout());
    if (action !== null) this.#perform(action);
  }

  #perform(action: ReconnectionAction): void {
    if (action === "give-up") {
      this.fail(new RoomError("lost", "the server could not be reached again"));
      return;
    }
    this.#drop();
    if (this.#state === "joined") this.#change("interrupted");
    if (action === "try" && this.#stay !== null) this.#open(this.#stay, this.#session);
  }

  /** Releases the WebSocket in any state. */
  #drop(): void {
    void this.#signaling?.close();
    this.#signaling = null;
  }

  /** Releases everything that belongs to one stay. */
  #end(): void {
    this.#joinDeadline.set(null);
    this.#alarm.set(null);
    this.#stay?.place?.release();
    this.#stay = null;
    this.#session = null;
  }

  #change(event: ConnectionEvent, error: RoomError | null = null): void {
    const previous = this.#state;
    this.#state = nextState(previous, event);
    if (this.#state !== previous) this.#hooks.stateChanged({ state: this.#state, previous, error });
  }
}

/** 128 random bits. There is no `crypto.randomUUID` in pages that did not come over https. */
function randomId(): string {
  return crypto.getRandomValues(new Uint32Array(4)).join("-");
}

/** Resolves with the promise, or at the latest after `milliseconds`. */
async function within(milliseconds: number, promise: Promise<void>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const deadline = new Promise((resolve) => {
    timer = setTimeout(resolve, milliseconds);
  });
  await Promise.race([promise, deadline]);
  clearTimeout(timer);
}

/** The signaling address of the server that the page is from. Throws where the page has none: in an `srcdoc`, say. */
function defaultUrl(): string {
  const url = new URL("ws", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.search = "";
  url.hash = "";
  return url.href;
}
