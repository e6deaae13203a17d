/** The room when something breaks: the WebSocket, the media, the page, the server. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { JOIN_DEADLINE_MS } from "../../src/client/membership.js";
import { FIRST_DELAY_MS, GIVE_UP_AFTER_MS, LASTING_MS, TRY_WITHIN_MS } from "../../src/client/reconnection.js";
import { BEGIN_WITHIN_MS, MAX_FAILED_CONNECTIONS, RESTART_AFTER_MS } from "../../src/client/recovery.js";
import { PING_AFTER_MS, PONG_WITHIN_MS, PROBE_WITHIN_MS } from "../../src/client/signaling.js";
import { LOOK_EVERY_MS, SILENT_AFTER_MS } from "../../src/client/silence.js";
import { track } from "../fakes/media.js";
import { peer, settle, RoomHarness } from "../fakes/harness.js";

let harness: RoomHarness;

beforeEach(() => {
  vi.useFakeTimers();
  harness = new RoomHarness();
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const MIC = { trackId: "t-mic", kind: "audio", source: "mic", layers: [] };
const CAMERA = { trackId: "t-cam", kind: "video", source: "camera", layers: [] };

/** Joins with a microphone, next to Ann, and receives her camera. */
async function talk(): Promise<void> {
  harness.room.publish(track("audio"));
  await harness.join([peer("ann", [CAMERA])]);
  await harness.answer(["ann t-cam"]);
  harness.socket.deliver("track-published", { ...MIC, trackId: "mine", peerId: "me", mid: "c0" });
  harness.connection.become("connected");
  harness.takeEvents();
}

/** The WebSocket breaks, and the first attempt is due. */
async function breakAndTry(): Promise<void> {
  harness.socket.end();
  await vi.advanceTimersByTimeAsync(FIRST_DELAY_MS);
}

const presented = () => harness.socket.of("join")[0];

describe("a server that is draining", () => {
  it("is replaced by the next server, which resumes the session; media continues on the old connection until then", async () => {
    await talk();
    harness.socket.deliver("server-draining", { deadlineMs: 5000 });
    await vi.advanceTimersByTimeAsync(0);
    expect(harness.takeEvents()).toEqual(["reconnecting"]);
    expect(harness.sockets).toHaveLength(2);
    expect(harness.room.remoteTracks).toHaveLength(1);
    await harness.readmit("new", [peer("ann", [CAMERA])]);
    expect(harness.socket.of("join")[0]).toMatchObject({
      sessionId: "s1",
      sessionToken: "t1",
      transport: "keep",
    });
    expect(harness.connections).toHaveLength(2);
    expect(harness.socket.of("offer")[0]).toMatchObject({ tracks: [{ mid: "c0", source: "mic" }] });
  });

  it("is replaced once, even if it announces the drain twice", async () => {
    await talk();
    harness.socket.deliver("server-draining", { deadlineMs: 5000 });
    harness.socket.deliver("server-draining", { deadlineMs: 5000 });
    await vi.advanceTimersByTimeAsync(0);
    await harness.readmit("keep");
    await vi.advanceTimersByTimeAsync(5000);
    expect(harness.sockets).toHaveLength(2);
  });
});

