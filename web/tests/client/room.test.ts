import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { RoomError } from "../../src/client/errors.js";
import { ANSWER_DEADLINE_MS } from "../../src/client/negotiation.js";
import { FIRST_DELAY_MS } from "../../src/client/reconnection.js";
import { JOIN_DEADLINE_MS } from "../../src/client/membership.js";
import { REPEAT_AFTER_MS, Room } from "../../src/client/room.js";
import { description } from "../fakes/connection.js";
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

const CAMERA = { trackId: "t-cam", kind: "video", source: "camera", layers: [] };
const MIC = { trackId: "t-mic", kind: "audio", source: "mic", layers: [] };
const SCREEN = { trackId: "t-scr", kind: "video", source: "screen", layers: [] };

describe("joining", () => {
  it("sends a join, is accepted, and announces the peers in the room", async () => {
    await world.join([peer("ann"), peer("bob")]);
    expect(world.takeEvents()).toEqual(["connecting", "joining", "joined", "+peer ann", "+peer bob"]);
    expect(world.socket.of("join")).toEqual([{ roomId: "lobby", userId: "u1", name: "Me" }]);
    expect(world.room.session).toEqual({ peerId: "me", roomId: "lobby", sessionId: "s1", sessionToken: "t1" });
    expect(world.room.peers.get("ann")?.name).toBe("Name of ann");
    expect(world.room.state).toBe("joined");
  });

  it("passes the server's ICE servers to the connection", async () => {
    await world.join([], {
      iceServers: [{ urls: "stun:a" }, { urls: ["turn:b"], username: "u", credential: "c" }],
    });
    expect(world.connection.configuration).toEqual({
      bundlePolicy: "max-bundle",
      iceServers: [{ urls: ["stun:a"] }, { urls: ["turn:b"], username: "u", credential: "c" }],
    });
  });

  it("rejects when the server refuses the join", async () => {
    const { joined } = world.startJoin();
    world.socket.open();
    world.socket.deliver("error", { code: 503, message: "the room is full", type: "join" });
    await expect(joined).rejects.toMatchObject({ kind: "refused", code: 503, message: "the room is full" });
    expect(world.takeEvents()).toEqual(["connecting", "joining", "failed: refused"]);
    expect(world.socket.closeCode).toBe(1000);
  });

  it("rejects when the acknowledgement says success: false", async () => {
    const { joined } = world.startJoin();
    world.socket.open();
    world.socket.deliver("join", { success: false, reason: "draining" });
    await expect(joined).rejects.toMatchObject({ kind: "refused", message: "draining" });
  });

  it("rejects when the server cannot be reached", async () => {
    const { joined } = world.startJoin();
    world.socket.end();
    await expect(joined).rejects.toMatchObject({ kind: "unreachable" });
    expect(world.room.state).toBe("failed");
  });

  it("rejects when the browser refuses the server's URL", async () => {
    const room = new Room({
      createSocket: () => {
        throw new DOMException("insecure", "SecurityError");
      },
    });
    const joined = room.join({ roomId: "r", name: "n", url: "ws://x" });
    await expect(joined).rejects.toMatchObject({ kind: "unreachable" });
  });

  it("rejects when the browser makes no RTCPeerConnection", async () => {
    const { joined } = world.startJoin();
    world.refuseConnections = true;
    await world.admit([peer("ann")]);
    await expect(joined).rejects.toMatchObject({ kind: "media-failed" });
    expect(world.room.state).toBe("failed");
    expect(vi.getTimerCount()).toBe(0);
  });

  it("rejects when the browser refuses a published track, and leaves nothing open", async () => {
    world.room.publish(track("video"), { sendEncodings: [{ rid: "no such rid!" }] });
    const { joined } = world.startJoin();
    await world.admit();
    await expect(joined).rejects.toMatchObject({ kind: "media-failed" });
    expect(world.connection.signalingState).toBe("closed");
    expect(vi.getTimerCount()).toBe(0);
  });

  it("chooses a user id also on a page that was not loaded over https", async () => {
    vi.stubGlobal("crypto", { getRandomValues: (values: Uint32Array) => values.fill(7) });
    const joined = world.room.join({ roomId: "r", name: "n", url: "ws://test/ws" });
    await world.admit();
    await joined;
    expect(world.socket.of("join")[0]?.userId).toMatch(/./);
  });

  it("rejects when the page has no address that could name the server", async () => {
    vi.stubGlobal("location", { href: "about:srcdoc" });
    const joined = world.room.join({ roomId: "r", name: "n" });
    await expect(joined).rejects.toMatchObject({ kind: "unreachable" });
    expect(world.room.state).toBe("failed");
  });

  it("times out", async () => {
    const { joined } = world.startJoin();
    world.socket.open();
    vi.advanceTimersByTime(JOIN_DEADLINE_MS);
    await expect(joined).rejects.toMatchObject({ kind: "unreachable" });
  });

  it("rejects when the WebSocket closes during the join", async () => {
    const { joined } = world.startJoin();
    world.socket.open();
    world.socket.end(1011, "server error");
    await expect(joined).rejects.toMatchObject({ kind: "lost", message: "server error" });
  });

  it("rejects a second join at the same time", async () => {
    await world.join();
    await expect(world.room.join({ roomId: "x", name: "y" })).rejects.toThrow("cannot join while joined");
  });

  it("works again after a failure, with the publications that were made before", async () => {
    world.room.publish(track("audio"));
    const { joined } = world.startJoin();
    world.socket.end();
    await expect(joined).rejects.toThrow();
    await world.join();
    expect(world.sockets).toHaveLength(2);
    expect(world.socket.of("offer")[0]?.tracks).toEqual([{ mid: "c0", source: "mic" }]);
  });
});

