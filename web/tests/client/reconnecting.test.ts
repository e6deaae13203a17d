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

/** Joins with a microphone, next to Ann, and receives her camera. */
async function talk(): Promise<void> {
  world.room.publish(track("audio"));
  await world.join([peer("ann", [CAMERA])]);
  await world.answer(["ann t-cam"]);
  world.socket.deliver("track-published", { ...MIC, trackId: "mine", peerId: "me", mid: "c0" });
  world.connection.become("connected");
  world.takeEvents();
}

/** The WebSocket breaks, and the first attempt is due. */
async function breakAndTry(): Promise<void> {
  world.socket.end();
  await vi.advanceTimersByTimeAsync(FIRST_DELAY_MS);
}

const presented = () => world.socket.of("join")[0];

describe("a server that is draining", () => {
  it("is replaced by the next server, which resumes the session; media continues on the old connection until then", async () => {
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

  it("is replaced once, even if it announces the drain twice", async () => {
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
  it("is replaced; everything else continues", async () => {
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

  it("leaves the RTCPeerConnection alone, and uses the new token the next time", async () => {
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

  it("brings the changes in the room that happened meanwhile", async () => {
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

  it("brings a new RTCPeerConnection when the server has not kept the old one", async () => {
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

  it("becomes a fresh join when the server does not know the session: everything is published again", async () => {
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

  it("is retried at growing intervals until the room fails", async () => {
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

  it("is retried at once when the network is back", async () => {
    await talk();
    world.socket.end();
    await vi.advanceTimersByTimeAsync(FIRST_DELAY_MS);
    world.socket.end();
    world.changeNetwork?.();
    expect(world.sockets).toHaveLength(3);
  });

  it("may break at every point of an attempt", async () => {
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

  it("presents the old token again when the acknowledgement was lost", async () => {
    await talk();
    await breakAndTry();
    world.socket.open();
    world.socket.end();
    await vi.advanceTimersByTimeAsync(10_000);
    world.socket.open();
    expect(presented()).toMatchObject({ sessionId: "s1", sessionToken: "t1" });
  });

  it("ends an attempt that gets no reply", async () => {
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

  it("ends an attempt whose room-state never arrives", async () => {
    await talk();
    await breakAndTry();
    world.socket.open();
    world.socket.deliver("join", { success: true, peerId: "me", resumed: true, transport: "keep" });
    expect(world.room.state).toBe("joined");
    await vi.advanceTimersByTimeAsync(TRY_WITHIN_MS);
    expect(world.room.state).toBe("reconnecting");
  });

  it("is retried when the server is too busy, and not when it refuses the client", async () => {
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

  it("may break between the first acknowledgement and its room-state", async () => {
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

  it("fails the join when it cannot be restored in time", async () => {
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
  it("sends an unanswered offer again, unchanged", async () => {
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

  it("offers what was published during the break", async () => {
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

  it("does not answer the server's offer on another WebSocket than it arrived on", async () => {
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

  it("learns of a publication whose acknowledgement was lost in the break", async () => {
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

describe("a silent server", () => {
  it("gets a ping, and is disconnected within 20 s", async () => {
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

  it("is disconnected at once when the network has changed", async () => {
    await world.join();
    world.changeNetwork?.();
    expect(world.room.state).toBe("reconnecting");
    expect(world.sockets).toHaveLength(2);
  });

  it("gets a ping when media stops, and is disconnected soon without a reply: media follows", async () => {
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

  it("gets a ping when all received media has stopped, and is kept when it replies", async () => {
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
  it("makes the client ask for an ICE restart after a while", async () => {
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

  it("makes the client ask for an ICE restart at once when the network has changed", async () => {
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

  it("gets a new connection when the first never connects", async () => {
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

  it("is not missed on a connection without tracks", async () => {
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

  it("gets a new connection when the old one fails after the client asked the server to keep it", async () => {
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

  it("fails the room when no connection can be established", async () => {
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

describe("tracks that start and end while the client reconnects", () => {
  it("are announced after the return; those of new peers come with the peer", async () => {
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

describe("other peers whose connection breaks", () => {
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

  it("may come back while this client reconnects too", async () => {
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

  it("is resumed after a reload of the page", async () => {
    await world.join();
    const next = new World(world.storage);
    expect(await secondJoin(next, "u1")).toMatchObject({
      sessionId: "s1",
      sessionToken: "t1",
      transport: "new",
    });
  });

  it("is resumed also when the library chose the user id", async () => {
    world.room.join({ roomId: "lobby", name: "Me", url: "ws://test/ws" }).catch(() => undefined);
    await world.admit();
    const chosen = presented()?.userId;
    expect(await secondJoin(new World(world.storage))).toMatchObject({ userId: chosen, sessionId: "s1" });
  });

  it("is not used for another user or room", async () => {
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

  it("is forgotten when it continues elsewhere", async () => {
    await talk();
    world.socket.end(4000, "replaced");
    expect(world.takeEvents().at(-1)).toBe("failed: replaced");
    expect(world.storage.length).toBe(0);
    await vi.advanceTimersByTimeAsync(GIVE_UP_AFTER_MS);
    expect(world.sockets).toHaveLength(1);
  });

  it("ends when the server refuses it", async () => {
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

  it("is not stored when the program asks for that", async () => {
    const joined = world.room.join({ roomId: "r", name: "n", url: "ws://test/ws", remember: false });
    await world.admit();
    await joined;
    expect(world.storage.length).toBe(0);
  });

  it("is ignored when the stored text is not the library's", async () => {
    await world.join();
    for (const stored of ["null", "7", '{"userId":"u1","sessionId":5,"sessionToken":"t"}']) {
      world.storage.setItem(world.storage.key(0) ?? "", stored);
      expect(await secondJoin(new World(world.storage), "u1")).not.toHaveProperty("sessionId");
    }
  });

  it("works without usable storage", async () => {
    const broken = new World();
    vi.spyOn(broken.storage, "getItem").mockImplementation(() => "not JSON");
    vi.spyOn(broken.storage, "setItem").mockImplementation(() => {
      throw new DOMException("full", "QuotaExceededError");
    });
    await broken.join();
    expect(broken.room.state).toBe("joined");
  });
});
