import { describe, expect, it } from "vitest";
import type { PublicationStatistics, RemoteTrackStatistics } from "../../src/client/stats.js";
import { figuresOf, type Snapshot } from "../../src/page/figures.js";
import { bitrateInWords, numberInWords, shareInWords, timeInWords, UNKNOWN } from "../../src/page/units.js";

function remote(figures: Partial<RemoteTrackStatistics> = {}): RemoteTrackStatistics {
  return {
    peerId: "ann",
    trackId: "cam",
    mid: "s0",
    kind: "video",
    source: "camera",
    codec: "VP8",
    bytesReceived: 0,
    packetsReceived: 0,
    packetsLost: 0,
    jitterMs: null,
    nackCount: null,
    pliCount: null,
    framesDecoded: null,
    keyFramesDecoded: null,
    framesPerSecond: null,
    frameWidth: null,
    frameHeight: null,
    freezeCount: null,
    totalAudioEnergy: null,
    ...figures,
  };
}

function published(figures: Partial<PublicationStatistics> = {}): PublicationStatistics {
  return {
    trackId: "own",
    kind: "video",
    source: "camera",
    codec: null,
    bytesSent: 0,
    packetsSent: 0,
    framesEncoded: null,
    frameWidth: null,
    frameHeight: null,
    fractionLost: null,
    ...figures,
  };
}

function snapshot(
  at: number,
  remote: RemoteTrackStatistics[] = [],
  published: PublicationStatistics[] = [],
): Snapshot {
  return { at, statistics: { remote, published, roundTripMs: 12, signaling: null, negotiation: null } };
}

describe("figuresOf", () => {
  it("has no rates without a time interval", () => {
    const now = snapshot(1000, [remote({ bytesReceived: 5 })], [published({ fractionLost: 0.5 })]);
    for (const earlier of [null, now]) {
      const { received, sent, receivedBitrate, sentBitrate, roundTripMs } = figuresOf(now, earlier);
      expect(received).toMatchObject([{ bitrate: null, loss: null, size: null, framesPerSecond: null }]);
      expect(sent).toMatchObject([{ bitrate: null, loss: 0.5, size: null, framesPerSecond: null }]);
      expect([receivedBitrate, sentBitrate, roundTripMs]).toEqual([null, null, 12]);
    }
  });

  it("computes the rates of what is received, and their sum", () => {
    const mic = { trackId: "mic", mid: "s1", kind: "audio", source: "mic" } as const;
    const { received, receivedBitrate } = figuresOf(
      snapshot(4000, [
        remote({
          bytesReceived: 3000,
          packetsReceived: 109,
          packetsLost: 3,
          framesPerSecond: 30,
          frameWidth: 1280,
          frameHeight: 720,
        }),
        remote({ ...mic, bytesReceived: 600 }),
      ]),
      snapshot(2000, [
        remote({ bytesReceived: 1000, packetsReceived: 100, packetsLost: 2 }),
        remote({ ...mic, bytesReceived: 100 }),
      ]),
    );
    expect(received).toEqual([
      {
        key: "s0 cam",
        peerId: "ann",
        kind: "video",
        source: "camera",
        codec: "VP8",
        bitrate: 8000,
        loss: 0.1,
        framesPerSecond: 30,
        size: { width: 1280, height: 720 },
      },
      expect.objectContaining({ key: "s1 mic", bitrate: 2000, loss: null }),
    ]);
    expect(receivedBitrate).toBe(10_000);
  });

  it("computes the rates of what is sent, and the loss that the server reports", () => {
    const { sent, sentBitrate } = figuresOf(
      snapshot(3000, [], [published({ bytesSent: 900, framesEncoded: 50, fractionLost: 0.02 })]),
      snapshot(1000, [], [published({ bytesSent: 400, framesEncoded: 10 })]),
    );
    expect(sent).toMatchObject([{ peerId: null, bitrate: 2000, framesPerSecond: 20, loss: 0.02 }]);
    expect(sentBitrate).toBe(2000);
  });

  it("does not compare a track with another one in the same slot", () => {
    const now = snapshot(2000, [remote({ trackId: "other", bytesReceived: 9000 })]);
    expect(figuresOf(now, snapshot(1000, [remote({ bytesReceived: 1000 })])).received[0]?.bitrate).toBeNull();
  });

  it("does not compare with another connection, whose counters started again", () => {
    const now = snapshot(2000, [remote({ bytesReceived: 10, packetsReceived: 1 })]);
    const earlier = snapshot(1000, [remote({ bytesReceived: 1000, packetsReceived: 100 })]);
    expect(figuresOf(now, earlier).received).toMatchObject([{ bitrate: null, loss: null }]);
  });
});

describe("units", () => {
  it("are chosen for readability", () => {
    expect([0, 999, 64_000, 999_499, 1_480_000].map(bitrateInWords)).toEqual([
      "0 kbit/s",
      "1 kbit/s",
      "64 kbit/s",
      "999 kbit/s",
      "1.48 Mbit/s",
    ]);
    expect(bitrateInWords(999_500)).toBe("1.00 Mbit/s");
    expect([shareInWords(0.0123), timeInWords(12.4), numberInWords(29.97)]).toEqual(["1.2 %", "12 ms", "30"]);
  });

  it("are left out where the figure is unknown", () => {
    expect([bitrateInWords(null), shareInWords(null), timeInWords(null), numberInWords(null)]).toEqual(
      Array(4).fill(UNKNOWN),
    );
  });
});
