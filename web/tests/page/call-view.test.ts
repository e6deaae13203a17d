// @vitest-environment jsdom
import { beforeEach, describe, expect, it, vi } from "vitest";
import page from "../../index.html?raw";
import { LocalMedia } from "../../src/client/local-media.js";
import { CallView } from "../../src/page/call-view.js";
import { TileGrid } from "../../src/page/tiles.js";
import { FakeStream, FakeTrack } from "../fakes/media.js";
import { peer, settle, World } from "../fakes/world.js";

let world: World;
let media: LocalMedia;
let view: CallView;
let grid: TileGrid;
let blocked: number;

const CAMERA = { trackId: "cam", kind: "video", source: "camera", layers: [] };
const MIC = { trackId: "mic", kind: "audio", source: "mic", layers: [] };
const SCREEN = { trackId: "scr", kind: "video", source: "screen", layers: [] };
const ON = { micEnabled: true, cameraEnabled: true, screenEnabled: false };

/** What the tiles show: name, classes, whether there is a picture, how many sounds. */
function tiles(): string[] {
  return [...document.querySelectorAll(".tile")].map((tile) => {
    const marks = [...tile.classList].filter((name) => name !== "tile").sort();
    const picture = (tile.querySelector("video")?.srcObject ?? null) === null ? [] : ["picture"];
    const sounds = [...tile.querySelectorAll("audio")].map(() => "sound");
    return [tile.querySelector(".name")?.textContent, ...marks, ...picture, ...sounds].join(", ");
  });
}

beforeEach(() => {
  document.documentElement.innerHTML = page;
  vi.stubGlobal(
    "ResizeObserver",
    class {
      observe(): void {
        return;
      }
    },
  );
  blocked = 0;
  world = new World();
  media = new LocalMedia(world.room, {}, {
    getUserMedia: ({ audio }: MediaStreamConstraints) =>
      Promise.resolve(new FakeStream([new FakeTrack(audio === undefined ? "video" : "audio")])),
    getDisplayMedia: () => Promise.resolve(new FakeStream([new FakeTrack("video")])),
  } as unknown as MediaDevices);
  const sources = new WeakMap<HTMLMediaElement, unknown>();
  Object.defineProperty(HTMLMediaElement.prototype, "srcObject", {
    configurable: true,
    get(this: HTMLMediaElement) {
      return sources.get(this) ?? null;
    },
    set(this: HTMLMediaElement, source: unknown) {
      sources.set(this, source);
    },
  });
  vi.spyOn(HTMLMediaElement.prototype, "play").mockResolvedValue();
  const container = document.querySelector<HTMLElement>("#tiles");
  const template = document.querySelector<HTMLTemplateElement>("template#tile");
  if (container === null || template === null) throw new Error("the page has changed");
  grid = new TileGrid(container, template, () => {
    blocked += 1;
  });
  view = new CallView(world.room, media, grid);
});

async function join(...peers: unknown[]): Promise<void> {
  await world.join(peers);
  view.start("Me");
}

