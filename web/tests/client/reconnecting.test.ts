/** The room when something breaks: the WebSocket, the media, the page, the server. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { JOIN_DEADLINE_MS } from "../../src/client/membership.js";
import { FIRST_DELAY_MS, GIVE_UP_AFTER_MS, LASTING_MS, TRY_WITHIN_MS } from "../../src/client/reconnection.js";
import { BEGIN_WITHIN_MS, MAX_FAILED_CONNECTIONS, RESTART_AFTER_MS } from "../../src/client/recovery.js";
import { PING_AFTER_MS, PONG_WITHIN_MS, PROBE_WITHIN_MS } from "../../src/client/signaling.js";
import { LOOK_EVERY_MS, SILENT_AFTER_MS } from "../../src/client/silence.js";
import { track } from "../fakes/media.js";
import { peer, settle, World } from "../fakes/world.js";

let world: World;

beforeEach(() => {
  vi.useFakeTimers();
  world = new World();
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const MIC = { trackId: "t-mic", kind: "audio", source: "mic", layers: [] };
const CAMERA = { trackId: "t-cam", kind: "video", source: "camera", layers: [] };

/** Joins with a microphone, next to Ann, and gets her camera. */
async function talk(): Promise<void> {
  world.room.publish(track("audio"));
  await world.join([peer("ann", [CAMERA])]);
  await world.answer(["ann t-cam"]);
  world.socket.deliver("track-published", { ...MIC, trackId: "mine", peerId: "me", mid: "c0" });
  world.connection.become("connected");
  world.takeEvents();
}

/** The WebSocket breaks, and the time for the first try has come. */
async function breakAndTry(): Promise<void> {
  world.socket.end();
  await vi.advanceTimersByTimeAsync(FIRST_DELAY_MS);
}

const presented = () => world.socket.of("join")[0];

describe("a server that is draining", () => {
  it("is left for its successor with the session; what is on the old connection goes on until then", async () => {
    await talk();
    world.socket.deliver("server-draining", { deadlineMs: 5000 });
    await vi.advanceTimersByTimeAsync(0);
    expect(world.takeEvents()).toEqual(["reconnecting"]);
    expect(world.sockets).toHaveLength(2);
    expect(world.room.remoteTracks).toHaveLength(1);
    await world.readmit("new", [peer("ann", [CAMERA])]);
    expect(world.socket.of("join")[0]).toMatchObject({
      sessionId: "s1",
      sessionToken: "t1",
      transport: "keep",
    });
    expect(world.connections).toHaveLength(2);
    expect(world.socket.of("offer")[0]).toMatchObject({ tracks: [{ mid: "c0", source: "mic" }] });
  });

  it("is left once, though it says so twice", async () => {
    await talk();
    world.socket.deliver("server-draining", { deadlineMs: 5000 });
    world.socket.deliver("server-draining", { deadlineMs: 5000 });
    await vi.advanceTimersByTimeAsync(0);
    await world.readmit("keep");
    await vi.advanceTimersByTimeAsync(5000);
    expect(world.sockets).toHaveLength(2);
  });
});

