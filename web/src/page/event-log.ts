/** The list of what happened in a call, in words. */
import type { Room, Source } from "../client/index.js";
import { DEVICES, endReasonInWords, roomErrorInWords } from "./words.js";

/** How many entries are kept; the oldest go first. */
export const LOG_LENGTH = 200;

/** One line of the list. */
export interface LogEntry {
  /** Counts up; identifies the entry. */
  readonly serial: number;
  /** In ms since 1970. */
  readonly at: number;
  readonly text: string;
  /** Something went wrong. */
  readonly isTrouble: boolean;
}

/** The list with one more entry. */
export function withEntry(log: readonly LogEntry[], entry: Omit<LogEntry, "serial">): readonly LogEntry[] {
  const serial = (log.at(-1)?.serial ?? 0) + 1;
  return [...log.slice(1 - LOG_LENGTH), { ...entry, serial }];
}

/** The list as lines of text, with times in UTC, to send with a request for help. */
export function logAsText(log: readonly LogEntry[]): string {
  return log.map(({ at, text }) => `${new Date(at).toISOString()} ${text}`).join("\n");
}

/** Describes a room's events in words; `note` is called with each text and whether it is an error. */
export function narrate(room: Room, note: (text: string, isTrouble: boolean) => void): void {
  // When a peer leaves, its tracks end after `room.peers` has dropped it.
  const names = new Map<string, string>();
  const of = (peerId: string, source: Source) => `${names.get(peerId) ?? peerId}’s ${DEVICES[source]}`;
  const tell = (text: string) => {
    note(text, false);
  };
  room.on("stateChanged", ({ state, previous, error }) => {
    if (state === "joined" && previous === "reconnecting") tell("The connection to the server is restored.");
    else if (state === "joined") tell(`You are in the room ${room.session?.roomId ?? ""}.`);
    else if (state === "reconnecting") {
      // Without an error the client itself reconnects, for example after failed media, which was reported.
      const reason = error === null ? "" : `: the connection to the server is lost (${error.message})`;
      note(`Reconnecting${reason}.`, true);
    } else if (state === "failed") note(error === null ? "The call failed." : roomErrorInWords(error), true);
    else if (state === "closed") tell("You have left the room.");
  });
  room.on("transportChanged", (state) => {
    if (state === "connected") tell("Media is connected.");
    else if (state === "disconnected") note("Media does not reach the server at the moment.", true);
    else if (state === "failed") note("The media connection has failed.", true);
  });
  room.on("peerJoined", ({ peerId, name }) => {
    names.set(peerId, name);
    tell(`${name} is here.`);
  });
  room.on("peerLeft", ({ peerId, name }) => {
    names.delete(peerId);
    if (room.inRoom) tell(`${name} has left.`);
  });
  room.on("peerSuspended", ({ name }) => {
    note(`${name} is reconnecting.`, true);
  });
  room.on("peerResumed", ({ name }) => {
    tell(`${name} is back.`);
  });
  room.on("trackPublished", ({ peer, track }) => {
    tell(`${of(peer.peerId, track.source)} is published.`);
  });
  room.on("trackUnpublished", ({ peer, track }) => {
    tell(`${of(peer.peerId, track.source)} is no longer published.`);
  });
  room.on("trackSubscribed", ({ peerId, source }) => {
    tell(`${of(peerId, source)} is received.`);
  });
  room.on("trackUnsubscribed", ({ peerId, source }) => {
    if (room.inRoom) tell(`${of(peerId, source)} is no longer received.`);
  });
  room.on("published", ({ source }) => {
    tell(`Your ${DEVICES[source]} is published.`);
  });
  room.on("publicationEnded", ({ publication, reason }) => {
    const words = `Your ${DEVICES[publication.source]} is no longer published: ${endReasonInWords(reason)}.`;
    note(words, reason === "refused" || reason === "removed");
  });
  room.on("error", (error) => {
    note(roomErrorInWords(error), true);
  });
}
