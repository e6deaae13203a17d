/** What the page shows, as data: one store holds it, the components only render it. */
import type { ConnectionState, RemotePeer, RemoteTrack, Source } from "../client/index.js";
import type { LogEntry } from "./event-log.js";
import type { Figures } from "./figures.js";

/** One of our own sources. */
export interface OwnSource {
  readonly isOn: boolean;
  /** For the preview and our own tiles; null while the device is closed. */
  readonly stream: MediaStream | null;
}

/** The person's preference for another peer's track. */
export interface Preference {
  readonly isReceived: boolean;
  /** The highest simulcast layer to receive; null: the best one. */
  readonly layer: string | null;
}

/** Another peer in the room, with all that a tile shows. A change makes a new object. */
export interface Person {
  readonly peer: RemotePeer;
  readonly received: readonly RemoteTrack[];
  /** By trackId, for each of the peer's tracks. */
  readonly preferences: ReadonlyMap<string, Preference>;
}

/** A message above everything else. */
export interface Notice {
  readonly text: string;
  /** The cause: a message about a connection goes away when the connection works again. */
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
  /** By peerId, in the order in which they joined. */
  readonly people: ReadonlyMap<string, Person>;
  readonly notice: Notice | null;
  /** The last text for screen readers. */
  readonly announcement: string;
  readonly log: readonly LogEntry[];
  /** Null while no component shows them. */
  readonly figures: Figures | null;
  /** The browser blocks sound until the person clicks. */
  readonly isSoundBlocked: boolean;
  /** Counts the person's clicks for sound: each player then tries again. */
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

/** Whether the page shows the call instead of the lobby. */
export function isInCall({ connection }: State): boolean {
  return connection === "joined" || connection === "reconnecting";
}