describe("a WebSocket that breaks", () => {
  it("is replaced; everything else goes on as it was", async () => {
    await talk();
    await breakAndTry();
    expect(world.takeEvents()).toEqual(["reconnecting: lost"]);
    expect(world.room.peers.size).toBe(1);
    expect(world.room.remoteTracks).toHaveLength(1);
    world.socket.open();
    expect(presented()).toEqual({
      roomId: "lobby",
      userId: "u1",
      name: "Me",
      sessionId: "s1",
      sessionToken: "t1",
      transport: "keep",
    });
  });

  it("does not touch the connection, and uses the new token the next time", async () => {
    await talk();
    await breakAndTry();
    await world.readmit("keep", [peer("ann", [CAMERA])]);
    expect(world.takeEvents()).toEqual(["reconnecting: lost", "joined"]);
    expect(world.connections).toHaveLength(1);
    expect(world.socket.of("offer")).toEqual([]);
    expect(world.socket.of("media-state")).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(LASTING_MS);
    await breakAndTry();
    world.socket.open();
    expect(presented()).toMatchObject({ sessionId: "s1", sessionToken: "t2" });
  });

  it("shows what has happened in the room meanwhile", async () => {
    await talk();
    await breakAndTry();
    await world.readmit("keep", [peer("bob")]);
    expect(world.takeEvents()).toEqual([
      "reconnecting: lost",
      "joined",
      "-track ann t-cam camera",
      "-peer ann",
      "+peer bob",
    ]);
  });

  it("brings a new connection when the server has not kept the old one", async () => {
    await talk();
    const mic = world.room.publications[0];
    await breakAndTry();
    await world.readmit("new", [peer("ann", [CAMERA])]);
    expect(world.connections.map(({ signalingState }) => signalingState)).toEqual([
      "closed",
      "have-local-offer",
    ]);
    expect(world.socket.of("offer")[0]?.tracks).toEqual([{ mid: "c0", source: "mic" }]);
    world.socket.deliver("track-published", { ...MIC, trackId: "mine", peerId: "me", mid: "c0" });
    await world.answer(["ann t-cam"]);
    expect(mic?.trackId).toBe("mine");
    expect(world.takeEvents()).toEqual([
      "reconnecting: lost",
      "joined",
      "-track ann t-cam camera",
      "published mine mic",
      "+track ann t-cam camera",
    ]);
  });

  it("becomes a fresh join when the session is not known any more: everything is published again", async () => {
    await talk();
    await breakAndTry();
    await world.admit([peer("ann", [CAMERA])], { peerId: "me2", sessionId: "s2", sessionToken: "x" });
    expect(world.room.session).toMatchObject({ peerId: "me2", sessionId: "s2" });
    expect(world.connections).toHaveLength(2);
    expect(world.socket.of("offer")[0]).toMatchObject({
      peerId: "me2",
      tracks: [{ mid: "c0", source: "mic" }],
    });
    expect(world.takeEvents()).toEqual(["reconnecting: lost", "joined", "-track ann t-cam camera"]);
  });

  it("is tried again, later and later, and given up in the end", async () => {
    await talk();
    world.socket.end();
    const opened: number[] = [];
    for (let time = 0; world.room.state === "reconnecting"; time += 100) {
      await vi.advanceTimersByTimeAsync(100);
      if (world.sockets.length > opened.length + 1) {
        opened.push(time + 100);
        world.socket.end();
      }
    }
    expect(opened.slice(0, 6)).toEqual([500, 1300, 2500, 4200, 6200, 8200]);
    expect(opened.at(-1)).toBeGreaterThan(GIVE_UP_AFTER_MS);
    expect(world.takeEvents()).toEqual([
      "reconnecting: lost",
      "-track ann t-cam camera",
      "-peer ann",
      "failed: lost",
    ]);
    expect(world.connection.signalingState).toBe("closed");
    expect(world.room.publications).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("is tried at once when the network is back", async () => {
    await talk();
    world.socket.end();
    await vi.advanceTimersByTimeAsync(FIRST_DELAY_MS);
    world.socket.end();
    world.changeNetwork?.();
    expect(world.sockets).toHaveLength(3);
  });

  it("breaks during a try at every point", async () => {
    await talk();
    const points: (() => void)[] = [
      () => undefined,
      () => {
        world.socket.open();
      },
      () => {
        world.socket.open();
        world.socket.deliver("join", {
          success: true,
          peerId: "me",
          resumed: true,
          transport: "keep",
          sessionId: "s1",
          sessionToken: "next",
        });
      },
    ];
    for (const reach of points) {
      await breakAndTry();
      await vi.advanceTimersByTimeAsync(10_000);
      reach();
    }
    world.socket.end();
    expect(world.room.state).toBe("reconnecting");
    await vi.advanceTimersByTimeAsync(10_000);
    world.socket.open();
    expect(presented()).toMatchObject({ sessionToken: "next", transport: "keep" });
  });

  it("presents the old token again when the acknowledgement got lost", async () => {
    await talk();
    await breakAndTry();
    world.socket.open();
    world.socket.end();
    await vi.advanceTimersByTimeAsync(10_000);
    world.socket.open();
    expect(presented()).toMatchObject({ sessionId: "s1", sessionToken: "t1" });
  });

  it("gives up a try that leads nowhere", async () => {
    await talk();
    await breakAndTry();
    const silent = world.socket;
    silent.open();
    await vi.advanceTimersByTimeAsync(TRY_WITHIN_MS);
    expect(silent.closeCode).toBe(1000);
    silent.deliver("join", { success: true, peerId: "late" });
    await vi.advanceTimersByTimeAsync(10_000);
    expect(world.room.session?.peerId).toBe("me");
    await world.readmit("keep");
    expect(world.room.state).toBe("joined");
  });

  it("gives up a try whose room-state never comes", async () => {
    await talk();
    await breakAndTry();
    world.socket.open();
    world.socket.deliver("join", { success: true, peerId: "me", resumed: true, transport: "keep" });
    expect(world.room.state).toBe("joined");
    await vi.advanceTimersByTimeAsync(TRY_WITHIN_MS);
    expect(world.room.state).toBe("reconnecting");
  });

  it("tries again when the server is too busy, and not when it does not want us", async () => {
    await talk();
    await breakAndTry();
    world.socket.open();
    world.socket.deliver("error", { code: 503, message: "stopping", type: "join" });
    expect(world.room.state).toBe("reconnecting");
    await vi.advanceTimersByTimeAsync(10_000);
    expect(world.sockets).toHaveLength(3);
    world.socket.open();
    world.socket.deliver("error", { code: 403, message: "not any more", type: "join" });
    const events = world.takeEvents();
    expect([events[0], events.at(-1)]).toEqual(["reconnecting: lost", "failed: refused"]);
    await vi.advanceTimersByTimeAsync(GIVE_UP_AFTER_MS);
    expect(world.sockets).toHaveLength(3);
  });

  it("breaks between the first acknowledgement and its room-state", async () => {
    const { joined } = world.startJoin();
    world.socket.open();
    world.socket.deliver("join", { success: true, peerId: "me", sessionId: "s1", sessionToken: "t1" });
    await breakAndTry();
    world.socket.open();
    expect(presented()).toMatchObject({ sessionId: "s1", transport: "new" });
    world.socket.deliver("join", { success: true, peerId: "me", resumed: true, transport: "new" });
    world.socket.deliver("room-state", { peers: [] });
    await joined;
    await vi.advanceTimersByTimeAsync(JOIN_DEADLINE_MS);
    expect(world.connections).toHaveLength(1);
  });

  it("fails the join when there is no way back in time", async () => {
    const { joined } = world.startJoin();
    world.socket.open();
    world.socket.deliver("join", { success: true, peerId: "me", sessionId: "s1", sessionToken: "t1" });
    world.socket.end();
    await vi.advanceTimersByTimeAsync(JOIN_DEADLINE_MS);
    await expect(joined).rejects.toMatchObject({ kind: "unreachable" });
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("negotiation across the break", () => {
  it("sends an unanswered offer again, as it was", async () => {
    await world.join();
    world.room.publish(track("audio"));
    await settle();
    const [offer] = world.socket.of("offer");
    await breakAndTry();
    await vi.advanceTimersByTimeAsync(8000);
    await world.readmit("keep");
    expect(world.socket.of("offer")).toEqual([offer]);
    await world.answer();
    expect(world.connection.history).toEqual(["local offer", "remote answer"]);
  });

  it("offers what was published meanwhile", async () => {
    await talk();
    await breakAndTry();
    const camera = world.room.publish(track("video"));
    await settle();
    await world.readmit("keep", [peer("ann", [CAMERA])]);
    expect(world.socket.of("offer")[0]?.tracks).toEqual([
      { mid: "c0", source: "mic" },
      { mid: "c2", source: "camera" },
    ]);
    expect(world.socket.of("media-state")).toEqual([
      { micEnabled: true, cameraEnabled: true, screenEnabled: false },
    ]);
    await world.answer();
    world.socket.deliver("track-published", { ...CAMERA, trackId: "cam", peerId: "me", mid: "c2" });
    await expect(camera.ready).resolves.toBe("cam");
  });

  it("does not answer the server's offer on another WebSocket than it came on", async () => {
    await world.join();
    world.socket.deliver("offer", { sdp: "v=0\r\n" });
    world.socket.end();
    await settle();
    await vi.advanceTimersByTimeAsync(FIRST_DELAY_MS);
    await world.readmit("keep");
    expect(world.socket.of("answer")).toEqual([]);
    await world.offer();
    expect(world.socket.of("answer")).toHaveLength(1);
  });

  it("takes the acknowledgement of a publication that the break swallowed", async () => {
    await world.join();
    const mic = world.room.publish(track("audio"));
    await settle();
    await world.answer();
    await breakAndTry();
    await world.readmit("keep");
    world.socket.deliver("track-published", { ...MIC, trackId: "mine", peerId: "me", mid: "c0" });
    await expect(mic.ready).resolves.toBe("mine");
  });
});

describe("a server that says nothing", () => {
  it("is asked for a sign of life, and left within 20 s", async () => {
    await world.join();
    await vi.advanceTimersByTimeAsync(PING_AFTER_MS);
    expect(world.socket.of("ping")).toHaveLength(1);
    world.socket.deliver("pong", world.socket.of("ping")[0]);
    await vi.advanceTimersByTimeAsync(PING_AFTER_MS + PONG_WITHIN_MS - 1);
    expect(world.room.state).toBe("joined");
    await vi.advanceTimersByTimeAsync(1);
    expect(world.room.state).toBe("reconnecting");
    expect(PING_AFTER_MS + PONG_WITHIN_MS).toBeLessThanOrEqual(20_000);
  });

  it("is left at once when the network has changed", async () => {
    await world.join();
    world.changeNetwork?.();
    expect(world.room.state).toBe("reconnecting");
    expect(world.sockets).toHaveLength(2);
  });

  it("is asked when media stops, and left soon when it does not answer: media follows", async () => {
    await talk();
    world.connection.become("disconnected");
    expect(world.socket.of("ping")).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(PROBE_WITHIN_MS - 1);
    world.connection.become("disconnected");
    expect(world.room.state).toBe("joined");
    await vi.advanceTimersByTimeAsync(1);
    expect(world.room.state).toBe("reconnecting");
    expect(world.sockets).toHaveLength(2);
    await world.readmit("keep", [peer("ann", [CAMERA])]);
    expect(world.socket.of("ice-restart-request")).toEqual([{}]);
    expect(world.connections).toHaveLength(1);
  });

  it("is asked when all that was received has stopped, and kept when it answers", async () => {
    await talk();
    for (let sound = 1; sound < 5; sound += 1) {
      world.connection.arrivedAt = sound;
      await vi.advanceTimersByTimeAsync(LOOK_EVERY_MS);
    }
    expect(world.socket.of("ping")).toEqual([]);
    await vi.advanceTimersByTimeAsync(SILENT_AFTER_MS);
    expect(world.socket.of("ping")).toHaveLength(1);
    world.socket.deliver("pong", {});
    await vi.advanceTimersByTimeAsync(PING_AFTER_MS - 1);
    expect(world.socket.of("ping")).toHaveLength(1);
    expect(world.room.state).toBe("joined");
  });
});

describe("media that does not flow", () => {
  it("has an ICE restart asked for after a while", async () => {
    await talk();
    world.connection.become("disconnected");
    world.socket.deliver("pong", {});
    await vi.advanceTimersByTimeAsync(RESTART_AFTER_MS - 1);
    expect(world.socket.of("ice-restart-request")).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(world.socket.of("ice-restart-request")).toEqual([{}]);
    world.socket.deliver("ice-restart-offer", { sdp: "v=0\r\n", type: "offer", peerId: "me" });
    await settle();
    expect(world.socket.of("answer")).toHaveLength(1);
    world.connection.become("connected");
    world.socket.deliver("pong", {});
    await vi.advanceTimersByTimeAsync(10_000);
    expect(world.socket.of("ice-restart-request")).toHaveLength(1);
    expect(world.room.state).toBe("joined");
  });

  it("has an ICE restart asked for at once when the network has changed", async () => {
    await talk();
    world.changeNetwork?.();
    await world.readmit("keep", [peer("ann", [CAMERA])]);
    expect(world.socket.of("ice-restart-request")).toEqual([{}]);
  });

  it("gets a new connection when the old one has failed: the session and local media stay", async () => {
    await talk();
    const mic = world.room.publications[0];
    world.connection.become("failed");
    expect(world.takeEvents()).toEqual(["transport failed", "-track ann t-cam camera", "reconnecting"]);
    expect(world.sockets[0]?.closeCode).toBe(1000);
    expect(world.sockets).toHaveLength(2);
    world.socket.open();
    expect(presented()).toMatchObject({ sessionId: "s1", sessionToken: "t1", transport: "new" });
    world.sockets[0]?.end(1000);
    world.socket.deliver("join", {
      success: true,
      peerId: "me",
      resumed: true,
      transport: "new",
      sessionId: "s1",
      sessionToken: "t2",
    });
    world.socket.deliver("room-state", { peers: [peer("ann", [CAMERA])] });
    await settle();
    await world.answer(["ann t-cam"]);
    expect(world.takeEvents()).toEqual(["joined", "+track ann t-cam camera"]);
    expect(mic?.ended).toBeNull();
    expect(mic?.track?.readyState).toBe("live");
  });

  it("gets a new connection when the first never begins", async () => {
    await world.join([peer("ann", [CAMERA])]);
    await world.answer(["ann t-cam"]);
    await vi.advanceTimersByTimeAsync(BEGIN_WITHIN_MS - 1);
    expect(world.sockets).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    world.socket.open();
    expect(presented()).toMatchObject({ sessionId: "s1", transport: "new" });
    await world.readmit("new", [peer("ann", [CAMERA])]);
    expect(world.connections).toHaveLength(2);
  });

  it("leaves alone a connection for which there is nothing to carry", async () => {
    await world.join();
    await vi.advanceTimersByTimeAsync(BEGIN_WITHIN_MS);
    expect(world.sockets).toHaveLength(1);
  });

  it("gets a new connection after the WebSocket is back, when both have failed", async () => {
    await talk();
    world.socket.end();
    world.connection.become("failed");
    await vi.advanceTimersByTimeAsync(FIRST_DELAY_MS);
    world.socket.open();
    expect(presented()).toMatchObject({ transport: "new" });
  });

  it("goes round once more when it fails after the server was told to keep it", async () => {
    await talk();
    await breakAndTry();
    world.socket.open();
    expect(presented()).toMatchObject({ transport: "keep" });
    world.connection.become("failed");
    world.socket.deliver("join", {
      success: true,
      peerId: "me",
      resumed: true,
      transport: "keep",
      sessionId: "s1",
      sessionToken: "t2",
    });
    world.socket.deliver("room-state", { peers: [] });
    expect(world.sockets).toHaveLength(3);
    world.socket.open();
    expect(presented()).toMatchObject({ sessionToken: "t2", transport: "new" });
    await world.readmit("new");
    expect(world.connections).toHaveLength(2);
  });

  it("fails the room when no connection gets through", async () => {
    await world.join();
    for (let failed = 1; failed < MAX_FAILED_CONNECTIONS; failed += 1) {
      world.connection.become("failed");
      await world.readmit("new");
    }
    world.takeEvents();
    world.connection.become("failed");
    expect(world.takeEvents()).toEqual(["transport failed", "failed: media-failed"]);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("tracks that come and go while we are away", () => {
  it("are told on our return; those of people who are new come with them", async () => {
    await world.join([peer("ann", [CAMERA])]);
    const told: string[] = [];
    world.room.on("trackPublished", ({ peer: { peerId }, track }) => told.push(`+${peerId} ${track.trackId}`));
    world.room.on("trackUnpublished", ({ peer: { peerId }, track }) =>
      told.push(`-${peerId} ${track.trackId}`),
    );
    world.socket.end();
    await vi.advanceTimersByTimeAsync(FIRST_DELAY_MS);
    await world.readmit("keep", [peer("ann", [{ ...CAMERA, trackId: "t-new" }]), peer("bob", [CAMERA])]);
    expect(told).toEqual([`-ann ${CAMERA.trackId}`, "+ann t-new"]);
    expect(world.room.peers.get("bob")?.tracks.size).toBe(1);
  });
});

describe("others whose connection breaks", () => {
  it("are suspended, and come back", async () => {
    await world.join([peer("ann")]);
    world.takeEvents();
    world.socket.deliver("peer-suspended", { peerId: "ann", userId: "u", name: "Ann" });
    expect(world.room.peers.get("ann")?.suspended).toBe(true);
    world.socket.deliver("peer-suspended", { peerId: "ann" });
    world.socket.deliver("peer-suspended", { peerId: "nobody" });
    world.socket.deliver("peer-resumed", { peerId: "ann" });
    expect(world.takeEvents()).toEqual(["?peer ann", "!peer ann"]);
  });

  it("may come back under another name", async () => {
    await world.join([peer("ann")]);
    world.socket.deliver("peer-suspended", { peerId: "ann", userId: "u", name: "Name of ann" });
    world.socket.deliver("peer-resumed", { peerId: "ann", userId: "u", name: "Anna" });
    expect(world.room.peers.get("ann")).toMatchObject({ name: "Anna", suspended: false });
  });

  it("may do so while we are away ourselves", async () => {
    await world.join([peer("ann"), { ...(peer("bob") as object), suspended: true }]);
    await breakAndTry();
    world.takeEvents();
    await world.readmit("keep", [{ ...(peer("ann") as object), suspended: true }, peer("bob")]);
    expect(world.takeEvents()).toEqual(["joined", "?peer ann", "!peer bob"]);
  });
});

describe("the session of a tab", () => {
  const secondJoin = async (page: World, userId?: string) => {
    const options = { roomId: "lobby", name: "Me", url: "ws://test/ws" };
    page.room.join(userId === undefined ? options : { ...options, userId }).catch(() => undefined);
    page.socket.open();
    await settle();
    return page.socket.of("join")[0];
  };

  it("is resumed by the page after a reload", async () => {
    await world.join();
    const next = new World(world.storage);
    expect(await secondJoin(next, "u1")).toMatchObject({
      sessionId: "s1",
      sessionToken: "t1",
      transport: "new",
    });
  });

  it("is resumed also when the library chose the user", async () => {
    world.room.join({ roomId: "lobby", name: "Me", url: "ws://test/ws" }).catch(() => undefined);
    await world.admit();
    const chosen = presented()?.userId;
    expect(await secondJoin(new World(world.storage))).toMatchObject({ userId: chosen, sessionId: "s1" });
  });

  it("is not that of another user or room", async () => {
    await world.join();
    expect(await secondJoin(new World(world.storage), "u2")).toEqual({
      roomId: "lobby",
      userId: "u2",
      name: "Me",
    });
  });

  it("is forgotten when the room is left", async () => {
    await world.join();
    void world.room.leave();
    expect(world.storage.length).toBe(0);
  });

  it("is forgotten when it goes on elsewhere, and not taken back", async () => {
    await talk();
    world.socket.end(4000, "replaced");
    expect(world.takeEvents().at(-1)).toBe("failed: replaced");
    expect(world.storage.length).toBe(0);
    await vi.advanceTimersByTimeAsync(GIVE_UP_AFTER_MS);
    expect(world.sockets).toHaveLength(1);
  });

  it("ends when the server does not want us any more", async () => {
    await talk();
    world.socket.end(1008, "not your certificate");
    expect(world.takeEvents().at(-1)).toBe("failed: refused");
    await vi.advanceTimersByTimeAsync(GIVE_UP_AFTER_MS);
    expect(world.sockets).toHaveLength(1);
  });

  it("is kept when the server could not be reached again", async () => {
    await world.join();
    for (let time = 0; world.room.state !== "failed"; time += 1) {
      world.socket.end();
      await vi.advanceTimersByTimeAsync(10_000);
    }
    expect(await secondJoin(world, "u1")).toMatchObject({ sessionId: "s1" });
  });

  it("is not kept where that is not wanted", async () => {
    const joined = world.room.join({ roomId: "r", name: "n", url: "ws://test/ws", remember: false });
    await world.admit();
    await joined;
    expect(world.storage.length).toBe(0);
  });

  it("is none where somebody else has written to the storage", async () => {
    await world.join();
    for (const stored of ["null", "7", '{"userId":"u1","sessionId":5,"sessionToken":"t"}']) {
      world.storage.setItem(world.storage.key(0) ?? "", stored);
      expect(await secondJoin(new World(world.storage), "u1")).not.toHaveProperty("sessionId");
    }
  });

  it("does not need storage that can be used", async () => {
    const broken = new World();
    vi.spyOn(broken.storage, "getItem").mockImplementation(() => "not JSON");
    vi.spyOn(broken.storage, "setItem").mockImplementation(() => {
      throw new DOMException("full", "QuotaExceededError");
    });
    await broken.join();
    expect(broken.room.state).toBe("joined");
  });
});