describe("publishing", () => {
  it("offers what was published before the join, with one spare slot for each track in the room", async () => {
    world.room.publish(track("audio"));
    world.room.publish(track("video"), { source: "screen" });
    await world.join([peer("ann", [MIC, CAMERA])]);
    const offers = world.socket.of("offer");
    expect(offers).toHaveLength(1);
    expect(offers[0]).toMatchObject({ type: "offer", peerId: "me" });
    expect(offers[0]?.tracks).toEqual([
      { mid: "c0", source: "mic" },
      { mid: "c1", source: "screen" },
    ]);
    expect(world.connection.getTransceivers().map(({ direction }) => direction)).toEqual([
      "sendonly",
      "sendonly",
      "recvonly",
      "recvonly",
    ]);
    expect(world.socket.of("media-state")).toEqual([
      { micEnabled: true, cameraEnabled: false, screenEnabled: true },
    ]);
  });

  it("emits an event when the server has published the track", async () => {
    await world.join();
    const publication = world.room.publish(track("video"));
    await settle();
    await world.answer();
    world.socket.deliver("track-published", { ...CAMERA, trackId: "mine", peerId: "me", mid: "c0" });
    world.socket.deliver("track-published", { ...CAMERA, trackId: "mine", peerId: "me", mid: "c0" });
    await expect(publication.ready).resolves.toBe("mine");
    expect(publication.trackId).toBe("mine");
    expect(world.takeEvents().filter((event) => event.startsWith("published"))).toEqual([
      "published mine camera",
    ]);
  });

  it("unpublishes, and reuses the transceiver for the next publication of that kind and source", async () => {
    await world.join();
    const first = world.room.publish(track("video"), { source: "screen" });
    await settle();
    await world.answer();
    world.room.unpublish(first);
    await settle();
    expect(world.connection.getTransceivers()[0]).toMatchObject({ direction: "inactive" });
    await world.answer();
    const replacement = track("video");
    world.room.publish(replacement, { source: "screen" });
    await settle();
    expect(world.connection.getTransceivers()).toHaveLength(1);
    expect(world.connection.getTransceivers()[0]).toMatchObject({
      direction: "sendonly",
      sender: { track: replacement },
    });
    expect(world.socket.of("offer").map(({ tracks }) => tracks)).toEqual([
      [{ mid: "c0", source: "screen" }],
      [],
      [{ mid: "c0", source: "screen" }],
    ]);
    expect(world.takeEvents()).toContain("unpublished screen: unpublished");
  });

  it("uses a new transceiver until the end of the old publication is negotiated", async () => {
    await world.join();
    const first = world.room.publish(track("video"));
    await settle();
    await world.answer();
    world.room.unpublish(first);
    world.room.publish(track("video"));
    await settle();
    expect(world.connection.getTransceivers().map(({ direction }) => direction)).toEqual([
      "inactive",
      "sendonly",
    ]);
  });

  it("does not offer what was unpublished before the offer, and reuses its transceiver later", async () => {
    await world.join();
    const publication = world.room.publish(track("video"));
    world.room.unpublish(publication);
    await expect(publication.ready).rejects.toMatchObject({ kind: "left" });
    await settle();
    await world.answer();
    world.room.publish(track("video"));
    await settle();
    expect(world.connection.getTransceivers()).toHaveLength(1);
    expect(world.socket.of("offer").map(({ tracks }) => tracks)).toEqual([
      [],
      [{ mid: "c0", source: "camera" }],
    ]);
  });

  it("ends when its track ends", async () => {
    await world.join();
    const camera = track("video");
    const publication = world.room.publish(camera);
    camera.unplug();
    expect(publication.ended).toBe("track-ended");
    expect(world.takeEvents()).toContain("unpublished camera: track-ended");
    expect(world.room.publications).toEqual([]);
  });

  it("ends when the server refuses it; publications accepted before stay", async () => {
    await world.join();
    const mic = world.room.publish(track("audio"));
    await settle();
    await world.answer();
    world.connection.become("connected");
    world.socket.deliver("track-published", { ...MIC, trackId: "mine", peerId: "me", mid: "c0" });
    const camera = world.room.publish(track("video"));
    await settle();
    world.takeEvents();
    world.socket.deliver("error", { code: 403, message: "no video", type: "offer" });
    await settle();
    expect(world.takeEvents()).toEqual(["error request-refused 403", "unpublished camera: refused"]);
    await expect(camera.ready).rejects.toMatchObject({ kind: "request-refused" });
    expect(mic.ended).toBeNull();
    await vi.advanceTimersByTimeAsync(1000);
    await world.answer();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(world.socket.of("offer").map(({ tracks }) => (tracks as unknown[]).length)).toEqual([1, 2, 1]);
  });

  it("is offered alone when it was refused together with others: only what is not allowed ends", async () => {
    for (const allowed of ["mic", "camera", "screen"]) {
      world = new World();
      const published = [
        world.room.publish(track("audio")),
        world.room.publish(track("video")),
        world.room.publish(track("video"), { source: "screen" }),
      ];
      await world.join();
      for (let offers = 1; offers <= 4; offers += 1) {
        await vi.advanceTimersByTimeAsync(5000);
        const tracks = (world.socket.of("offer").at(-1)?.tracks ?? []) as { mid: string; source: string }[];
        if (tracks.some(({ source }) => source !== allowed)) {
          world.socket.deliver("error", { code: 403, message: "not granted", type: "offer" });
          await settle();
        } else {
          await world.answer();
          world.connection.become("connected");
          for (const { mid, source } of tracks) {
            const kind = source === "mic" ? "audio" : "video";
            world.socket.deliver("track-published", { trackId: source, kind, source, peerId: "me", mid });
          }
        }
      }
      expect(published.map(({ ended }) => ended)).toEqual(
        ["mic", "camera", "screen"].map((source) => (source === allowed ? null : "refused")),
      );
    }
  });

  it("is not offered when it ended while it waited for its turn", async () => {
    world.room.publish(track("audio"));
    const camera = world.room.publish(track("video"));
    await world.join();
    world.socket.deliver("error", { code: 403, message: "not granted", type: "offer" });
    await settle();
    world.room.unpublish(camera);
    await vi.advanceTimersByTimeAsync(1000);
    await world.answer();
    world.socket.deliver("track-published", { ...MIC, trackId: "mine", peerId: "me", mid: "c0" });
    await settle();
    expect(world.socket.of("offer").map(({ tracks }) => (tracks as unknown[]).length)).toEqual([2, 1]);
    expect(world.connection.getTransceivers().map(({ direction }) => direction)).toEqual([
      "sendonly",
      "inactive",
    ]);
  });

  it("ends when the server ends it", async () => {
    await world.join();
    const mic = world.room.publish(track("audio"));
    await settle();
    await world.answer();
    world.socket.deliver("track-published", { ...MIC, trackId: "mine", peerId: "me", mid: "c0" });
    world.socket.deliver("track-unpublished", { trackId: "mine", peerId: "me" });
    expect(mic.ended).toBe("removed");
  });

  it("announces enabled and disabled tracks only when that changes", async () => {
    await world.join();
    const mic = world.room.publish(track("audio"));
    mic.setMuted(true);
    mic.setMuted(true);
    expect(mic.track?.enabled).toBe(false);
    mic.setMuted(false);
    expect(world.socket.of("media-state").map(({ micEnabled }) => micEnabled)).toEqual([
      false,
      true,
      false,
      true,
    ]);
  });

  it("replaces a track without negotiation", async () => {
    await world.join();
    const publication = world.room.publish(track("video"));
    await settle();
    await world.answer();
    await publication.replaceTrack(null);
    expect(publication.muted).toBe(true);
    const next = track("video");
    await publication.replaceTrack(next);
    await settle();
    expect(world.connection.getTransceivers()[0]?.sender.track).toBe(next);
    expect(world.socket.of("offer")).toHaveLength(1);
    expect(world.socket.of("media-state").map(({ cameraEnabled }) => cameraEnabled)).toEqual([
      false,
      true,
      false,
      true,
    ]);
    await expect(publication.replaceTrack(track("audio"))).rejects.toThrow("audio track for video");
    world.room.unpublish(publication);
    await expect(publication.replaceTrack(null)).rejects.toThrow("ended");
  });

  it("has replaced the track also when the connection is replaced meanwhile", async () => {
    await world.join();
    const publication = world.room.publish(track("video"));
    await settle();
    await world.answer();
    world.connection.getTransceivers()[0]?.sender.stall();
    const next = track("video");
    const replaced = publication.replaceTrack(next);
    world.connection.become("failed");
    await replaced;
    await world.readmit("new");
    expect(world.connection.getTransceivers()[0]?.sender.track).toBe(next);
  });

  it("uses a new transceiver for other encodings", async () => {
    await world.join();
    const first = world.room.publish(track("video"));
    await settle();
    await world.answer();
    world.room.unpublish(first);
    await settle();
    await world.answer();
    world.room.publish(track("video"), { sendEncodings: [{ maxBitrate: 100_000 }] });
    expect(world.connection.getTransceivers().map(({ init }) => init.sendEncodings?.[0]?.maxBitrate)).toEqual([
      1_500_000, 100_000,
    ]);
  });

  it("rejects a track that the browser refuses", async () => {
    await world.join();
    expect(() => world.room.publish(track("video"), { sendEncodings: [{ rid: "no such rid!" }] })).toThrow();
    expect(world.room.publications).toEqual([]);
  });

  it("ends when the server rejects its m-section, which is not reused", async () => {
    await world.join();
    const publication = world.room.publish(track("video"));
    await settle();
    world.socket.deliver("answer", {
      sdp: description({ kind: "video", mid: "c0", direction: "inactive", port: 0 }),
    });
    await settle();
    expect(publication.ended).toBe("refused");
    await expect(publication.ready).rejects.toMatchObject({ kind: "request-refused" });
    world.room.publish(track("video"));
    await settle();
    expect(world.connection.getTransceivers().map(({ mid }) => mid)).toEqual([null, "c1"]);
  });

  it("continues on a new connection when the server says that the old one has ended", async () => {
    for (const request of ["offer", "answer", "ice-restart-request"]) {
      world = new World();
      await world.join();
      const camera = world.room.publish(track("video"));
      await settle();
      world.socket.deliver("error", { code: 409, message: "join again with a new one", type: request });
      await settle();
      expect(world.sockets).toHaveLength(2);
      await world.readmit("new");
      expect(world.socket.of("join")[0]).toMatchObject({ transport: "new" });
      expect(camera.ended).toBeNull();
      expect(world.socket.of("offer")[0]?.tracks).toEqual([{ mid: "c0", source: "camera" }]);
    }
  });

  it("announces enabled tracks again when the server was too busy", async () => {
    await world.join();
    world.room.publish(track("audio"));
    world.socket.deliver("error", { code: 429, message: "slow down", type: "ping" });
    await vi.advanceTimersByTimeAsync(REPEAT_AFTER_MS);
    expect(world.socket.of("media-state").map(({ micEnabled }) => micEnabled)).toEqual([false, true]);
    world.socket.deliver("error", { code: 429, message: "slow down", type: "media-state" });
    await vi.advanceTimersByTimeAsync(REPEAT_AFTER_MS - 1);
    expect(world.socket.of("media-state").map(({ micEnabled }) => micEnabled)).toEqual([false, true]);
    await vi.advanceTimersByTimeAsync(1);
    expect(world.socket.of("media-state").map(({ micEnabled }) => micEnabled)).toEqual([false, true, true]);
  });

  it("keeps a publication without a track on the next connection", async () => {
    const publication = world.room.publish(track("video"));
    await publication.replaceTrack(null);
    await world.join();
    expect(world.connection.getTransceivers()[0]).toMatchObject({ kind: "video", sender: { track: null } });
  });
});

