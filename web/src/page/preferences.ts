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
 * Reads the query and the fragment of the page's address. A name or switch that is absent there has the remembered
 * value.
 *
 * A token may be in either. The fragment is safer: browsers do not send it, so it appears in no log.
 */
export function readRequest({ search, hash }: { search: string; hash: string }): Request {
  const query = new URLSearchParams(search);
  const token = new URLSearchParams(hash.slice(1)).get("token") ?? query.get("token");
  // Kept for a reload, because joining removes the token from the address: a copied address must contain no secret.
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

/** Remembers for the next visit which devices are off. */
export function rememberDevices(on: { mic: boolean; camera: boolean }): void {
  const off = [on.mic ? [] : ["mic"], on.camera ? [] : ["camera"]].flat();
  remember(() => localStorage, OFF_KEY, off.join(" "));
}

/**
 * An id that stays the same when the page is reloaded, and differs between tabs: when the same user joins again,
 * the server replaces the old peer.
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

/** The room of the call that a reload of the page interrupted; empty if there was no call. */
export function interruptedCall(): string {
  const [navigation] = performance.getEntriesByType("navigation");
  const isReload = (navigation as PerformanceNavigationTiming | undefined)?.type === "reload";
  // A duplicated tab starts with the same storage, but must not replace the first one in the call, now or later.
  if (!isReload) rememberCall("");
  return recall(() => sessionStorage, CALL_KEY) ?? "";
}

/** Changes the page's address to this room's, without the token and the switches. */
export function showAddressOf(room: string): void {
  history.replaceState(null, "", linkTo(room));
}

/** The address to send to other people who should join this room. */
export function linkTo(room: string): string {
  const url = new URL(location.href);
  url.search = new URLSearchParams({ room }).toString();
  url.hash = "";
  return url.href;
}

// The person may forbid storage, or it may be full: then the page works but remembers nothing.

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
