/** The store and the person's actions, without components. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { STATISTICS_INTERVAL_MS } from "../../src/page/actions.js";
import type { Request } from "../../src/page/preferences.js";
import { INITIAL, isInCall } from "../../src/page/state.js";
import { CAMERA, ConferenceHarness, MIC, ON, SCREEN } from "../fakes/conference.js";
import { peer, settle } from "../fakes/harness.js";

const NOTHING: Request = { room: "", name: "", token: "", autojoin: false, mic: false, camera: false };
const LAYERED = { ...CAMERA, layers: ["h", "m", "l"] };

let harness: ConferenceHarness;

beforeEach(() => {
  vi.useFakeTimers();
  harness = new ConferenceHarness();
  vi.stubGlobal("location", new URL("https://sfu.example/"));
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** Joins a room with `peers` through the form. */
async function join(...peers: unknown[]): Promise<void> {
  void harness.conference.actions.join(" Ada ", " lobby ");
  await harness.admit(peers);
}

const notice = () => harness.state.notice?.text ?? null;
const person = (peerId: string) => harness.state.people.get(peerId);

describe("the start", () => {
  it("proposes a room, and opens the devices that were on", async () => {
    await harness.conference.actions.start({ ...NOTHING, name: "Ada", mic: true, camera: true });
    expect(harness.state).toMatchObject({ name: "Ada", roomId: "lobby", connection: "idle", notice: null });
    expect(harness.state.own.mic.isOn).toBe(true);
    expect(harness.state.own.camera.stream?.getTracks()).toEqual([harness.captured[1]]);
    expect(harness.sockets).toEqual([]);
  });

  it("joins when the address asks for it, with its token", () => {
    void harness.conference.actions.start({
      ...NOTHING,
      name: "Ada",
      room: "lab",
      token: "jwt",
      autojoin: true,
    });
    harness.socket.open();
    expect(harness.socket.of("join")).toEqual([{ roomId: "lab", userId: "u1", name: "Ada", token: "jwt" }]);
    expect(harness.socket.url).toBe("wss://sfu.example/ws");
  });

  it("returns to the call that a reload has interrupted, and to no other", async () => {
    harness.memory.interrupted = "lab";
    await harness.conference.actions.start({ ...NOTHING, name: "Ada", room: "other" });
    expect(harness.sockets).toEqual([]);
    void harness.conference.actions.start({ ...NOTHING, name: "Ada", room: "lab" });
    expect(harness.sockets).toHaveLength(1);
  });

  it("says which devices cannot be opened", async () => {
    harness.refusal = "NotAllowedError";
    await harness.conference.actions.start({ ...NOTHING, mic: true, camera: true });
    expect(notice()).toMatch(/may not use your microphone.*may not use your camera/);
    expect(harness.log).toHaveLength(2);
    expect(harness.state.own).toEqual(INITIAL.own);
  });
});

describe("joining", () => {
  it("remembers the name and the room", async () => {
    await join();
    expect(isInCall(harness.state)).toBe(true);
    expect(harness.memory.told).toEqual(["name Ada", "address lobby", "call lobby"]);
    expect(harness.state).toMatchObject({ name: "Ada", roomId: "lobby", connection: "joined" });
  });

  it("needs a name and a room", async () => {
    await harness.conference.actions.join(" ", "lobby");
    await harness.conference.actions.join("Ada", "");
    expect(harness.sockets).toEqual([]);
  });

  it("says why it failed, forgets the call, and can be retried", async () => {
    const joining = harness.conference.actions.join("Ada", "lobby");
    harness.socket.end();
    await joining;
    expect(notice()).toMatch(/cannot be reached/);
    expect(isInCall(harness.state)).toBe(false);
    expect(harness.memory.told.at(-1)).toBe("call ");
    await join();
    expect(notice()).toBeNull();
    expect(isInCall(harness.state)).toBe(true);
  });

  it("throws when it is called at an impossible time", async () => {
    await join();
    await expect(harness.conference.actions.join("Ada", "lobby")).rejects.toThrow("cannot join while joined");
  });
});