describe("receiving", () => {
  it("gets the tracks that are in the room in the answer to its first offer", async () => {
    await world.join([peer("ann", [MIC, SCREEN])]);
    world.takeEvents();
    await world.answer(["ann t-mic", "ann t-scr"]);
    expect(world.takeEvents()).toEqual(["+track ann t-mic mic", "+track ann t-scr screen"]);
    expect(world.room.remoteTracks.map(({ track: { kind } }) => kind)).toEqual(["audio", "video"]);
  });

  it("gets later tracks in offers of the server", async () => {
    await world.join();
    world.socket.deliver("peer-joined", { peerId: "bob", userId: "u", name: "Bob" });
    world.socket.deliver("track-published", { ...SCREEN, peerId: "bob" });
    await world.offer({ kind: "video", mid: "s0", direction: "sendonly", msid: "bob t-scr" });
    expect(world.takeEvents().slice(3)).toEqual(["+peer bob", "+track bob t-scr screen"]);
    expect(world.socket.of("answer")).toHaveLength(1);
  });

  it("notices that a slot is reused, though the browser's track stays the same", async () => {
    await world.join([peer("ann", [CAMERA]), peer("bob", [{ ...CAMERA, trackId: "b-cam" }])]);
    await world.offer({ kind: "video", mid: "s0", direction: "sendonly", msid: "ann t-cam" });
    const first = world.room.remoteTracks[0];
    world.takeEvents();
    await world.offer({ kind: "video", mid: "s0", direction: "sendonly", msid: "bob b-cam" });
    expect(world.takeEvents()).toEqual(["-track ann t-cam camera", "+track bob b-cam camera"]);
    expect(world.room.remoteTracks[0]?.track).toBe(first?.track);
    expect(world.room.remoteTracks[0]?.stream).not.toBe(first?.stream);
  });

  it("notices that a slot becomes empty, and that one is removed", async () => {
    await world.join([peer("ann", [CAMERA, MIC])]);
    const audio = { kind: "audio", mid: "s1", direction: "sendonly", msid: "ann t-mic" };
    await world.offer({ kind: "video", mid: "s0", direction: "sendonly", msid: "ann t-cam" }, audio);
    world.takeEvents();
    await world.offer({ kind: "video", mid: "s0", direction: "inactive" }, audio);
    expect(world.takeEvents()).toEqual(["-track ann t-cam camera"]);
    await world.offer({ kind: "video", mid: "s0", direction: "inactive" }, { ...audio, port: 0 });
    expect(world.takeEvents()).toEqual(["-track ann t-mic mic"]);
  });

  it("ends a track when the message says so, also while the slot still names it", async () => {
    await world.join([peer("ann", [SCREEN, MIC])]);
    const screen = { kind: "video", mid: "s0", direction: "sendonly", msid: "ann t-scr" };
    await world.offer(screen);
    world.takeEvents();
    world.socket.deliver("track-unpublished", { trackId: "t-scr", peerId: "ann" });
    expect(world.takeEvents()).toEqual(["-track ann t-scr screen"]);
    await world.offer(screen, { kind: "audio", mid: "s1", direction: "sendonly", msid: "ann t-mic" });
    expect(world.takeEvents()).toEqual(["+track ann t-mic mic"]);
  });

  it("emits the end of a peer's tracks before the peer's leaving", async () => {
    await world.join([peer("ann", [CAMERA])]);
    await world.offer({ kind: "video", mid: "s0", direction: "sendonly", msid: "ann t-cam" });
    world.takeEvents();
    world.socket.deliver("peer-left", { peerId: "ann", userId: "u", name: "Ann" });
    expect(world.takeEvents()).toEqual(["-track ann t-cam camera", "-peer ann"]);
  });

  it("waits until the server has said what a track is and whose it is", async () => {
    await world.join([peer("ann")]);
    await world.offer({ kind: "video", mid: "s0", direction: "sendonly", msid: "ann t-scr" });
    expect(world.room.remoteTracks).toEqual([]);
    world.takeEvents();
    world.socket.deliver("track-published", { ...SCREEN, peerId: "ann" });
    expect(world.takeEvents()).toEqual(["+track ann t-scr screen"]);
  });

  it("announces no track of a peer that leaves while the offer with its tracks is applied", async () => {
    await world.join([peer("ann", [CAMERA])]);
    const applied = world.offer({ kind: "video", mid: "s0", direction: "sendonly", msid: "ann t-cam" });
    world.socket.deliver("peer-left", { peerId: "ann", userId: "u", name: "Ann" });
    await applied;
    expect(world.room.remoteTracks).toEqual([]);
    expect(world.takeEvents()).not.toContain("+track ann t-cam camera");
  });

  it("updates the media states of other peers", async () => {
    await world.join([peer("ann")]);
    world.takeEvents();
    const state = { micEnabled: true, cameraEnabled: false, screenEnabled: false };
    world.socket.deliver("media-state", { ...state, peerId: "ann" });
    world.socket.deliver("media-state", { ...state, peerId: "ann" });
    world.socket.deliver("media-state", { ...state, peerId: "nobody" });
    expect(world.takeEvents()).toEqual(["media ann"]);
    expect(world.room.peers.get("ann")?.mediaState).toEqual(state);
  });
});

