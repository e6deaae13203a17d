/** The store and the person's actions, without components. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { STATISTICS_INTERVAL_MS } from "../../src/page/actions.js";
import type { Request } from "../../src/page/preferences.js";
import { INITIAL, isInCall } from "../../src/page/state.js";
import { CAMERA, ConferenceWorld, MIC, ON, SCREEN } from "../fakes/conference.js";
import { peer, settle } from "../fakes/world.js";

const NOTHING: Request = { room: "", name: "", token: "", autojoin: false, mic: false, camera: false };
const LAYERED = { ...CAMERA, layers: ["h", "m", "l"] };

let world: ConferenceWorld;

beforeEach(() => {
  vi.useFakeTimers();
  world = new ConferenceWorld();
  vi.stubGlobal("location", new URL("https://sfu.example/"));
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** Joins a room with `peers` through the form. */
async function join(...peers: unknown[]): Promise<void> {
  void world.conference.actions.join(" Ada ", " lobby ");
  await world.admit(peers);
}

const notice = () => world.state.notice?.text ?? null;
const person = (peerId: string) => world.state.people.get(peerId);

describe("the start", () => {
  it("proposes a room, and opens the devices that were on", async () => {
    await world.conference.actions.start({ ...NOTHING, name: "Ada", mic: true, camera: true });
    expect(world.state).toMatchObject({ name: "Ada", roomId: "lobby", connection: "idle", notice: null });
    expect(world.state.own.mic.isOn).toBe(true);
    expect(world.state.own.camera.stream?.getTracks()).toEqual([world.captured[1]]);
    expect(world.sockets).toEqual([]);
  });

  it("joins when the address asks for it, with its token", () => {
    void world.conference.actions.start({ ...NOTHING, name: "Ada", room: "lab", token: "jwt", autojoin: true });
    world.socket.open();
    expect(world.socket.of("join")).toEqual([{ roomId: "lab", userId: "u1", name: "Ada", token: "jwt" }]);
    expect(world.socket.url).toBe("wss://sfu.example/ws");
  });

  it("returns to the call that a reload has interrupted, and to no other", async () => {
    world.memory.interrupted = "lab";
    await world.conference.actions.start({ ...NOTHING, name: "Ada", room: "other" });
    expect(world.sockets).toEqual([]);
    void world.conference.actions.start({ ...NOTHING, name: "Ada", room: "lab" });
    expect(world.sockets).toHaveLength(1);
  });

  it("says which devices cannot be opened", async () => {
    world.refusal = "NotAllowedError";
    await world.conference.actions.start({ ...NOTHING, mic: true, camera: true });
    expect(notice()).toMatch(/may not use your microphone.*may not use your camera/);
    expect(world.log).toHaveLength(2);
    expect(world.state.own).toEqual(INITIAL.own);
  });
});

describe("joining", () => {
  it("remembers the name and the room", async () => {
    await join();
    expect(isInCall(world.state)).toBe(true);
    expect(world.memory.told).toEqual(["name Ada", "address lobby", "call lobby"]);
    expect(world.state).toMatchObject({ name: "Ada", roomId: "lobby", connection: "joined" });
  });

  it("needs a name and a room", async () => {
    await world.conference.actions.join(" ", "lobby");
    await world.conference.actions.join("Ada", "");
    expect(world.sockets).toEqual([]);
  });

  it("says why it failed, forgets the call, and can be retried", async () => {
    const joining = world.conference.actions.join("Ada", "lobby");
    world.socket.end();
    await joining;
    expect(notice()).toMatch(/cannot be reached/);
    expect(isInCall(world.state)).toBe(false);
    expect(world.memory.told.at(-1)).toBe("call ");
    await join();
    expect(notice()).toBeNull();
    expect(isInCall(world.state)).toBe(true);
  });

  it("throws when it is called at an impossible time", async () => {
    await join();
    await expect(world.conference.actions.join("Ada", "lobby")).rejects.toThrow("cannot join while joined");
  });
});

