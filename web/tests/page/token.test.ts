import { describe, expect, it } from "vitest";
import { userIn } from "../../src/page/token.js";

function token(payload: string): string {
  const base64 = btoa(String.fromCharCode(...new TextEncoder().encode(payload)));
  return `e30.${base64.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}.c2ln`;
}

describe("userIn", () => {
  it("reads the user that a token names", () => {
    expect(userIn(token('{"sub": "ada", "room": "lab"}'))).toBe("ada");
    expect(userIn(token('{"sub": "Zoë ÿþ 李"}'))).toBe("Zoë ÿþ 李");
  });

  it("returns null for what it cannot read: the server decides", () => {
    const others = [
      "",
      "a",
      "a.b.c",
      "a.%.c",
      token("{"),
      token("null"),
      token('{"sub": 7}'),
      token('{"sub": ""}'),
    ];
    expect(others.map(userIn)).toEqual(others.map(() => null));
  });
});
