import { describe, expect, it } from "vitest";
import {
  type Action,
  ANSWER_DEADLINE_MS,
  type Input,
  Negotiation,
  RETRY_DELAYS_MS,
} from "../../src/client/negotiation.js";

/** Feeds inputs at time 0 and returns the actions for the last one. */
function feed(machine: Negotiation, ...inputs: Input[]): Action[] {
  let actions: Action[] = [];
  for (const input of inputs) actions = machine.step(input, 0);
  return actions;
}

const needed: Input = { is: "needed" };
const offerMade: Input = { is: "offer-made", sdp: "ours" };
const remoteOffer: Input = { is: "remote-offer", sdp: "theirs" };
const remoteAnswer: Input = { is: "remote-answer", sdp: "their answer" };
const answerMade: Input = { is: "answer-made", sdp: "our answer" };

describe("offers and answers in turn", () => {
  it("offers and applies the answer", () => {
    const machine = new Negotiation();
    expect(feed(machine, needed)).toEqual([{ do: "make-offer" }]);
    expect(feed(machine, offerMade)).toEqual([{ do: "send-offer", sdp: "ours" }]);
    expect(feed(machine, remoteAnswer)).toEqual([{ do: "apply-answer", sdp: "their answer" }]);
    expect(feed(machine, { is: "answer-applied" })).toEqual([]);
    expect(machine.state).toBe("stable");
    expect(machine.nextTimeout()).toBeNull();
  });

  it("answers an offer", () => {
    const machine = new Negotiation();
    expect(feed(machine, remoteOffer)).toEqual([{ do: "answer-offer", sdp: "theirs" }]);
    expect(feed(machine, answerMade)).toEqual([{ do: "send-answer", sdp: "our answer" }]);
    expect(machine.state).toBe("stable");
  });

  it("makes one offer for all changes that come up during a negotiation", () => {
    const machine = new Negotiation();
    feed(machine, needed, offerMade, needed, needed, remoteAnswer, needed);
    expect(feed(machine, { is: "answer-applied" })).toEqual([{ do: "make-offer" }]);
    feed(machine, offerMade, remoteAnswer);
    expect(feed(machine, { is: "answer-applied" })).toEqual([]);
  });

  it("offers right after its answer when a change came up meanwhile", () => {
    const machine = new Negotiation();
    feed(machine, remoteOffer, needed);
    expect(feed(machine, answerMade)).toEqual([{ do: "send-answer", sdp: "our answer" }, { do: "make-offer" }]);
  });

  it("answers an offer that arrived while it applied an answer", () => {
    const machine = new Negotiation();
    feed(machine, needed, offerMade, remoteAnswer, remoteOffer);
    expect(feed(machine, { is: "answer-applied" })).toEqual([{ do: "answer-offer", sdp: "theirs" }]);
    expect(machine.statistics().collisions).toBe(0);
  });
});

describe("offers that cross", () => {
  it("rolls back its own offer for the server's, and offers again", () => {
    const machine = new Negotiation();
    feed(machine, needed, offerMade);
    expect(feed(machine, remoteOffer)).toEqual([{ do: "answer-offer", sdp: "theirs" }]);
    expect(feed(machine, answerMade)).toEqual([{ do: "send-answer", sdp: "our answer" }, { do: "make-offer" }]);
    expect(machine.statistics().collisions).toBe(1);
  });

  it("does not send an offer when the server's arrived while it was being created", () => {
    const machine = new Negotiation();
    feed(machine, needed, remoteOffer);
    expect(feed(machine, offerMade)).toEqual([{ do: "answer-offer", sdp: "theirs" }]);
    expect(feed(machine, answerMade)).toEqual([{ do: "send-answer", sdp: "our answer" }, { do: "make-offer" }]);
  });

  it("answers only the newest of several offers that arrived during an operation", () => {
    const machine = new Negotiation();
    feed(machine, needed, { is: "remote-offer", sdp: "older" }, { is: "remote-offer", sdp: "newer" });
    expect(feed(machine, offerMade)).toEqual([{ do: "answer-offer", sdp: "newer" }]);
    expect(feed(machine, answerMade)[0]).toEqual({ do: "send-answer", sdp: "our answer" });
  });

  it("ignores and counts an answer to an offer that it has rolled back", () => {
    const machine = new Negotiation();
    feed(machine, needed, offerMade, remoteOffer);
    expect(feed(machine, remoteAnswer)).toEqual([]);
    feed(machine, answerMade, offerMade);
    expect(machine.state).toBe("offered");
    expect(machine.statistics().unexpected).toBe(1);
  });
});

