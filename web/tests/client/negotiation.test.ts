import { describe, expect, it } from "vitest";
import {
  type Action,
  ANSWER_DEADLINE_MS,
  type Input,
  Negotiation,
  RETRY_DELAYS_MS,
} from "../../src/client/negotiation.js";

/** Feeds inputs at time 0 and returns what the last one led to. */
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

describe("without trouble", () => {
  it("offers, and applies the answer", () => {
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

  it("folds what is needed during a negotiation into one following offer", () => {
    const machine = new Negotiation();
    feed(machine, needed, offerMade, needed, needed, remoteAnswer, needed);
    expect(feed(machine, { is: "answer-applied" })).toEqual([{ do: "make-offer" }]);
    feed(machine, offerMade, remoteAnswer);
    expect(feed(machine, { is: "answer-applied" })).toEqual([]);
  });

  it("offers right after its answer when something came up meanwhile", () => {
    const machine = new Negotiation();
    feed(machine, remoteOffer, needed);
    expect(feed(machine, answerMade)).toEqual([{ do: "send-answer", sdp: "our answer" }, { do: "make-offer" }]);
  });

  it("answers an offer that came while it applied an answer", () => {
    const machine = new Negotiation();
    feed(machine, needed, offerMade, remoteAnswer, remoteOffer);
    expect(feed(machine, { is: "answer-applied" })).toEqual([{ do: "answer-offer", sdp: "theirs" }]);
    expect(machine.statistics().collisions).toBe(0);
  });
});

describe("offers that cross", () => {
  it("gives way when its own offer is out, and offers again", () => {
    const machine = new Negotiation();
    feed(machine, needed, offerMade);
    expect(feed(machine, remoteOffer)).toEqual([{ do: "answer-offer", sdp: "theirs" }]);
    expect(feed(machine, answerMade)).toEqual([{ do: "send-answer", sdp: "our answer" }, { do: "make-offer" }]);
    expect(machine.statistics().collisions).toBe(1);
  });

  it("does not send an offer that was overtaken while it was made", () => {
    const machine = new Negotiation();
    feed(machine, needed, remoteOffer);
    expect(feed(machine, offerMade)).toEqual([{ do: "answer-offer", sdp: "theirs" }]);
    expect(feed(machine, answerMade)).toEqual([{ do: "send-answer", sdp: "our answer" }, { do: "make-offer" }]);
  });

  it("answers only the newest of several offers that came during an operation", () => {
    const machine = new Negotiation();
    feed(machine, needed, { is: "remote-offer", sdp: "older" }, { is: "remote-offer", sdp: "newer" });
    expect(feed(machine, offerMade)).toEqual([{ do: "answer-offer", sdp: "newer" }]);
    expect(feed(machine, answerMade)[0]).toEqual({ do: "send-answer", sdp: "our answer" });
  });

  it("ignores and counts an answer to an offer that it has taken back", () => {
    const machine = new Negotiation();
    feed(machine, needed, offerMade, remoteOffer);
    expect(feed(machine, remoteAnswer)).toEqual([]);
    feed(machine, answerMade, offerMade);
    expect(machine.state).toBe("offered");
    expect(machine.statistics().unexpected).toBe(1);
  });
});

describe("an offer that nobody answers", () => {
  it("is taken back at the deadline and made again after a delay", () => {
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

  it("gives up in the end", () => {
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

  it("forgives after a success", () => {
    const machine = new Negotiation();
    feed(machine, needed, offerMade, { is: "refused", code: 503 }, { is: "rolled-back" });
    feed(machine, remoteOffer);
    expect(feed(machine, answerMade)).toContainEqual({ do: "make-offer" });
  });
});

describe("an offer that the server refuses", () => {
  it("is withdrawn when it was refused for good, and not repeated", () => {
    const machine = new Negotiation();
    feed(machine, needed, offerMade);
    expect(feed(machine, { is: "refused", code: 403 })).toEqual([{ do: "roll-back" }]);
    expect(feed(machine, { is: "rolled-back" })).toEqual([{ do: "withdraw" }]);
    expect(machine.nextTimeout()).toBeNull();
  });

  it("is followed by another one when something else is needed", () => {
    const machine = new Negotiation();
    feed(machine, needed, offerMade, { is: "refused", code: 403 }, needed);
    expect(feed(machine, { is: "rolled-back" })).toEqual([{ do: "withdraw" }]);
    expect(machine.step({ is: "timeout" }, 500)).toEqual([{ do: "make-offer" }]);
  });

  it("is repeated later when time may heal", () => {
    const machine = new Negotiation();
    feed(machine, needed, offerMade, { is: "refused", code: 429 });
    expect(feed(machine, { is: "rolled-back" })).toEqual([]);
    expect(machine.nextTimeout()).toBe(RETRY_DELAYS_MS[0]);
  });

  it("ignores a refusal when no offer is out", () => {
    const machine = new Negotiation();
    expect(feed(machine, { is: "refused", code: 400 })).toEqual([]);
    expect(machine.statistics().unexpected).toBe(1);
  });

  it("answers the server's offer first when one came during the rollback", () => {
    const machine = new Negotiation();
    feed(machine, needed, offerMade, { is: "refused", code: 403 }, remoteOffer);
    expect(feed(machine, { is: "rolled-back" })).toEqual([
      { do: "withdraw" },
      { do: "answer-offer", sdp: "theirs" },
    ]);
  });
});

describe("descriptions that the browser does not take", () => {
  it("takes its offer back when the answer does not fit, and offers again", () => {
    const machine = new Negotiation();
    feed(machine, needed, offerMade, remoteAnswer);
    expect(feed(machine, { is: "failed", error: "bad" })).toEqual([{ do: "roll-back" }]);
    expect(feed(machine, { is: "rolled-back" })).toEqual([]);
    expect(machine.step({ is: "timeout" }, 500)).toEqual([{ do: "make-offer" }]);
  });

  it("does not offer because the server's offer was bad", () => {
    const machine = new Negotiation();
    feed(machine, remoteOffer);
    expect(feed(machine, { is: "failed", error: "bad" })).toEqual([{ do: "roll-back" }]);
    expect(feed(machine, { is: "rolled-back" })).toEqual([]);
    expect(machine.nextTimeout()).toBeNull();
    expect(feed(machine, remoteOffer)).toEqual([{ do: "answer-offer", sdp: "theirs" }]);
  });

  it("still wants its own offer when it gave way to a bad one", () => {
    const machine = new Negotiation();
    feed(machine, needed, offerMade, remoteOffer, { is: "failed", error: "bad" });
    feed(machine, { is: "rolled-back" });
    expect(machine.step({ is: "timeout" }, 500)).toEqual([{ do: "make-offer" }]);
  });

  it("gives up when not even a rollback works", () => {
    const machine = new Negotiation();
    feed(machine, needed, { is: "failed", error: "first" });
    expect(feed(machine, { is: "failed", error: "second" })).toEqual([
      { do: "give-up", reason: "rollback: second" },
    ]);
  });
});

describe("a way to the server that breaks and comes back", () => {
  const lost: Input = { is: "signaling-lost" };
  const restored: Input = { is: "signaling-restored" };
  const sendOurs: Action[] = [{ do: "send-offer", sdp: "ours" }];

  it("has our unanswered offer sent again, however long it took", () => {
    const machine = new Negotiation();
    feed(machine, needed, offerMade, lost);
    expect(machine.nextTimeout()).toBeNull();
    expect(machine.step({ is: "timeout" }, 10 * ANSWER_DEADLINE_MS)).toEqual([]);
    expect(machine.step(restored, 100_000)).toEqual(sendOurs);
    expect(machine.nextTimeout()).toBe(100_000 + ANSWER_DEADLINE_MS);
    expect(machine.statistics()).toMatchObject({ offers: 1, unanswered: 0 });
  });

  it("has an offer sent that was made meanwhile", () => {
    const machine = new Negotiation();
    feed(machine, needed, lost);
    expect(feed(machine, offerMade)).toEqual([]);
    expect(feed(machine, restored)).toEqual(sendOurs);
  });

  it("has no offer made before it is back", () => {
    const machine = new Negotiation();
    expect(feed(machine, lost, needed)).toEqual([]);
    expect(machine.nextTimeout()).toBeNull();
    expect(feed(machine, restored)).toEqual([{ do: "make-offer" }]);
  });

  it("has the server's offer not answered: the server makes another", () => {
    const machine = new Negotiation();
    feed(machine, remoteOffer, lost, restored);
    expect(feed(machine, answerMade)).toEqual([]);
    expect(machine.state).toBe("stable");
    feed(machine, remoteOffer);
    expect(feed(machine, answerMade)).toEqual([{ do: "send-answer", sdp: "our answer" }]);
  });

  it("has an offer of the server forgotten that was waiting", () => {
    const machine = new Negotiation();
    feed(machine, needed, offerMade, remoteAnswer, remoteOffer, lost, restored);
    expect(feed(machine, { is: "answer-applied" })).toEqual([]);
    expect(machine.state).toBe("stable");
  });

  it("changes nothing after the end, nor when nothing is under way", () => {
    const machine = new Negotiation();
    expect(feed(machine, lost, restored)).toEqual([]);
    expect(feed(machine, { is: "close" }, lost, restored)).toEqual([]);
  });
});

describe("an offer of the server that shows that it has taken ours", () => {
  const knowing: Input = { is: "remote-offer", sdp: "theirs", knowsOurs: true };

  it("does not have ours rolled back: its answer comes again", () => {
    const machine = new Negotiation();
    feed(machine, needed, offerMade, { is: "signaling-lost" }, { is: "signaling-restored" });
    expect(feed(machine, knowing)).toEqual([]);
    expect(machine.state).toBe("offered");
    expect(feed(machine, remoteAnswer)).toEqual([{ do: "apply-answer", sdp: "their answer" }]);
    expect(machine.statistics()).toMatchObject({ collisions: 1, unexpected: 0 });
  });

  it("is of no more use than any other once ours has failed for another reason", () => {
    const machine = new Negotiation();
    feed(machine, needed, offerMade, knowing);
    expect(machine.step({ is: "timeout" }, ANSWER_DEADLINE_MS)).toEqual([{ do: "roll-back" }]);
    machine.step({ is: "rolled-back" }, ANSWER_DEADLINE_MS);
    expect(machine.step(remoteOffer, ANSWER_DEADLINE_MS)).toEqual([{ do: "answer-offer", sdp: "theirs" }]);
  });
});

describe("its end and its limits", () => {
  it("does nothing after close", () => {
    const machine = new Negotiation();
    feed(machine, needed, { is: "close" });
    expect(feed(machine, offerMade, remoteOffer, needed)).toEqual([]);
    expect(machine.state).toBe("closed");
    expect(machine.nextTimeout()).toBeNull();
  });

  it("throws at a result that nobody asked for", () => {
    expect(() => feed(new Negotiation(), offerMade)).toThrow("offer-made in state stable");
  });

  it("takes a timeout that has nothing to do as nothing", () => {
    const machine = new Negotiation();
    feed(machine, remoteOffer);
    expect(feed(machine, { is: "timeout" })).toEqual([]);
  });
});
