import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { RoomError } from "../../src/client/errors.js";
import { ANSWER_DEADLINE_MS } from "../../src/client/negotiation.js";
import { FIRST_DELAY_MS } from "../../src/client/reconnection.js";
import { JOIN_DEADLINE_MS } from "../../src/client/membership.js";
import { REPEAT_AFTER_MS, Room } from "../../src/client/room.js";
import { description } from "../fakes/connection.js";
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

const CAMERA = { trackId: "t-cam", kind: "video", source: "camera", layers: [] };
const MIC = { trackId: "t-mic", kind: "audio", source: "mic", layers: [] };
const SCREEN = { trackId: "t-scr", kind: "video", source: "screen", layers: [] };

describe("joining", () => {
  it("sends a join, is accepted, and announces the peers in the room", async () => {
    await harness.join([peer("ann"), peer("bob")]);
    expect(harness.takeEvents()).toEqual(["connecting", "joining", "joined", "+peer ann", "+peer bob"]);
    expect(harness.socket.of("join")).toEqual([{ roomId: "lobby", userId: "u1", name: "Me" }]);
    expect(harness.room.session).toEqual({
      peerId: "me",
      roomId: "lobby",
      sessionId: "s1",
      sessionToken: "t1",
    });
    expect(harness.room.peers.get("ann")?.name).toBe("Name of ann");
    expect(harness.room.state).toBe("joined");
  });

  it("passes the server's ICE servers to the connection", async () => {
    await harness.join([], {
      iceServers: [{ urls: "stun:a" }, { urls: ["turn:b"], username: "u", credential: "c" }],
    });
    expect(harness.connection.configuration).toEqual({
      bundlePolicy: "max-bundle",
      iceServers: [{ urls: ["stun:a"] }, { urls: ["turn:b"], username: "u", credential: "c" }],
    });
  });

  it("rejects when the server refuses the join", async () => {
    const { joined } = harness.startJoin();
    harness.socket.open();
    harness.socket.deliver("error", { code: 503, message: "the room is full", type: "join" });
    await expect(joined).rejects.toMatchObject({ kind: "refused", code: 503, message: "the room is full" });
    expect(harness.takeEvents()).toEqual(["connecting", "joining", "failed: refused"]);
    expect(harness.socket.closeCode).toBe(1000);
  });

  it("rejects when the acknowledgement says success: false", async () => {
    const { joined } = harness.startJoin();
    harness.socket.open();
    harness.socket.deliver("join", { success: false, reason: "draining" });
    await expect(joined).rejects.toMatchObject({ kind: "refused", message: "draining" });
  });

  it("rejects when the server cannot be reached", async () => {
    const { joined } = harness.startJoin();
    harness.socket.end();
    await expect(joined).rejects.toMatchObject({ kind: "unreachable" });
    expect(harness.room.state).toBe("failed");
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
    const { joined } = harness.startJoin();
    harness.refuseConnections = true;
    await harness.admit([peer("ann")]);
    await expect(joined).rejects.toMatchObject({ kind: "media-failed" });
    expect(harness.room.state).toBe("failed");
    expect(vi.getTimerCount()).toBe(0);
  });

  it("rejects when the browser refuses a published track, and leaves nothing open", async () => {
    harness.room.publish(track("video"), { sendEncodings: [{ rid: "no such rid!" }] });
    const { joined } = harness.startJoin();
    await harness.admit();
    await expect(joined).rejects.toMatchObject({ kind: "media-failed" });
    expect(harness.connection.signalingState).toBe("closed");
    expect(vi.getTimerCount()).toBe(0);
  });

  it("chooses a user id also on a page that was not loaded over https", async () => {
    vi.stubGlobal("crypto", { getRandomValues: (values: Uint32Array) => values.fill(7) });
    const joined = harness.room.join({ roomId: "r", name: "n", url: "ws://test/ws" });
    await harness.admit();
    await joined;
    expect(harness.socket.of("join")[0]?.userId).toMatch(/./);
  });

  it("rejects when the page has no address that could name the server", async () => {
    vi.stubGlobal("location", { href: "about:srcdoc" });
    const joined = harness.room.join({ roomId: "r", name: "n" });
    await expect(joined).rejects.toMatchObject({ kind: "unreachable" });
    expect(harness.room.state).toBe("failed");
  });

  it("times out", async () => {
    const { joined } = harness.startJoin();
    harness.socket.open();
    vi.advanceTimersByTime(JOIN_DEADLINE_MS);
    await expect(joined).rejects.toMatchObject({ kind: "unreachable" });
  });

  it("rejects when the WebSocket closes during the join", async () => {
    const { joined } = harness.startJoin();
    harness.socket.open();
    harness.socket.end(1011, "server error");
    await expect(joined).rejects.toMatchObject({ kind: "lost", message: "server error" });
  });

  it("rejects a second join at the same time", async () => {
    await harness.join();
    await expect(harness.room.join({ roomId: "x", name: "y" })).rejects.toThrow("cannot join while joined");
  });

  it("works again after a failure, with the publications that were made before", async () => {
    harness.room.publish(track("audio"));
    const { joined } = harness.startJoin();
    harness.socket.end();
    await expect(joined).rejects.toThrow();
    await harness.join();
    expect(harness.sockets).toHaveLength(2);
    expect(harness.socket.of("offer")[0]?.tracks).toEqual([{ mid: "c0", source: "mic" }]);
  });
});

