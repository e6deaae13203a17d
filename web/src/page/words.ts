/** The texts for errors: what happened, and what the user can do. */
import type { CaptureFailure, ConnectionState, EndReason, RoomError, Source } from "../client/index.js";

/** What our sources are called. */
export const DEVICES: Readonly<Record<Source, string>> = {
  mic: "microphone",
  camera: "camera",
  screen: "screen",
};

/** Why a device cannot be used; null when there is nothing to tell because the person changed their mind. */
export function captureInWords({ source, error }: CaptureFailure): string | null {
  const device = DEVICES[source];
  const name = error instanceof Error || error instanceof DOMException ? error.name : "";
  // Closing the browser's dialog for sharing looks like a refusal, and is one: of the person who sees this.
  if (source === "screen" && name === "NotAllowedError") return null;
  switch (name) {
    case "NotAllowedError":
      return `This page may not use your ${device}. Allow it in the address bar of the browser, or continue without it.`;
    case "NotFoundError":
      return `No ${device} was found. You can continue without it.`;
    case "NotReadableError":
    case "AbortError":
      return `Your ${device} did not start; perhaps another program is using it. You can continue without it.`;
    case "SecurityError":
      return `Browsers allow the ${device} only on pages loaded over https. You can continue without it.`;
    default:
      return `Your ${device} cannot be used (${name || String(error)}). You can continue without it.`;
  }
}

/** Why the join failed or the call ended. */
export function roomErrorInWords(error: RoomError): string {
  switch (error.kind) {
    case "unreachable":
      return "The server cannot be reached. Check your connection and try again.";
    case "lost":
      return "The connection to the server was lost. Join again to continue.";
    case "replaced":
      return "You have joined from another window, and this one has left.";
    case "media-failed":
      return "Audio and video cannot reach the server: a firewall may block UDP, or this browser WebRTC. Join again to retry.";
    case "negotiation-failed":
      return "Your browser and the server could not agree on audio and video. Join again to retry.";
    case "refused":
      return refusalInWords(error);
    case "request-refused":
      return `The server refused a request: ${error.message}.`;
    case "protocol":
      return "The server sent a message that this page cannot read. Reload the page.";
    case "left":
      return "You have left the room.";
  }
}

function refusalInWords({ code, message }: RoomError): string {
  switch (code) {
    case 400:
      return `The server does not accept this name or room: ${message}.`;
    case 401:
    case 403:
      return "You may not join this room.";
    case 409:
      return "You are in this room already, in another window.";
    case 429:
      return "Too many attempts. Wait a moment and try again.";
    case 503:
      return `The server cannot accept you now: ${message}.`;
    default:
      return `The server refused the join: ${message || "no reason given"}.`;
  }
}

/** What to tell when something of ours is no longer sent; null when the person knows. */
export function endInWords(source: Source, reason: EndReason): string | null {
  const device = DEVICES[source];
  if (reason === "track-ended") return source === "screen" ? null : `Your ${device} was disconnected.`;
  if (reason === "refused" || reason === "removed") return `The server does not accept your ${device}.`;
  return null;
}

/** Why a publication is over, for the list of events. */
export function endReasonInWords(reason: EndReason): string {
  switch (reason) {
    case "unpublished":
      return "it was switched off";
    case "track-ended":
      return "the device or the browser ended it";
    case "refused":
      return "the server refused it";
    case "removed":
      return "the server removed it";
    case "left":
      return "the room was left";
  }
}

/** How the connection to the server is. */
export function connectionInWords(state: ConnectionState): string {
  switch (state) {
    case "idle":
    case "closed":
      return "not connected";
    case "connecting":
    case "joining":
      return "connecting";
    case "joined":
      return "connected";
    case "reconnecting":
      return "reconnecting";
    case "leaving":
      return "leaving";
    case "failed":
      return "failed";
  }
}

/** What simulcast layers are called that are announced as `layers`, high to low. */
export function layersInWords(layers: readonly string[]): string[] {
  const names = { 2: ["High", "Low"], 3: ["High", "Medium", "Low"] }[layers.length];
  return layers.map((rid, index) => `${names?.[index] ?? `Layer ${index + 1}`} (${rid})`);
}
