// @vitest-environment jsdom
// @vitest-environment-options { "url": "https://sfu.example/" }
/** The whole page, as a person uses it, with a fake browser and a fake server. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import page from "../../index.html?raw";
import { FakeConnection } from "../fakes/connection.js";
import { FakeStream, FakeTrack } from "../fakes/media.js";
import { FakeSocket } from "../fakes/socket.js";
import { stubPlayers } from "../fakes/players.js";
import { after, find, findA } from "../fakes/render.js";
import { peer } from "../fakes/harness.js";

let sockets: FakeSocket[];
/** The error with which `getUserMedia` rejects, or null. */
let refusal: string | null;

beforeEach(() => {
  stubPlayers();
  localStorage.clear();
  sessionStorage.clear();
  history.replaceState(null, "", "/");
  sockets = [];
  refusal = null;
  vi.resetModules();
  vi.stubGlobal("RTCPeerConnection", FakeConnection);
  vi.stubGlobal(
    "WebSocket",
    class extends FakeSocket {
      constructor(url: string) {
        super(url);
        sockets.push(this);
      }
    },
  );
  Object.defineProperty(navigator, "mediaDevices", {
    configurable: true,
    value: {
      getUserMedia: async ({ audio, video }: MediaStreamConstraints) => {
        await Promise.resolve();
        if (refusal !== null) throw new DOMException("no", refusal);
        const tracks = [
          audio === undefined ? [] : [new FakeTrack("audio")],
          video === undefined ? [] : [new FakeTrack("video")],
        ];
        return new FakeStream(tracks.flat());
      },
      getDisplayMedia: () => Promise.reject(new DOMException("closed", "NotAllowedError")),
    },
  });
});

afterEach(() => {
  vi.unstubAllGlobals();
});

async function open(address = ""): Promise<void> {
  document.documentElement.innerHTML = page;
  history.replaceState(null, "", `/${address}`);
  await after(() => import("../../src/page/main.js"));
}

function socket(): FakeSocket {
  const last = sockets.at(-1);
  if (last === undefined) throw new Error("the page has not connected");
  return last;
}

async function click(selector: string): Promise<void> {
  await after(() => {
    find(selector).click();
  });
}

async function fillIn(name: string): Promise<void> {
  findA(HTMLInputElement, "#name").value = name;
  await after(() => {
    findA(HTMLFormElement, "#join").requestSubmit();
  });
}

async function deliver(type: string, data: unknown): Promise<void> {
  await after(() => {
    socket().deliver(type, data);
  });
}

async function end(code?: number): Promise<void> {
  await after(() => {
    socket().end(code);
  });
}

async function admit(...peers: unknown[]): Promise<void> {
  await after(() => {
    socket().open();
    socket().deliver("join", { success: true, peerId: "me", roomId: "lobby" });
    socket().deliver("room-state", { peers });
  });
}

const notice = () => (find("#notice").hidden ? null : find("#notice-text").textContent);
const pressed = (source: string) => find(`#call [data-source=${source}]`).ariaPressed;
const inCall = () =>
  document.querySelectorAll("#call").length === 1 && document.querySelector("#lobby") === null;

describe("the lobby", () => {
  it("shows the person's own picture, and proposes a room", async () => {
    await open();
    expect(findA(HTMLVideoElement, ".preview video").srcObject).toBeInstanceOf(FakeStream);
    expect(findA(HTMLInputElement, "#room").value).toBe("lobby");
    expect(document.activeElement).toBe(find("#name"));
    expect(inCall()).toBe(false);
    expect(sockets).toEqual([]);
  });

  it("lets the person join without camera and microphone, and says why", async () => {
    refusal = "NotAllowedError";
    await open();
    expect(notice()).toMatch(/may not use your microphone.*may not use your camera/);
    await click("#notice-close");
    expect(notice()).toBeNull();
    await fillIn("Ada");
    await admit();
    expect(inCall()).toBe(true);
    expect(pressed("mic")).toBe("false");
  });

  it("asks for a name", async () => {
    await open();
    await fillIn("   ");
    expect(sockets).toEqual([]);
  });

  it("remembers the name, and which devices were off", async () => {
    await open();
    await click("#lobby [data-source=camera]");
    await fillIn("Ada");
    expect(localStorage.getItem("trio-sfu.name")).toBe("Ada");
    expect(localStorage.getItem("trio-sfu.off")).toBe("camera");
  });
});

