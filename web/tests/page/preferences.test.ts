// @vitest-environment jsdom
// @vitest-environment-options { "url": "https://sfu.example/call/?room=old&autojoin=1#x" }
import { beforeEach, describe, expect, it, vi } from "vitest";
import {
  linkTo,
  readRequest,
  rememberDevices,
  rememberName,
  userIdOfThisTab,
} from "../../src/page/preferences.js";

beforeEach(() => {
  localStorage.clear();
  sessionStorage.clear();
});

describe("readRequest", () => {
  it("asks for everything on at a first visit", () => {
    expect(readRequest("")).toEqual({ room: "", name: "", autojoin: false, mic: true, camera: true });
  });

  it("takes what the address says before what is remembered", () => {
    rememberName("Ada");
    rememberDevices({ mic: false, camera: true });
    expect(readRequest("?room=lab")).toEqual({
      room: "lab",
      name: "Ada",
      autojoin: false,
      mic: false,
      camera: true,
    });
    expect(readRequest("?name=Bob&autojoin=1&mic=1&camera=0")).toEqual({
      room: "",
      name: "Bob",
      autojoin: true,
      mic: true,
      camera: false,
    });
  });
});

describe("userIdOfThisTab", () => {
  it("stays the same", () => {
    const userId = userIdOfThisTab();
    expect(userId).toMatch(/^\d+-\d+-\d+-\d+$/);
    expect(userIdOfThisTab()).toBe(userId);
    sessionStorage.clear();
    expect(userIdOfThisTab()).not.toBe(userId);
  });
});

describe("linkTo", () => {
  it("leads to the room and nothing else", () => {
    expect(linkTo("a & b")).toBe("https://sfu.example/call/?room=a+%26+b");
  });
});

describe("without storage", () => {
  it("remembers nothing and works", () => {
    const refuse = () => {
      throw new DOMException("denied", "SecurityError");
    };
    vi.spyOn(Storage.prototype, "getItem").mockImplementation(refuse);
    vi.spyOn(Storage.prototype, "setItem").mockImplementation(refuse);
    rememberName("Ada");
    expect(readRequest("").name).toBe("");
    expect(userIdOfThisTab()).not.toBe("");
  });
});