describe("publishing", () => {
  it("offers what was published before the join, with one spare slot for each track in the room", async () => {
    harness.room.publish(track("audio"));
    harness.room.publish(track("video"), { source: "screen" });
    await harness.join([peer("ann", [MIC, CAMERA])]);
    const offers = harness.socket.of("offer");
    expect(offers).toHaveLength(1);
    expect(offers[0]).toMatchObject({ type: "offer", peerId: "me" });
    expect(offers[0]?.tracks).toEqual([
      { mid: "c0", source: "mic" },
      { mid: "c1", source: "screen" },
    ]);
    expect(harness.connection.getTransceivers().map(({ direction }) => direction)).toEqual([
      "sendonly",
      "sendonly",
      "recvonly",
      "recvonly",
    ]);
    expect(harness.socket.of("media-state")).toEqual([
      { micEnabled: true, cameraEnabled: false, screenEnabled: true },
    ]);
  });

  it("emits an event when the server has published the track", async () => {
    await harness.join();
    const publication = harness.room.publish(track("video"));
    await settle();
    await harness.answer();
    harness.socket.deliver("track-published", { ...CAMERA, trackId: "mine", peerId: "me", mid: "c0" });
    harness.socket.deliver("track-published", { ...CAMERA, trackId: "mine", peerId: "me", mid: "c0" });
    await expect(publication.ready).resolves.toBe("mine");
    expect(publication.trackId).toBe("mine");
    expect(harness.takeEvents().filter((event) => event.startsWith("published"))).toEqual([
      "published mine camera",
    ]);
  });

  it("unpublishes, and reuses the transceiver for the next publication of that kind and source", async () => {
    await harness.join();
    const first = harness.room.publish(track("video"), { source: "screen" });
    await settle();
    await harness.answer();
    harness.room.unpublish(first);
    await settle();
    expect(harness.connection.getTransceivers()[0]).toMatchObject({ direction: "inactive" });
    await harness.answer();
    const replacement = track("video");
    harness.room.publish(replacement, { source: "screen" });
    await settle();
    expect(harness.connection.getTransceivers()).toHaveLength(1);
    expect(harness.connection.getTransceivers()[0]).toMatchObject({
      direction: "sendonly",
      sender: { track: replacement },
    });
    expect(harness.socket.of("offer").map(({ tracks }) => tracks)).toEqual([
      [{ mid: "c0", source: "screen" }],
      [],
      [{ mid: "c0", source: "screen" }],
    ]);
    expect(harness.takeEvents()).toContain("unpublished screen: unpublished");
  });

  it("uses a new transceiver until the end of the old publication is negotiated", async () => {
    await harness.join();
    const first = harness.room.publish(track("video"));
    await settle();
    await harness.answer();
    harness.room.unpublish(first);
    harness.room.publish(track("video"));
    await settle();
    expect(harness.connection.getTransceivers().map(({ direction }) => direction)).toEqual([
      "inactive",
      "sendonly",
    ]);
  });

  it("does not offer what was unpublished before the offer, and reuses its transceiver later", async () => {
    await harness.join();
    const publication = harness.room.publish(track("video"));
    harness.room.unpublish(publication);
    await expect(publication.ready).rejects.toMatchObject({ kind: "left" });
    await settle();
    await harness.answer();
    harness.room.publish(track("video"));
    await settle();
    expect(harness.connection.getTransceivers()).toHaveLength(1);
    expect(harness.socket.of("offer").map(({ tracks }) => tracks)).toEqual([
      [],
      [{ mid: "c0", source: "camera" }],
    ]);
  });

  it("ends when its track ends", async () => {
    await harness.join();
    const camera = track("video");
    const publication = harness.room.publish(camera);
    camera.unplug();
    expect(publication.ended).toBe("track-ended");
    expect(harness.takeEvents()).toContain("unpublished camera: track-ended");
    expect(harness.room.publications).toEqual([]);
  });

  it("ends when the server refuses it; publications accepted before stay", async () => {
    await harness.join();
    const mic = harness.room.publish(track("audio"));
    await settle();
    await harness.answer();
    harness.connection.become("connected");
    harness.socket.deliver("track-published", { ...MIC, trackId: "mine", peerId: "me", mid: "c0" });
    const camera = harness.room.publish(track("video"));
    await settle();
    harness.takeEvents();
    harness.socket.deliver("error", { code: 403, message: "no video", type: "offer" });
    await settle();
    expect(harness.takeEvents()).toEqual(["error request-refused 403", "unpublished camera: refused"]);
    await expect(camera.ready).rejects.toMatchObject({ kind: "request-refused" });
    expect(mic.ended).toBeNull();
    await vi.advanceTimersByTimeAsync(1000);
    await harness.answer();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(harness.socket.of("offer").map(({ tracks }) => (tracks as unknown[]).length)).toEqual([1, 2, 1]);
  });

  it("is offered alone when it was refused together with others: only what is not allowed ends", async () => {
    for (const allowed of ["mic", "camera", "screen"]) {
      harness = new RoomHarness();
      const published = [
        harness.room.publish(track("audio")),
        harness.room.publish(track("video")),
        harness.room.publish(track("video"), { source: "screen" }),
      ];
      await harness.join();
      for (let offers = 1; offers <= 4; offers += 1) {
        await vi.advanceTimersByTimeAsync(5000);
        const tracks = (harness.socket.of("offer").at(-1)?.tracks ?? []) as { mid: string; source: string }[];
        if (tracks.some(({ source }) => source !== allowed)) {
          harness.socket.deliver("error", { code: 403, message: "not granted", type: "offer" });
          await settle();
        } else {
          await harness.answer();
          harness.connection.become("connected");
          for (const { mid, source } of tracks) {
            const kind = source === "mic" ? "audio" : "video";
            harness.socket.deliver("track-published", { trackId: source, kind, source, peerId: "me", mid });
          }
        }
      }
      expect(published.map(({ ended }) => ended)).toEqual(
        ["mic", "camera", "screen"].map((source) => (source === allowed ? null : "refused")),
      );
    }
  });

  it("is not offered when it ended while it waited for its turn", async () => {
    harness.room.publish(track("audio"));
    const camera = harness.room.publish(track("video"));
    await harness.join();
    harness.socket.deliver("error", { code: 403, message: "not granted", type: "offer" });
    await settle();
    harness.room.unpublish(camera);
    await vi.advanceTimersByTimeAsync(1000);
    await harness.answer();
    harness.socket.deliver("track-published", { ...MIC, trackId: "mine", peerId: "me", mid: "c0" });
    await settle();
    expect(harness.socket.of("offer").map(({ tracks }) => (tracks as unknown[]).length)).toEqual([2, 1]);
    expect(harness.connection.getTransceivers().map(({ direction }) => direction)).toEqual([
      "sendonly",
      "inactive",
    ]);
  });

  it("ends when the server ends it", async () => {
    await harness.join();
    const mic = harness.room.publish(track("audio"));
    await settle();
    await harness.answer();
    harness.socket.deliver("track-published", { ...MIC, trackId: "mine", peerId: "me", mid: "c0" });
    harness.socket.deliver("track-unpublished", { trackId: "mine", peerId: "me" });
    expect(mic.ended).toBe("removed");
  });

  it("announces enabled and disabled tracks only when that changes", async () => {
    await harness.join();
    const mic = harness.room.publish(track("audio"));
    mic.setMuted(true);
    mic.setMuted(true);
    expect(mic.track?.enabled).toBe(false);
    mic.setMuted(false);
    expect(harness.socket.of("media-state").map(({ micEnabled }) => micEnabled)).toEqual([
      false,
      true,
      false,
      true,
    ]);
  });

  it("replaces a track without negotiation", async () => {
    await harness.join();
    const publication = harness.room.publish(track("video"));
    await settle();
    await harness.answer();
    await publication.replaceTrack(null);
    expect(publication.muted).toBe(true);
    const next = track("video");
    await publication.replaceTrack(next);
    await settle();
    expect(harness.connection.getTransceivers()[0]?.sender.track).toBe(next);
    expect(harness.socket.of("offer")).toHaveLength(1);
    expect(harness.socket.of("media-state").map(({ cameraEnabled }) => cameraEnabled)).toEqual([
      false,
      true,
      false,
      true,
    ]);
    await expect(publication.replaceTrack(track("audio"))).rejects.toThrow("audio track for video");
    harness.room.unpublish(publication);
    await expect(publication.replaceTrack(null)).rejects.toThrow("ended");
  });

  it("has replaced the track also when the connection is replaced meanwhile", async () => {
    await harness.join();
    const publication = harness.room.publish(track("video"));
    await settle();
    await harness.answer();
    harness.connection.getTransceivers()[0]?.sender.stall();
    const next = track("video");
    const replaced = publication.replaceTrack(next);
    harness.connection.become("failed");
    await replaced;
    await harness.readmit("new");
    expect(harness.connection.getTransceivers()[0]?.sender.track).toBe(next);
  });

  it("uses a new transceiver for other encodings", async () => {
    await harness.join();
    const first = harness.room.publish(track("video"));
    await settle();
    await harness.answer();
    harness.room.unpublish(first);
    await settle();
    await harness.answer();
    harness.room.publish(track("video"), { sendEncodings: [{ maxBitrate: 100_000 }] });
    expect(harness.connection.getTransceivers().map(({ init }) => init.sendEncodings?.[0]?.maxBitrate)).toEqual(
      [1_500_000, 100_000],
    );
  });

  it("rejects a track that the browser refuses", async () => {
    await harness.join();
    expect(() => harness.room.publish(track("video"), { sendEncodings: [{ rid: "no such rid!" }] })).toThrow();
    expect(harness.room.publications).toEqual([]);
  });

  it("ends when the server rejects its m-section, which is not reused", async () => {
    await harness.join();
    const publication = harness.room.publish(track("video"));
    await settle();
    harness.socket.deliver("answer", {
      sdp: description({ kind: "video", mid: "c0", direction: "inactive", port: 0 }),
    });
    await settle();
    expect(publication.ended).toBe("refused");
    await expect(publication.ready).rejects.toMatchObject({ kind: "request-refused" });
    harness.room.publish(track("video"));
    await settle();
    expect(harness.connection.getTransceivers().map(({ mid }) => mid)).toEqual([null, "c1"]);
  });

  it("continues on a new connection when the server says that the old one has ended", async () => {
    for (const request of ["offer", "answer", "ice-restart-request"]) {
      harness = new RoomHarness();
      await harness.join();
      const camera = harness.room.publish(track("video"));
      await settle();
      harness.socket.deliver("error", { code: 409, message: "join again with a new one", type: request });
      await settle();
      expect(harness.sockets).toHaveLength(2);
      await harness.readmit("new");
      expect(harness.socket.of("join")[0]).toMatchObject({ transport: "new" });
      expect(camera.ended).toBeNull();
      expect(harness.socket.of("offer")[0]?.tracks).toEqual([{ mid: "c0", source: "camera" }]);
    }
  });

  it("announces enabled tracks again when the server was too busy", async () => {
    await harness.join();
    harness.room.publish(track("audio"));
    harness.socket.deliver("error", { code: 429, message: "slow down", type: "ping" });
    await vi.advanceTimersByTimeAsync(REPEAT_AFTER_MS);
    expect(harness.socket.of("media-state").map(({ micEnabled }) => micEnabled)).toEqual([false, true]);
    harness.socket.deliver("error", { code: 429, message: "slow down", type: "media-state" });
    await vi.advanceTimersByTimeAsync(REPEAT_AFTER_MS - 1);
    expect(harness.socket.of("media-state").map(({ micEnabled }) => micEnabled)).toEqual([false, true]);
    await vi.advanceTimersByTimeAsync(1);
    expect(harness.socket.of("media-state").map(({ micEnabled }) => micEnabled)).toEqual([false, true, true]);
  });

  it("keeps a publication without a track on the next connection", async () => {
    const publication = harness.room.publish(track("video"));
    await publication.replaceTrack(null);
    await harness.join();
    expect(harness.connection.getTransceivers()[0]).toMatchObject({ kind: "video", sender: { track: null } });
  });
});

