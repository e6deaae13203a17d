import { describe, expect, it } from "vitest";
import { decode, encode, type Received } from "../../src/client/protocol.js";

function read(type: string, data?: unknown): Received {
  return decode(JSON.stringify({ type, data, timestamp: "2026-01-01T00:00:00Z" }));
}

function dataOf(type: string, data?: unknown): unknown {
  const received = read(type, data);
  if (received.outcome !== "message") throw new Error(JSON.stringify(received));
  return received.message.data;
}

function reasonOf(type: string, data?: unknown): string {
  const received = read(type, data);
  return received.outcome === "invalid" ? received.reason : received.outcome;
}

describe("encode", () => {
  it("makes the envelope of the protocol", () => {
    const message = JSON.parse(encode("leave", {})) as Record<string, unknown>;
    expect(message).toMatchObject({ type: "leave", data: {} });
    expect(String(message.timestamp)).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  });
});

describe("decode", () => {
  it("reads an acknowledgement, with and without what is optional", () => {
    expect(
      dataOf("join", {
        success: true,
        peerId: "p",
        roomId: "r",
        resumed: true,
        transport: "keep",
        sessionId: "s",
        sessionToken: "t",
        iceServers: [{ urls: "stun:x" }],
      }),
    ).toEqual({
      success: true,
      peerId: "p",
      roomId: "r",
      resumed: true,
      transport: "keep",
      sessionId: "s",
      sessionToken: "t",
      iceServers: [{ urls: ["stun:x"] }],
      reason: "",
    });
    expect(dataOf("join", { success: false })).toMatchObject({
      peerId: "",
      transport: "new",
      iceServers: [],
    });
  });

  it("reads a room", () => {
    const track = { trackId: "t", kind: "video", source: "screen", layers: ["h", "l"] };
    const peer = {
      peerId: "p",
      userId: "u",
      name: "n",
      mediaState: { micEnabled: true, cameraEnabled: false, screenEnabled: true },
      suspended: true,
      tracks: [track],
    };
    const subscriptions = [{ trackId: "t", peerId: "p", layer: "l" }];
    expect(dataOf("room-state", { peers: [peer], subscriptions })).toEqual({ peers: [peer], subscriptions });
  });

  it("fills in what an older or sparing server leaves out", () => {
    expect(dataOf("room-state", { peers: [{ peerId: "p", mediaState: null }] })).toEqual({
      peers: [
        {
          peerId: "p",
          userId: "",
          name: "",
          mediaState: { micEnabled: false, cameraEnabled: false, screenEnabled: false },
          suspended: false,
          tracks: [],
        },
      ],
      subscriptions: [],
    });
    expect(dataOf("track-published", { trackId: "t", kind: "audio", peerId: "p" })).toEqual({
      trackId: "t",
      kind: "audio",
      source: "mic",
      layers: [],
      peerId: "p",
      mid: null,
    });
    expect(dataOf("ice-candidate", {})).toEqual({ candidate: "", sdpMid: null, sdpMLineIndex: null });
    expect(dataOf("ping")).toEqual({});
  });

  it("takes a source that it does not know for the usual one of the kind", () => {
    const track = { trackId: "t", kind: "video", source: "hologram", peerId: "p" };
    expect(dataOf("track-published", track)).toMatchObject({ source: "camera" });
  });

  it("does not mind fields that it does not know", () => {
    expect(dataOf("offer", { sdp: "v=0", type: "offer", peerId: "p", more: [1] })).toEqual({ sdp: "v=0" });
  });

  it("names the field that is wrong", () => {
    expect(reasonOf("offer", {})).toBe("offer.sdp: expected a string");
    expect(reasonOf("offer", { sdp: 5 })).toBe("offer.sdp: expected a string");
    expect(reasonOf("offer", [])).toBe("offer: not an object");
    expect(reasonOf("join", { success: "yes" })).toBe("join.success: expected true or false");
    expect(reasonOf("error", { code: "404", message: "" })).toBe("error.code: expected a number");
    expect(reasonOf("room-state", { peers: {} })).toBe("room-state.peers: expected a list");
    expect(reasonOf("room-state", { peers: [{ peerId: "p" }, 7] })).toBe("room-state.peers[1]: not an object");
    expect(reasonOf("room-state", { peers: [{ peerId: "p", mediaState: 7 }] })).toBe(
      "room-state.peers[0].mediaState: not an object",
    );
    expect(reasonOf("track-published", { trackId: "t", kind: "smell", peerId: "p" })).toBe(
      "track-published.kind: expected one of audio, video",
    );
    expect(reasonOf("track-published", { trackId: "t", kind: "audio", peerId: "p", layers: [1] })).toBe(
      "track-published.layers: expected a list of strings",
    );
  });

  it("never throws, whatever arrives", () => {
    const texts: unknown[] = [undefined, null, 5, new Blob(), "", "nul", "5", '"join"', "[]", '{"type":null}'];
    for (const text of texts) expect(decode(text).outcome).toBe("invalid");
    for (const type of ["__proto__", "constructor", "hasOwnProperty", ""]) {
      expect(decode(JSON.stringify({ type, data: {} }))).toEqual({ outcome: "unknown", type });
    }
    const message = JSON.stringify({ type: "room-state", data: { peers: [{ peerId: "p", tracks: [{}] }] } });
    for (let end = 0; end < message.length; end += 1)
      expect(decode(message.slice(0, end)).outcome).toBe("invalid");
  });
});
