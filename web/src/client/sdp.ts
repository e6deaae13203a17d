/**
 * Reads from a session description the few lines that this library acts on.
 *
 * The browser owns the rest. What is read here is what JavaScript cannot learn otherwise: whose track a transceiver
 * carries. The server writes it as `a=msid:<peerId> <trackId>`, and Firefox does not hand the second word on.
 */
import type { Kind } from "./protocol.js";

/** One m-section of a description, from its writer's point of view. */
export interface Section {
  /** Identifies the section, and the transceiver that belongs to it (RFC 8843, section 7.2). */
  mid: string;
  kind: Kind;
  /** The writer means to send on it. */
  sends: boolean;
  /** The two words of `a=msid` (RFC 8830), or null where there is no track. */
  msid: { streamId: string; trackId: string } | null;
}

/** Lists the audio and video sections that are in use and have a mid, in their order. */
export function readSections(sdp: string): Section[] {
  const sections: Section[] = [];
  for (const lines of splitSections(sdp)) {
    const media = /^m=(audio|video) (\d+)/.exec(lines[0] ?? "");
    const mid = attribute(lines, "mid");
    // A zero port means a section that was rejected or stopped; with bundle-only it means neither
    // (RFC 8843, section 6).
    if (media === null || mid === null) continue;
    if (media[2] === "0" && !lines.includes("a=bundle-only")) continue;
    // Without a direction line a section is sendrecv (RFC 8866, section 6.7).
    const sends = !lines.includes("a=recvonly") && !lines.includes("a=inactive");
    sections.push({ mid, kind: media[1] as Kind, sends, msid: readMsid(lines) });
  }
  return sections;
}

/** Whether the writer is an ICE-lite agent, which answers checks and makes none (RFC 8839, section 5.3). */
export function isLite(sdp: string): boolean {
  return /^a=ice-lite\r?$/m.test(sdp);
}

function readMsid(lines: string[]): Section["msid"] {
  const [streamId, trackId] = (attribute(lines, "msid") ?? "").split(" ");
  // "-" is a track that belongs to no stream (RFC 8830, section 2).
  if (streamId === undefined || streamId === "" || streamId === "-" || !trackId) return null;
  return { streamId, trackId };
}

function attribute(lines: string[], name: string): string | null {
  const prefix = `a=${name}:`;
  const line = lines.find((each) => each.startsWith(prefix));
  return line === undefined ? null : line.slice(prefix.length).trim();
}

/** The lines of each m-section; those of the session part before the first are left out. */
function splitSections(sdp: string): string[][] {
  const sections: string[][] = [];
  for (const line of sdp.split(/\r?\n/)) {
    if (line.startsWith("m=")) sections.push([line]);
    else sections.at(-1)?.push(line);
  }
  return sections;
}