describe("negotiating", () => {
  it("rolls its offer back for the server's, and offers again with its own sources", async () => {
    await world.join();
    world.room.publish(track("audio"));
    await settle();
    expect(world.connection.signalingState).toBe("have-local-offer");
    await world.offer({ kind: "video", mid: "s0", direction: "sendonly", msid: "ann t-cam" });
    expect(world.connection.history).toEqual([
      "local offer",
      "rollback",
      "remote offer",
      "local answer",
      "local offer",
    ]);
    expect(world.socket.sent.map(({ type }) => type).slice(-3)).toEqual(["offer", "answer", "offer"]);
    expect(world.socket.of("offer").at(-1)?.tracks).toEqual([{ mid: "c1", source: "mic" }]);
    await world.answer();
    expect(world.connection.signalingState).toBe("stable");
  });

  it("offers again when the server does not answer", async () => {
    await world.join();
    world.room.publish(track("audio"));
    await settle();
    await vi.advanceTimersByTimeAsync(ANSWER_DEADLINE_MS + 1000);
    expect(world.connection.history).toEqual(["local offer", "rollback", "local offer"]);
    expect(world.socket.of("offer")).toHaveLength(2);
    await world.answer();
    expect(world.connection.signalingState).toBe("stable");
  });

  it("rolls back when the browser cannot answer the server's offer", async () => {
    await world.join([peer("ann")]);
    world.socket.deliver("track-published", { ...CAMERA, peerId: "ann" });
    world.connection.failures.add("setLocalDescription");
    await world.offer({ kind: "video", mid: "s0", direction: "sendonly", msid: "ann t-cam" });
    expect(world.connection.history).toEqual(["remote offer", "rollback"]);
    expect(world.room.remoteTracks).toEqual([]);
    await world.offer({ kind: "video", mid: "s0", direction: "sendonly", msid: "ann t-cam" });
    expect(world.room.remoteTracks).toHaveLength(1);
  });

  it("fails the room when the rollback fails", async () => {
    await world.join();
    world.connection.failures.add("setRemoteDescription").add("rollback");
    world.room.publish(track("audio"));
    await settle();
    await world.answer();
    expect(world.room.state).toBe("failed");
    expect(world.takeEvents()).toContain("failed: negotiation-failed");
  });

  it("sends candidates after their description, and applies the server's", async () => {
    await world.join();
    world.room.publish(track("audio"));
    await settle();
    const candidate = { candidate: "candidate:1", sdpMid: "c0", sdpMLineIndex: 0 };
    world.socket.deliver("ice-candidate", candidate);
    await settle();
    expect(world.connection.candidates).toEqual([]);
    world.socket.deliver("answer", { sdp: "v=0\r\n" });
    await settle();
    world.connection.onicecandidate?.({ candidate });
    world.connection.onicecandidate?.({ candidate: null });
    expect(world.socket.sent.slice(-2)).toMatchObject([
      { type: "ice-candidate", data: candidate },
      { type: "ice-candidate", data: { candidate: "", sdpMid: null, sdpMLineIndex: null } },
    ]);
    world.socket.deliver("ice-candidate", candidate);
    await settle();
    expect(world.connection.candidates).toEqual([candidate]);
  });

  it("holds back candidates of an answer that is still being created", async () => {
    await world.join();
    world.socket.deliver("offer", { sdp: "v=0\r\n", type: "offer", peerId: "me" });
    world.connection.onicecandidate?.({
      candidate: { candidate: "candidate:1", sdpMid: "0", sdpMLineIndex: 0 },
    });
    expect(world.socket.of("ice-candidate")).toEqual([]);
    await settle();
    expect(world.socket.sent.map(({ type }) => type).slice(-2)).toEqual(["answer", "ice-candidate"]);
  });
});