describe("receiving", () => {
  it("gets the tracks that are in the room in the answer to its first offer", async () => {
    await harness.join([peer("ann", [MIC, SCREEN])]);
    harness.takeEvents();
    await harness.answer(["ann t-mic", "ann t-scr"]);
    expect(harness.takeEvents()).toEqual(["+track ann t-mic mic", "+track ann t-scr screen"]);
    expect(harness.room.remoteTracks.map(({ track: { kind } }) => kind)).toEqual(["audio", "video"]);
  });

  it("gets later tracks in offers of the server", async () => {
    await harness.join();
    harness.socket.deliver("peer-joined", { peerId: "bob", userId: "u", name: "Bob" });
    harness.socket.deliver("track-published", { ...SCREEN, peerId: "bob" });
    await harness.offer({ kind: "video", mid: "s0", direction: "sendonly", msid: "bob t-scr" });
    expect(harness.takeEvents().slice(3)).toEqual(["+peer bob", "+track bob t-scr screen"]);
    expect(harness.socket.of("answer")).toHaveLength(1);
  });

  it("notices that a slot is reused, though the browser's track stays the same", async () => {
    await harness.join([peer("ann", [CAMERA]), peer("bob", [{ ...CAMERA, trackId: "b-cam" }])]);
    await harness.offer({ kind: "video", mid: "s0", direction: "sendonly", msid: "ann t-cam" });
    const first = harness.room.remoteTracks[0];
    harness.takeEvents();
    await harness.offer({ kind: "video", mid: "s0", direction: "sendonly", msid: "bob b-cam" });
    expect(harness.takeEvents()).toEqual(["-track ann t-cam camera", "+track bob b-cam camera"]);
    expect(harness.room.remoteTracks[0]?.track).toBe(first?.track);
    expect(harness.room.remoteTracks[0]?.stream).not.toBe(first?.stream);
  });

  it("notices that a slot becomes empty, and that one is removed", async () => {
    await harness.join([peer("ann", [CAMERA, MIC])]);
    const audio = { kind: "audio", mid: "s1", direction: "sendonly", msid: "ann t-mic" };
    await harness.offer({ kind: "video", mid: "s0", direction: "sendonly", msid: "ann t-cam" }, audio);
    harness.takeEvents();
    await harness.offer({ kind: "video", mid: "s0", direction: "inactive" }, audio);
    expect(harness.takeEvents()).toEqual(["-track ann t-cam camera"]);
    await harness.offer({ kind: "video", mid: "s0", direction: "inactive" }, { ...audio, port: 0 });
    expect(harness.takeEvents()).toEqual(["-track ann t-mic mic"]);
  });

  it("ends a track when the message says so, also while the slot still names it", async () => {
    await harness.join([peer("ann", [SCREEN, MIC])]);
    const screen = { kind: "video", mid: "s0", direction: "sendonly", msid: "ann t-scr" };
    await harness.offer(screen);
    harness.takeEvents();
    harness.socket.deliver("track-unpublished", { trackId: "t-scr", peerId: "ann" });
    expect(harness.takeEvents()).toEqual(["-track ann t-scr screen"]);
    await harness.offer(screen, { kind: "audio", mid: "s1", direction: "sendonly", msid: "ann t-mic" });
    expect(harness.takeEvents()).toEqual(["+track ann t-mic mic"]);
  });

  it("emits the end of a peer's tracks before the peer's leaving", async () => {
    await harness.join([peer("ann", [CAMERA])]);
    await harness.offer({ kind: "video", mid: "s0", direction: "sendonly", msid: "ann t-cam" });
    harness.takeEvents();
    harness.socket.deliver("peer-left", { peerId: "ann", userId: "u", name: "Ann" });
    expect(harness.takeEvents()).toEqual(["-track ann t-cam camera", "-peer ann"]);
  });

  it("waits until the server has said what a track is and whose it is", async () => {
    await harness.join([peer("ann")]);
    await harness.offer({ kind: "video", mid: "s0", direction: "sendonly", msid: "ann t-scr" });
    expect(harness.room.remoteTracks).toEqual([]);
    harness.takeEvents();
    harness.socket.deliver("track-published", { ...SCREEN, peerId: "ann" });
    expect(harness.takeEvents()).toEqual(["+track ann t-scr screen"]);
  });

  it("announces no track of a peer that leaves while the offer with its tracks is applied", async () => {
    await harness.join([peer("ann", [CAMERA])]);
    const applied = harness.offer({ kind: "video", mid: "s0", direction: "sendonly", msid: "ann t-cam" });
    harness.socket.deliver("peer-left", { peerId: "ann", userId: "u", name: "Ann" });
    await applied;
    expect(harness.room.remoteTracks).toEqual([]);
    expect(harness.takeEvents()).not.toContain("+track ann t-cam camera");
  });

  it("updates the media states of other peers", async () => {
    await harness.join([peer("ann")]);
    harness.takeEvents();
    const state = { micEnabled: true, cameraEnabled: false, screenEnabled: false };
    harness.socket.deliver("media-state", { ...state, peerId: "ann" });
    harness.socket.deliver("media-state", { ...state, peerId: "ann" });
    harness.socket.deliver("media-state", { ...state, peerId: "nobody" });
    expect(harness.takeEvents()).toEqual(["media ann"]);
    expect(harness.room.peers.get("ann")?.mediaState).toEqual(state);
  });
});

