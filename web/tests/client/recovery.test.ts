import { describe, expect, it } from "vitest";
import {
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
  it("gets some time, then an ICE restart is asked for, and again", () => {
    const recovery = new Recovery();
    expect(after(recovery, "connected", "disconnected")).toBeNull();
    expect(recovery.nextTimeout()).toBe(RESTART_AFTER_MS);
    expect(recovery.step("timeout", RESTART_AFTER_MS)).toBe("ask-restart");
    expect(recovery.step("restart-offered", RESTART_AFTER_MS + 20)).toBeNull();
    expect(recovery.nextTimeout()).toBe(RESTART_AFTER_MS + RESTART_AGAIN_MS);
    expect(recovery.step("timeout", RESTART_AFTER_MS + RESTART_AGAIN_MS)).toBe("ask-restart");
  });

  it("is left alone when it comes back in time", () => {
    const recovery = new Recovery();
    after(recovery, "connected", "disconnected", "connected");
    expect(recovery.nextTimeout()).toBeNull();
    expect(recovery.step("timeout", RESTART_AFTER_MS)).toBeNull();
  });

  it("gets a new connection when this one has failed", () => {
    const recovery = new Recovery();
    expect(after(recovery, "connected", "disconnected", "failed")).toBe("replace");
    expect(after(recovery, "replaced")).toBeNull();
    expect(recovery.nextTimeout()).toBeNull();
  });

  it("gets no more connections after some that never got through", () => {
    const recovery = new Recovery();
    const actions = Array.from({ length: MAX_FAILED_CONNECTIONS }, () => after(recovery, "replaced", "failed"));
    expect(actions).toEqual(["replace", "replace", "give-up"]);
  });

  it("gets as many connections as get through", () => {
    const recovery = new Recovery();
    for (let round = 0; round < 10; round += 1) {
      expect(after(recovery, "replaced", "connected", "failed")).toBe("replace");
    }
  });
});

describe("a network that changes", () => {
  it("asks for an ICE restart at once", () => {
    expect(after(new Recovery(), "connected", "network")).toBe("ask-restart");
    expect(after(new Recovery(), "connected", "disconnected", "network")).toBe("ask-restart");
  });

  it("does not before there was a connection", () => {
    expect(after(new Recovery(), "network")).toBeNull();
  });
});

describe("without signaling", () => {
  it("asks when it is there again: for what it would have asked", () => {
    expect(after(new Recovery(), "connected", "signaling-lost", "network")).toBeNull();
    const recovery = new Recovery();
    expect(after(recovery, "connected", "signaling-lost", "network", "signaling-restored")).toBe("ask-restart");
    after(recovery, "restart-offered", "signaling-lost");
    expect(after(recovery, "signaling-restored")).toBeNull();
  });

  it("asks again when the request or its answer may have got lost", () => {
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