describe("joining", () => {
  it("connects to the server of the page, and shows the call", async () => {
    await open("?room=my+room");
    await fillIn("Ada");
    expect(socket().url).toBe("wss://sfu.example/ws");
    expect(findA(HTMLButtonElement, "#join-button").disabled).toBe(true);
    await admit(peer("ann"));
    expect(socket().of("join")[0]).toMatchObject({ roomId: "my room", name: "Ada" });
    expect(inCall()).toBe(true);
    expect(location.search).toBe("?room=my+room");
    expect(document.activeElement).toBe(find("h1"));
    expect(document.title).toBe("my room – trio-sfu");
    expect(document.querySelectorAll(".tile")).toHaveLength(2);
    expect(document.querySelector(".alone")).toBeNull();
    expect(find("#status").textContent).toBe("Name of ann is here");
  });

  it("starts without a click when the address says so", async () => {
    await open("?room=lab&name=Ada&autojoin=1&camera=0");
    await admit();
    expect(inCall()).toBe(true);
    expect([pressed("mic"), pressed("camera"), pressed("screen")]).toEqual(["true", "false", "false"]);
    expect(find(".alone").textContent).toMatch(/You are alone/);
  });

  it("sends the token to the server, and removes it from the address bar", async () => {
    const token = `e30.${btoa('{"sub": "ada"}')}.c2ln`;
    await open(`?room=lab&name=Ada&autojoin=1#token=${token}`);
    await admit();
    expect(socket().of("join")[0]).toMatchObject({ token, userId: "ada" });
    expect(location.href).toBe("https://sfu.example/?room=lab");
  });

  it("says that the server cannot be reached, and can be retried", async () => {
    await open();
    await fillIn("Ada");
    await end();
    expect(notice()).toMatch(/cannot be reached/);
    expect(inCall()).toBe(false);
    await fillIn("Ada");
    expect(notice()).toBeNull();
    expect(sockets).toHaveLength(2);
  });

  it("says that the room is full", async () => {
    await open();
    await fillIn("Ada");
    socket().open();
    await deliver("error", { code: 503, message: "the room is full", type: "join" });
    expect(notice()).toBe("The server cannot accept you now: the room is full.");
  });
});

