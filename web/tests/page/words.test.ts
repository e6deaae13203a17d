import { describe, expect, it } from "vitest";
import { RoomError, type RoomErrorKind } from "../../src/client/errors.js";
import type { ConnectionState, EndReason } from "../../src/client/index.js";
import {
  captureInWords,
  connectionInWords,
  endInWords,
  endReasonInWords,
  layersInWords,
  roomErrorInWords,
} from "../../src/page/words.js";

describe("captureInWords", () => {
  const failure = (name: string) => new DOMException("text of the browser", name);

  it("says what to do about a device that is forbidden, absent or in use", () => {
    expect(captureInWords({ source: "camera", error: failure("NotAllowedError") })).toMatch(
      /may not use your camera/,
    );
    expect(captureInWords({ source: "mic", error: failure("NotFoundError") })).toMatch(
      /No microphone was found/,
    );
    expect(captureInWords({ source: "camera", error: failure("NotReadableError") })).toMatch(/another program/);
    expect(captureInWords({ source: "mic", error: failure("SecurityError") })).toMatch(/https/);
  });

  it("names an error that it does not know", () => {
    expect(captureInWords({ source: "mic", error: failure("StrangeError") })).toMatch(/StrangeError/);
    expect(captureInWords({ source: "mic", error: "odd" })).toMatch(/odd/);
  });

  it("says nothing when the person closed the dialog for sharing", () => {
    expect(captureInWords({ source: "screen", error: failure("NotAllowedError") })).toBeNull();
  });
});

describe("roomErrorInWords", () => {
  it("has a sentence for each kind of error", () => {
    const kinds: RoomErrorKind[] = [
      "unreachable",
      "refused",
      "lost",
      "media-failed",
      "negotiation-failed",
      "request-refused",
      "protocol",
      "left",
    ];
    const sentences = kinds.map((kind) => roomErrorInWords(new RoomError(kind, "the reason")));
    expect(new Set(sentences).size).toBe(kinds.length);
    for (const sentence of sentences) expect(sentence).toMatch(/^[A-Z].*\.$/);
  });

  it("tells refusals apart by their code", () => {
    const words = (code: number | null) => roomErrorInWords(new RoomError("refused", "why", { code }));
    expect(words(503)).toBe("The server cannot accept you now: why.");
    expect(words(401)).toBe(words(403));
    expect(new Set([400, 403, 409, 429, 503, null].map(words)).size).toBe(6);
    expect(roomErrorInWords(new RoomError("refused", ""))).toMatch(/no reason given/);
  });
});

describe("endInWords", () => {
  it("describes an end that the person did not cause", () => {
    expect(endInWords("mic", "track-ended")).toBe("Your microphone was disconnected.");
    expect(endInWords("camera", "refused")).toBe("The server does not accept your camera.");
    expect(endInWords("screen", "removed")).toBe("The server does not accept your screen.");
    expect(endInWords("screen", "track-ended")).toBeNull();
    expect(endInWords("camera", "unpublished")).toBeNull();
    expect(endInWords("camera", "left")).toBeNull();
  });
});

describe("endReasonInWords", () => {
  it("has words for each reason", () => {
    const reasons: EndReason[] = ["unpublished", "track-ended", "refused", "removed", "left"];
    expect(new Set(reasons.map(endReasonInWords)).size).toBe(5);
  });
});

describe("connectionInWords", () => {
  it("distinguishes the states that make a difference to people", () => {
    const states: ConnectionState[] = [
      "idle",
      "connecting",
      "joining",
      "joined",
      "reconnecting",
      "leaving",
      "closed",
      "failed",
    ];
    expect(new Set(states.map(connectionInWords)).size).toBe(6);
  });
});

describe("layersInWords", () => {
  it("names the layers that the publisher announces, best first", () => {
    expect(layersInWords(["h", "m", "l"])).toEqual(["High (h)", "Medium (m)", "Low (l)"]);
    expect(layersInWords(["f", "q"])).toEqual(["High (f)", "Low (q)"]);
    expect(layersInWords(["a", "b", "c", "d"])[3]).toBe("Layer 4 (d)");
    expect(layersInWords([])).toEqual([]);
  });
});
