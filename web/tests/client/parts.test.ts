/** The small parts: states, emitter, statistics. */
import { afterEach, describe, expect, it, vi } from "vitest";
import { type ConnectionEvent, type ConnectionState, nextState } from "../../src/client/connection-state.js";
import { Emitter } from "../../src/client/emitter.js";
import { summarize } from "../../src/client/stats.js";
import { track } from "../fakes/media.js";
import { settle, RoomHarness } from "../fakes/harness.js";

afterEach(() => {
  vi.unstubAllGlobals();
});

describe("nextState", () => {
  it("goes from connecting to joined to closed, and can connect again", () => {
    const way: ConnectionEvent[] = ["join", "opened", "accepted", "leave", "closed", "join"];
    let state: ConnectionState = "idle";
    const states = way.map((event) => (state = nextState(state, event)));
    expect(states).toEqual(["connecting", "joining", "joined", "leaving", "closed", "connecting"]);
  });

  it("allows leaving in every state", () => {
    const states: ConnectionState[] = [
      "idle",
      "connecting",
      "joining",
      "joined",
      "reconnecting",
      "leaving",
      "closed",
      "failed",
    ];
    for (const state of states) expect(["idle", "leaving", "closed"]).toContain(nextState(state, "leave"));
  });

  it("goes through reconnecting when the connection breaks", () => {
    expect(nextState("joined", "interrupted")).toBe("reconnecting");
    expect(nextState("reconnecting", "accepted")).toBe("joined");
    expect(nextState("reconnecting", "lost")).toBe("failed");
  });

  it("throws at an impossible transition", () => {
    expect(() => nextState("joined", "accepted")).toThrow("cannot accepted while joined");
    expect(() => nextState("idle", "lost")).toThrow();
  });
});

describe("Emitter", () => {
  class Bell extends Emitter<{ ring: number; stop: null }> {
    ring(times: number): void {
      this.emit("ring", times);
    }
  }

  it("calls a listener until it is removed", () => {
    const bell = new Bell();
    const heard: string[] = [];
    bell.ring(0);
    const off = bell.on("ring", (times) => heard.push(`on ${times}`));
    bell.once("ring", (times) => heard.push(`once ${times}`));
    bell.ring(1);
    bell.ring(2);
    off();
    bell.ring(3);
    expect(heard).toEqual(["on 1", "once 1", "on 2"]);
  });

  it("calls the listeners that were there at the start, also when some are added or removed meanwhile", () => {
    const bell = new Bell();
    const heard: string[] = [];
    bell.once("ring", () => {
      bell.on("ring", () => heard.push("late"));
    });
    bell.once("ring", () => heard.push("second"));
    bell.ring(1);
    expect(heard).toEqual(["second"]);
  });

  it("reports a listener's error and calls the others", () => {
    const bell = new Bell();
    const heard: number[] = [];
    const thrown: (() => void)[] = [];
    vi.stubGlobal("queueMicrotask", (callback: () => void) => thrown.push(callback));
    bell.on("ring", () => {
      throw new Error("broken listener");
    });
    bell.on("ring", (times) => heard.push(times));
    bell.ring(1);
    expect(heard).toEqual([1]);
    expect(() => {
      thrown[0]?.();
    }).toThrow("broken listener");
  });
});

describe("statistics", () => {
  it("finds the figures of each track by mid or by the track's id", async () => {
    const harness = new RoomHarness();
    const CAMERA = { trackId: "t", kind: "video", source: "camera", layers: [] };
    harness.room.publish(track("audio"));
    await harness.join([{ peerId: "ann", tracks: [CAMERA, { ...CAMERA, trackId: "t2" }] }]);
    await harness.answer(["ann t", "ann t2"]);
    const [first, second] = harness.room.remoteTracks;
    harness.connection.stats = new Map<string, Record<string, unknown>>([
      ["codec", { type: "codec", mimeType: "video/VP8" }],
      [
        "in1",
        {
          type: "inbound-rtp",
          mid: first?.mid,
          codecId: "codec",
          framesDecoded: 7,
          packetsLost: 1,
          jitter: 0.002,
        },
      ],
      ["in2", { type: "inbound-rtp", trackIdentifier: second?.track.id, framesDecoded: 8, frameWidth: 640 }],
      ["out", { type: "outbound-rtp", mid: "c0", packetsSent: 9, bytesSent: 900, remoteId: "back" }],
      ["back", { type: "remote-inbound-rtp", fractionLost: 0.25 }],
      ["pair", { type: "candidate-pair", nominated: true, currentRoundTripTime: 0.05 }],
    ]);
    const statistics = await harness.room.statistics();
    expect(statistics.remote).toMatchObject([
      { trackId: "t", codec: "VP8", framesDecoded: 7, packetsLost: 1, jitterMs: 2, totalAudioEnergy: null },
      { trackId: "t2", codec: null, framesDecoded: 8, frameWidth: 640, packetsLost: 0 },
    ]);
    expect(statistics.published).toMatchObject([
      { source: "mic", packetsSent: 9, bytesSent: 900, fractionLost: 0.25, framesEncoded: null },
    ]);
    expect(statistics.roundTripMs).toBe(50);
    expect(statistics.negotiation).toMatchObject({ offers: 1 });
    void harness.room.leave();
    await settle();
  });

  it("are empty when the connection closes while they are read", async () => {
    const harness = new RoomHarness();
    await harness.join([]);
    const asked = harness.room.statistics();
    void harness.room.leave();
    expect(await asked).toMatchObject({ remote: [], roundTripMs: null, negotiation: null });
  });

  it("are empty without a connection", async () => {
    const harness = new RoomHarness();
    expect(await harness.room.statistics()).toEqual({
      remote: [],
      published: [],
      roundTripMs: null,
      signaling: null,
      negotiation: null,
    });
    expect(summarize(new Map<string, never>(), [], []).roundTripMs).toBeNull();
  });
});
