// @vitest-environment jsdom
// @vitest-environment-options { "url": "https://sfu.example/call/?room=old&autojoin=1#x" }
import { beforeEach, describe, expect, it, vi } from "vitest";
import {
  linkTo,
  readRequest,
  rememberDevices,
  rememberName,
  showAddressOf,
  userIdOfThisTab,
} from "../../src/page/preferences.js";

beforeEach(() => {
  localStorage.clear();
  sessionStorage.clear();
});

const read = (search: string, hash = "") => readRequest({ search, hash });

describe("readRequest", () => {
  it("has all devices on at a first visit", () => {
    expect(read("")).toEqual({ room: "", name: "", token: "", autojoin: false, mic: true, camera: true });
  });

  it("prefers the address to what is remembered", () => {
    rememberName("Ada");
    rememberDevices({ mic: false, camera: true });
    expect(read("?room=lab")).toEqual({
      room: "lab",
      name: "Ada",
      token: "",
      autojoin: false,
      mic: false,
      camera: true,
    });
    expect(read("?name=Bob&autojoin=1&mic=1&camera=0")).toEqual({
      room: "",
      name: "Bob",
      token: "",
      autojoin: true,
      mic: true,
      camera: false,
    });
  });
});

describe("a join token", () => {
  it("may be in the fragment or in the query", () => {
    expect(read("?token=a.b").token).toBe("a.b");
    expect(read("?token=a.b", "#token=c.d").token).toBe("c.d");
  });

  it("is kept for a reload, in this tab only", () => {
    read("", "#token=c.d");
    expect(read("?room=lab").token).toBe("c.d");
    expect(localStorage).toHaveLength(0);
  });
});

describe("showAddressOf", () => {
  it("removes the token and the switches from the address", () => {
    history.replaceState(null, "", "/call/?autojoin=1&token=a#token=b");
    showAddressOf("lab");
    expect(location.href).toBe("https://sfu.example/call/?room=lab");
  });
});

describe("userIdOfThisTab", () => {
  it("stays the same after a reload", () => {
    const userId = userIdOfThisTab();
    expect(userId).toMatch(/^\d+-\d+-\d+-\d+$/);
    expect(userIdOfThisTab()).toBe(userId);
    sessionStorage.clear();
    expect(userIdOfThisTab()).not.toBe(userId);
  });
});

describe("linkTo", () => {
  it("contains the room and nothing else", () => {
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
    expect(read("").name).toBe("");
    expect(userIdOfThisTab()).not.toBe("");
  });

  it("works also when access to the storage throws", () => {
    for (const storage of ["localStorage", "sessionStorage"] as const) {
      vi.spyOn(window, storage, "get").mockImplementation(() => {
        throw new DOMException("denied", "SecurityError");
      });
    }
    rememberName("Ada");
    rememberDevices({ mic: false, camera: true });
    expect(read("", "#token=c.d")).toMatchObject({ name: "", token: "c.d", mic: true });
    expect(userIdOfThisTab()).not.toBe("");
    vi.restoreAllMocks();
  });
});
