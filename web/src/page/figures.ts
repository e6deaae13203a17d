/** Computes rates and shares from the counters at two moments. */
import type {
  Kind,
  PublicationStatistics,
  RemoteTrackStatistics,
  RoomStatistics,
  Source,
} from "../client/index.js";

/** The room's statistics, and when they were taken: in ms of a monotonic clock. */
export interface Snapshot {
  readonly at: number;
  readonly statistics: RoomStatistics;
}

/** One track's figures; null: the browser does not report it, or there is no earlier value yet. */
export interface TrackFigures {
  /** Unique in one list. */
  readonly key: string;
  /** The publisher's name; null: ours. */
  readonly peerId: string | null;
  readonly kind: Kind;
  readonly source: Source;
  readonly codec: string | null;
  /** In bit/s, without headers. */
  readonly bitrate: number | null;
  /** Share of the sent packets that were lost, 0 to 1. */
  readonly loss: number | null;
  readonly framesPerSecond: number | null;
  /** In pixels. */
  readonly size: { readonly width: number; readonly height: number } | null;
}

/** The figures of a connection. */
export interface Figures {
  readonly roundTripMs: number | null;
  /** Sums of the known rates, in bit/s. */
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
    // The counters of a slot continue when it is reused for another track.
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

/** How much a counter grew; null if that is unknown, for example after another connection has started. */
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