describe("leaving", () => {
  const phases: Record<string, () => Promise<void> | void> = {
    "while idle": () => undefined,
    "while connecting": () => {
      world.startJoin();
    },
    "while joining": () => {
      world.startJoin();
      world.socket.open();
    },
    "after the acknowledgement": () => {
      world.startJoin();
      world.socket.open();
      world.socket.deliver("join", { success: true, peerId: "me" });
    },
    "while joined": () => world.join([peer("ann")]),
    "while an offer is made": async () => {
      await world.join();
      world.room.publish(track("audio"));
      await Promise.resolve();
    },
    "while an answer is awaited": async () => {
      await world.join();
      world.room.publish(track("audio"));
      await settle();
    },
    "while an offer is answered": async () => {
      await world.join();
      world.socket.deliver("offer", { sdp: "v=0\r\n" });
    },
    "after a failure": () => {
      world.startJoin();
      world.socket.end();
    },
    "while waiting to reconnect": async () => {
      await world.join();
      world.socket.end();
    },
    "while reconnecting": async () => {
      await world.join();
      world.socket.end();
      await vi.advanceTimersByTimeAsync(FIRST_DELAY_MS);
      world.socket.open();
    },
    "after the acknowledgement of a reconnection": async () => {
      await world.join();
      world.socket.end();
      await vi.advanceTimersByTimeAsync(FIRST_DELAY_MS);
      world.socket.open();
      world.socket.deliver("join", { success: true, peerId: "me", resumed: true, transport: "keep" });
    },
    "while media does not flow": async () => {
      await world.join();
      world.connection.become("connected");
      world.connection.become("disconnected");
    },
  };

  for (const [phase, reach] of Object.entries(phases)) {
    it(`works ${phase}`, async () => {
      await reach();
      const left = world.room.leave();
      if (world.sockets.length > 0) world.socket.end(1000);
      await left;
      await settle();
      expect(world.storage.length).toBe(0);
      expect(world.changeNetwork).toBeNull();
      expect(world.room.state).toBe(phase === "while idle" ? "idle" : "closed");
      expect(world.room.session).toBeNull();
      expect(world.room.publications).toEqual([]);
      expect([...world.room.peers]).toEqual([]);
      for (const connection of world.connections) expect(connection.signalingState).toBe("closed");
      expect(vi.getTimerCount()).toBe(0);
    });
  }

  it("rejects a join in progress", async () => {
    const { joined } = world.startJoin();
    void world.room.leave();
    await expect(joined).rejects.toMatchObject({ kind: "left" });
  });

  it("tells the server, and removes all peers and tracks", async () => {
    await world.join([peer("ann", [CAMERA])]);
    await world.answer(["ann t-cam"]);
    const mic = world.room.publish(track("audio"));
    world.takeEvents();
    const left = world.room.leave();
    expect(world.socket.of("leave")).toEqual([{}]);
    expect(world.socket.closeCode).toBe(1000);
    world.socket.end(1000);
    await left;
    expect(world.takeEvents()).toEqual([
      "leaving",
      "-track ann t-cam camera",
      "-peer ann",
      "unpublished mic: left",
      "closed",
    ]);
    expect(mic.ended).toBe("left");
  });

  it("can be called twice", async () => {
    await world.join();
    const left = [world.room.leave(), world.room.leave()];
    world.socket.end();
    await Promise.all(left);
    await world.room.leave();
    expect(world.room.state).toBe("closed");
    expect(world.socket.of("leave")).toHaveLength(1);
  });

  it("can be called in a listener of the join or of the leave", async () => {
    world.room.once("stateChanged", () => void world.room.leave());
    await expect(world.room.join({ roomId: "r", name: "n" })).rejects.toMatchObject({ kind: "left" });
    expect(world.sockets).toEqual([]);
    expect(world.room.state).toBe("closed");
    await world.join();
    world.room.once("stateChanged", () => void world.room.leave());
    const left = world.room.leave();
    world.socket.end();
    await left;
    expect(world.room.state).toBe("closed");
  });

  it("limits the wait for a server that does not close the WebSocket", async () => {
    await world.join();
    const left = world.room.leave();
    await vi.advanceTimersByTimeAsync(2000);
    await left;
    expect(world.room.state).toBe("closed");
  });
});

