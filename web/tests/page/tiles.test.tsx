// @vitest-environment jsdom
/** The tiles of a call: what they show of the room, and their controls. */
import { cleanup } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Tiles } from "../../src/page/tiles.js";
import { CAMERA, ConferenceHarness, MIC, ON, SCREEN } from "../fakes/conference.js";
import { observed, resize, stubPlayers } from "../fakes/players.js";
import { after, draw, find, findA } from "../fakes/render.js";
import { peer } from "../fakes/harness.js";

let harness: ConferenceHarness;

beforeEach(() => {
  stubPlayers();
  harness = new ConferenceHarness();
});

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

/** Shows a room with `peers`; we receive `msids` of them. */
async function show(peers: unknown[], msids: string[] = []): Promise<void> {
  draw(harness, <Tiles />);
  await after(async () => {
    void harness.conference.actions.join("Me", "lobby");
    await harness.admit(peers);
    await harness.answer(msids);
  });
}

async function deliver(type: string, data: unknown): Promise<void> {
  await after(() => {
    harness.socket.deliver(type, data);
  });
}

async function click(selector: string): Promise<void> {
  await after(() => {
    find(selector).click();
  });
}

/** The content of the tiles: name, marks, whether there is a picture, the number of sounds. */
function tiles(): string[] {
  return [...document.querySelectorAll(".tile")].map((tile) => {
    const marks = [...tile.classList].filter((name) => name !== "tile").sort();
    const picture = (tile.querySelector("video")?.srcObject ?? null) === null ? [] : ["picture"];
    const sounds = [...tile.querySelectorAll("audio")].map(() => "sound");
    return [tile.querySelector(".name")?.textContent, ...marks, ...picture, ...sounds].join(", ");
  });
}

const ME = "Me (you), is-muted, is-self, picture-off";

describe("tiles", () => {
  it("isolate names from the text around them", async () => {
    await show([peer("ann")]);
    expect([...document.querySelectorAll(".caption .name")].map(({ tagName }) => tagName)).toEqual([
      "BDI",
      "BDI",
    ]);
  });

  it("show people, their names and what they have switched off", async () => {
    await show([peer("ann", [], ON), peer("bob")]);
    expect(tiles()).toEqual(["Name of ann", "Name of bob, is-muted, picture-off", ME]);
    expect(document.querySelectorAll("[aria-label='Microphone off']")).toHaveLength(2);
    await deliver("media-state", { peerId: "bob", ...ON });
    expect(tiles()[1]).toBe("Name of bob");
    await deliver("peer-left", { peerId: "ann" });
    expect(tiles()).toHaveLength(2);
  });

  it("play what people send", async () => {
    await show([peer("ann", [MIC, CAMERA, SCREEN], ON)], ["ann mic", "ann cam", "ann scr"]);
    expect(tiles()).toEqual(["Screen of Name of ann, is-screen, picture", "Name of ann, picture, sound", ME]);
    for (const trackId of ["mic", "cam", "scr"]) await deliver("track-unpublished", { peerId: "ann", trackId });
    expect(tiles()).toEqual(["Name of ann", ME]);
  });

  it("show our own picture and our shared screen", async () => {
    await show([]);
    await after(async () => {
      await harness.media.set("mic", true);
      await harness.media.set("camera", true);
      await harness.media.set("screen", true);
    });
    expect(tiles()).toEqual(["Your screen, is-screen, is-self, picture", "Me (you), is-self, picture"]);
    expect(find(".mirrored").closest("article")?.ariaLabel).toBe("Me (you)");
    await after(async () => {
      await harness.media.set("screen", false);
      await harness.media.set("camera", false);
    });
    expect(tiles()).toEqual(["Me (you), is-self, picture-off"]);
  });

  it("show who is reconnecting", async () => {
    await show([peer("ann", [], ON)]);
    await deliver("peer-suspended", { peerId: "ann" });
    expect(tiles()).toEqual(["Name of ann, is-away", ME]);
    expect(find(".away").textContent).toBe("reconnecting…");
    await deliver("peer-resumed", { peerId: "ann" });
    vi.useFakeTimers();
    await after(() => {
      harness.socket.end();
    });
    vi.useRealTimers();
    expect(tiles()).toEqual(["Name of ann", "Me (you), is-away, is-muted, is-self, picture-off"]);
  });

  it("show the video only while it has frames", async () => {
    await show([]);
    const video = findA(HTMLVideoElement, "video");
    await after(() => video.dispatchEvent(new Event("playing")));
    expect(tiles()[0]).toContain("has-picture");
    await after(() => video.dispatchEvent(new Event("emptied")));
    expect(tiles()[0]).not.toContain("has-picture");
  });

  it("keep the player of a person who has not changed", async () => {
    const play = vi.spyOn(HTMLMediaElement.prototype, "play").mockResolvedValue();
    await show([peer("ann", [CAMERA], ON)], ["ann cam"]);
    const player = findA(HTMLVideoElement, "[aria-label='Video: Name of ann']");
    const stream = player.srcObject;
    await deliver("peer-joined", { peerId: "bob", userId: "b", name: "Bob" });
    await deliver("track-published", { peerId: "bob", ...SCREEN });
    expect(tiles()).toHaveLength(4);
    expect(find("[aria-label='Video: Name of ann']")).toBe(player);
    expect(player.srcObject).toBe(stream);
    expect(play).toHaveBeenCalledTimes(1);
  });

  it("are as large as possible", async () => {
    await show([peer("ann")]);
    await after(() => {
      resize(find("#tiles"), 1600, 900);
    });
    const { style, classList } = find("#tiles");
    expect([style.getPropertyValue("--columns"), style.getPropertyValue("--rows")]).toEqual(["2", "1"]);
    expect(classList.contains("is-wide")).toBe(true);
    await after(() => {
      resize(find("#tiles"), 375, 900);
    });
    expect([style.getPropertyValue("--columns"), style.getPropertyValue("--rows")]).toEqual(["1", "2"]);
  });
});