describe("people", () => {
  it("join, change and leave", async () => {
    await join(peer("ann", [CAMERA], ON));
    expect([...harness.state.people.keys()]).toEqual(["ann"]);
    expect(harness.state.announcement).toBe("Name of ann is here");
    const before = person("ann");
    harness.socket.deliver("peer-joined", { peerId: "bob", userId: "b", name: "Bob" });
    expect([...harness.state.people.keys()]).toEqual(["ann", "bob"]);
    expect(person("ann")).toBe(before);
    harness.socket.deliver("media-state", { peerId: "bob", ...ON });
    expect(person("bob")?.peer.mediaState).toEqual(ON);
    harness.socket.deliver("peer-suspended", { peerId: "bob" });
    expect(person("bob")?.peer.suspended).toBe(true);
    expect(harness.state.announcement).toBe("Bob is reconnecting");
    harness.socket.deliver("peer-resumed", { peerId: "bob" });
    expect(harness.state.announcement).toBe("Bob is back");
    harness.socket.deliver("peer-left", { peerId: "ann" });
    expect([...harness.state.people.keys()]).toEqual(["bob"]);
    expect(harness.state.announcement).toBe("Name of ann has left");
  });

  it("have tracks that are received or not", async () => {
    await join(peer("ann", [MIC], ON));
    await harness.answer(["ann mic"]);
    expect(person("ann")?.received.map(({ trackId }) => trackId)).toEqual(["mic"]);
    harness.socket.deliver("track-published", { peerId: "ann", ...SCREEN });
    expect(person("ann")?.preferences.get("scr")).toEqual({ isReceived: false, layer: null });
    harness.socket.deliver("track-unpublished", { peerId: "ann", trackId: "mic" });
    expect(person("ann")?.received).toEqual([]);
    expect([...(person("ann")?.preferences.keys() ?? [])]).toEqual(["scr"]);
  });

  it("are removed when the call is over", async () => {
    await join(peer("ann", [MIC], ON));
    await harness.answer(["ann mic"]);
    harness.conference.actions.leave();
    await settle();
    expect(harness.state.people.size).toBe(0);
    expect(harness.state.announcement).toBe("Name of ann is here");
    expect(harness.memory.told.at(-1)).toBe("call ");
  });

  it("may have changed their tracks while this page reconnected", async () => {
    await join(peer("ann", [CAMERA], ON));
    await harness.answer(["ann cam"]);
    harness.socket.end();
    await vi.advanceTimersByTimeAsync(1000);
    await harness.readmit("keep", [peer("ann", [MIC, SCREEN], ON)]);
    expect([...(person("ann")?.preferences.keys() ?? [])]).toEqual(["mic", "scr"]);
    expect(person("ann")?.received).toEqual([]);
  });
});

describe("subscriptions", () => {
  beforeEach(async () => {
    await join(peer("ann", [MIC, LAYERED], ON));
    await harness.answer(["ann mic", "ann cam"]);
  });

  const preference = (trackId: string) => person("ann")?.preferences.get(trackId);
  const acknowledge = async (trackId: string, success = true) => {
    harness.socket.deliver("subscription-ack", { trackId, success, reason: success ? "" : "not for you" });
    await settle();
  };

  it("start and stop at once when the person clicks", async () => {
    void harness.conference.actions.receive("ann", ["mic", "cam"], false);
    expect([preference("mic")?.isReceived, preference("cam")?.isReceived]).toEqual([false, false]);
    expect(harness.socket.of("unsubscribe").map(({ trackId }) => trackId)).toEqual(["mic", "cam"]);
    await acknowledge("mic");
    await acknowledge("cam");
    void harness.conference.actions.receive("ann", ["mic"], true);
    expect(harness.socket.of("subscribe")).toEqual([{ trackId: "mic", peerId: "ann" }]);
    expect(preference("mic")?.isReceived).toBe(true);
    await acknowledge("mic");
    expect(notice()).toBeNull();
  });

  it("go back to the old value when the server refuses, and the person is told", async () => {
    void harness.conference.actions.receive("ann", ["cam"], false);
    await acknowledge("cam", false);
    expect(preference("cam")?.isReceived).toBe(true);
    expect(notice()).toBe("The server refused a request: not for you.");
    expect(harness.log.at(-1)).toBe("! The server refused a request: not for you.");
  });

  it("have a layer, which is kept while the track is not received", async () => {
    void harness.conference.actions.chooseLayer("ann", "cam", "l");
    expect(harness.socket.of("subscribe")).toEqual([{ trackId: "cam", peerId: "ann", layer: "l" }]);
    expect(preference("cam")).toEqual({ isReceived: true, layer: "l" });
    await acknowledge("cam");
    void harness.conference.actions.receive("ann", ["cam"], false);
    await acknowledge("cam");
    expect(preference("cam")).toEqual({ isReceived: false, layer: "l" });
    void harness.conference.actions.receive("ann", ["cam"], true);
    expect(harness.socket.of("subscribe").at(-1)).toEqual({ trackId: "cam", peerId: "ann", layer: "l" });
    void harness.conference.actions.chooseLayer("ann", "cam", null);
    expect(harness.socket.of("subscribe").at(-1)).toEqual({ trackId: "cam", peerId: "ann" });
  });

  it("need no message when the track or the call ends", async () => {
    void harness.conference.actions.receive("ann", ["cam"], false);
    harness.socket.deliver("track-unpublished", { peerId: "ann", trackId: "cam" });
    void harness.conference.actions.receive("ann", ["mic", "gone"], false);
    harness.conference.actions.leave();
    await settle();
    expect(notice()).toBeNull();
  });
});