describe("losing the room", () => {
  it("can be followed by a join in a listener of the loss", async () => {
    await world.join([peer("ann", [CAMERA])]);
    world.room.on("stateChanged", ({ state }) => {
      if (state === "failed") void world.room.join({ roomId: "lobby", name: "Me", url: "ws://test/ws" });
    });
    world.socket.end(4000);
    expect(world.room.state).toBe("connecting");
    world.socket.open();
    world.socket.deliver("join", { success: true, peerId: "me again" });
    world.socket.deliver("room-state", { peers: [] });
    expect(world.room.session?.peerId).toBe("me again");
    expect(world.connections).toHaveLength(2);
  });
});

describe("leaving in a listener", () => {
  it("emits the end of everything announced, and nothing after that", async () => {
    const told: string[] = [];
    world.room.on("peerJoined", ({ peerId }) => told.push(`+${peerId}`));
    world.room.on("peerLeft", ({ peerId }) => told.push(`-${peerId}`));
    world.room.on("trackSubscribed", ({ trackId }) => told.push(`+${trackId}`));
    world.room.on("trackUnsubscribed", ({ trackId }) => told.push(`-${trackId}`));
    world.room.once("peerJoined", () => void world.room.leave());
    const { joined } = world.startJoin();
    await world.admit([peer("ann"), peer("bob")]);
    await expect(joined).rejects.toMatchObject({ kind: "left" });
    expect(told.filter((each) => each.endsWith("bob")).at(-1)).toBe("-bob");
    world.socket.end();
    await settle();
    told.length = 0;
    await world.join([peer("ann", [CAMERA, MIC])]);
    world.room.once("trackSubscribed", () => void world.room.leave());
    await world.answer(["ann t-cam", "ann t-mic"]);
    expect(told).toEqual(["+ann", "+t-cam", "-t-cam", "-t-mic", "-ann"]);
  });
});