describe("CallView", () => {
  it("shows people, their names and what they have switched off", async () => {
    await join(peer("ann", [], ON), peer("bob"));
    expect(tiles()).toEqual([
      "Name of ann",
      "Name of bob, is-muted, picture-off",
      "Me (you), is-muted, is-self, picture-off",
    ]);
    world.socket.deliver("media-state", { peerId: "bob", ...ON });
    expect(tiles()[1]).toBe("Name of bob");
    world.socket.deliver("peer-left", { peerId: "ann" });
    expect(tiles()).toHaveLength(2);
  });

  it("plays what they send", async () => {
    await join(peer("ann", [MIC, CAMERA, SCREEN], ON));
    await world.answer(["ann mic", "ann cam", "ann scr"]);
    expect(tiles()).toEqual([
      "Name of ann, picture, sound",
      "Screen of Name of ann, is-screen, picture",
      "Me (you), is-muted, is-self, picture-off",
    ]);
    for (const trackId of ["mic", "cam", "scr"]) {
      world.socket.deliver("track-unpublished", { peerId: "ann", trackId });
    }
    expect(tiles()).toEqual(["Name of ann", "Me (you), is-muted, is-self, picture-off"]);
  });

  it("lets one hide a picture and show it again", async () => {
    await join(peer("ann", [CAMERA, SCREEN], ON));
    await world.answer(["ann cam", "ann scr"]);
    const buttons = [...document.querySelectorAll<HTMLButtonElement>(".watch:not([hidden])")];
    const labels = () => buttons.map(({ textContent }) => textContent);
    expect(labels()).toEqual(["Hide picture", "Hide picture"]);
    buttons[1]?.click();
    expect(labels()).toEqual(["Hide picture", "Show picture"]);
    expect(world.socket.of("unsubscribe")).toEqual([{ trackId: "scr", peerId: "ann" }]);
    world.socket.deliver("subscription-ack", { trackId: "scr", success: true });
    const [camera, screen] = world.room.remoteTracks;
    await world.offer(
      { kind: "video", mid: camera?.mid ?? "", direction: "sendonly", msid: "ann cam" },
      { kind: "video", mid: screen?.mid ?? "", direction: "inactive" },
    );
    expect(tiles()).toContain("Screen of Name of ann, is-screen, is-unwatched");
    buttons[1]?.click();
    expect(world.socket.of("subscribe")).toEqual([{ trackId: "scr", peerId: "ann" }]);
    world.socket.deliver("subscription-ack", { trackId: "scr", success: true });
    await settle();
    expect(labels()).toEqual(["Hide picture", "Hide picture"]);
  });

  it("says so when the server does not let one show a picture", async () => {
    await join(peer("ann", [CAMERA], ON));
    const button = document.querySelector<HTMLButtonElement>(".watch:not([hidden])");
    expect(button?.textContent).toBe("Show picture");
    button?.click();
    expect(button?.textContent).toBe("Hide picture");
    world.socket.deliver("subscription-ack", { trackId: "cam", success: false, reason: "no" });
    await settle();
    expect(button?.textContent).toBe("Show picture");
  });

  it("takes the tile of a screen away with whoever shares it", async () => {
    await join(peer("ann", [SCREEN], ON));
    world.socket.deliver("peer-left", { peerId: "ann" });
    expect(tiles()).toEqual(["Me (you), is-muted, is-self, picture-off"]);
  });

  it("shows oneself, and the screen that one shares", async () => {
    await join();
    await media.start({ mic: true, camera: false });
    await media.set("camera", true);
    await media.set("screen", true);
    expect(tiles()).toEqual(["Me (you), is-self, picture", "Your screen, is-screen, picture"]);
    await media.set("screen", false);
    await media.set("camera", false);
    expect(tiles()).toEqual(["Me (you), is-self, picture-off"]);
  });

  it("says when the browser does not play sound unasked, and plays it when asked", async () => {
    const play = vi
      .spyOn(HTMLMediaElement.prototype, "play")
      .mockRejectedValue(new DOMException("not yet", "NotAllowedError"));
    await join(peer("ann", [MIC], ON));
    await world.answer(["ann mic"]);
    await settle();
    expect(blocked).toBeGreaterThan(0);
    play.mockReset().mockResolvedValue();
    grid.play();
    expect(play).toHaveBeenCalledTimes(1);
  });

  it("does not take a change of the source for a refusal", async () => {
    vi.spyOn(HTMLMediaElement.prototype, "play").mockRejectedValue(new DOMException("", "AbortError"));
    await join(peer("ann", [MIC], ON));
    await world.answer(["ann mic"]);
    await settle();
    expect(blocked).toBe(0);
  });

  it("shows the picture only while there is one", async () => {
    await join(peer("ann", [], ON));
    const tile = document.querySelector(".tile");
    tile?.querySelector("video")?.dispatchEvent(new Event("playing"));
    expect(tile?.classList.contains("has-picture")).toBe(true);
    tile?.querySelector("video")?.dispatchEvent(new Event("emptied"));
    expect(tile?.classList.contains("has-picture")).toBe(false);
  });

  it("takes everything away", async () => {
    await join(peer("ann", [MIC, CAMERA], ON));
    view.stop();
    expect(tiles()).toEqual([]);
    expect(grid.size).toBe(0);
  });
});
