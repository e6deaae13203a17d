/**
 * The signaling protocol: messages as types, and the check of what arrives.
 *
 * Every message travels in an envelope `{"type": …, "data": {…}, "timestamp": …}`. What the server sends is
 * checked field by field before anything else sees it, because a client outlives the server it was written
 * against. Unknown types and unknown fields are fine (a newer server); known types with wrong fields are not.
 */

/** What a track shows or carries, as its publisher declares it. */
export type Source = "mic" | "camera" | "screen";

/** The two kinds of media, as in `MediaStreamTrack.kind`. */
export type Kind = "audio" | "video";

/** What a peer has switched on, for the badges on its tile. */
export interface MediaState {
  micEnabled: boolean;
  cameraEnabled: boolean;
  screenEnabled: boolean;
}

/** A published track, as others learn of it. */
export interface TrackInfo {
  /** Given by the server, unique in the room. */
  trackId: string;
  kind: Kind;
  source: Source;
  /** Simulcast layers by RID, high to low; empty where there is only one encoding. */
  layers: string[];
}

/** Who a peer is. */
export interface PeerIdentity {
  peerId: string;
  userId: string;
  name: string;
}

/** A peer as `room-state` describes it. */
export interface PeerInfo extends PeerIdentity {
  mediaState: MediaState;
  suspended: boolean;
  tracks: TrackInfo[];
}

/** A track that we receive, or will once it is negotiated, as the server has it. */
export interface SubscriptionInfo {
  trackId: string;
  /** Of the publisher. */
  peerId: string;
  /** The highest simulcast layer wanted; null for the best that there is. */
  layer: string | null;
}

/** Whether a session continues with its RTCPeerConnection or with a new one. */
export type Transport = "new" | "keep";

/** The data of each message that a client sends, by type. */
export interface ClientMessages {
  join: {
    roomId: string;
    userId: string;
    name: string;
    token?: string;
    /** The session to come back to; `transport` says whether its RTCPeerConnection still exists. */
    sessionId?: string;
    sessionToken?: string;
    transport?: Transport;
  };
  offer: { sdp: string; type: "offer"; peerId: string; tracks: { mid: string; source: Source }[] };
  answer: { sdp: string; type: "answer"; peerId: string };
  "ice-candidate": { candidate: string; sdpMid: string | null; sdpMLineIndex: number | null };
  "ice-restart-request": Record<string, never>;
  "media-state": MediaState;
  subscribe: { trackId: string; peerId: string; layer?: string };
  unsubscribe: { trackId: string; peerId: string };
  leave: Record<string, never>;
  ping: Record<string, unknown>;
  pong: Record<string, unknown>;
}

/** The data of each message of the server that this library understands, by type. */
export interface ServerMessages {
  join: {
    success: boolean;
    peerId: string;
    roomId: string;
    resumed: boolean;
    transport: Transport;
    sessionId: string;
    sessionToken: string;
    iceServers: RTCIceServer[];
    reason: string;
  };
  "room-state": { peers: PeerInfo[]; subscriptions: SubscriptionInfo[] };
  "peer-joined": PeerIdentity;
  "peer-left": { peerId: string };
  "peer-suspended": PeerIdentity;
  "peer-resumed": PeerIdentity;
  offer: { sdp: string };
  answer: { sdp: string };
  "ice-restart-offer": { sdp: string };
  "ice-candidate": { candidate: string; sdpMid: string | null; sdpMLineIndex: number | null };
  "track-published": TrackInfo & { peerId: string; mid: string | null };
  "track-unpublished": { trackId: string; peerId: string };
  "media-state": MediaState & { peerId: string };
  "subscription-ack": { trackId: string; success: boolean; reason: string };
  "server-draining": { deadlineMs: number };
  ping: Record<string, unknown>;
  pong: Record<string, unknown>;
  error: { code: number; message: string; type: string | null };
}

/** A message of the server, checked. */
export type ServerMessage = {
  [Type in keyof ServerMessages]: { type: Type; data: ServerMessages[Type] };
}[keyof ServerMessages];

/** The result of parsing a text that arrived. */
export type Received =
  | { outcome: "message"; message: ServerMessage }
  /** Well-formed, but of a type that this library does not know. */
  | { outcome: "unknown"; type: string }
  | { outcome: "invalid"; reason: string };

