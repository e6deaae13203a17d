import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { LocalMedia } from "../../src/client/local-media.js";
import type { Source } from "../../src/client/protocol.js";
import { FakeStream, FakeTrack } from "../fakes/media.js";
import { settle, RoomHarness } from "../fakes/harness.js";

/** Devices that open, that are absent, or that the browser forbids. */
class FakeDevices {
  readonly asked: string[] = [];
  readonly opened: FakeTrack[] = [];
  readonly broken = new Map<string, string>();

  getUserMedia(constraints: MediaStreamConstraints): Promise<FakeStream> {
    const kinds = (["audio", "video"] as const).filter((kind) => constraints[kind] !== undefined);
    return this.#open(kinds.join("+"), kinds);
  }

  getDisplayMedia(): Promise<FakeStream> {
    return this.#open("screen", ["video"]);
  }

  async #open(what: string, kinds: ("audio" | "video")[]): Promise<FakeStream> {
    this.asked.push(what);
    await Promise.resolve();
    for (const each of [what, ...kinds]) {
      const problem = this.broken.get(each);
      if (problem !== undefined) throw new DOMException("no", problem);
    }
    const tracks = kinds.map((kind) => new FakeTrack(kind));
    this.opened.push(...tracks);
    return new FakeStream(tracks);
  }
}

let harness: RoomHarness;
let devices: FakeDevices;
let media: LocalMedia;
let changes: Source[];

beforeEach(() => {
  harness = new RoomHarness();
  devices = new FakeDevices();
  media = new LocalMedia(harness.room, {}, devices as unknown as MediaDevices);
  changes = [];
  media.on("changed", (source) => changes.push(source));
});

afterEach(async () => {
  void harness.room.leave();
  if (harness.sockets.length > 0) harness.socket.end();
  await settle();
  vi.unstubAllGlobals();
});

describe("starting", () => {
  it("asks once for camera and microphone before the join, and publishes them in the room", async () => {
    expect(await media.start({ mic: true, camera: true })).toEqual([]);
    expect(devices.asked).toEqual(["audio+video"]);
    await harness.join();
    expect(harness.socket.of("offer")[0]?.tracks).toEqual([
      { mid: "c0", source: "mic" },
      { mid: "c1", source: "camera" },
    ]);
  });

  it("continues with the devices that open, and reports the others", async () => {
    devices.broken.set("video", "NotFoundError");
    const failures = await media.start({ mic: true, camera: true });
    expect(failures.map(({ source, error }) => [source, (error as Error).name])).toEqual([
      ["camera", "NotFoundError"],
    ]);
    expect(devices.asked).toEqual(["audio+video", "audio", "video"]);
    expect([media.isOn("mic"), media.isOn("camera")]).toEqual([true, false]);
  });

  it("asks for nothing when both are off", async () => {
    expect(await media.start({ mic: false, camera: false })).toEqual([]);
    expect(devices.asked).toEqual([]);
  });

  it("opens a device once, though the person switches it on meanwhile", async () => {
    const starting = media.start({ mic: true, camera: true });
    await Promise.all([starting, media.set("camera", true), media.set("mic", true)]);
    expect(devices.asked).toEqual(["audio+video"]);
    expect(harness.room.publications.map(({ source }) => source)).toEqual(["mic", "camera"]);
  });

  it("waits for a device that the person is switching on", async () => {
    const opening = media.set("camera", true);
    await Promise.all([opening, media.start({ mic: true, camera: true })]);
    expect(devices.opened.map(({ kind }) => kind)).toEqual(["video", "audio"]);
    expect(harness.room.publications.map(({ source }) => source)).toEqual(["camera", "mic"]);
  });

  it("reports it when the browser hides the devices", async () => {
    vi.stubGlobal("navigator", {});
    const hidden = new LocalMedia(harness.room);
    const failures = await hidden.start({ mic: true, camera: true });
    expect(failures.map(({ error }) => (error as Error).name)).toEqual(["SecurityError", "SecurityError"]);
  });
});

