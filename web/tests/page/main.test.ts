// @vitest-environment jsdom
// @vitest-environment-options { "url": "https://sfu.example/" }
/** The whole page, as a person uses it, with a browser and a server that are fakes. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import page from "../../index.html?raw";
import { FakeConnection } from "../fakes/connection.js";
import { FakeStream, FakeTrack } from "../fakes/media.js";
import { FakeSocket } from "../fakes/socket.js";
import { peer, settle } from "../fakes/world.js";

let sockets: FakeSocket[];
/** What `getUserMedia` fails with, or null. */
let refusal: string | null;

beforeEach(() => {
  document.documentElement.innerHTML = page;
  localStorage.clear();
  sessionStorage.clear();
  history.replaceState(null, "", "/");
  sockets = [];
  refusal = null;
  vi.resetModules();
  vi.stubGlobal("MediaStream", FakeStream);
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
  vi.stubGlobal(
    "ResizeObserver",
    class {
      observe(): void {
        return;
      }
    },
  );
  Object.defineProperty(HTMLMediaElement.prototype, "srcObject", {
    configurable: true,
    writable: true,
    value: null,
  });
  vi.spyOn(HTMLMediaElement.prototype, "play").mockResolvedValue();
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

function find(selector: string): HTMLElement {
  const element = document.querySelector<HTMLElement>(selector);
  if (element === null) throw new Error(`no ${selector}`);
  return element;
}

async function open(search = ""): Promise<void> {
  history.replaceState(null, "", `/${search}`);
  await import("../../src/page/main.js");
  await settle();
}

function socket(): FakeSocket {
  const last = sockets.at(-1);
  if (last === undefined) throw new Error("the page has not connected");
  return last;
}

async function fillIn(name: string): Promise<void> {
  (find("#name") as HTMLInputElement).value = name;
  (find("#join") as HTMLFormElement).requestSubmit();
  await settle();
}

async function admit(...peers: unknown[]): Promise<void> {
  socket().open();
  socket().deliver("join", { success: true, peerId: "me", roomId: "lobby" });
  socket().deliver("room-state", { peers });
  await settle();
}

const notice = () => (find("#notice").hidden ? null : find("#notice-text").textContent);
const pressed = (source: string) => find(`#call [data-source=${source}]`).ariaPressed;
const inCall = () => [find("#call").hidden, find("#lobby").hidden].join() === "false,true";

describe("the lobby", () => {
  it("shows the person to themselves, and proposes a room", async () => {
    await open();
    expect((find("#preview") as HTMLVideoElement).srcObject).toBeInstanceOf(FakeStream);
    expect((find("#room") as HTMLInputElement).value).toBe("lobby");
    expect(document.activeElement).toBe(find("#name"));
    expect(inCall()).toBe(false);
    expect(sockets).toEqual([]);
  });

  it("lets one in without camera and microphone, and says why", async () => {
    refusal = "NotAllowedError";
    await open();
    expect(notice()).toMatch(/may not use your microphone.*may not use your camera/);
    find("#notice-close").click();
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

  it("remembers the name, and what was switched off", async () => {
    await open();
    find("#lobby [data-source=camera]").click();
    await settle();
    await fillIn("Ada");
    expect(localStorage.getItem("trio-sfu.name")).toBe("Ada");
    expect(localStorage.getItem("trio-sfu.off")).toBe("camera");
  });
});

describe("joining", () => {
  it("goes to the server beside the page, and shows the call", async () => {
    await open("?room=my+room");
    await fillIn("Ada");
    expect(socket().url).toBe("wss://sfu.example/ws");
    expect((find("#join-button") as HTMLButtonElement).disabled).toBe(true);
    await admit(peer("ann"));
    expect(socket().of("join")[0]).toMatchObject({ roomId: "my room", name: "Ada" });
    expect(inCall()).toBe(true);
    expect(location.search).toBe("?room=my+room");
    expect(document.title).toBe("my room – trio-sfu");
    expect(document.querySelectorAll(".tile")).toHaveLength(2);
    expect(find("#alone").hidden).toBe(true);
    expect(find("#status").textContent).toBe("Name of ann is here");
  });

  it("happens by itself when the address says so", async () => {
    await open("?room=lab&name=Ada&autojoin=1&camera=0");
    await admit();
    expect(inCall()).toBe(true);
    expect([pressed("mic"), pressed("camera"), pressed("screen")]).toEqual(["true", "false", "false"]);
    expect(find("#alone").hidden).toBe(false);
  });

  it("says that the server cannot be reached, and lets one try again", async () => {
    await open();
    await fillIn("Ada");
    socket().end();
    await settle();
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
    socket().deliver("error", { code: 503, message: "no place", type: "join" });
    await settle();
    expect(notice()).toBe("The room or the server is full: no place.");
  });
});

describe("the call", () => {
  beforeEach(async () => {
    await open("?name=Ada&room=lab&autojoin=1");
    await admit();
  });

  it("switches devices and shows it", async () => {
    find("#call [data-source=mic]").click();
    find("#call [data-source=camera]").click();
    await settle();
    expect([pressed("mic"), pressed("camera")]).toEqual(["false", "false"]);
    expect(socket().of("media-state").at(-1)).toMatchObject({ micEnabled: false, cameraEnabled: false });
    find("#call [data-source=screen]").click();
    await settle();
    expect(notice()).toBeNull();
  });

  it("copies the link, or shows it where that is forbidden", async () => {
    const writeText = vi.fn().mockResolvedValue(undefined);
    Object.defineProperty(navigator, "clipboard", { configurable: true, value: { writeText } });
    find("#copy").click();
    await settle();
    expect(writeText).toHaveBeenCalledWith("https://sfu.example/?room=lab");
    expect(find("#status").textContent).toBe("The link is copied");
    writeText.mockRejectedValue(new DOMException("no", "NotAllowedError"));
    find("#copy").click();
    await settle();
    expect(notice()).toBe("Copy this address: https://sfu.example/?room=lab");
  });

  it("is left by the button", async () => {
    find("#leave").click();
    await settle();
    expect(inCall()).toBe(false);
    expect(socket().of("leave")).toHaveLength(1);
    expect(document.querySelectorAll(".tile")).toHaveLength(0);
    expect(find("#preview-off").hidden).toBe(false);
    expect(notice()).toBeNull();
  });

  it("stays when the connection breaks, says so, and goes on", async () => {
    vi.useFakeTimers();
    socket().end();
    expect(inCall()).toBe(true);
    expect(notice()).toMatch(/trying to get it back/);
    expect(find(".is-self").classList.contains("is-away")).toBe(true);
    await vi.advanceTimersByTimeAsync(1000);
    expect(sockets).toHaveLength(2);
    await admit();
    expect(notice()).toBeNull();
    expect(find(".is-self").classList.contains("is-away")).toBe(false);
    vi.useRealTimers();
  });

  it("ends with a reason when the server stays away, and keeps the devices", async () => {
    vi.useFakeTimers();
    socket().end();
    await vi.advanceTimersByTimeAsync(120_000);
    expect(inCall()).toBe(false);
    expect(notice()).toMatch(/was lost/);
    expect(find("#preview-off").hidden).toBe(true);
    vi.useRealTimers();
  });

  it("gives way to the same person in another window", async () => {
    socket().end(4000, "replaced");
    await settle();
    expect(inCall()).toBe(false);
    expect(notice()).toMatch(/another window/);
  });

  it("tells when somebody else's connection breaks", () => {
    socket().deliver("peer-joined", { peerId: "ann", userId: "a", name: "Ann" });
    socket().deliver("peer-suspended", { peerId: "ann" });
    expect(find("#status").textContent).toBe("Ann is reconnecting");
    expect(find(".tile:not(.is-self)").classList.contains("is-away")).toBe(true);
    socket().deliver("peer-resumed", { peerId: "ann" });
    expect(find("#status").textContent).toBe("Ann is back");
    expect(find(".tile:not(.is-self)").classList.contains("is-away")).toBe(false);
  });
});

describe("a reload", () => {
  const reloaded = (type: string) => {
    vi.spyOn(performance, "getEntriesByType").mockReturnValue([{ type } as PerformanceNavigationTiming]);
  };

  it("goes back into the call by itself", async () => {
    await open("?name=Ada&room=lab&autojoin=1");
    await admit();
    vi.resetModules();
    reloaded("reload");
    await open("?room=lab");
    expect(sockets).toHaveLength(2);
  });

  it("does not after the call was left, nor in a copy of the tab", async () => {
    await open("?name=Ada&room=lab&autojoin=1");
    await admit();
    vi.resetModules();
    reloaded("navigate");
    await open("?room=lab");
    expect(sockets).toHaveLength(1);
    reloaded("reload");
    find("#leave").click();
    await settle();
    vi.resetModules();
    await open("?room=lab");
    expect(sockets).toHaveLength(1);
  });
});
