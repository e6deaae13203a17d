/** The figures of `RTCPeerConnection.getStats` that a display or a test needs, by track. */
import type { NegotiationStatistics } from "./negotiation.js";
import type { Publication } from "./publications.js";
import type { Kind, Source } from "./protocol.js";
import type { RemoteTrack } from "./remote-tracks.js";
import type { SignalingStatistics } from "./signaling.js";

/**
 * What was received in one slot. Counters run since the slot was first used: a slot that is used again for
 * another track does not start from zero. A figure that the browser does not report is null.
 */
export interface RemoteTrackStatistics {
  peerId: string;
  trackId: string;
  mid: string;
  kind: Kind;
  source: Source;
  /** Short name of the codec, "opus" or "VP8" for example. */
  codec: string | null;
  bytesReceived: number;
  packetsReceived: number;
  packetsLost: number;
  /** In ms. */
  jitterMs: number | null;
  nackCount: number | null;
  pliCount: number | null;
  framesDecoded: number | null;
  keyFramesDecoded: number | null;
  framesPerSecond: number | null;
  frameWidth: number | null;
  frameHeight: number | null;
  freezeCount: number | null;
  /** Sum over time of the squared amplitude; it grows as long as something can be heard. */
  totalAudioEnergy: number | null;
}

/** What was sent for one publication. */
export interface PublicationStatistics {
  trackId: string | null;
  kind: Kind;
  source: Source;
  codec: string | null;
  bytesSent: number;
  packetsSent: number;
  framesEncoded: number | null;
  frameWidth: number | null;
  frameHeight: number | null;
  /** Loss that the server reported, 0 to 1. */
  fractionLost: number | null;
}

/** Figures of a room at one moment. */
export interface RoomStatistics {
  remote: RemoteTrackStatistics[];
  published: PublicationStatistics[];
  /** Round trip to the server on the media path, in ms. */
  roundTripMs: number | null;
  signaling: Readonly<SignalingStatistics> | null;
  negotiation: Readonly<NegotiationStatistics> | null;
}

/** One entry of a report: the standard types leave out most of its members. */
type Entry = Record<string, unknown> & { type?: string };

/** Assigns a report's entries to their tracks. */
export function summarize(
  report: { forEach: (visit: (entry: Entry) => void) => void; get: (id: string) => unknown },
  remoteTracks: readonly RemoteTrack[],
  publications: readonly Publication[],
): Pick<RoomStatistics, "remote" | "published" | "roundTripMs"> {
  const entries: Entry[] = [];
  report.forEach((entry) => entries.push(entry));
  const codecOf = (entry: Entry): string | null => {
    const codec = report.get(text(entry, "codecId") ?? "") as Entry | undefined;
    return codec === undefined ? null : (text(codec, "mimeType")?.split("/")[1] ?? null);
  };
  // Browsers differ in which of the two they report.
  const ofSlot = (type: string, mid: string | null, trackIdentifier: string | undefined): Entry =>
    entries.find((entry) => entry.type === type && entry.mid === mid && mid !== null) ??
    entries.find((entry) => entry.type === type && entry.trackIdentifier === trackIdentifier) ??
    {};

  const pair = entries.find((entry) => entry.type === "candidate-pair" && entry.nominated === true);
  return {
    remote: remoteTracks.map((remote) => {
      const inbound = ofSlot("inbound-rtp", remote.mid, remote.track.id);
      const { peerId, trackId, mid, kind, source } = remote;
      return {
        peerId,
        trackId,
        mid,
        kind,
        source,
        codec: codecOf(inbound),
        bytesReceived: figure(inbound, "bytesReceived") ?? 0,
        packetsReceived: figure(inbound, "packetsReceived") ?? 0,
        packetsLost: figure(inbound, "packetsLost") ?? 0,
        jitterMs: milliseconds(inbound, "jitter"),
        nackCount: figure(inbound, "nackCount"),
        pliCount: figure(inbound, "pliCount"),
        framesDecoded: figure(inbound, "framesDecoded"),
        keyFramesDecoded: figure(inbound, "keyFramesDecoded"),
        framesPerSecond: figure(inbound, "framesPerSecond"),
        frameWidth: figure(inbound, "frameWidth"),
        frameHeight: figure(inbound, "frameHeight"),
        freezeCount: figure(inbound, "freezeCount"),
        totalAudioEnergy: figure(inbound, "totalAudioEnergy"),
      };
    }),
    published: publications.map((publication) => {
      const outbound = ofSlot("outbound-rtp", publication.transceiver?.mid ?? null, publication.track?.id);
      const back = (report.get(text(outbound, "remoteId") ?? "") ?? {}) as Entry;
      return {
        trackId: publication.trackId,
        kind: publication.kind,
        source: publication.source,
        codec: codecOf(outbound),
        bytesSent: figure(outbound, "bytesSent") ?? 0,
        packetsSent: figure(outbound, "packetsSent") ?? 0,
        framesEncoded: figure(outbound, "framesEncoded"),
        frameWidth: figure(outbound, "frameWidth"),
        frameHeight: figure(outbound, "frameHeight"),
        fractionLost: figure(back, "fractionLost"),
      };
    }),
    roundTripMs: pair === undefined ? null : milliseconds(pair, "currentRoundTripTime"),
  };
}

function figure(entry: Entry, name: string): number | null {
  const value = entry[name];
  return typeof value === "number" ? value : null;
}

/** A figure that the browser gives in seconds. */
function milliseconds(entry: Entry, name: string): number | null {
  const seconds = figure(entry, name);
  return seconds === null ? null : seconds * 1000;
}

function text(entry: Entry, name: string): string | null {
  const value = entry[name];
  return typeof value === "string" ? value : null;
}