describe("switching", () => {
  it("mutes the microphone and keeps it open", async () => {
    await harness.join();
    await media.set("mic", true);
    await media.set("mic", false);
    expect(devices.opened[0]).toMatchObject({ enabled: false, readyState: "live" });
    expect(media.isOn("mic")).toBe(false);
    await media.set("mic", true);
    expect(devices.asked).toEqual(["audio"]);
    expect(devices.opened[0]?.enabled).toBe(true);
    expect(changes.every((source) => source === "mic")).toBe(true);
  });

  it("closes the camera, and later puts a new track into the same publication", async () => {
    await harness.join();
    await media.set("camera", true);
    await settle();
    await media.set("camera", false);
    expect(devices.opened[0]?.readyState).toBe("ended");
    expect(media.track("camera")).toBeNull();
    await media.set("camera", true);
    await settle();
    expect(harness.connection.getTransceivers()).toHaveLength(1);
    expect(harness.connection.getTransceivers()[0]?.sender.track).toBe(devices.opened[1]);
    expect(harness.socket.of("media-state").map(({ cameraEnabled }) => cameraEnabled)).toEqual([
      false,
      true,
      false,
      true,
    ]);
  });

  it("ends the publication of a screen, and marks a new one as text", async () => {
    await harness.join();
    await media.set("screen", true);
    expect(devices.opened[0]?.contentHint).toBe("detail");
    await media.set("screen", false);
    expect(devices.opened[0]?.readyState).toBe("ended");
    expect(harness.room.publications).toEqual([]);
  });

  it("runs one operation after the other", async () => {
    await harness.join();
    const all = [media.set("camera", true), media.set("camera", false), media.set("camera", true)];
    await Promise.all(all);
    expect(media.isOn("camera")).toBe(true);
    expect(devices.opened.map(({ readyState }) => readyState)).toEqual(["ended", "live"]);
  });

  it("does nothing when the source is in that state already", async () => {
    await media.set("screen", false);
    expect(changes).toEqual([]);
  });

  it("works again after a refusal", async () => {
    devices.broken.set("audio", "NotAllowedError");
    await expect(media.set("mic", true)).rejects.toMatchObject({ name: "NotAllowedError" });
    devices.broken.clear();
    await media.set("mic", true);
    expect(media.isOn("mic")).toBe(true);
  });

  it("reports a device that gives no track", async () => {
    devices.getUserMedia = () => Promise.resolve(new FakeStream());
    await expect(media.set("camera", true)).rejects.toMatchObject({ name: "NotFoundError" });
  });
});

describe("ending", () => {
  it("notices an unplugged device", async () => {
    await media.set("mic", true);
    changes.length = 0;
    devices.opened[0]?.unplug();
    expect(media.isOn("mic")).toBe(false);
    expect(changes).toEqual(["mic"]);
    await media.set("mic", true);
    expect(media.isOn("mic")).toBe(true);
  });

  it("closes the devices when the room is left, and keeps them when it is lost", async () => {
    await media.start({ mic: true, camera: true });
    await harness.join();
    harness.socket.end();
    expect(devices.opened.map(({ readyState }) => readyState)).toEqual(["live", "live"]);
    await harness.room.leave();
    expect(devices.opened.map(({ readyState }) => readyState)).toEqual(["ended", "ended"]);
    expect(media.track("camera")).toBeNull();
  });

  it("closes a camera that opens after the room was left", async () => {
    await harness.join();
    await media.set("camera", true);
    await media.set("camera", false);
    const opening = media.set("camera", true);
    while (devices.opened.length < 2) await Promise.resolve();
    const left = harness.room.leave();
    harness.socket.end();
    await Promise.all([opening, left]);
    expect(devices.opened.map(({ readyState }) => readyState)).toEqual(["ended", "ended"]);
    expect(media.isOn("camera")).toBe(false);
  });

  it("closes devices that open after the room was left, or after the stop", async () => {
    const ends: (() => Promise<void> | void)[] = [
      () => {
        media.stop();
      },
      async () => {
        const left = harness.room.leave();
        harness.socket.end();
        await left;
      },
    ];
    for (const end of ends) {
      await harness.join();
      const opening = [media.start({ mic: true, camera: true }), media.set("screen", true)];
      while (devices.opened.length < 3) await Promise.resolve();
      await end();
      await Promise.all(opening);
      expect(devices.opened.map(({ readyState }) => readyState)).not.toContain("live");
      expect(harness.room.publications).toEqual([]);
      devices.opened.length = 0;
      void harness.room.leave();
      harness.socket.end();
      await settle();
    }
  });

  it("stops on request", async () => {
    await media.start({ mic: true, camera: true });
    media.stop();
    expect(devices.opened.map(({ readyState }) => readyState)).toEqual(["ended", "ended"]);
    expect(harness.room.publications).toEqual([]);
  });
});