describe("an offer without an answer", () => {
  it("is rolled back at the deadline and made again after a delay", () => {
    const machine = new Negotiation();
    feed(machine, needed, offerMade);
    expect(machine.nextTimeout()).toBe(ANSWER_DEADLINE_MS);
    expect(machine.step({ is: "timeout" }, ANSWER_DEADLINE_MS - 1)).toEqual([]);
    expect(machine.step({ is: "timeout" }, ANSWER_DEADLINE_MS)).toEqual([{ do: "roll-back" }]);
    expect(machine.step({ is: "rolled-back" }, ANSWER_DEADLINE_MS)).toEqual([]);
    const retry = ANSWER_DEADLINE_MS + (RETRY_DELAYS_MS[0] ?? 0);
    expect(machine.nextTimeout()).toBe(retry);
    expect(machine.step(needed, retry - 1)).toEqual([]);
    expect(machine.step({ is: "timeout" }, retry)).toEqual([{ do: "make-offer" }]);
    expect(machine.statistics().unanswered).toBe(1);
  });

  it("fails the negotiation after the last attempt", () => {
    const machine = new Negotiation();
    let now = 0;
    let actions = machine.step(needed, now);
    for (let round = 0; round <= RETRY_DELAYS_MS.length; round += 1) {
      expect(actions).toEqual([{ do: "make-offer" }]);
      machine.step(offerMade, now);
      now = machine.nextTimeout() ?? NaN;
      actions = machine.step({ is: "timeout" }, now);
      if (round === RETRY_DELAYS_MS.length) break;
      machine.step({ is: "rolled-back" }, now);
      now = machine.nextTimeout() ?? NaN;
      actions = machine.step({ is: "timeout" }, now);
    }
    expect(actions).toEqual([{ do: "give-up", reason: "the server does not answer" }]);
    expect(machine.state).toBe("closed");
  });

  it("has all its attempts again after a success", () => {
    const machine = new Negotiation();
    feed(machine, needed, offerMade, { is: "refused", code: 503 }, { is: "rolled-back" });
    feed(machine, remoteOffer);
    expect(feed(machine, answerMade)).toContainEqual({ do: "make-offer" });
  });
});

describe("an offer that the server refuses", () => {
  it("is rolled back after a permanent refusal, and not made again", () => {
    const machine = new Negotiation();
    feed(machine, needed, offerMade);
    expect(feed(machine, { is: "refused", code: 403 })).toEqual([{ do: "roll-back" }]);
    expect(feed(machine, { is: "rolled-back" })).toEqual([{ do: "withdraw" }]);
    expect(machine.nextTimeout()).toBeNull();
  });

  it("is followed by another offer when something else needs negotiation", () => {
    const machine = new Negotiation();
    feed(machine, needed, offerMade, { is: "refused", code: 403 }, needed);
    expect(feed(machine, { is: "rolled-back" })).toEqual([{ do: "withdraw" }]);
    expect(machine.step({ is: "timeout" }, 500)).toEqual([{ do: "make-offer" }]);
  });

  it("is made again later when the refusal is temporary", () => {
    const machine = new Negotiation();
    feed(machine, needed, offerMade, { is: "refused", code: 429 });
    expect(feed(machine, { is: "rolled-back" })).toEqual([]);
    expect(machine.nextTimeout()).toBe(RETRY_DELAYS_MS[0]);
  });

  it("ignores a refusal when no offer is pending", () => {
    const machine = new Negotiation();
    expect(feed(machine, { is: "refused", code: 400 })).toEqual([]);
    expect(machine.statistics().unexpected).toBe(1);
  });

  it("answers the server's offer first when one arrived during the rollback", () => {
    const machine = new Negotiation();
    feed(machine, needed, offerMade, { is: "refused", code: 403 }, remoteOffer);
    expect(feed(machine, { is: "rolled-back" })).toEqual([
      { do: "withdraw" },
      { do: "answer-offer", sdp: "theirs" },
    ]);
  });
});

describe("descriptions that the browser rejects", () => {
  it("rolls back its offer when the browser rejects the answer, and offers again", () => {
    const machine = new Negotiation();
    feed(machine, needed, offerMade, remoteAnswer);
    expect(feed(machine, { is: "failed", error: "bad" })).toEqual([{ do: "roll-back" }]);
    expect(feed(machine, { is: "rolled-back" })).toEqual([]);
    expect(machine.step({ is: "timeout" }, 500)).toEqual([{ do: "make-offer" }]);
  });

  it("makes no offer of its own because the server's was rejected", () => {
    const machine = new Negotiation();
    feed(machine, remoteOffer);
    expect(feed(machine, { is: "failed", error: "bad" })).toEqual([{ do: "roll-back" }]);
    expect(feed(machine, { is: "rolled-back" })).toEqual([]);
    expect(machine.nextTimeout()).toBeNull();
    expect(feed(machine, remoteOffer)).toEqual([{ do: "answer-offer", sdp: "theirs" }]);
  });

  it("offers again after it gave way to a server's offer that the browser rejected", () => {
    const machine = new Negotiation();
    feed(machine, needed, offerMade, remoteOffer, { is: "failed", error: "bad" });
    feed(machine, { is: "rolled-back" });
    expect(machine.step({ is: "timeout" }, 500)).toEqual([{ do: "make-offer" }]);
  });

  it("fails when the rollback fails too", () => {
    const machine = new Negotiation();
    feed(machine, needed, { is: "failed", error: "first" });
    expect(feed(machine, { is: "failed", error: "second" })).toEqual([
      { do: "give-up", reason: "rollback: second" },
    ]);
  });
});