describe("negotiating", () => {
  it("rolls its offer back for the server's, and offers again with its own sources", async () => {
    await harness.join();
    harness.room.publish(track("audio"));
    await settle();
    expect(harness.connection.signalingState).toBe("have-local-offer");
    await harness.offer({ kind: "video", mid: "s0", direction: "sendonly", msid: "ann t-cam" });
    expect(harness.connection.history).toEqual([
      "local offer",
      "rollback",
      "remote offer",
      "local answer",
      "local offer",
    ]);
    expect(harness.socket.sent.map(({ type }) => type).slice(-3)).toEqual(["offer", "answer", "offer"]);
    expect(harness.socket.of("offer").at(-1)?.tracks).toEqual([{ mid: "c1", source: "mic" }]);
    await harness.answer();
    expect(harness.connection.signalingState).toBe("stable");
  });

  it("offers again when the server does not answer", async () => {
    await harness.join();
    harness.room.publish(track("audio"));
    await settle();
    await vi.advanceTimersByTimeAsync(ANSWER_DEADLINE_MS + 1000);
    expect(harness.connection.history).toEqual(["local offer", "rollback", "local offer"]);
    expect(harness.socket.of("offer")).toHaveLength(2);
    await harness.answer();
    expect(harness.connection.signalingState).toBe("stable");
  });

  it("rolls back when the browser cannot answer the server's offer", async () => {
    await harness.join([peer("ann")]);
    harness.socket.deliver("track-published", { ...CAMERA, peerId: "ann" });
    harness.connection.failures.add("setLocalDescription");
    await harness.offer({ kind: "video", mid: "s0", direction: "sendonly", msid: "ann t-cam" });
    expect(harness.connection.history).toEqual(["remote offer", "rollback"]);
    expect(harness.room.remoteTracks).toEqual([]);
    await harness.offer({ kind: "video", mid: "s0", direction: "sendonly", msid: "ann t-cam" });
    expect(harness.room.remoteTracks).toHaveLength(1);
  });

  it("fails the room when the rollback fails", async () => {
    await harness.join();
    harness.connection.failures.add("setRemoteDescription").add("rollback");
    harness.room.publish(track("audio"));
    await settle();
    await harness.answer();
    expect(harness.room.state).toBe("failed");
    expect(harness.takeEvents()).toContain("failed: negotiation-failed");
  });

  it("sends candidates after their description, and applies the server's", async () => {
    await harness.join();
    harness.room.publish(track("audio"));
    await settle();
    const candidate = { candidate: "candidate:1", sdpMid: "c0", sdpMLineIndex: 0 };
    harness.socket.deliver("ice-candidate", candidate);
    await settle();
    expect(harness.connection.candidates).toEqual([]);
    harness.socket.deliver("answer", { sdp: "v=0\r\n" });
    await settle();
    harness.connection.onicecandidate?.({ candidate });
    harness.connection.onicecandidate?.({ candidate: null });
    expect(harness.socket.sent.slice(-2)).toMatchObject([
      { type: "ice-candidate", data: candidate },
      { type: "ice-candidate", data: { candidate: "", sdpMid: null, sdpMLineIndex: null } },
    ]);
    harness.socket.deliver("ice-candidate", candidate);
    await settle();
    expect(harness.connection.candidates).toEqual([candidate]);
  });

  it("holds back candidates of an answer that is still being created", async () => {
    await harness.join();
    harness.socket.deliver("offer", { sdp: "v=0\r\n", type: "offer", peerId: "me" });
    harness.connection.onicecandidate?.({
      candidate: { candidate: "candidate:1", sdpMid: "0", sdpMLineIndex: 0 },
    });
    expect(harness.socket.of("ice-candidate")).toEqual([]);
    await settle();
    expect(harness.socket.sent.map(({ type }) => type).slice(-2)).toEqual(["answer", "ice-candidate"]);
  });
});

