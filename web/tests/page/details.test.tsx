// @vitest-environment jsdom
/** The panel with statistics and events, and its two tabs. */
import { cleanup, fireEvent } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { DONE_MS } from "../../src/page/copy.js";
import { Details } from "../../src/page/details.js";
import { CAMERA, ConferenceHarness, ON } from "../fakes/conference.js";
import { stubPlayers } from "../fakes/players.js";
import { after, draw, find } from "../fakes/render.js";
import { peer } from "../fakes/harness.js";

let harness: ConferenceHarness;
let closed: number;

beforeEach(async () => {
  vi.useFakeTimers();
  stubPlayers();
  harness = new ConferenceHarness();
  closed = 0;
  await harness.media.set("camera", true);
  await harness.join([peer("ann", [CAMERA], ON)]);
  await harness.answer(["ann cam"]);
});

afterEach(() => {
  cleanup();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

async function open(): Promise<void> {
  await after(() =>
    draw(
      harness,
      <Details
        onClose={() => {
          closed += 1;
        }}
      />,
    ),
  );
}

/** The browser's counters at this moment, on a path with a round trip of 7 ms. */
function count(received: number, sent: number): void {
  const [out, back] = harness.connection.getTransceivers();
  harness.connection.stats = new Map<string, Record<string, unknown>>([
    ["pair", { type: "candidate-pair", nominated: true, currentRoundTripTime: 0.007 }],
    ["vp8", { type: "codec", mimeType: "video/VP8" }],
    [
      "in",
      {
        type: "inbound-rtp",
        mid: back?.mid,
        codecId: "vp8",
        bytesReceived: received,
        packetsReceived: received / 1000,
        packetsLost: 0,
        framesPerSecond: 25,
        frameWidth: 640,
        frameHeight: 360,
      },
    ],
    ["out", { type: "outbound-rtp", mid: out?.mid, bytesSent: sent }],
  ]);
}

const rows = (selector: string) =>
  [...document.querySelectorAll<HTMLElement>(selector)].map(({ textContent }) => textContent);

async function press(key: string): Promise<void> {
  await after(() => fireEvent.keyDown(document.activeElement ?? document.body, { key }));
}

describe("statistics", () => {
  it("are shown and updated once a second", async () => {
    count(10_000, 0);
    await open();
    expect(rows(".figures dd")).toEqual(["connected", "–", "7 ms", "–", "–"]);
    count(110_000, 250_000);
    harness.now = 1000;
    await after(() => vi.advanceTimersByTimeAsync(1000));
    expect(rows(".figures dd")).toEqual(["connected", "–", "7 ms", "800 kbit/s", "2.00 Mbit/s"]);
    expect(rows("tbody tr")).toEqual([
      "Name of anncamera, VP8800 kbit/s0.0 %640×36025 frames/s",
      "Yourcamera2.00 Mbit/s––– frames/s",
    ]);
    await after(() => {
      harness.connection.become("connected");
    });
    expect(rows(".figures dd")[1]).toBe("connected");
  });

  it("are not read when the panel is closed or shows the other tab", async () => {
    const reading = vi.spyOn(harness.room, "statistics");
    await open();
    expect(reading).toHaveBeenCalledTimes(1);
    await after(() => {
      find("#tab-events").click();
    });
    await after(() => vi.advanceTimersByTimeAsync(5000));
    expect(reading).toHaveBeenCalledTimes(1);
    await after(() => {
      find("#tab-statistics").click();
    });
    expect(reading).toHaveBeenCalledTimes(2);
    cleanup();
    await vi.advanceTimersByTimeAsync(5000);
    expect(reading).toHaveBeenCalledTimes(2);
  });
});

describe("events", () => {
  beforeEach(async () => {
    await open();
    await after(() => {
      find("#tab-events").click();
    });
  });

  it("are listed in order, with their time", async () => {
    await after(() => {
      harness.socket.deliver("peer-suspended", { peerId: "ann" });
    });
    const texts = rows(".events li").map((text) => text.replace(/^[\d:]+( [AP]M)? /, ""));
    expect(texts).toEqual([
      "You are in the room lobby.",
      "Name of ann is here.",
      "Name of ann’s camera is received.",
      "Name of ann is reconnecting.",
    ]);
    expect(find(".is-trouble time").getAttribute("datetime")).toBe("1970-01-01T00:00:00.000Z");
  });

  it("scroll to the newest entry, unless the person has scrolled up", async () => {
    const list = find("ol.events");
    Object.defineProperties(list, { scrollHeight: { value: 500 }, clientHeight: { value: 100 } });
    const happen = () =>
      after(() => {
        harness.conference.actions.note("more", false);
      });
    await happen();
    expect(list.scrollTop).toBe(500);
    list.scrollTop = 100;
    fireEvent.scroll(list);
    await happen();
    expect(list.scrollTop).toBe(100);
    list.scrollTop = 390;
    fireEvent.scroll(list);
    await happen();
    expect(list.scrollTop).toBe(500);
  });

  it("can be copied; the page says when the browser forbids it", async () => {
    const writeText = vi.fn<(text: string) => Promise<void>>().mockResolvedValue();
    Object.defineProperty(navigator, "clipboard", { configurable: true, value: { writeText } });
    const copy = () =>
      after(() => {
        find("#copy-events").click();
      });
    await copy();
    expect(writeText.mock.calls[0]?.[0]).toMatch(
      /^1970-01-01T00:00:00.000Z You are in the room lobby\.\n.*\n.*received\.$/,
    );
    expect(find("#copy-events").textContent).toBe("Copied");
    expect(harness.state.announcement).toBe("The events are copied");
    await after(() => vi.advanceTimersByTimeAsync(DONE_MS));
    expect(find("#copy-events").textContent).toBe("Copy all");
    writeText.mockRejectedValue(new DOMException("no", "NotAllowedError"));
    await copy();
    expect(harness.state.notice?.text).toBe("Your browser does not let this page copy text.");
  });
});

describe("the tabs", () => {
  const selected = () => find("[aria-selected=true]").textContent;

  it("are one Tab stop, with arrow keys between them", async () => {
    await open();
    find("#tab-statistics").focus();
    await press("ArrowRight");
    expect([selected(), document.activeElement?.id]).toEqual(["Events", "tab-events"]);
    expect(find("[role=tabpanel]").getAttribute("aria-labelledby")).toBe("tab-events");
    expect(rows("[role=tab][tabindex='0']")).toEqual(["Events"]);
    await press("ArrowLeft");
    expect(selected()).toBe("Statistics");
    await press("Home");
    expect(selected()).toBe("Statistics");
  });

  it("close with the panel's button and with Escape", async () => {
    await open();
    find("[aria-label='Close the details']").click();
    expect(closed).toBe(1);
    find("#tab-statistics").focus();
    await press("Escape");
    expect(closed).toBe(2);
  });
});
