/** What the page shows, as data: one store holds it, the components only print it. */
import type { ConnectionState, RemotePeer, RemoteTrack, Source } from "../client/index.js";
import type { LogEntry } from "./event-log.js";
import type { Figures } from "./figures.js";

/** One of our own sources. */
export interface OwnSource {
  readonly isOn: boolean;
  /** For the preview and our own tiles; null while the device is closed. */
  readonly stream: MediaStream | null;
}

/** What is asked for of somebody's track. */
export interface Preference {
  readonly isReceived: boolean;
  /** The highest simulcast layer that is wanted; null: the best one. */
  readonly layer: string | null;
}

/** Somebody else in the room, with all that a tile needs to know. A change makes a new object. */
export interface Person {
  readonly peer: RemotePeer;
  readonly received: readonly RemoteTrack[];
  /** By trackId, for each of the peer's tracks. */
  readonly preferences: ReadonlyMap<string, Preference>;
}

/** A message above everything else. */
export interface Notice {
  readonly text: string;
  /** What it is about: messages about a connection go away when that is well again. */
  readonly about: "signaling" | "media" | "other";
}

/** All that is shown. */
export interface State {
  readonly connection: ConnectionState;
  /** State of the media connection; null before there is one. */
  readonly transport: RTCPeerConnectionState | null;
  /** Our name and room: those of the call, or what the form proposes. */
  readonly name: string;
  readonly roomId: string;
  readonly own: Readonly<Record<Source, OwnSource>>;
  /** By peerId, in the order in which they came. */
  readonly people: ReadonlyMap<string, Person>;
  readonly notice: Notice | null;
  /** What was said last to those who hear the page instead of seeing it. */
  readonly announcement: string;
  readonly log: readonly LogEntry[];
  /** Null while nobody looks at them. */
  readonly figures: Figures | null;
  /** The browser waits for the person to do something before it plays sound. */
  readonly isSoundBlocked: boolean;
  /** Grows when the person asks for the sound: each player then tries again. */
  readonly playRound: number;
}

const OFF: OwnSource = { isOn: false, stream: null };

/** The state of a page that has just been opened. */
export const INITIAL: State = {
  connection: "idle",
  transport: null,
  name: "",
  roomId: "",
  own: { mic: OFF, camera: OFF, screen: OFF },
  people: new Map(),
  notice: null,
  announcement: "",
  log: [],
  figures: null,
  isSoundBlocked: false,
  playRound: 0,
};

/** Whether the call is shown, and not the lobby. */
export function isInCall({ connection }: State): boolean {
  return connection === "joined" || connection === "reconnecting";
}