describe("leaving", () => {
  const phases: Record<string, () => Promise<void> | void> = {
    "while idle": () => undefined,
    "while connecting": () => {
      harness.startJoin();
    },
    "while joining": () => {
      harness.startJoin();
      harness.socket.open();
    },
    "after the acknowledgement": () => {
      harness.startJoin();
      harness.socket.open();
      harness.socket.deliver("join", { success: true, peerId: "me" });
    },
    "while joined": () => harness.join([peer("ann")]),
    "while an offer is made": async () => {
      await harness.join();
      harness.room.publish(track("audio"));
      await Promise.resolve();
    },
    "while an answer is awaited": async () => {
      await harness.join();
      harness.room.publish(track("audio"));
      await settle();
    },
    "while an offer is answered": async () => {
      await harness.join();
      harness.socket.deliver("offer", { sdp: "v=0\r\n" });
    },
    "after a failure": () => {
      harness.startJoin();
      harness.socket.end();
    },
    "while waiting to reconnect": async () => {
      await harness.join();
      harness.socket.end();
    },
    "while reconnecting": async () => {
      await harness.join();
      harness.socket.end();
      await vi.advanceTimersByTimeAsync(FIRST_DELAY_MS);
      harness.socket.open();
    },
    "after the acknowledgement of a reconnection": async () => {
      await harness.join();
      harness.socket.end();
      await vi.advanceTimersByTimeAsync(FIRST_DELAY_MS);
      harness.socket.open();
      harness.socket.deliver("join", { success: true, peerId: "me", resumed: true, transport: "keep" });
    },
    "while media does not flow": async () => {
      await harness.join();
      harness.connection.become("connected");
      harness.connection.become("disconnected");
    },
  };

  for (const [phase, reach] of Object.entries(phases)) {
    it(`works ${phase}`, async () => {
      await reach();
      const left = harness.room.leave();
      if (harness.sockets.length > 0) harness.socket.end(1000);
      await left;
      await settle();
      expect(harness.storage.length).toBe(0);
      expect(harness.changeNetwork).toBeNull();
      expect(harness.room.state).toBe(phase === "while idle" ? "idle" : "closed");
      expect(harness.room.session).toBeNull();
      expect(harness.room.publications).toEqual([]);
      expect([...harness.room.peers]).toEqual([]);
      for (const connection of harness.connections) expect(connection.signalingState).toBe("closed");
      expect(vi.getTimerCount()).toBe(0);
    });
  }

  it("rejects a join in progress", async () => {
    const { joined } = harness.startJoin();
    void harness.room.leave();
    await expect(joined).rejects.toMatchObject({ kind: "left" });
  });

  it("tells the server, and removes all peers and tracks", async () => {
    await harness.join([peer("ann", [CAMERA])]);
    await harness.answer(["ann t-cam"]);
    const mic = harness.room.publish(track("audio"));
    harness.takeEvents();
    const left = harness.room.leave();
    expect(harness.socket.of("leave")).toEqual([{}]);
    expect(harness.socket.closeCode).toBe(1000);
    harness.socket.end(1000);
    await left;
    expect(harness.takeEvents()).toEqual([
      "leaving",
      "-track ann t-cam camera",
      "-peer ann",
      "unpublished mic: left",
      "closed",
    ]);
    expect(mic.ended).toBe("left");
  });

  it("can be called twice", async () => {
    await harness.join();
    const left = [harness.room.leave(), harness.room.leave()];
    harness.socket.end();
    await Promise.all(left);
    await harness.room.leave();
    expect(harness.room.state).toBe("closed");
    expect(harness.socket.of("leave")).toHaveLength(1);
  });

  it("can be called in a listener of the join or of the leave", async () => {
    harness.room.once("stateChanged", () => void harness.room.leave());
    await expect(harness.room.join({ roomId: "r", name: "n" })).rejects.toMatchObject({ kind: "left" });
    expect(harness.sockets).toEqual([]);
    expect(harness.room.state).toBe("closed");
    await harness.join();
    harness.room.once("stateChanged", () => void harness.room.leave());
    const left = harness.room.leave();
    harness.socket.end();
    await left;
    expect(harness.room.state).toBe("closed");
  });

  it("limits the wait for a server that does not close the WebSocket", async () => {
    await harness.join();
    const left = harness.room.leave();
    await vi.advanceTimersByTimeAsync(2000);
    await left;
    expect(harness.room.state).toBe("closed");
  });
});

