import { describe, expect, it } from "vitest";
import {
  FIRST_DELAY_MS,
  GIVE_UP_AFTER_MS,
  LASTING_MS,
  MAX_DELAY_MS,
  MOVE_WITHIN_MS,
  Reconnection,
  TRY_WITHIN_MS,
} from "../../src/client/reconnection.js";

const START = 1_000_000;

/** A machine whose delays are the longest possible (`chance` 0) or shorter. */
function machine(chance = 0): Reconnection {
  return new Reconnection(() => chance, START);
}

/** Fails every attempt; returns the delay before each, and the time at which it gave up. */
function failAlways(reconnection: Reconnection, tryMs: number): { delays: number[]; endedAfter: number } {
  const delays: number[] = [];
  let now = START + LASTING_MS;
  const lostAt = now;
  let action = reconnection.step("lost", now);
  while (action !== "give-up") {
    const due = reconnection.nextTimeout() ?? NaN;
    delays.push(due - now);
    expect(reconnection.step("timeout", due)).toBe("try");
    now = due + tryMs;
    action = reconnection.step("lost", now);
  }
  expect(reconnection.nextTimeout()).toBeNull();
  return { delays, endedAfter: now - lostAt };
}

describe("a server that cannot be reached", () => {
  it("is tried at longer and longer intervals, for about a minute", () => {
    const { delays, endedAfter } = failAlways(machine(), 100);
    expect(delays.slice(0, 4)).toEqual([500, 750, 1125, 1687.5]);
    expect(delays.slice(-3)).toEqual([MAX_DELAY_MS, MAX_DELAY_MS, MAX_DELAY_MS]);
    expect(endedAfter).toBeGreaterThanOrEqual(GIVE_UP_AFTER_MS);
    expect(endedAfter).toBeLessThanOrEqual(GIVE_UP_AFTER_MS + MAX_DELAY_MS + 100);
  });

  it("is tried at times that differ from client to client, by up to half of the delay", () => {
    expect(failAlways(machine(0.9999), 0).delays[0]).toBeCloseTo(FIRST_DELAY_MS / 2, 0);
    expect(failAlways(machine(0.5), 0).delays.slice(0, 2)).toEqual([375, 562.5]);
  });

  it("is tried for as long after the computer slept: its network is not there at once", () => {
    for (const wake of ["timeout", "lost", "network"] as const) {
      for (const asleep of ["waiting", "trying"]) {
        const reconnection = machine();
        reconnection.step("lost", START);
        if (asleep === "trying") reconnection.step("timeout", START + 500);
        let now = START + 100 * GIVE_UP_AFTER_MS;
        const wokenAt = now;
        let action = reconnection.step(wake, now);
        while (action !== "give-up") {
          now = Math.max(now, reconnection.nextTimeout() ?? NaN);
          action = reconnection.step("timeout", now);
          if (action === "try") action = reconnection.step("lost", now);
        }
        expect(now - wokenAt).toBeGreaterThan(GIVE_UP_AFTER_MS - TRY_WITHIN_MS - MAX_DELAY_MS);
        expect(now - wokenAt).toBeLessThan(GIVE_UP_AFTER_MS + TRY_WITHIN_MS);
      }
    }
  });

  it("limits the duration of each attempt", () => {
    const reconnection = machine();
    reconnection.step("lost", START);
    reconnection.step("timeout", START + 500);
    expect(reconnection.nextTimeout()).toBe(START + 500 + TRY_WITHIN_MS);
    expect(reconnection.step("timeout", START + 500 + TRY_WITHIN_MS)).toBe("abandon");
    expect(reconnection.nextTimeout()).toBe(START + 500 + TRY_WITHIN_MS + 750);
  });
});

describe("a server that can be reached again", () => {
  it("resets the delays when the connection has lasted", () => {
    const reconnection = machine();
    let now = START;
    for (const [lasting, delay] of [
      [0, 500],
      [LASTING_MS - 1, 750],
      [LASTING_MS - 1, 1125],
      [LASTING_MS, 500],
    ] as const) {
      now += lasting;
      expect(reconnection.step("lost", now)).toBeNull();
      expect((reconnection.nextTimeout() ?? NaN) - now).toBe(delay);
      now += delay;
      expect(reconnection.step("timeout", now)).toBe("try");
      expect(reconnection.step("succeeded", now)).toBeNull();
      expect(reconnection.nextTimeout()).toBeNull();
    }
  });

  it("is disconnected at once when the network has changed: the old path is dead", () => {
    expect(machine().step("network", START)).toBe("try");
  });

  it("is tried again soon on another network, however many attempts failed on the old one", () => {
    const reconnection = machine();
    for (let failures = 0; failures < 10; failures += 1) {
      reconnection.step(failures === 0 ? "lost" : "timeout", START);
      reconnection.step("lost", START);
    }
    reconnection.step("network", START);
    reconnection.step("lost", START);
    expect(reconnection.nextTimeout()).toBe(START + FIRST_DELAY_MS);
  });

  it("is tried at once when the network has changed, and again if need be", () => {
    const reconnection = machine();
    reconnection.step("lost", START);
    expect(reconnection.step("network", START + 10)).toBe("try");
    expect(reconnection.step("network", START + 20)).toBe("try");
    expect(reconnection.nextTimeout()).toBe(START + 20 + TRY_WITHIN_MS);
  });

  it("is tried at once when the client needs a new connection", () => {
    const reconnection = machine();
    expect(reconnection.step("renew", START)).toBe("try");
    expect(reconnection.step("renew", START)).toBeNull();
    expect(reconnection.step("succeeded", START + 50)).toBeNull();
  });

  it("is left within a second when it is draining, at a time that differs from client to client", () => {
    for (const chance of [0, 0.5, 0.999]) {
      const reconnection = machine(chance);
      expect(reconnection.step("draining", START)).toBeNull();
      const due = START + chance * MOVE_WITHIN_MS;
      expect(reconnection.nextTimeout()).toBe(due);
      expect(reconnection.step("timeout", due - 1)).toBeNull();
      expect(reconnection.step("timeout", due)).toBe("try");
      expect(reconnection.step("succeeded", due + 50)).toBeNull();
      expect(reconnection.nextTimeout()).toBeNull();
    }
  });

  it("has the usual delay when it closes before the client has left it", () => {
    const reconnection = machine(0.5);
    reconnection.step("draining", START);
    reconnection.step("lost", START + 10);
    expect(reconnection.nextTimeout()).toBe(START + 10 + 0.75 * FIRST_DELAY_MS);
  });

  it("ignores a success or a timeout that does not belong to the current attempt", () => {
    const reconnection = machine();
    expect(reconnection.step("succeeded", START)).toBeNull();
    expect(reconnection.step("timeout", START)).toBeNull();
    reconnection.step("lost", START);
    expect(reconnection.step("lost", START)).toBeNull();
    expect(reconnection.nextTimeout()).toBe(START + FIRST_DELAY_MS);
  });
});
