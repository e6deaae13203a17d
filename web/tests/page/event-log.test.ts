import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { LOG_LENGTH, type LogEntry, logAsText, withEntry } from "../../src/page/event-log.js";
import { CAMERA, ConferenceHarness, MIC } from "../fakes/conference.js";
import { peer, settle } from "../fakes/harness.js";

describe("withEntry", () => {
  it("keeps the newest entries", () => {
    let log: readonly LogEntry[] = [];
    for (let at = 1; at <= LOG_LENGTH + 5; at += 1) log = withEntry(log, { at, text: "", isTrouble: false });
    expect(log).toHaveLength(LOG_LENGTH);
    expect([log[0]?.at, log.at(-1)?.at]).toEqual([6, LOG_LENGTH + 5]);
    expect(new Set(log.map(({ serial }) => serial)).size).toBe(LOG_LENGTH);
  });
});

describe("logAsText", () => {
  it("has a line for each entry", () => {
    const log = withEntry([], { at: 0, text: "Ann is here.", isTrouble: false });
    expect(logAsText(withEntry(log, { at: 61_001, text: "Oh.", isTrouble: true }))).toBe(
      "1970-01-01T00:00:00.000Z Ann is here.\n1970-01-01T00:01:01.001Z Oh.",
    );
  });
});

describe("a call in words", () => {
  let harness: ConferenceHarness;

  beforeEach(async () => {
    vi.useFakeTimers();
    harness = new ConferenceHarness();
    await harness.join([peer("ann", [CAMERA])]);
  });

  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  it("says who joins and leaves, and what they send", async () => {
    harness.now = 1000;
    await harness.answer(["ann cam"]);
    harness.socket.deliver("track-published", { peerId: "ann", ...MIC });
    harness.socket.deliver("track-unpublished", { peerId: "ann", trackId: "mic" });
    harness.socket.deliver("peer-suspended", { peerId: "ann" });
    harness.socket.deliver("peer-resumed", { peerId: "ann" });
    harness.socket.deliver("peer-left", { peerId: "ann" });
    expect(harness.log).toEqual([
      "You are in the room lobby.",
      "Name of ann is here.",
      "Name of ann’s camera is received.",
      "Name of ann’s microphone is published.",
      "Name of ann’s microphone is no longer published.",
      "! Name of ann is reconnecting.",
      "Name of ann is back.",
      "Name of ann’s camera is no longer received.",
      "Name of ann has left.",
    ]);
    expect(harness.state.log.map(({ at }) => at)).toEqual([0, 0, 1000, 1000, 1000, 1000, 1000, 1000, 1000]);
  });

  it("describes the connection", async () => {
    harness.connection.become("connected");
    harness.connection.become("disconnected");
    harness.socket.end(1006, "cable");
    await vi.advanceTimersByTimeAsync(1000);
    await harness.readmit("keep", [peer("ann", [CAMERA])]);
    harness.connection.become("connected");
    harness.connection.become("failed");
    expect(harness.log.slice(2)).toEqual([
      "Media is connected.",
      "! Media does not reach the server at the moment.",
      expect.stringMatching(/^! Reconnecting: the connection to the server is lost \(.+\)\.$/),
      "The connection to the server is restored.",
      "Media is connected.",
      "! The media connection has failed.",
      "! Reconnecting.",
    ]);
  });

  it("describes our publications", async () => {
    await harness.answer();
    await harness.media.set("camera", true);
    await settle();
    const mid = harness.connection.getTransceivers().find(({ direction }) => direction === "sendonly")?.mid;
    harness.socket.deliver("track-published", { ...CAMERA, trackId: "own", peerId: "me", mid });
    harness.socket.deliver("track-unpublished", { trackId: "own", peerId: "me" });
    await harness.media.set("mic", true);
    void harness.room.leave();
    await vi.advanceTimersByTimeAsync(5000);
    expect(harness.log.slice(2)).toEqual([
      "Your camera is published.",
      "! Your camera is no longer published: the server removed it.",
      "Your microphone is no longer published: the room was left.",
      "You have left the room.",
    ]);
  });

  it("describes errors and the end of the call", () => {
    harness.socket.deliver("error", { code: 429, message: "slow down", type: "subscribe" });
    harness.socket.end(4000);
    expect(harness.log.slice(2)).toEqual([
      "! The server refused a request: slow down.",
      "! You have joined from another window, and this one has left.",
    ]);
  });
});