describe("losing the room", () => {
  it("can be followed by a join in a listener of the loss", async () => {
    await harness.join([peer("ann", [CAMERA])]);
    harness.room.on("stateChanged", ({ state }) => {
      if (state === "failed") void harness.room.join({ roomId: "lobby", name: "Me", url: "ws://test/ws" });
    });
    harness.socket.end(4000);
    expect(harness.room.state).toBe("connecting");
    harness.socket.open();
    harness.socket.deliver("join", { success: true, peerId: "me again" });
    harness.socket.deliver("room-state", { peers: [] });
    expect(harness.room.session?.peerId).toBe("me again");
    expect(harness.connections).toHaveLength(2);
  });
});

describe("leaving in a listener", () => {
  it("emits the end of everything announced, and nothing after that", async () => {
    const told: string[] = [];
    harness.room.on("peerJoined", ({ peerId }) => told.push(`+${peerId}`));
    harness.room.on("peerLeft", ({ peerId }) => told.push(`-${peerId}`));
    harness.room.on("trackSubscribed", ({ trackId }) => told.push(`+${trackId}`));
    harness.room.on("trackUnsubscribed", ({ trackId }) => told.push(`-${trackId}`));
    harness.room.once("peerJoined", () => void harness.room.leave());
    const { joined } = harness.startJoin();
    await harness.admit([peer("ann"), peer("bob")]);
    await expect(joined).rejects.toMatchObject({ kind: "left" });
    expect(told.filter((each) => each.endsWith("bob")).at(-1)).toBe("-bob");
    harness.socket.end();
    await settle();
    told.length = 0;
    await harness.join([peer("ann", [CAMERA, MIC])]);
    harness.room.once("trackSubscribed", () => void harness.room.leave());
    await harness.answer(["ann t-cam", "ann t-mic"]);
    expect(told).toEqual(["+ann", "+t-cam", "-t-cam", "-t-mic", "-ann"]);
  });
});