describe("a removed tile", () => {
  it("leaves no stream in a player, and no observer or listener", async () => {
    await show([peer("ann", [MIC, CAMERA, SCREEN], ON)], ["ann mic", "ann cam", "ann scr"]);
    const players = [...document.querySelectorAll<HTMLMediaElement>("video, audio")];
    const playing = () => players.filter(({ srcObject }) => srcObject !== null).length;
    expect(playing()).toBe(3);
    await deliver("track-unpublished", { peerId: "ann", trackId: "scr" });
    expect(playing()).toBe(2);
    await deliver("peer-left", { peerId: "ann" });
    expect(playing()).toBe(0);
    expect(observed.size).toBe(1);
    cleanup();
    expect(observed.size).toBe(0);
  });

  it("leaves nothing behind when people join and leave repeatedly", async () => {
    await show([]);
    for (let round = 0; round < 50; round += 1) {
      await deliver("peer-joined", { peerId: `p${round}`, userId: "u", name: "P" });
      await deliver("track-published", { peerId: `p${round}`, ...SCREEN, trackId: `t${round}` });
      await deliver("peer-left", { peerId: `p${round}` });
    }
    expect(tiles()).toEqual([ME]);
    expect(harness.state.people.size).toBe(0);
  });
});

describe("sound that the browser blocks", () => {
  const refuse = (name: string) =>
    vi.spyOn(HTMLMediaElement.prototype, "play").mockRejectedValue(new DOMException("", name));

  it("is announced, and plays after a click", async () => {
    const play = refuse("NotAllowedError");
    await show([peer("ann", [MIC], ON)], ["ann mic"]);
    expect(harness.state.isSoundBlocked).toBe(true);
    play.mockReset().mockResolvedValue();
    await after(() => {
      harness.conference.actions.playSound();
    });
    expect(play).toHaveBeenCalledTimes(1);
    expect(harness.state.isSoundBlocked).toBe(false);
  });

  it("is not confused with a change of the source", async () => {
    refuse("AbortError");
    await show([peer("ann", [MIC], ON)], ["ann mic"]);
    expect(harness.state.isSoundBlocked).toBe(false);
  });
});

