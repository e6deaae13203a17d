import { describe, expect, it } from "vitest";
import { readSections } from "../../src/client/sdp.js";

const LINES = [
  "v=0",
  "a=msid:not part-of-a-section",
  "m=audio 9 UDP/TLS/RTP/SAVPF 111",
  "a=mid:0",
  "a=sendonly",
  "a=msid:ann t-1",
  "m=video 9 UDP/TLS/RTP/SAVPF 96",
  "a=mid:1",
  "a=recvonly",
  "m=video 9 UDP/TLS/RTP/SAVPF 96",
  "a=mid:2",
  "a=inactive",
  "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
  "a=mid:3",
  "m=video 0 UDP/TLS/RTP/SAVPF 96",
  "a=mid:4",
  "a=sendonly",
  "m=video 0 UDP/TLS/RTP/SAVPF 96",
  "a=bundle-only",
  "a=mid:5",
  "a=msid:- t-2",
  "m=audio 9 UDP/TLS/RTP/SAVPF 111",
  "a=sendonly",
];

const SECTIONS = [
  { mid: "0", kind: "audio", sends: true, msid: { streamId: "ann", trackId: "t-1" } },
  { mid: "1", kind: "video", sends: false, msid: null },
  { mid: "2", kind: "video", sends: false, msid: null },
  { mid: "5", kind: "video", sends: true, msid: null },
];

describe("readSections", () => {
  it("reads mid, kind, direction and msid of the sections in use, with either line ending", () => {
    expect(readSections(LINES.join("\r\n"))).toEqual(SECTIONS);
    expect(readSections(LINES.join("\n"))).toEqual(SECTIONS);
  });

  it("reads nothing from nothing", () => {
    expect(readSections("")).toEqual([]);
    expect(readSections("m=\r\na=mid:\r\n")).toEqual([]);
  });

  it("takes an msid without a track id for none", () => {
    expect(readSections("m=audio 9 X 0\na=mid:0\na=msid:ann")[0]?.msid).toBeNull();
  });
});
