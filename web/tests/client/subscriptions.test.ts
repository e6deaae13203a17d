/** Preferences to receive or not to receive a track, and how the server answers them. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { RoomError } from "../../src/client/errors.js";
import { FIRST_DELAY_MS } from "../../src/client/reconnection.js";
import { peer, settle, RoomHarness } from "../fakes/harness.js";

const CAMERA = { trackId: "cam", kind: "video", source: "camera", layers: ["h", "l"] };

let harness: RoomHarness;
let outcomes: string[];
/** The tracks that ann publishes when we come back. */
let published: unknown[];

beforeEach(async () => {
  vi.useFakeTimers();
  harness = new RoomHarness();
  outcomes = [];
  published = [CAMERA];
  await harness.join([peer("ann", [CAMERA])]);
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** Records the result of a request. */
function watch(name: string, request: Promise<void>): void {
  request.then(
    () => outcomes.push(`${name}: done`),
    (error: unknown) => outcomes.push(`${name}: ${(error as RoomError).kind}`),
  );
}

async function acknowledge(success = true): Promise<void> {
  harness.socket.deliver("subscription-ack", { trackId: "cam", success, reason: success ? "" : "no" });
  await settle();
}

/** The WebSocket breaks, and we are back; the server has these subscriptions of ours. */
async function comeBack(...subscriptions: unknown[]): Promise<void> {
  harness.socket.end();
  await vi.advanceTimersByTimeAsync(FIRST_DELAY_MS);
  harness.socket.open();
  const session = { peerId: "me", roomId: "lobby", sessionId: "s1", sessionToken: "t2" };
  harness.socket.deliver("join", { success: true, ...session, resumed: true, transport: "keep" });
  harness.socket.deliver("room-state", { peers: [peer("ann", published)], subscriptions });
  await settle();
}

describe("a preference to receive a track", () => {
  it("resolves when the server agrees", async () => {
    watch("want", harness.room.subscribe("cam", "l"));
    expect(harness.socket.of("subscribe")).toEqual([{ trackId: "cam", peerId: "ann", layer: "l" }]);
    await settle();
    expect(outcomes).toEqual([]);
    await acknowledge();
    expect(outcomes).toEqual(["want: done"]);
    expect(harness.room.isSubscribed("cam")).toBe(true);
  });

  it("is dropped when the server refuses it", async () => {
    watch("want", harness.room.subscribe("cam"));
    await acknowledge(false);
    expect(outcomes).toEqual(["want: request-refused"]);
    expect(harness.room.isSubscribed("cam")).toBe(false);
  });

  it("counts as it was last stated, however many requests there were before", async () => {
    watch("want", harness.room.subscribe("cam"));
    watch("refuse", harness.room.unsubscribe("cam"));
    expect(harness.room.isSubscribed("cam")).toBe(false);
    await acknowledge(false);
    expect(outcomes).toEqual([]);
    await acknowledge();
    expect(outcomes).toEqual(["want: done", "refuse: done"]);
    await acknowledge(false); // one too many
    expect(harness.room.isSubscribed("cam")).toBe(false);
  });

  it("is refused with all others of its kind when the server is too busy to read them", async () => {
    watch("want", harness.room.subscribe("cam"));
    harness.socket.deliver("error", { code: 429, message: "slow down", type: "subscribe" });
    await settle();
    expect(outcomes).toEqual(["want: request-refused"]);
  });

  it("is refused when the server does not say which request it refuses", async () => {
    watch("want", harness.room.subscribe("cam"));
    harness.socket.deliver("error", { code: 400, message: "not a message" });
    await settle();
    expect(outcomes).toEqual(["want: request-refused"]);
  });

  it("is not affected when the server refuses other requests", async () => {
    watch("want", harness.room.subscribe("cam"));
    harness.socket.deliver("error", { code: 429, message: "slow down", type: "offer" });
    await acknowledge();
    expect(outcomes).toEqual(["want: done"]);
  });

  it("ends with the track", async () => {
    watch("want", harness.room.subscribe("cam"));
    harness.socket.deliver("track-unpublished", { peerId: "ann", trackId: "cam" });
    await settle();
    expect(outcomes).toEqual(["want: request-refused"]);
  });

  it("ends when the publisher of the track leaves", async () => {
    watch("want", harness.room.subscribe("cam"));
    harness.socket.deliver("peer-left", { peerId: "ann" });
    await settle();
    expect(outcomes).toEqual(["want: request-refused"]);
  });

  it("ends with the room", async () => {
    watch("want", harness.room.subscribe("cam"));
    void harness.room.leave();
    await settle();
    expect(outcomes).toEqual(["want: left"]);
  });

  it("is rejected without a room or without a track", async () => {
    await expect(harness.room.subscribe("nothing")).rejects.toMatchObject({ kind: "request-refused" });
    void harness.room.leave();
    await expect(harness.room.unsubscribe("cam")).rejects.toMatchObject({ kind: "left" });
  });
});

describe("after a break", () => {
  it("sends a preference again that was lost", async () => {
    watch("refuse", harness.room.unsubscribe("cam"));
    await comeBack({ trackId: "cam", peerId: "ann", layer: null });
    expect(harness.socket.of("unsubscribe")).toEqual([{ trackId: "cam", peerId: "ann" }]);
    await acknowledge();
    expect(outcomes).toEqual(["refuse: done"]);
  });

  it("resolves a preference whose answer was lost", async () => {
    watch("want", harness.room.subscribe("cam", "h"));
    await comeBack({ trackId: "cam", peerId: "ann", layer: "h" });
    expect(harness.socket.of("subscribe")).toEqual([]);
    expect(outcomes).toEqual(["want: done"]);
  });

  it("corrects a layer that differs from the preferred one", async () => {
    watch("want", harness.room.subscribe("cam", "l"));
    await acknowledge();
    await comeBack({ trackId: "cam", peerId: "ann", layer: "h" });
    expect(harness.socket.of("subscribe")).toEqual([{ trackId: "cam", peerId: "ann", layer: "l" }]);
  });

  it("keeps the server's subscriptions where the program has stated no preference", async () => {
    expect(harness.room.isSubscribed("cam")).toBe(false);
    await comeBack({ trackId: "cam", peerId: "ann", layer: "l" });
    expect(harness.room.isSubscribed("cam")).toBe(true);
    expect(harness.room.preferredLayer("cam")).toBe("l");
  });

  it("knows the subscriptions before listeners are called", async () => {
    const known: unknown[] = [];
    harness.room.on("trackPublished", ({ track: { trackId } }) => {
      known.push([trackId, harness.room.isSubscribed(trackId), harness.room.preferredLayer(trackId)]);
    });
    published = [CAMERA, { ...CAMERA, trackId: "new" }];
    await comeBack({ trackId: "new", peerId: "ann", layer: "m" });
    expect(known).toEqual([["new", true, "m"]]);
  });
});

describe("the preferred layer", () => {
  it("is the last one requested, also while the track is not received", () => {
    expect(harness.room.preferredLayer("cam")).toBeNull();
    watch("low", harness.room.subscribe("cam", "l"));
    watch("refuse", harness.room.unsubscribe("cam"));
    expect(harness.room.preferredLayer("cam")).toBe("l");
    watch("best", harness.room.subscribe("cam"));
    expect(harness.room.preferredLayer("cam")).toBeNull();
    expect(harness.socket.of("subscribe").map(({ layer }) => layer)).toEqual(["l", undefined]);
  });

  it("is unknown once the track has ended", () => {
    watch("low", harness.room.subscribe("cam", "l"));
    harness.socket.deliver("track-unpublished", { trackId: "cam", peerId: "ann" });
    expect(harness.room.preferredLayer("cam")).toBeNull();
  });
});