describe("joining again", () => {
  it("works in a listener that is called when a peer or a track is gone", async () => {
    for (const event of ["trackUnsubscribed", "peerLeft"] as const) {
      harness = new RoomHarness();
      await harness.join([peer("ann", [CAMERA])]);
      await harness.answer(["ann t-cam"]);
      let joined: Promise<void> | undefined;
      harness.room.once(event, () => {
        joined = harness.startJoin().joined;
      });
      harness.socket.end(4000);
      await harness.admit([peer("bob")]);
      await joined;
      expect([...harness.room.peers.keys()]).toEqual(["bob"]);
    }
  });

  it("works in a listener of the leave, though nothing was connected", async () => {
    await harness.join([peer("ann")]);
    harness.socket.end();
    let joined: Promise<void> | undefined;
    harness.room.on("stateChanged", ({ state }) => {
      if (state === "closed") joined = harness.startJoin().joined;
    });
    await harness.room.leave();
    await harness.admit();
    await joined;
    expect(harness.room.state).toBe("joined");
  });
});

describe("invalid messages of the server", () => {
  it("are reported when they are malformed; the room continues", async () => {
    await harness.join();
    harness.takeEvents();
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
      harness.socket.deliverText(text);
    }
    harness.socket.deliverText(new ArrayBuffer(4));
    harness.socket.deliver("room-state", { peers: [{ peerId: 1 }] });
    expect(harness.takeEvents()).toEqual(Array(10).fill("error protocol null"));
    expect(harness.room.state).toBe("joined");
  });

  it("are ignored when their type is unknown", async () => {
    await harness.join();
    harness.takeEvents();
    harness.socket.deliver("quality-stats", { level: "good" });
    harness.socket.deliver("toString", {});
    expect(harness.takeEvents()).toEqual([]);
    expect((await harness.room.statistics()).signaling).toMatchObject({ unknown: 2, invalid: 0 });
  });

  it("are ignored when they make no sense at this time", async () => {
    const { joined } = harness.startJoin();
    harness.socket.open();
    harness.socket.deliver("offer", { sdp: "v=0\r\n" });
    harness.socket.deliver("answer", { sdp: "v=0\r\n" });
    expect(harness.connections).toEqual([]);
    harness.socket.deliver("join", { success: true, peerId: "me" });
    harness.socket.deliver("offer", { sdp: "v=0\r\n" });
    harness.socket.deliver("room-state", { peers: [] });
    await joined;
    harness.socket.deliver("join", { success: true, peerId: "other" });
    harness.socket.deliver("answer", { sdp: "v=0\r\n" });
    harness.socket.deliver("peer-left", { peerId: "nobody" });
    harness.socket.deliver("peer-joined", { peerId: "ann" });
    harness.socket.deliver("peer-joined", { peerId: "ann" });
    harness.socket.deliver("track-unpublished", { peerId: "nobody", trackId: "t" });
    harness.socket.deliver("track-published", { ...MIC, peerId: "nobody" });
    harness.socket.deliver("track-published", { ...MIC, peerId: "me", mid: "no such" });
    harness.socket.deliver("track-published", { ...MIC, peerId: "me" });
    harness.socket.deliver("track-unpublished", { peerId: "me", trackId: "t" });
    await settle();
    expect(harness.room.session?.peerId).toBe("me");
    expect(harness.room.state).toBe("joined");
  });

  it("leaves the answer to a ping with its data", async () => {
    await harness.join();
    harness.socket.deliver("ping", { n: 7 });
    expect(harness.socket.of("pong")).toEqual([{ n: 7 }]);
  });

  it("reports refused requests and continues", async () => {
    await harness.join();
    let error: RoomError | undefined;
    harness.room.once("error", (each) => (error = each));
    harness.socket.deliver("error", { code: 429, message: "slow down", type: "media-state" });
    expect(error).toMatchObject({ kind: "request-refused", code: 429, request: "media-state" });
    expect(harness.room.state).toBe("joined");
  });
});