describe("devices", () => {
  it("can be switched, are remembered, and are shown", async () => {
    await join();
    await harness.conference.actions.toggle("mic");
    await harness.conference.actions.toggle("camera");
    const { mic, camera } = harness.state.own;
    expect([mic.isOn, camera.isOn]).toEqual([true, true]);
    await harness.conference.actions.toggle("mic");
    expect(harness.state.own.mic.isOn).toBe(false);
    expect(harness.state.own.mic.stream).toBe(mic.stream);
    expect(harness.state.own.camera).toBe(camera);
    await harness.conference.actions.toggle("camera");
    expect(harness.state.own.camera).toEqual({ isOn: false, stream: null });
    expect(harness.memory.told.slice(-2)).toEqual(["mic false, camera true", "mic false, camera false"]);
  });

  it("end when they are unplugged, and the person is told", async () => {
    await join();
    await harness.conference.actions.toggle("camera");
    harness.captured[0]?.unplug();
    expect(harness.state.own.camera).toEqual({ isOn: false, stream: null });
    expect(notice()).toBe("Your camera was disconnected.");
  });

  it("show why they do not open, unless the person cancelled sharing a screen", async () => {
    harness.refusal = "NotFoundError";
    await harness.conference.actions.toggle("camera");
    expect(notice()).toMatch(/No camera was found/);
    expect(harness.log).toEqual([`! ${notice()}`]);
    harness.refusal = "NotAllowedError";
    await harness.conference.actions.toggle("screen");
    expect(notice()).toBeNull();
    expect(harness.log).toHaveLength(1);
  });
});

describe("a broken connection", () => {
  it("is shown while it lasts", async () => {
    await join();
    harness.socket.end();
    expect(notice()).toMatch(/to the server is lost: reconnecting/);
    expect(isInCall(harness.state)).toBe(true);
    await vi.advanceTimersByTimeAsync(1000);
    await harness.readmit("keep");
    expect(notice()).toBeNull();
  });

  it("of media is shown too; each message stays until its own cause has gone", async () => {
    await join();
    harness.connection.become("connected");
    expect(harness.state.transport).toBe("connected");
    harness.connection.become("disconnected");
    expect(notice()).toMatch(/unstable/);
    harness.connection.become("connected");
    expect(notice()).toBeNull();
    harness.conference.actions.notify("something else");
    harness.connection.become("connected");
    expect(notice()).toBe("something else");
  });

  it("ends the call after a while, and the reason stays", async () => {
    await join();
    harness.connection.become("connected");
    harness.conference.actions.soundBlocked();
    harness.socket.end();
    await vi.advanceTimersByTimeAsync(120_000);
    expect(isInCall(harness.state)).toBe(false);
    expect(notice()).toMatch(/was lost/);
    expect(harness.state).toMatchObject({ transport: null, isSoundBlocked: false });
  });
});

describe("sound", () => {
  it("is retried when the person clicks", () => {
    harness.conference.actions.soundBlocked();
    expect(harness.state).toMatchObject({ isSoundBlocked: true, playRound: 0 });
    harness.conference.actions.playSound();
    expect(harness.state).toMatchObject({ isSoundBlocked: false, playRound: 1 });
  });
});

describe("statistics", () => {
  const bytes = (count: number) => {
    const slot = harness.connection.getTransceivers().find(({ kind }) => kind === "video");
    const entry = { type: "inbound-rtp", mid: slot?.mid, bytesReceived: count };
    harness.connection.stats = new Map<string, Record<string, unknown>>([["in", entry]]);
  };
  const tick = async () => {
    harness.now += STATISTICS_INTERVAL_MS;
    await vi.advanceTimersByTimeAsync(STATISTICS_INTERVAL_MS);
  };

  it("are read once a second, and only while a component shows them", async () => {
    await join(peer("ann", [CAMERA], ON));
    await harness.answer(["ann cam"]);
    const reading = vi.spyOn(harness.room, "statistics");
    await tick();
    expect(reading).not.toHaveBeenCalled();

    bytes(1000);
    const timers = vi.getTimerCount(); // the room's own
    const stop = harness.conference.actions.watchStatistics();
    await settle();
    expect(harness.state.figures?.receivedBitrate).toBeNull();
    bytes(2000);
    await tick();
    expect(harness.state.figures?.receivedBitrate).toBe(8000);
    expect(reading).toHaveBeenCalledTimes(2);

    stop();
    expect(harness.state.figures).toBeNull();
    await tick();
    expect(reading).toHaveBeenCalledTimes(2);
    expect(vi.getTimerCount()).toBe(timers);
  });

  it("are not shown when they arrive too late", async () => {
    const stop = harness.conference.actions.watchStatistics();
    stop();
    await settle();
    expect(harness.state.figures).toBeNull();
    expect(vi.getTimerCount()).toBe(0);
  });
});