/** Prints one message for the wire. */
export function encode<Type extends keyof ClientMessages>(type: Type, data: ClientMessages[Type]): string {
  return JSON.stringify({ type, data, timestamp: new Date().toISOString() });
}

/** Reads one message from the wire. Never throws, whatever the text is. */
export function decode(text: unknown): Received {
  if (typeof text !== "string") return { outcome: "invalid", reason: "not text" };
  let envelope: unknown;
  try {
    envelope = JSON.parse(text);
  } catch {
    return { outcome: "invalid", reason: "not JSON" };
  }
  if (!isRecord(envelope) || typeof envelope.type !== "string") {
    return { outcome: "invalid", reason: "no type" };
  }
  const { type } = envelope;
  if (!isKnownType(type)) return { outcome: "unknown", type };
  try {
    const data = READERS[type](new Fields(envelope.data ?? {}, type));
    // The table below ties each type to its data; TypeScript cannot follow that through a union of keys.
    return { outcome: "message", message: { type, data } as ServerMessage };
  } catch (error) {
    if (error instanceof FieldError) return { outcome: "invalid", reason: error.message };
    throw error;
  }
}

/** How each type's data is read: adding a message to the protocol is adding a row. */
const READERS: { [Type in keyof ServerMessages]: (fields: Fields) => ServerMessages[Type] } = {
  join: (f) => ({
    success: f.boolean("success"),
    peerId: f.string("peerId", ""),
    roomId: f.string("roomId", ""),
    resumed: f.boolean("resumed", false),
    transport: f.oneOf("transport", ["new", "keep"] as const, "new"),
    sessionId: f.string("sessionId", ""),
    sessionToken: f.string("sessionToken", ""),
    iceServers: f.list("iceServers", readIceServer, []),
    reason: f.string("reason", ""),
  }),
  "room-state": (f) => ({
    peers: f.list("peers", readPeer),
    subscriptions: f.list("subscriptions", readSubscription, []),
  }),
  "peer-joined": readIdentity,
  "peer-left": (f) => ({ peerId: f.string("peerId") }),
  "peer-suspended": readIdentity,
  "peer-resumed": readIdentity,
  offer: (f) => ({ sdp: f.string("sdp") }),
  answer: (f) => ({ sdp: f.string("sdp") }),
  "ice-restart-offer": (f) => ({ sdp: f.string("sdp") }),
  "ice-candidate": (f) => ({
    candidate: f.string("candidate", ""),
    sdpMid: f.stringOrNull("sdpMid"),
    sdpMLineIndex: f.numberOrNull("sdpMLineIndex"),
  }),
  "track-published": (f) => ({ ...readTrack(f), peerId: f.string("peerId"), mid: f.stringOrNull("mid") }),
  "track-unpublished": (f) => ({ trackId: f.string("trackId"), peerId: f.string("peerId") }),
  "media-state": (f) => ({ ...readMediaState(f), peerId: f.string("peerId") }),
  "subscription-ack": (f) => ({
    trackId: f.string("trackId"),
    success: f.boolean("success"),
    reason: f.string("reason", ""),
  }),
  "server-draining": (f) => ({ deadlineMs: f.number("deadlineMs") }),
  ping: (f) => f.all(),
  pong: (f) => f.all(),
  error: (f) => ({ code: f.number("code"), message: f.string("message"), type: f.stringOrNull("type") }),
};

function isKnownType(type: string): type is keyof ServerMessages {
  return Object.hasOwn(READERS, type);
}

function readIdentity(f: Fields): PeerIdentity {
  return { peerId: f.string("peerId"), userId: f.string("userId", ""), name: f.string("name", "") };
}

function readPeer(f: Fields): PeerInfo {
  return {
    ...readIdentity(f),
    mediaState: f.object("mediaState", readMediaState, ALL_OFF),
    suspended: f.boolean("suspended", false),
    tracks: f.list("tracks", readTrack, []),
  };
}

