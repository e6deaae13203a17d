/** What the statistics mean: rates and shares, from the counters at two moments. */
import type {
  Kind,
  PublicationStatistics,
  RemoteTrackStatistics,
  RoomStatistics,
  Source,
} from "../client/index.js";

/** The room's statistics, and when they were taken: in ms of a clock that never goes back. */
export interface Snapshot {
  readonly at: number;
  readonly statistics: RoomStatistics;
}

/** One track's figures; null: the browser does not say, or there is nothing to compare with yet. */
export interface TrackFigures {
  /** Tells the tracks of one list apart. */
  readonly key: string;
  /** Whose it is; null: ours. */
  readonly peerId: string | null;
  readonly kind: Kind;
  readonly source: Source;
  readonly codec: string | null;
  /** In bit/s, without headers. */
  readonly bitrate: number | null;
  /** Packets lost of those sent, 0 to 1. */
  readonly loss: number | null;
  readonly framesPerSecond: number | null;
  /** In pixels. */
  readonly size: { readonly width: number; readonly height: number } | null;
}

/** What is shown of a connection. */
export interface Figures {
  readonly roundTripMs: number | null;
  /** Sums of what is known, in bit/s. */
  readonly receivedBitrate: number | null;
  readonly sentBitrate: number | null;
  readonly received: readonly TrackFigures[];
  readonly sent: readonly TrackFigures[];
}

/** The figures of the time between two snapshots; without an earlier one there are no rates. */
export function figuresOf(current: Snapshot, earlier: Snapshot | null): Figures {
  const seconds = earlier === null ? 0 : (current.at - earlier.at) / 1000;
  const { remote, published, roundTripMs } = current.statistics;
  const received = remote.map((track) => {
    // A slot counts on when it is used again for another track.
    const before = earlier?.statistics.remote.find(
      ({ mid, trackId }) => mid === track.mid && trackId === track.trackId,
    );
    return receivedFigures(track, before, seconds);
  });
  const sent = published.map((track, index) => {
    const before = earlier?.statistics.published.find(
      ({ trackId, source }) => trackId === track.trackId && source === track.source,
    );
    return sentFigures(track, before, seconds, index);
  });
  return { roundTripMs, receivedBitrate: total(received), sentBitrate: total(sent), received, sent };
}

function receivedFigures(
  now: RemoteTrackStatistics,
  before: RemoteTrackStatistics | undefined,
  seconds: number,
): TrackFigures {
  const { peerId, kind, source, codec, framesPerSecond } = now;
  const lost = growth(now.packetsLost, before?.packetsLost);
  const arrived = growth(now.packetsReceived, before?.packetsReceived);
  return {
    key: `${now.mid} ${now.trackId}`,
    peerId,
    kind,
    source,
    codec,
    bitrate: perSecond(growth(now.bytesReceived, before?.bytesReceived), seconds, 8),
    loss: lost === null || arrived === null || lost + arrived === 0 ? null : lost / (lost + arrived),
    framesPerSecond,
    size: sizeOf(now),
  };
}

function sentFigures(
  now: PublicationStatistics,
  before: PublicationStatistics | undefined,
  seconds: number,
  index: number,
): TrackFigures {
  const { kind, source, codec } = now;
  return {
    key: `${index} ${source}`,
    peerId: null,
    kind,
    source,
    codec,
    bitrate: perSecond(growth(now.bytesSent, before?.bytesSent), seconds, 8),
    loss: now.fractionLost,
    framesPerSecond: perSecond(growth(now.framesEncoded, before?.framesEncoded), seconds, 1),
    size: sizeOf(now),
  };
}

/** By how much a counter grew; null where that is not known, as after the start of another connection. */
function growth(now: number | null, before: number | null | undefined): number | null {
  if (now === null || before === null || before === undefined || now < before) return null;
  return now - before;
}

function perSecond(count: number | null, seconds: number, factor: number): number | null {
  return count === null || seconds <= 0 ? null : (count * factor) / seconds;
}

function sizeOf({ frameWidth, frameHeight }: { frameWidth: number | null; frameHeight: number | null }) {
  return frameWidth === null || frameHeight === null ? null : { width: frameWidth, height: frameHeight };
}

function total(tracks: readonly TrackFigures[]): number | null {
  const known = tracks.flatMap(({ bitrate }) => bitrate ?? []);
  return known.length === 0 ? null : known.reduce((sum, bitrate) => sum + bitrate, 0);
}
