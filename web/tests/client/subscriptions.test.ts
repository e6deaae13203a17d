/** Preferences to receive or not to receive a track, and how the server answers them. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { RoomError } from "../../src/client/errors.js";
import { FIRST_DELAY_MS } from "../../src/client/reconnection.js";
import { peer, settle, World } from "../fakes/world.js";

const CAMERA = { trackId: "cam", kind: "video", source: "camera", layers: ["h", "l"] };

let world: World;
let outcomes: string[];
/** The tracks that ann publishes when we come back. */
let published: unknown[];

beforeEach(async () => {
  vi.useFakeTimers();
  world = new World();
  outcomes = [];
  published = [CAMERA];
  await world.join([peer("ann", [CAMERA])]);
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
  world.socket.deliver("subscription-ack", { trackId: "cam", success, reason: success ? "" : "no" });
  await settle();
}

/** The WebSocket breaks, and we are back; the server has these subscriptions of ours. */
async function comeBack(...subscriptions: unknown[]): Promise<void> {
  world.socket.end();
  await vi.advanceTimersByTimeAsync(FIRST_DELAY_MS);
  world.socket.open();
  const session = { peerId: "me", roomId: "lobby", sessionId: "s1", sessionToken: "t2" };
  world.socket.deliver("join", { success: true, ...session, resumed: true, transport: "keep" });
  world.socket.deliver("room-state", { peers: [peer("ann", published)], subscriptions });
  await settle();
}

describe("a preference to receive a track", () => {
  it("resolves when the server agrees", async () => {
    watch("want", world.room.subscribe("cam", "l"));
    expect(world.socket.of("subscribe")).toEqual([{ trackId: "cam", peerId: "ann", layer: "l" }]);
    await settle();
    expect(outcomes).toEqual([]);
    await acknowledge();
    expect(outcomes).toEqual(["want: done"]);
    expect(world.room.isSubscribed("cam")).toBe(true);
  });

  it("is dropped when the server refuses it", async () => {
    watch("want", world.room.subscribe("cam"));
    await acknowledge(false);
    expect(outcomes).toEqual(["want: request-refused"]);
    expect(world.room.isSubscribed("cam")).toBe(false);
  });

  it("counts as it was last stated, however many requests there were before", async () => {
    watch("want", world.room.subscribe("cam"));
    watch("refuse", world.room.unsubscribe("cam"));
    expect(world.room.isSubscribed("cam")).toBe(false);
    await acknowledge(false);
    expect(outcomes).toEqual([]);
    await acknowledge();
    expect(outcomes).toEqual(["want: done", "refuse: done"]);
    await acknowledge(false); // one too many
    expect(world.room.isSubscribed("cam")).toBe(false);
  });

  it("is refused with all others of its kind when the server is too busy to read them", async () => {
    watch("want", world.room.subscribe("cam"));
    world.socket.deliver("error", { code: 429, message: "slow down", type: "subscribe" });
    await settle();
    expect(outcomes).toEqual(["want: request-refused"]);
  });

  it("is refused when the server does not say which request it refuses", async () => {
    watch("want", world.room.subscribe("cam"));
    world.socket.deliver("error", { code: 400, message: "not a message" });
    await settle();
    expect(outcomes).toEqual(["want: request-refused"]);
  });

  it("is not affected when the server refuses other requests", async () => {
    watch("want", world.room.subscribe("cam"));
    world.socket.deliver("error", { code: 429, message: "slow down", type: "offer" });
    await acknowledge();
    expect(outcomes).toEqual(["want: done"]);
  });

  it("ends with the track", async () => {
    watch("want", world.room.subscribe("cam"));
    world.socket.deliver("track-unpublished", { peerId: "ann", trackId: "cam" });
    await settle();
    expect(outcomes).toEqual(["want: request-refused"]);
  });

  it("ends when the publisher of the track leaves", async () => {
    watch("want", world.room.subscribe("cam"));
    world.socket.deliver("peer-left", { peerId: "ann" });
    await settle();
    expect(outcomes).toEqual(["want: request-refused"]);
  });

  it("ends with the room", async () => {
    watch("want", world.room.subscribe("cam"));
    void world.room.leave();
    await settle();
    expect(outcomes).toEqual(["want: left"]);
  });

  it("is rejected without a room or without a track", async () => {
    await expect(world.room.subscribe("nothing")).rejects.toMatchObject({ kind: "request-refused" });
    void world.room.leave();
    await expect(world.room.unsubscribe("cam")).rejects.toMatchObject({ kind: "left" });
  });
});

describe("after a break", () => {
  it("sends a preference again that was lost", async () => {
    watch("refuse", world.room.unsubscribe("cam"));
    await comeBack({ trackId: "cam", peerId: "ann", layer: null });
    expect(world.socket.of("unsubscribe")).toEqual([{ trackId: "cam", peerId: "ann" }]);
    await acknowledge();
    expect(outcomes).toEqual(["refuse: done"]);
  });

  it("resolves a preference whose answer was lost", async () => {
    watch("want", world.room.subscribe("cam", "h"));
    await comeBack({ trackId: "cam", peerId: "ann", layer: "h" });
    expect(world.socket.of("subscribe")).toEqual([]);
    expect(outcomes).toEqual(["want: done"]);
  });

  it("corrects a layer that differs from the preferred one", async () => {
    watch("want", world.room.subscribe("cam", "l"));
    await acknowledge();
    await comeBack({ trackId: "cam", peerId: "ann", layer: "h" });
    expect(world.socket.of("subscribe")).toEqual([{ trackId: "cam", peerId: "ann", layer: "l" }]);
  });

  it("keeps the server's subscriptions where the program has stated no preference", async () => {
    expect(world.room.isSubscribed("cam")).toBe(false);
    await comeBack({ trackId: "cam", peerId: "ann", layer: "l" });
    expect(world.room.isSubscribed("cam")).toBe(true);
    expect(world.room.preferredLayer("cam")).toBe("l");
  });

  it("knows the subscriptions before listeners are called", async () => {
    const known: unknown[] = [];
    world.room.on("trackPublished", ({ track: { trackId } }) => {
      known.push([trackId, world.room.isSubscribed(trackId), world.room.preferredLayer(trackId)]);
    });
    published = [CAMERA, { ...CAMERA, trackId: "new" }];
    await comeBack({ trackId: "new", peerId: "ann", layer: "m" });
    expect(known).toEqual([["new", true, "m"]]);
  });
});

describe("the preferred layer", () => {
  it("is the last one requested, also while the track is not received", () => {
    expect(world.room.preferredLayer("cam")).toBeNull();
    watch("low", world.room.subscribe("cam", "l"));
    watch("refuse", world.room.unsubscribe("cam"));
    expect(world.room.preferredLayer("cam")).toBe("l");
    watch("best", world.room.subscribe("cam"));
    expect(world.room.preferredLayer("cam")).toBeNull();
    expect(world.socket.of("subscribe").map(({ layer }) => layer)).toEqual(["l", undefined]);
  });

  it("is unknown once the track has ended", () => {
    watch("low", world.room.subscribe("cam", "l"));
    world.socket.deliver("track-unpublished", { trackId: "cam", peerId: "ann" });
    expect(world.room.preferredLayer("cam")).toBeNull();
  });
});