function readTrack(f: Fields): TrackInfo {
  const kind = f.oneOf("kind", ["audio", "video"] as const);
  return {
    trackId: f.string("trackId"),
    kind,
    // A source that this library does not know yet is treated as the usual one of its kind.
    source: f.oneOf("source", ["mic", "camera", "screen"] as const, defaultSource(kind)),
    layers: f.strings("layers", []),
  };
}

function readSubscription(f: Fields): SubscriptionInfo {
  return { trackId: f.string("trackId"), peerId: f.string("peerId"), layer: f.stringOrNull("layer") };
}

function readMediaState(f: Fields): MediaState {
  return {
    micEnabled: f.boolean("micEnabled", false),
    cameraEnabled: f.boolean("cameraEnabled", false),
    screenEnabled: f.boolean("screenEnabled", false),
  };
}

function readIceServer(f: Fields): RTCIceServer {
  const server: RTCIceServer = { urls: f.strings("urls") };
  const username = f.stringOrNull("username");
  const credential = f.stringOrNull("credential");
  if (username !== null) server.username = username;
  if (credential !== null) server.credential = credential;
  return server;
}

/** The default state of a peer. */
export const ALL_OFF: Readonly<MediaState> = { micEnabled: false, cameraEnabled: false, screenEnabled: false };

/** The default source of each kind of track. */
export function defaultSource(kind: Kind): Source {
  return kind === "audio" ? "mic" : "camera";
}

/** A field of a message is missing or has the wrong type. */
class FieldError extends Error {}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Reads the fields of one JSON object, each with its type; `fallback` makes a field optional. */
class Fields {
  readonly #values: Record<string, unknown>;
  readonly #where: string;

  constructor(values: unknown, where: string) {
    if (!isRecord(values)) throw new FieldError(`${where}: not an object`);
    this.#values = values;
    this.#where = where;
  }

  all(): Record<string, unknown> {
    return this.#values;
  }

  string(name: string, fallback?: string): string {
    return this.#read(name, "a string", (value) => typeof value === "string", fallback);
  }

  number(name: string): number {
    return this.#read(name, "a number", (value) => typeof value === "number", undefined);
  }

  boolean(name: string, fallback?: boolean): boolean {
    return this.#read(name, "true or false", (value) => typeof value === "boolean", fallback);
  }

  stringOrNull(name: string): string | null {
    return this.#has(name) ? this.string(name) : null;
  }

  numberOrNull(name: string): number | null {
    return this.#has(name) ? this.number(name) : null;
  }

  /** One of `allowed`; anything else is `fallback`, or an error where there is none. */
  oneOf<T extends string>(name: string, allowed: readonly T[], fallback?: T): T {
    const value = allowed.find((each) => each === this.#values[name]) ?? fallback;
    if (value === undefined) throw this.#error(name, `one of ${allowed.join(", ")}`);
    return value;
  }

  /** A list of strings; a single string counts as a list of one (RTCIceServer.urls is either). */
  strings(name: string, fallback?: string[]): string[] {
    const value = this.#values[name];
    if (typeof value === "string") return [value];
    const isStrings = (each: unknown): each is string[] =>
      Array.isArray(each) && each.every((item) => typeof item === "string");
    return this.#read(name, "a list of strings", isStrings, fallback);
  }

  list<T>(name: string, readItem: (fields: Fields) => T, fallback?: T[]): T[] {
    if (!this.#has(name) && fallback !== undefined) return fallback;
    const value = this.#values[name];
    if (!Array.isArray(value)) throw this.#error(name, "a list");
    return value.map((item, index) => readItem(new Fields(item, `${this.#where}.${name}[${index}]`)));
  }

  object<T>(name: string, readObject: (fields: Fields) => T, fallback: T): T {
    if (!this.#has(name)) return fallback;
    return readObject(new Fields(this.#values[name], `${this.#where}.${name}`));
  }

  #has(name: string): boolean {
    return this.#values[name] !== undefined && this.#values[name] !== null;
  }

  #read<T>(name: string, expected: string, is: (value: unknown) => value is T, fallback: T | undefined): T {
    if (!this.#has(name) && fallback !== undefined) return fallback;
    const value = this.#values[name];
    if (!is(value)) throw this.#error(name, expected);
    return value;
  }

  #error(name: string, expected: string): FieldError {
    return new FieldError(`${this.#where}.${name}: expected ${expected}`);
  }
}