describe("people", () => {
  it("join, change and leave", async () => {
    await join(peer("ann", [CAMERA], ON));
    expect([...world.state.people.keys()]).toEqual(["ann"]);
    expect(world.state.announcement).toBe("Name of ann is here");
    const before = person("ann");
    world.socket.deliver("peer-joined", { peerId: "bob", userId: "b", name: "Bob" });
    expect([...world.state.people.keys()]).toEqual(["ann", "bob"]);
    expect(person("ann")).toBe(before);
    world.socket.deliver("media-state", { peerId: "bob", ...ON });
    expect(person("bob")?.peer.mediaState).toEqual(ON);
    world.socket.deliver("peer-suspended", { peerId: "bob" });
    expect(person("bob")?.peer.suspended).toBe(true);
    expect(world.state.announcement).toBe("Bob is reconnecting");
    world.socket.deliver("peer-resumed", { peerId: "bob" });
    expect(world.state.announcement).toBe("Bob is back");
    world.socket.deliver("peer-left", { peerId: "ann" });
    expect([...world.state.people.keys()]).toEqual(["bob"]);
    expect(world.state.announcement).toBe("Name of ann has left");
  });

  it("have tracks that are received or not", async () => {
    await join(peer("ann", [MIC], ON));
    await world.answer(["ann mic"]);
    expect(person("ann")?.received.map(({ trackId }) => trackId)).toEqual(["mic"]);
    world.socket.deliver("track-published", { peerId: "ann", ...SCREEN });
    expect(person("ann")?.preferences.get("scr")).toEqual({ isReceived: false, layer: null });
    world.socket.deliver("track-unpublished", { peerId: "ann", trackId: "mic" });
    expect(person("ann")?.received).toEqual([]);
    expect([...(person("ann")?.preferences.keys() ?? [])]).toEqual(["scr"]);
  });

  it("are removed when the call is over", async () => {
    await join(peer("ann", [MIC], ON));
    await world.answer(["ann mic"]);
    world.conference.actions.leave();
    await settle();
    expect(world.state.people.size).toBe(0);
    expect(world.state.announcement).toBe("Name of ann is here");
    expect(world.memory.told.at(-1)).toBe("call ");
  });

  it("may have changed their tracks while this page reconnected", async () => {
    await join(peer("ann", [CAMERA], ON));
    await world.answer(["ann cam"]);
    world.socket.end();
    await vi.advanceTimersByTimeAsync(1000);
    await world.readmit("keep", [peer("ann", [MIC, SCREEN], ON)]);
    expect([...(person("ann")?.preferences.keys() ?? [])]).toEqual(["mic", "scr"]);
    expect(person("ann")?.received).toEqual([]);
  });
});

describe("subscriptions", () => {
  beforeEach(async () => {
    await join(peer("ann", [MIC, LAYERED], ON));
    await world.answer(["ann mic", "ann cam"]);
  });

  const preference = (trackId: string) => person("ann")?.preferences.get(trackId);
  const acknowledge = async (trackId: string, success = true) => {
    world.socket.deliver("subscription-ack", { trackId, success, reason: success ? "" : "not for you" });
    await settle();
  };

  it("start and stop at once when the person clicks", async () => {
    void world.conference.actions.receive("ann", ["mic", "cam"], false);
    expect([preference("mic")?.isReceived, preference("cam")?.isReceived]).toEqual([false, false]);
    expect(world.socket.of("unsubscribe").map(({ trackId }) => trackId)).toEqual(["mic", "cam"]);
    await acknowledge("mic");
    await acknowledge("cam");
    void world.conference.actions.receive("ann", ["mic"], true);
    expect(world.socket.of("subscribe")).toEqual([{ trackId: "mic", peerId: "ann" }]);
    expect(preference("mic")?.isReceived).toBe(true);
    await acknowledge("mic");
    expect(notice()).toBeNull();
  });

  it("go back to the old value when the server refuses, and the person is told", async () => {
    void world.conference.actions.receive("ann", ["cam"], false);
    await acknowledge("cam", false);
    expect(preference("cam")?.isReceived).toBe(true);
    expect(notice()).toBe("The server refused a request: not for you.");
    expect(world.log.at(-1)).toBe("! The server refused a request: not for you.");
  });

  it("have a layer, which is kept while the track is not received", async () => {
    void world.conference.actions.chooseLayer("ann", "cam", "l");
    expect(world.socket.of("subscribe")).toEqual([{ trackId: "cam", peerId: "ann", layer: "l" }]);
    expect(preference("cam")).toEqual({ isReceived: true, layer: "l" });
    await acknowledge("cam");
    void world.conference.actions.receive("ann", ["cam"], false);
    await acknowledge("cam");
    expect(preference("cam")).toEqual({ isReceived: false, layer: "l" });
    void world.conference.actions.receive("ann", ["cam"], true);
    expect(world.socket.of("subscribe").at(-1)).toEqual({ trackId: "cam", peerId: "ann", layer: "l" });
    void world.conference.actions.chooseLayer("ann", "cam", null);
    expect(world.socket.of("subscribe").at(-1)).toEqual({ trackId: "cam", peerId: "ann" });
  });

  it("need no message when the track or the call ends", async () => {
    void world.conference.actions.receive("ann", ["cam"], false);
    world.socket.deliver("track-unpublished", { peerId: "ann", trackId: "cam" });
    void world.conference.actions.receive("ann", ["mic", "gone"], false);
    world.conference.actions.leave();
    await settle();
    expect(notice()).toBeNull();
  });
});