describe("joining again", () => {
  it("works in a listener that is called when a peer or a track is gone", async () => {
    for (const event of ["trackUnsubscribed", "peerLeft"] as const) {
      world = new World();
      await world.join([peer("ann", [CAMERA])]);
      await world.answer(["ann t-cam"]);
      let joined: Promise<void> | undefined;
      world.room.once(event, () => {
        joined = world.startJoin().joined;
      });
      world.socket.end(4000);
      await world.admit([peer("bob")]);
      await joined;
      expect([...world.room.peers.keys()]).toEqual(["bob"]);
    }
  });

  it("works in a listener of the leave, though nothing was connected", async () => {
    await world.join([peer("ann")]);
    world.socket.end();
    let joined: Promise<void> | undefined;
    world.room.on("stateChanged", ({ state }) => {
      if (state === "closed") joined = world.startJoin().joined;
    });
    await world.room.leave();
    await world.admit();
    await joined;
    expect(world.room.state).toBe("joined");
  });
});

describe("invalid messages of the server", () => {
  it("are reported when they are malformed; the room continues", async () => {
    await world.join();
    world.takeEvents();
    for (const text of [
      "",
      "{",
      "null",
      "[]",
      "{}",
      '{"type":5}',
      '{"type":"offer"}',
      '{"type":"offer","data":7}',
    ]) {
      world.socket.deliverText(text);
    }
    world.socket.deliverText(new ArrayBuffer(4));
    world.socket.deliver("room-state", { peers: [{ peerId: 1 }] });
    expect(world.takeEvents()).toEqual(Array(10).fill("error protocol null"));
    expect(world.room.state).toBe("joined");
  });

  it("are ignored when their type is unknown", async () => {
    await world.join();
    world.takeEvents();
    world.socket.deliver("quality-stats", { level: "good" });
    world.socket.deliver("toString", {});
    expect(world.takeEvents()).toEqual([]);
    expect((await world.room.statistics()).signaling).toMatchObject({ unknown: 2, invalid: 0 });
  });

  it("are ignored when they make no sense at this time", async () => {
    const { joined } = world.startJoin();
    world.socket.open();
    world.socket.deliver("offer", { sdp: "v=0\r\n" });
    world.socket.deliver("answer", { sdp: "v=0\r\n" });
    expect(world.connections).toEqual([]);
    world.socket.deliver("join", { success: true, peerId: "me" });
    world.socket.deliver("offer", { sdp: "v=0\r\n" });
    world.socket.deliver("room-state", { peers: [] });
    await joined;
    world.socket.deliver("join", { success: true, peerId: "other" });
    world.socket.deliver("answer", { sdp: "v=0\r\n" });
    world.socket.deliver("peer-left", { peerId: "nobody" });
    world.socket.deliver("peer-joined", { peerId: "ann" });
    world.socket.deliver("peer-joined", { peerId: "ann" });
    world.socket.deliver("track-unpublished", { peerId: "nobody", trackId: "t" });
    world.socket.deliver("track-published", { ...MIC, peerId: "nobody" });
    world.socket.deliver("track-published", { ...MIC, peerId: "me", mid: "no such" });
    world.socket.deliver("track-published", { ...MIC, peerId: "me" });
    world.socket.deliver("track-unpublished", { peerId: "me", trackId: "t" });
    await settle();
    expect(world.room.session?.peerId).toBe("me");
    expect(world.room.state).toBe("joined");
  });

  it("leaves the answer to a ping with its data", async () => {
    await world.join();
    world.socket.deliver("ping", { n: 7 });
    expect(world.socket.of("pong")).toEqual([{ n: 7 }]);
  });

  it("reports refused requests and continues", async () => {
    await world.join();
    let error: RoomError | undefined;
    world.room.once("error", (each) => (error = each));
    world.socket.deliver("error", { code: 429, message: "slow down", type: "media-state" });
    expect(error).toMatchObject({ kind: "request-refused", code: 429, request: "media-state" });
    expect(world.room.state).toBe("joined");
  });
});
