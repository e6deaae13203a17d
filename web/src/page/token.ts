/** Reads a join token for the page. Only the server verifies it. */

/** The user whom a token (a JWT, RFC 7519) names in its `sub`; null if it has no `sub` or cannot be read. */
export function userIn(token: string): string | null {
  const [, payload = ""] = token.split(".");
  try {
    const binary = atob(payload.replaceAll("-", "+").replaceAll("_", "/"));
    const text = new TextDecoder().decode(Uint8Array.from(binary, (byte) => byte.charCodeAt(0)));
    const { sub } = JSON.parse(text) as { sub?: unknown };
    return typeof sub === "string" && sub !== "" ? sub : null;
  } catch {
    return null;
  }
}