describe("a WebSocket that breaks and comes back", () => {
  const lost: Input = { is: "signaling-lost" };
  const restored: Input = { is: "signaling-restored" };
  const sendOurs: Action[] = [{ do: "send-offer", sdp: "ours" }];

  it("sends the unanswered offer again, however long the break was", () => {
    const machine = new Negotiation();
    feed(machine, needed, offerMade, lost);
    expect(machine.nextTimeout()).toBeNull();
    expect(machine.step({ is: "timeout" }, 10 * ANSWER_DEADLINE_MS)).toEqual([]);
    expect(machine.step(restored, 100_000)).toEqual(sendOurs);
    expect(machine.nextTimeout()).toBe(100_000 + ANSWER_DEADLINE_MS);
    expect(machine.statistics()).toMatchObject({ offers: 1, unanswered: 0 });
  });

  it("sends an offer that was created during the break", () => {
    const machine = new Negotiation();
    feed(machine, needed, lost);
    expect(feed(machine, offerMade)).toEqual([]);
    expect(feed(machine, restored)).toEqual(sendOurs);
  });

  it("creates no offer before the WebSocket is back", () => {
    const machine = new Negotiation();
    expect(feed(machine, lost, needed)).toEqual([]);
    expect(machine.nextTimeout()).toBeNull();
    expect(feed(machine, restored)).toEqual([{ do: "make-offer" }]);
  });

  it("does not answer the server's offer from before the break: the server makes another", () => {
    const machine = new Negotiation();
    feed(machine, remoteOffer, lost, restored);
    expect(feed(machine, answerMade)).toEqual([]);
    expect(machine.state).toBe("stable");
    feed(machine, remoteOffer);
    expect(feed(machine, answerMade)).toEqual([{ do: "send-answer", sdp: "our answer" }]);
  });

  it("discards a queued offer of the server", () => {
    const machine = new Negotiation();
    feed(machine, needed, offerMade, remoteAnswer, remoteOffer, lost, restored);
    expect(feed(machine, { is: "answer-applied" })).toEqual([]);
    expect(machine.state).toBe("stable");
  });

  it("changes nothing after close, or when no negotiation is in progress", () => {
    const machine = new Negotiation();
    expect(feed(machine, lost, restored)).toEqual([]);
    expect(feed(machine, { is: "close" }, lost, restored)).toEqual([]);
  });
});

describe("a server's offer that shows that the server has applied ours", () => {
  const knowing: Input = { is: "remote-offer", sdp: "theirs", knowsOurs: true };

  it("does not roll ours back: the server sends its answer again", () => {
    const machine = new Negotiation();
    feed(machine, needed, offerMade, { is: "signaling-lost" }, { is: "signaling-restored" });
    expect(feed(machine, knowing)).toEqual([]);
    expect(machine.state).toBe("offered");
    expect(feed(machine, remoteAnswer)).toEqual([{ do: "apply-answer", sdp: "their answer" }]);
    expect(machine.statistics()).toMatchObject({ collisions: 1, unexpected: 0 });
  });

  it("is treated as any other once ours has failed for another reason", () => {
    const machine = new Negotiation();
    feed(machine, needed, offerMade, knowing);
    expect(machine.step({ is: "timeout" }, ANSWER_DEADLINE_MS)).toEqual([{ do: "roll-back" }]);
    machine.step({ is: "rolled-back" }, ANSWER_DEADLINE_MS);
    expect(machine.step(remoteOffer, ANSWER_DEADLINE_MS)).toEqual([{ do: "answer-offer", sdp: "theirs" }]);
  });
});

describe("close and invalid inputs", () => {
  it("does nothing after close", () => {
    const machine = new Negotiation();
    feed(machine, needed, { is: "close" });
    expect(feed(machine, offerMade, remoteOffer, needed)).toEqual([]);
    expect(machine.state).toBe("closed");
    expect(machine.nextTimeout()).toBeNull();
  });

  it("throws at a result of an operation that it did not request", () => {
    expect(() => feed(new Negotiation(), offerMade)).toThrow("offer-made in state stable");
  });

  it("ignores a timeout when none is due", () => {
    const machine = new Negotiation();
    feed(machine, remoteOffer);
    expect(feed(machine, { is: "timeout" })).toEqual([]);
  });
});