describe("a WebSocket that breaks", () => {
  it("is replaced; everything else continues", async () => {
    await talk();
    await breakAndTry();
    expect(harness.takeEvents()).toEqual(["reconnecting: lost"]);
    expect(harness.room.peers.size).toBe(1);
    expect(harness.room.remoteTracks).toHaveLength(1);
    harness.socket.open();
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
    await harness.readmit("keep", [peer("ann", [CAMERA])]);
    expect(harness.takeEvents()).toEqual(["reconnecting: lost", "joined"]);
    expect(harness.connections).toHaveLength(1);
    expect(harness.socket.of("offer")).toEqual([]);
    expect(harness.socket.of("media-state")).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(LASTING_MS);
    await breakAndTry();
    harness.socket.open();
    expect(presented()).toMatchObject({ sessionId: "s1", sessionToken: "t2" });
  });

  it("brings the changes in the room that happened meanwhile", async () => {
    await talk();
    await breakAndTry();
    await harness.readmit("keep", [peer("bob")]);
    expect(harness.takeEvents()).toEqual([
      "reconnecting: lost",
      "joined",
      "-track ann t-cam camera",
      "-peer ann",
      "+peer bob",
    ]);
  });

  it("brings a new RTCPeerConnection when the server has not kept the old one", async () => {
    await talk();
    const mic = harness.room.publications[0];
    await breakAndTry();
    await harness.readmit("new", [peer("ann", [CAMERA])]);
    expect(harness.connections.map(({ signalingState }) => signalingState)).toEqual([
      "closed",
      "have-local-offer",
    ]);
    expect(harness.socket.of("offer")[0]?.tracks).toEqual([{ mid: "c0", source: "mic" }]);
    harness.socket.deliver("track-published", { ...MIC, trackId: "mine", peerId: "me", mid: "c0" });
    await harness.answer(["ann t-cam"]);
    expect(mic?.trackId).toBe("mine");
    expect(harness.takeEvents()).toEqual([
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
    await harness.admit([peer("ann", [CAMERA])], { peerId: "me2", sessionId: "s2", sessionToken: "x" });
    expect(harness.room.session).toMatchObject({ peerId: "me2", sessionId: "s2" });
    expect(harness.connections).toHaveLength(2);
    expect(harness.socket.of("offer")[0]).toMatchObject({
      peerId: "me2",
      tracks: [{ mid: "c0", source: "mic" }],
    });
    expect(harness.takeEvents()).toEqual(["reconnecting: lost", "joined", "-track ann t-cam camera"]);
  });

  it("is retried at growing intervals until the room fails", async () => {
    await talk();
    harness.socket.end();
    const opened: number[] = [];
    for (let time = 0; harness.room.state === "reconnecting"; time += 100) {
      await vi.advanceTimersByTimeAsync(100);
      if (harness.sockets.length > opened.length + 1) {
        opened.push(time + 100);
        harness.socket.end();
      }
    }
    expect(opened.slice(0, 6)).toEqual([500, 1300, 2500, 4200, 6200, 8200]);
    expect(opened.at(-1)).toBeGreaterThan(GIVE_UP_AFTER_MS);
    expect(harness.takeEvents()).toEqual([
      "reconnecting: lost",
      "-track ann t-cam camera",
      "-peer ann",
      "failed: lost",
    ]);
    expect(harness.connection.signalingState).toBe("closed");
    expect(harness.room.publications).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("is retried at once when the network is back", async () => {
    await talk();
    harness.socket.end();
    await vi.advanceTimersByTimeAsync(FIRST_DELAY_MS);
    harness.socket.end();
    harness.changeNetwork?.();
    expect(harness.sockets).toHaveLength(3);
  });

  it("may break at every point of an attempt", async () => {
    await talk();
    const points: (() => void)[] = [
      () => undefined,
      () => {
        harness.socket.open();
      },
      () => {
        harness.socket.open();
        harness.socket.deliver("join", {
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
    harness.socket.end();
    expect(harness.room.state).toBe("reconnecting");
    await vi.advanceTimersByTimeAsync(10_000);
    harness.socket.open();
    expect(presented()).toMatchObject({ sessionToken: "next", transport: "keep" });
  });

  it("presents the old token again when the acknowledgement was lost", async () => {
    await talk();
    await breakAndTry();
    harness.socket.open();
    harness.socket.end();
    await vi.advanceTimersByTimeAsync(10_000);
    harness.socket.open();
    expect(presented()).toMatchObject({ sessionId: "s1", sessionToken: "t1" });
  });

  it("ends an attempt that gets no reply", async () => {
    await talk();
    await breakAndTry();
    const silent = harness.socket;
    silent.open();
    await vi.advanceTimersByTimeAsync(TRY_WITHIN_MS);
    expect(silent.closeCode).toBe(1000);
    silent.deliver("join", { success: true, peerId: "late" });
    await vi.advanceTimersByTimeAsync(10_000);
    expect(harness.room.session?.peerId).toBe("me");
    await harness.readmit("keep");
    expect(harness.room.state).toBe("joined");
  });

  it("ends an attempt whose room-state never arrives", async () => {
    await talk();
    await breakAndTry();
    harness.socket.open();
    harness.socket.deliver("join", { success: true, peerId: "me", resumed: true, transport: "keep" });
    expect(harness.room.state).toBe("joined");
    await vi.advanceTimersByTimeAsync(TRY_WITHIN_MS);
    expect(harness.room.state).toBe("reconnecting");
  });

  it("is retried when the server is too busy, and not when it refuses the client", async () => {
    await talk();
    await breakAndTry();
    harness.socket.open();
    harness.socket.deliver("error", { code: 503, message: "stopping", type: "join" });
    expect(harness.room.state).toBe("reconnecting");
    await vi.advanceTimersByTimeAsync(10_000);
    expect(harness.sockets).toHaveLength(3);
    harness.socket.open();
    harness.socket.deliver("error", { code: 403, message: "not any more", type: "join" });
    const events = harness.takeEvents();
    expect([events[0], events.at(-1)]).toEqual(["reconnecting: lost", "failed: refused"]);
    await vi.advanceTimersByTimeAsync(GIVE_UP_AFTER_MS);
    expect(harness.sockets).toHaveLength(3);
  });

  it("may break between the first acknowledgement and its room-state", async () => {
    const { joined } = harness.startJoin();
    harness.socket.open();
    harness.socket.deliver("join", { success: true, peerId: "me", sessionId: "s1", sessionToken: "t1" });
    await breakAndTry();
    harness.socket.open();
    expect(presented()).toMatchObject({ sessionId: "s1", transport: "new" });
    harness.socket.deliver("join", { success: true, peerId: "me", resumed: true, transport: "new" });
    harness.socket.deliver("room-state", { peers: [] });
    await joined;
    await vi.advanceTimersByTimeAsync(JOIN_DEADLINE_MS);
    expect(harness.connections).toHaveLength(1);
  });

  it("fails the join when it cannot be restored in time", async () => {
    const { joined } = harness.startJoin();
    harness.socket.open();
    harness.socket.deliver("join", { success: true, peerId: "me", sessionId: "s1", sessionToken: "t1" });
    harness.socket.end();
    await vi.advanceTimersByTimeAsync(JOIN_DEADLINE_MS);
    await expect(joined).rejects.toMatchObject({ kind: "unreachable" });
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("negotiation across the break", () => {
  it("sends an unanswered offer again, unchanged", async () => {
    await harness.join();
    harness.room.publish(track("audio"));
    await settle();
    const [offer] = harness.socket.of("offer");
    await breakAndTry();
    await vi.advanceTimersByTimeAsync(8000);
    await harness.readmit("keep");
    expect(harness.socket.of("offer")).toEqual([offer]);
    await harness.answer();
    expect(harness.connection.history).toEqual(["local offer", "remote answer"]);
  });

  it("offers what was published during the break", async () => {
    await talk();
    await breakAndTry();
    const camera = harness.room.publish(track("video"));
    await settle();
    await harness.readmit("keep", [peer("ann", [CAMERA])]);
    expect(harness.socket.of("offer")[0]?.tracks).toEqual([
      { mid: "c0", source: "mic" },
      { mid: "c2", source: "camera" },
    ]);
    expect(harness.socket.of("media-state")).toEqual([
      { micEnabled: true, cameraEnabled: true, screenEnabled: false },
    ]);
    await harness.answer();
    harness.socket.deliver("track-published", { ...CAMERA, trackId: "cam", peerId: "me", mid: "c2" });
    await expect(camera.ready).resolves.toBe("cam");
  });

  it("does not answer the server's offer on another WebSocket than it arrived on", async () => {
    await harness.join();
    harness.socket.deliver("offer", { sdp: "v=0\r\n" });
    harness.socket.end();
    await settle();
    await vi.advanceTimersByTimeAsync(FIRST_DELAY_MS);
    await harness.readmit("keep");
    expect(harness.socket.of("answer")).toEqual([]);
    await harness.offer();
    expect(harness.socket.of("answer")).toHaveLength(1);
  });

  it("learns of a publication whose acknowledgement was lost in the break", async () => {
    await harness.join();
    const mic = harness.room.publish(track("audio"));
    await settle();
    await harness.answer();
    await breakAndTry();
    await harness.readmit("keep");
    harness.socket.deliver("track-published", { ...MIC, trackId: "mine", peerId: "me", mid: "c0" });
    await expect(mic.ready).resolves.toBe("mine");
  });
});

describe("a silent server", () => {
  it("gets a ping, and is disconnected within 20 s", async () => {
    await harness.join();
    await vi.advanceTimersByTimeAsync(PING_AFTER_MS);
    expect(harness.socket.of("ping")).toHaveLength(1);
    harness.socket.deliver("pong", harness.socket.of("ping")[0]);
    await vi.advanceTimersByTimeAsync(PING_AFTER_MS + PONG_WITHIN_MS - 1);
    expect(harness.room.state).toBe("joined");
    await vi.advanceTimersByTimeAsync(1);
    expect(harness.room.state).toBe("reconnecting");
    expect(PING_AFTER_MS + PONG_WITHIN_MS).toBeLessThanOrEqual(20_000);
  });

  it("is disconnected at once when the network has changed", async () => {
    await harness.join();
    harness.changeNetwork?.();
    expect(harness.room.state).toBe("reconnecting");
    expect(harness.sockets).toHaveLength(2);
  });

  it("gets a ping when media stops, and is disconnected soon without a reply: media follows", async () => {
    await talk();
    harness.connection.become("disconnected");
    expect(harness.socket.of("ping")).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(PROBE_WITHIN_MS - 1);
    harness.connection.become("disconnected");
    expect(harness.room.state).toBe("joined");
    await vi.advanceTimersByTimeAsync(1);
    expect(harness.room.state).toBe("reconnecting");
    expect(harness.sockets).toHaveLength(2);
    await harness.readmit("keep", [peer("ann", [CAMERA])]);
    expect(harness.socket.of("ice-restart-request")).toEqual([{}]);
    expect(harness.connections).toHaveLength(1);
  });

  it("gets a ping when all received media has stopped, and is kept when it replies", async () => {
    await talk();
    for (let sound = 1; sound < 5; sound += 1) {
      harness.connection.arrivedAt = sound;
      await vi.advanceTimersByTimeAsync(LOOK_EVERY_MS);
    }
    expect(harness.socket.of("ping")).toEqual([]);
    await vi.advanceTimersByTimeAsync(SILENT_AFTER_MS);
    expect(harness.socket.of("ping")).toHaveLength(1);
    harness.socket.deliver("pong", {});
    await vi.advanceTimersByTimeAsync(PING_AFTER_MS - 1);
    expect(harness.socket.of("ping")).toHaveLength(1);
    expect(harness.room.state).toBe("joined");
  });
});

describe("media that does not flow", () => {
  it("makes the client ask for an ICE restart after a while", async () => {
    await talk();
    harness.connection.become("disconnected");
    harness.socket.deliver("pong", {});
    await vi.advanceTimersByTimeAsync(RESTART_AFTER_MS - 1);
    expect(harness.socket.of("ice-restart-request")).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(harness.socket.of("ice-restart-request")).toEqual([{}]);
    harness.socket.deliver("ice-restart-offer", { sdp: "v=0\r\n", type: "offer", peerId: "me" });
    await settle();
    expect(harness.socket.of("answer")).toHaveLength(1);
    harness.connection.become("connected");
    harness.socket.deliver("pong", {});
    await vi.advanceTimersByTimeAsync(10_000);
    expect(harness.socket.of("ice-restart-request")).toHaveLength(1);
    expect(harness.room.state).toBe("joined");
  });

  it("makes the client ask for an ICE restart at once when the network has changed", async () => {
    await talk();
    harness.changeNetwork?.();
    await harness.readmit("keep", [peer("ann", [CAMERA])]);
    expect(harness.socket.of("ice-restart-request")).toEqual([{}]);
  });

  it("gets a new connection when the old one has failed: the session and local media stay", async () => {
    await talk();
    const mic = harness.room.publications[0];
    harness.connection.become("failed");
    expect(harness.takeEvents()).toEqual(["transport failed", "-track ann t-cam camera", "reconnecting"]);
    expect(harness.sockets[0]?.closeCode).toBe(1000);
    expect(harness.sockets).toHaveLength(2);
    harness.socket.open();
    expect(presented()).toMatchObject({ sessionId: "s1", sessionToken: "t1", transport: "new" });
    harness.sockets[0]?.end(1000);
    harness.socket.deliver("join", {
      success: true,
      peerId: "me",
      resumed: true,
      transport: "new",
      sessionId: "s1",
      sessionToken: "t2",
    });
    harness.socket.deliver("room-state", { peers: [peer("ann", [CAMERA])] });
    await settle();
    await harness.answer(["ann t-cam"]);
    expect(harness.takeEvents()).toEqual(["joined", "+track ann t-cam camera"]);
    expect(mic?.ended).toBeNull();
    expect(mic?.track?.readyState).toBe("live");
  });

  it("gets a new connection when the first never connects", async () => {
    await harness.join([peer("ann", [CAMERA])]);
    await harness.answer(["ann t-cam"]);
    await vi.advanceTimersByTimeAsync(BEGIN_WITHIN_MS - 1);
    expect(harness.sockets).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    harness.socket.open();
    expect(presented()).toMatchObject({ sessionId: "s1", transport: "new" });
    await harness.readmit("new", [peer("ann", [CAMERA])]);
    expect(harness.connections).toHaveLength(2);
  });

  it("is not missed on a connection without tracks", async () => {
    await harness.join();
    await vi.advanceTimersByTimeAsync(BEGIN_WITHIN_MS);
    expect(harness.sockets).toHaveLength(1);
  });

  it("gets a new connection after the WebSocket is back, when both have failed", async () => {
    await talk();
    harness.socket.end();
    harness.connection.become("failed");
    await vi.advanceTimersByTimeAsync(FIRST_DELAY_MS);
    harness.socket.open();
    expect(presented()).toMatchObject({ transport: "new" });
  });

  it("gets a new connection when the old one fails after the client asked the server to keep it", async () => {
    await talk();
    await breakAndTry();
    harness.socket.open();
    expect(presented()).toMatchObject({ transport: "keep" });
    harness.connection.become("failed");
    harness.socket.deliver("join", {
      success: true,
      peerId: "me",
      resumed: true,
      transport: "keep",
      sessionId: "s1",
      sessionToken: "t2",
    });
    harness.socket.deliver("room-state", { peers: [] });
    expect(harness.sockets).toHaveLength(3);
    harness.socket.open();
    expect(presented()).toMatchObject({ sessionToken: "t2", transport: "new" });
    await harness.readmit("new");
    expect(harness.connections).toHaveLength(2);
  });

  it("fails the room when no connection can be established", async () => {
    await harness.join();
    for (let failed = 1; failed < MAX_FAILED_CONNECTIONS; failed += 1) {
      harness.connection.become("failed");
      await harness.readmit("new");
    }
    harness.takeEvents();
    harness.connection.become("failed");
    expect(harness.takeEvents()).toEqual(["transport failed", "failed: media-failed"]);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("tracks that start and end while the client reconnects", () => {
  it("are announced after the return; those of new peers come with the peer", async () => {
    await harness.join([peer("ann", [CAMERA])]);
    const told: string[] = [];
    harness.room.on("trackPublished", ({ peer: { peerId }, track }) =>
      told.push(`+${peerId} ${track.trackId}`),
    );
    harness.room.on("trackUnpublished", ({ peer: { peerId }, track }) =>
      told.push(`-${peerId} ${track.trackId}`),
    );
    harness.socket.end();
    await vi.advanceTimersByTimeAsync(FIRST_DELAY_MS);
    await harness.readmit("keep", [peer("ann", [{ ...CAMERA, trackId: "t-new" }]), peer("bob", [CAMERA])]);
    expect(told).toEqual([`-ann ${CAMERA.trackId}`, "+ann t-new"]);
    expect(harness.room.peers.get("bob")?.tracks.size).toBe(1);
  });
});

describe("other peers whose connection breaks", () => {
  it("are suspended, and come back", async () => {
    await harness.join([peer("ann")]);
    harness.takeEvents();
    harness.socket.deliver("peer-suspended", { peerId: "ann", userId: "u", name: "Ann" });
    expect(harness.room.peers.get("ann")?.suspended).toBe(true);
    harness.socket.deliver("peer-suspended", { peerId: "ann" });
    harness.socket.deliver("peer-suspended", { peerId: "nobody" });
    harness.socket.deliver("peer-resumed", { peerId: "ann" });
    expect(harness.takeEvents()).toEqual(["?peer ann", "!peer ann"]);
  });

  it("may come back under another name", async () => {
    await harness.join([peer("ann")]);
    harness.socket.deliver("peer-suspended", { peerId: "ann", userId: "u", name: "Name of ann" });
    harness.socket.deliver("peer-resumed", { peerId: "ann", userId: "u", name: "Anna" });
    expect(harness.room.peers.get("ann")).toMatchObject({ name: "Anna", suspended: false });
  });

  it("may come back while this client reconnects too", async () => {
    await harness.join([peer("ann"), { ...(peer("bob") as object), suspended: true }]);
    await breakAndTry();
    harness.takeEvents();
    await harness.readmit("keep", [{ ...(peer("ann") as object), suspended: true }, peer("bob")]);
    expect(harness.takeEvents()).toEqual(["joined", "?peer ann", "!peer bob"]);
  });
});

describe("the session of a tab", () => {
  const secondJoin = async (page: RoomHarness, userId?: string) => {
    const options = { roomId: "lobby", name: "Me", url: "ws://test/ws" };
    page.room.join(userId === undefined ? options : { ...options, userId }).catch(() => undefined);
    page.socket.open();
    await settle();
    return page.socket.of("join")[0];
  };

  it("is resumed after a reload of the page", async () => {
    await harness.join();
    const next = new RoomHarness(harness.storage);
    expect(await secondJoin(next, "u1")).toMatchObject({
      sessionId: "s1",
      sessionToken: "t1",
      transport: "new",
    });
  });

  it("is resumed also when the library chose the user id", async () => {
    harness.room.join({ roomId: "lobby", name: "Me", url: "ws://test/ws" }).catch(() => undefined);
    await harness.admit();
    const chosen = presented()?.userId;
    expect(await secondJoin(new RoomHarness(harness.storage))).toMatchObject({
      userId: chosen,
      sessionId: "s1",
    });
  });

  it("is not used for another user or room", async () => {
    await harness.join();
    expect(await secondJoin(new RoomHarness(harness.storage), "u2")).toEqual({
      roomId: "lobby",
      userId: "u2",
      name: "Me",
    });
  });

  it("is forgotten when the room is left", async () => {
    await harness.join();
    void harness.room.leave();
    expect(harness.storage.length).toBe(0);
  });

  it("is forgotten when it continues elsewhere", async () => {
    await talk();
    harness.socket.end(4000, "replaced");
    expect(harness.takeEvents().at(-1)).toBe("failed: replaced");
    expect(harness.storage.length).toBe(0);
    await vi.advanceTimersByTimeAsync(GIVE_UP_AFTER_MS);
    expect(harness.sockets).toHaveLength(1);
  });

  it("ends when the server refuses it", async () => {
    await talk();
    harness.socket.end(1008, "not your certificate");
    expect(harness.takeEvents().at(-1)).toBe("failed: refused");
    await vi.advanceTimersByTimeAsync(GIVE_UP_AFTER_MS);
    expect(harness.sockets).toHaveLength(1);
  });

  it("is kept when the server could not be reached again", async () => {
    await harness.join();
    for (let time = 0; harness.room.state !== "failed"; time += 1) {
      harness.socket.end();
      await vi.advanceTimersByTimeAsync(10_000);
    }
    expect(await secondJoin(harness, "u1")).toMatchObject({ sessionId: "s1" });
  });

  it("is not stored when the program asks for that", async () => {
    const joined = harness.room.join({ roomId: "r", name: "n", url: "ws://test/ws", remember: false });
    await harness.admit();
    await joined;
    expect(harness.storage.length).toBe(0);
  });

  it("is ignored when the stored text is not the library's", async () => {
    await harness.join();
    for (const stored of ["null", "7", '{"userId":"u1","sessionId":5,"sessionToken":"t"}']) {
      harness.storage.setItem(harness.storage.key(0) ?? "", stored);
      expect(await secondJoin(new RoomHarness(harness.storage), "u1")).not.toHaveProperty("sessionId");
    }
  });

  it("works without usable storage", async () => {
    const broken = new RoomHarness();
    vi.spyOn(broken.storage, "getItem").mockImplementation(() => "not JSON");
    vi.spyOn(broken.storage, "setItem").mockImplementation(() => {
      throw new DOMException("full", "QuotaExceededError");
    });
    await broken.join();
    expect(broken.room.state).toBe("joined");
  });
});