describe("devices", () => {
  it("can be switched, are remembered, and are shown", async () => {
    await join();
    await world.conference.actions.toggle("mic");
    await world.conference.actions.toggle("camera");
    const { mic, camera } = world.state.own;
    expect([mic.isOn, camera.isOn]).toEqual([true, true]);
    await world.conference.actions.toggle("mic");
    expect(world.state.own.mic.isOn).toBe(false);
    expect(world.state.own.mic.stream).toBe(mic.stream);
    expect(world.state.own.camera).toBe(camera);
    await world.conference.actions.toggle("camera");
    expect(world.state.own.camera).toEqual({ isOn: false, stream: null });
    expect(world.memory.told.slice(-2)).toEqual(["mic false, camera true", "mic false, camera false"]);
  });

  it("end when they are unplugged, and the person is told", async () => {
    await join();
    await world.conference.actions.toggle("camera");
    world.captured[0]?.unplug();
    expect(world.state.own.camera).toEqual({ isOn: false, stream: null });
    expect(notice()).toBe("Your camera was disconnected.");
  });

  it("show why they do not open, unless the person cancelled sharing a screen", async () => {
    world.refusal = "NotFoundError";
    await world.conference.actions.toggle("camera");
    expect(notice()).toMatch(/No camera was found/);
    expect(world.log).toEqual([`! ${notice()}`]);
    world.refusal = "NotAllowedError";
    await world.conference.actions.toggle("screen");
    expect(notice()).toBeNull();
    expect(world.log).toHaveLength(1);
  });
});

describe("a broken connection", () => {
  it("is shown while it lasts", async () => {
    await join();
    world.socket.end();
    expect(notice()).toMatch(/to the server is lost: reconnecting/);
    expect(isInCall(world.state)).toBe(true);
    await vi.advanceTimersByTimeAsync(1000);
    await world.readmit("keep");
    expect(notice()).toBeNull();
  });

  it("of media is shown too; each message stays until its own cause has gone", async () => {
    await join();
    world.connection.become("connected");
    expect(world.state.transport).toBe("connected");
    world.connection.become("disconnected");
    expect(notice()).toMatch(/unstable/);
    world.connection.become("connected");
    expect(notice()).toBeNull();
    world.conference.actions.notify("something else");
    world.connection.become("connected");
    expect(notice()).toBe("something else");
  });

  it("ends the call after a while, and the reason stays", async () => {
    await join();
    world.connection.become("connected");
    world.conference.actions.soundBlocked();
    world.socket.end();
    await vi.advanceTimersByTimeAsync(120_000);
    expect(isInCall(world.state)).toBe(false);
    expect(notice()).toMatch(/was lost/);
    expect(world.state).toMatchObject({ transport: null, isSoundBlocked: false });
  });
});

describe("sound", () => {
  it("is retried when the person clicks", () => {
    world.conference.actions.soundBlocked();
    expect(world.state).toMatchObject({ isSoundBlocked: true, playRound: 0 });
    world.conference.actions.playSound();
    expect(world.state).toMatchObject({ isSoundBlocked: false, playRound: 1 });
  });
});

describe("statistics", () => {
  const bytes = (count: number) => {
    const slot = world.connection.getTransceivers().find(({ kind }) => kind === "video");
    const entry = { type: "inbound-rtp", mid: slot?.mid, bytesReceived: count };
    world.connection.stats = new Map<string, Record<string, unknown>>([["in", entry]]);
  };
  const tick = async () => {
    world.now += STATISTICS_INTERVAL_MS;
    await vi.advanceTimersByTimeAsync(STATISTICS_INTERVAL_MS);
  };

  it("are read once a second, and only while a component shows them", async () => {
    await join(peer("ann", [CAMERA], ON));
    await world.answer(["ann cam"]);
    const reading = vi.spyOn(world.room, "statistics");
    await tick();
    expect(reading).not.toHaveBeenCalled();

    bytes(1000);
    const timers = vi.getTimerCount(); // the room's own
    const stop = world.conference.actions.watchStatistics();
    await settle();
    expect(world.state.figures?.receivedBitrate).toBeNull();
    bytes(2000);
    await tick();
    expect(world.state.figures?.receivedBitrate).toBe(8000);
    expect(reading).toHaveBeenCalledTimes(2);

    stop();
    expect(world.state.figures).toBeNull();
    await tick();
    expect(reading).toHaveBeenCalledTimes(2);
    expect(vi.getTimerCount()).toBe(timers);
  });

  it("are not shown when they arrive too late", async () => {
    const stop = world.conference.actions.watchStatistics();
    stop();
    await settle();
    expect(world.state.figures).toBeNull();
    expect(vi.getTimerCount()).toBe(0);
  });
});
