/** What the page remembers on this device, and what its address asks for. */

const NAME_KEY = "trio-sfu.name";
const OFF_KEY = "trio-sfu.off";
const USER_KEY = "trio-sfu.user";
const CALL_KEY = "trio-sfu.call";
const TOKEN_KEY = "trio-sfu.token";

/** What the address of the page asks for: `?room=…&name=…&autojoin=1&mic=0&camera=0#token=…`. */
export interface Request {
  room: string;
  name: string;
  /** A signed join token; empty where there is none. */
  token: string;
  /** Join without waiting for the button. */
  autojoin: boolean;
  mic: boolean;
  camera: boolean;
}

/**
 * Reads the query and the fragment of the page's address; a name or switch that they do not give is the remembered one.
 *
 * A token may be in either. The fragment is the better place: browsers do not send it, so that no log has it.
 */
export function readRequest({ search, hash }: { search: string; hash: string }): Request {
  const query = new URLSearchParams(search);
  const token = new URLSearchParams(hash.slice(1)).get("token") ?? query.get("token");
  // Kept for a reload, because joining takes it out of the address: what one copies from there is no secret.
  if (token !== null) remember(() => sessionStorage, TOKEN_KEY, token);
  const off = (recall(() => localStorage, OFF_KEY) ?? "").split(" ");
  const isOn = (source: string) => (query.has(source) ? query.get(source) !== "0" : !off.includes(source));
  return {
    room: query.get("room") ?? "",
    name: query.get("name") ?? recall(() => localStorage, NAME_KEY) ?? "",
    token: token ?? recall(() => sessionStorage, TOKEN_KEY) ?? "",
    autojoin: query.get("autojoin") === "1",
    mic: isOn("mic"),
    camera: isOn("camera"),
  };
}

/** Remembers the name for the next visit. */
export function rememberName(name: string): void {
  remember(() => localStorage, NAME_KEY, name);
}

/** Remembers what the person wants switched off for the next visit. */
export function rememberDevices(on: { mic: boolean; camera: boolean }): void {
  const off = [on.mic ? [] : ["mic"], on.camera ? [] : ["camera"]].flat();
  remember(() => localStorage, OFF_KEY, off.join(" "));
}

/**
 * An id that stays the same when the page is reloaded, and differs between tabs: the same user joining again
 * takes the place of the old one.
 */
export function userIdOfThisTab(): string {
  const known = recall(() => sessionStorage, USER_KEY);
  if (known !== null) return known;
  const userId = crypto.getRandomValues(new Uint32Array(4)).join("-");
  remember(() => sessionStorage, USER_KEY, userId);
  return userId;
}

/** Remembers in which room this tab is; empty: in none. */
export function rememberCall(room: string): void {
  remember(() => sessionStorage, CALL_KEY, room);
}

/** The room that a reload of the page has interrupted; empty when it has interrupted nothing. */
export function interruptedCall(): string {
  const [navigation] = performance.getEntriesByType("navigation");
  const isReload = (navigation as PerformanceNavigationTiming | undefined)?.type === "reload";
  // A duplicated tab starts with the same storage, but must not push the first one out of the call, now or later.
  if (!isReload) rememberCall("");
  return recall(() => sessionStorage, CALL_KEY) ?? "";
}

/** Makes the page's address the one of this room, without anything that was meant for us alone. */
export function showAddressOf(room: string): void {
  history.replaceState(null, "", linkTo(room));
}

/** The address that brings somebody else to this room. */
export function linkTo(room: string): string {
  const url = new URL(location.href);
  url.search = new URLSearchParams({ room }).toString();
  url.hash = "";
  return url.href;
}

// Storage may be forbidden by the person or full: then nothing is remembered, and nothing else is different.

function recall(storage: () => Storage, key: string): string | null {
  try {
    return storage().getItem(key);
  } catch {
    return null;
  }
}

function remember(storage: () => Storage, key: string, value: string): void {
  try {
    storage().setItem(key, value);
  } catch {
    return;
  }
}