describe("the call", () => {
  beforeEach(async () => {
    await open("?name=Ada&room=lab&autojoin=1");
    await admit();
  });

  it("switches devices and shows their state", async () => {
    await click("#call [data-source=mic]");
    await click("#call [data-source=camera]");
    expect([pressed("mic"), pressed("camera")]).toEqual(["false", "false"]);
    expect(socket().of("media-state").at(-1)).toMatchObject({ micEnabled: false, cameraEnabled: false });
    await click("#call [data-source=screen]");
    expect(notice()).toBeNull();
  });

  it("plays sound that the browser blocked, after a click", async () => {
    vi.spyOn(HTMLMediaElement.prototype, "play").mockRejectedValue(new DOMException("", "NotAllowedError"));
    expect(document.querySelector("#play-sound")).toBeNull();
    await click("#call [data-source=camera]");
    await click("#call [data-source=camera]");
    vi.spyOn(HTMLMediaElement.prototype, "play").mockResolvedValue();
    await click("#play-sound");
    expect(document.querySelector("#play-sound")).toBeNull();
  });

  it("opens the panel with details", async () => {
    const expanded = () => find("#details-button").ariaExpanded;
    expect([expanded(), document.querySelector("#details")]).toEqual(["false", null]);
    await click("#details-button");
    expect([expanded(), find("#details").ariaLabel]).toEqual(["true", "Details"]);
    await click("#details-button");
    expect(document.querySelector("#details")).toBeNull();
    await click("#details-button");
    await click("[aria-label='Close the details']");
    expect([expanded(), document.querySelector("#details")]).toEqual(["false", null]);
    expect(document.activeElement).toBe(find("#details-button"));
  });

  it("copies the link, or shows it when the browser forbids copying", async () => {
    const writeText = vi.fn().mockResolvedValue(undefined);
    Object.defineProperty(navigator, "clipboard", { configurable: true, value: { writeText } });
    await click("#copy");
    expect(writeText).toHaveBeenCalledWith("https://sfu.example/?room=lab");
    expect(find("#status").textContent).toBe("The link is copied");
    writeText.mockRejectedValue(new DOMException("no", "NotAllowedError"));
    await click("#copy");
    expect(notice()).toBe("Copy this address: https://sfu.example/?room=lab");
  });

  it("ends with the button", async () => {
    await click("#leave");
    expect(inCall()).toBe(false);
    expect(socket().of("leave")).toHaveLength(1);
    expect(document.querySelectorAll(".tile")).toHaveLength(0);
    expect(find(".preview-off").textContent).toBe("Your camera is off");
    await end(1000);
    expect(document.activeElement).toBe(find("#join-button"));
    expect(notice()).toBeNull();
  });

  it("stays when the connection breaks, says so, and continues", async () => {
    vi.useFakeTimers();
    await end();
    expect(inCall()).toBe(true);
    expect(notice()).toMatch(/reconnecting/);
    expect(find(".is-self").classList.contains("is-away")).toBe(true);
    await after(() => vi.advanceTimersByTimeAsync(1000));
    expect(sockets).toHaveLength(2);
    await admit();
    expect(notice()).toBeNull();
    expect(find(".is-self").classList.contains("is-away")).toBe(false);
    vi.useRealTimers();
  });

  it("ends with a reason when the server stays unreachable, and keeps the devices open", async () => {
    vi.useFakeTimers();
    await end();
    await after(() => vi.advanceTimersByTimeAsync(120_000));
    expect(inCall()).toBe(false);
    expect(notice()).toMatch(/was lost/);
    expect(document.querySelector(".preview-off")).toBeNull();
    vi.useRealTimers();
  });

  it("ends when the same person joins in another window", async () => {
    await end(4000);
    expect(inCall()).toBe(false);
    expect(notice()).toMatch(/another window/);
  });

  it("shows that another person's connection broke", async () => {
    await deliver("peer-joined", { peerId: "ann", userId: "a", name: "Ann" });
    await deliver("peer-suspended", { peerId: "ann" });
    expect(find("#status").textContent).toBe("Ann is reconnecting");
    expect(find(".tile:not(.is-self)").classList.contains("is-away")).toBe(true);
    await deliver("peer-resumed", { peerId: "ann" });
    expect(find("#status").textContent).toBe("Ann is back");
    expect(find(".tile:not(.is-self)").classList.contains("is-away")).toBe(false);
  });
});

describe("a reload", () => {
  const reloaded = (type: string) => {
    vi.spyOn(performance, "getEntriesByType").mockReturnValue([{ type } as PerformanceNavigationTiming]);
  };

  it("returns to the call without a click", async () => {
    await open("?name=Ada&room=lab&autojoin=1");
    await admit();
    vi.resetModules();
    reloaded("reload");
    await open("?room=lab");
    expect(sockets).toHaveLength(2);
  });

  it("stays in the lobby after the call was left", async () => {
    await open("?name=Ada&room=lab&autojoin=1");
    await admit();
    await click("#leave");
    vi.resetModules();
    reloaded("reload");
    await open("?room=lab");
    expect(sockets).toHaveLength(1);
  });

  it("is not confused with a copy of the tab", async () => {
    await open("?name=Ada&room=lab&autojoin=1");
    await admit();
    vi.resetModules();
    reloaded("navigate");
    await open("?room=lab");
    expect(sockets).toHaveLength(1);
    vi.resetModules();
    reloaded("reload");
    await open("?room=lab");
    expect(sockets).toHaveLength(1);
  });
});