describe("the choice of what to receive", () => {
  const labels = () =>
    [...document.querySelectorAll(".receive")].map((button) => `${button.ariaLabel}: ${button.ariaPressed}`);

  it("is offered for each person's picture and sound", async () => {
    await show([peer("ann", [MIC, CAMERA], ON), peer("bob")], ["ann mic", "ann cam"]);
    expect(labels()).toEqual([
      "Receive the picture of Name of ann: true",
      "Receive the sound of Name of ann: true",
    ]);
    await click("[data-receive=sound]");
    expect(labels()[1]).toBe("Receive the sound of Name of ann: false");
    expect(harness.socket.of("unsubscribe")).toEqual([{ trackId: "mic", peerId: "ann" }]);
    await deliver("subscription-ack", { trackId: "mic", success: true });
    const [sound, picture] = harness.room.remoteTracks;
    await after(() =>
      harness.offer(
        { kind: "audio", mid: sound?.mid ?? "", direction: "inactive" },
        { kind: "video", mid: picture?.mid ?? "", direction: "sendonly", msid: "ann cam" },
      ),
    );
    expect(tiles()[0]).toBe("Name of ann, picture");
    await click("[data-receive=sound]");
    expect(harness.socket.of("subscribe")).toEqual([{ trackId: "mic", peerId: "ann" }]);
    expect(labels()[1]).toBe("Receive the sound of Name of ann: true");
  });

  it("goes back to the old value when the server refuses", async () => {
    await show([peer("ann", [CAMERA], ON)]);
    expect(labels()).toEqual(["Receive the picture of Name of ann: false"]);
    await click("[data-receive=picture]");
    expect(labels()).toEqual(["Receive the picture of Name of ann: true"]);
    await deliver("subscription-ack", { trackId: "cam", success: false, reason: "no" });
    expect(labels()).toEqual(["Receive the picture of Name of ann: false"]);
  });

  it("is offered separately for a screen", async () => {
    await show([peer("ann", [CAMERA, SCREEN], ON)], ["ann cam", "ann scr"]);
    await click(".is-screen [data-receive=picture]");
    expect(harness.socket.of("unsubscribe")).toEqual([{ trackId: "scr", peerId: "ann" }]);
    expect(tiles()).toHaveLength(3);
  });
});

describe("the choice of a quality", () => {
  it("is offered only where the track has layers", async () => {
    await show([peer("ann", [CAMERA], ON), peer("bob", [{ ...CAMERA, trackId: "one", layers: ["h"] }], ON)]);
    expect(document.querySelector("select")).toBeNull();
  });

  it("is sent to the server; the person is told what the server may make of it", async () => {
    await show([peer("ann", [{ ...CAMERA, layers: ["h", "m", "l"] }], ON)], ["ann cam"]);
    const select = findA(HTMLSelectElement, "select");
    expect(select.ariaLabel).toBe("Quality wanted of Name of ann");
    const hint = document.getElementById(select.getAttribute("aria-describedby") ?? "");
    expect(hint?.textContent).toMatch(/may send less/);
    expect([...select.options].map(({ text }) => text)).toEqual(["Best", "High (h)", "Medium (m)", "Low (l)"]);
    const choose = (value: string) =>
      after(() => {
        select.value = value;
        select.dispatchEvent(new Event("change", { bubbles: true }));
      });
    await choose("l");
    expect(harness.socket.of("subscribe")).toEqual([{ trackId: "cam", peerId: "ann", layer: "l" }]);
    expect(select.value).toBe("l");
    await choose("");
    expect(harness.socket.of("subscribe").at(-1)).toEqual({ trackId: "cam", peerId: "ann" });
    await click("[data-receive=picture]");
    expect(select.disabled).toBe(true);
  });
});
