import { describe, expect, it } from "vitest";
import {
  BEGIN_WITHIN_MS,
  CONNECT_WITHIN_MS,
  MAX_FAILED_CONNECTIONS,
  Recovery,
  type RecoveryAction,
  type RecoveryInput,
  RESTART_AFTER_MS,
  RESTART_AGAIN_MS,
} from "../../src/client/recovery.js";

/** Takes the inputs at time 0 and returns the last one's action. */
function after(recovery: Recovery, ...inputs: RecoveryInput[]): RecoveryAction | null {
  return inputs.map((input) => recovery.step(input, 0)).at(-1) ?? null;
}

describe("media that stops", () => {
  it("waits, then asks for an ICE restart, and again", () => {
    const recovery = new Recovery();
    expect(after(recovery, "connected", "disconnected")).toBeNull();
    expect(recovery.nextTimeout()).toBe(RESTART_AFTER_MS);
    expect(recovery.step("timeout", RESTART_AFTER_MS)).toBe("ask-restart");
    expect(recovery.step("restart-offered", RESTART_AFTER_MS + 20)).toBeNull();
    expect(recovery.nextTimeout()).toBe(RESTART_AFTER_MS + RESTART_AGAIN_MS);
    expect(recovery.step("timeout", RESTART_AFTER_MS + RESTART_AGAIN_MS)).toBe("ask-restart");
  });

  it("asks for nothing when media comes back in time", () => {
    const recovery = new Recovery();
    after(recovery, "connected", "disconnected", "connected");
    expect(recovery.nextTimeout()).toBeNull();
    expect(recovery.step("timeout", RESTART_AFTER_MS)).toBeNull();
  });

  it("asks for a new connection when this one has failed", () => {
    const recovery = new Recovery();
    expect(after(recovery, "connected", "disconnected", "failed")).toBe("replace");
    expect(after(recovery, "replaced")).toBeNull();
    expect(recovery.nextTimeout()).toBeNull();
  });

  it("gives up after several connections that never connected", () => {
    const recovery = new Recovery();
    const actions = Array.from({ length: MAX_FAILED_CONNECTIONS }, () => after(recovery, "replaced", "failed"));
    expect(actions).toEqual(["replace", "replace", "give-up"]);
  });

  it("replaces any number of connections that did connect", () => {
    const recovery = new Recovery();
    for (let round = 0; round < 10; round += 1) {
      expect(after(recovery, "replaced", "connected", "failed")).toBe("replace");
    }
  });
});

describe("a connection that never connects", () => {
  it("is replaced when it has no candidates to check", () => {
    const recovery = new Recovery();
    expect(recovery.nextTimeout()).toBeNull();
    expect(recovery.step("agreed", 100)).toBeNull();
    expect(recovery.nextTimeout()).toBe(100 + BEGIN_WITHIN_MS);
    expect(recovery.step("timeout", 99 + BEGIN_WITHIN_MS)).toBeNull();
    expect(recovery.step("timeout", 100 + BEGIN_WITHIN_MS)).toBe("replace");
    expect(recovery.nextTimeout()).toBeNull();
  });

  it("gets more time while it checks candidates", () => {
    const recovery = new Recovery();
    after(recovery, "agreed", "connecting");
    expect(recovery.nextTimeout()).toBe(CONNECT_WITHIN_MS);
    expect(recovery.step("timeout", CONNECT_WITHIN_MS)).toBe("replace");
  });

  it("gets no more time because of another negotiation", () => {
    const recovery = new Recovery();
    recovery.step("agreed", 0);
    recovery.step("agreed", 5000);
    expect(recovery.nextTimeout()).toBe(BEGIN_WITHIN_MS);
  });

  it("counts as a failed connection", () => {
    const recovery = new Recovery();
    const actions = Array.from({ length: MAX_FAILED_CONNECTIONS }, () => {
      after(recovery, "replaced", "agreed");
      return recovery.step("timeout", BEGIN_WITHIN_MS);
    });
    expect(actions).toEqual(["replace", "replace", "give-up"]);
  });

  it("has no deadline any more once it is connected", () => {
    const recovery = new Recovery();
    after(recovery, "agreed", "connecting", "connected", "agreed");
    expect(recovery.nextTimeout()).toBeNull();
    expect(recovery.step("timeout", CONNECT_WITHIN_MS)).toBeNull();
  });

  it("gets its full time again when the WebSocket is back", () => {
    const recovery = new Recovery();
    after(recovery, "agreed", "signaling-lost");
    expect(recovery.nextTimeout()).toBeNull();
    recovery.step("signaling-restored", 60_000);
    expect(recovery.nextTimeout()).toBe(60_000 + BEGIN_WITHIN_MS);
  });
});

describe("a network change", () => {
  it("asks for an ICE restart at once", () => {
    expect(after(new Recovery(), "connected", "network")).toBe("ask-restart");
    expect(after(new Recovery(), "connected", "disconnected", "network")).toBe("ask-restart");
  });

  it("asks for nothing before there was a connection", () => {
    expect(after(new Recovery(), "network")).toBeNull();
  });
});

describe("without a WebSocket", () => {
  it("asks when the WebSocket is back, for what was needed meanwhile", () => {
    expect(after(new Recovery(), "connected", "signaling-lost", "network")).toBeNull();
    const recovery = new Recovery();
    expect(after(recovery, "connected", "signaling-lost", "network", "signaling-restored")).toBe("ask-restart");
    after(recovery, "restart-offered", "signaling-lost");
    expect(after(recovery, "signaling-restored")).toBeNull();
  });

  it("asks again when the request or its answer may have been lost", () => {
    const recovery = new Recovery();
    expect(after(recovery, "connected", "network", "signaling-lost", "signaling-restored")).toBe("ask-restart");
  });

  it("asks at once when media has stopped meanwhile", () => {
    const recovery = new Recovery();
    after(recovery, "connected", "signaling-lost", "disconnected");
    expect(recovery.nextTimeout()).toBeNull();
    expect(after(recovery, "signaling-restored")).toBe("ask-restart");
  });

  it("asks for nothing when media flows, or on a new connection", () => {
    expect(after(new Recovery(), "connected", "signaling-lost", "signaling-restored")).toBeNull();
    const recovery = new Recovery();
    after(recovery, "connected", "disconnected", "signaling-lost", "replaced");
    expect(after(recovery, "signaling-restored")).toBeNull();
  });
});
