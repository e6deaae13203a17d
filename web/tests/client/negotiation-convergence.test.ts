/**
 * Two ends that offer at any time, over a WebSocket that breaks and loses the messages in flight: they always agree
 * in the end.
 *
 * The server here is the smallest one that follows the protocol: impolite, with an answer deadline. A description
 * carries a counter of changes for each end, so that the test can check agreement.
 */
import { describe, expect, it } from "vitest";
import { type Action, type Input, Negotiation } from "../../src/client/negotiation.js";

/** Pseudo-random numbers in [0, 1) from a seed: mulberry32, as published by Tommy Ettinger. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

interface Message {
  type: "offer" | "answer" | "refused";
  change: number;
}

/** The client: the machine, and a browser that carries out one operation at a time, some time later. */
class Client {
  readonly machine = new Negotiation();
  readonly sent: Message[] = [];
  operation: Action | null = null;
  /** Changes made here, and the newest of them that an offer carried and an answer confirmed. */
  change = 0;
  confirmed = 0;
  pendingOffer: number | null = null;
  /** The newest change of the server that was applied here. */
  seen = 0;
  gaveUp = false;

  input(input: Input, now: number): void {
    for (const action of this.machine.step(input, now)) {
      if (action.do === "send-offer") this.sent.push({ type: "offer", change: Number(action.sdp) });
      else if (action.do === "send-answer") this.sent.push({ type: "answer", change: Number(action.sdp) });
      else if (action.do === "give-up") this.gaveUp = true;
      else if (action.do !== "withdraw") {
        expect(this.operation).toBeNull();
        this.operation = action;
      }
    }
  }

  finishOperation(now: number): void {
    const operation = this.operation;
    this.operation = null;
    switch (operation?.do) {
      case "make-offer":
        this.pendingOffer = this.change;
        this.input({ is: "offer-made", sdp: String(this.change) }, now);
        break;
      case "apply-answer":
        this.confirmed = this.pendingOffer ?? NaN;
        this.pendingOffer = null;
        this.input({ is: "answer-applied" }, now);
        break;
      case "answer-offer":
        this.pendingOffer = null;
        this.seen = Number(operation.sdp);
        this.input({ is: "answer-made", sdp: operation.sdp }, now);
        break;
      case "roll-back":
        this.pendingOffer = null;
        this.input({ is: "rolled-back" }, now);
        break;
      default:
    }
  }
}

/** The impolite end. */
class Server {
  readonly sent: Message[] = [];
  change = 0;
  confirmed = 0;
  seen = 0;
  pendingOffer: number | null = null;
  offeredAt = 0;

  receive(message: Message): void {
    if (message.type === "offer" && this.pendingOffer === null) {
      this.seen = message.change;
      this.sent.push({ type: "answer", change: message.change });
    } else if (message.type === "answer" && this.pendingOffer === message.change) {
      this.confirmed = this.pendingOffer;
      this.pendingOffer = null;
    }
  }

  /** The client is back after a break: the server makes its pending offer again. */
  resume(): void {
    this.pendingOffer = null;
  }

  tick(now: number): void {
    if (this.pendingOffer !== null && now - this.offeredAt > 8000) this.pendingOffer = null;
    if (this.pendingOffer === null && this.confirmed < this.change) {
      this.pendingOffer = this.change;
      this.offeredAt = now;
      this.sent.push({ type: "offer", change: this.change });
    }
  }
}

/** One run from `seed`; `breaks` is the probability that the WebSocket breaks in each step. */
function run(seed: number, breaks: number): void {
  const random = seeded(seed);
  const client = new Client();
  const server = new Server();
  const steps = 60 + Math.floor(random() * 200);
  let isBroken = false;
  for (let step = 0, now = 0; step < steps + 2000; step += 1) {
    const calm = step >= steps;
    now += calm ? 50 : random() * 300;
    if (!calm && random() < 0.2) {
      client.change += 1;
      client.input({ is: "needed" }, now);
    }
    if (!calm && random() < 0.2) server.change += 1;
    if (!isBroken && !calm && random() < breaks) {
      isBroken = true;
      client.input({ is: "signaling-lost" }, now);
    } else if (isBroken && (calm || random() < 0.1)) {
      isBroken = false;
      // Messages in flight, and messages sent during the break, are lost.
      client.sent.length = server.sent.length = 0;
      server.resume();
      client.input({ is: "signaling-restored" }, now);
    }
    if (!isBroken && random() < 0.5) server.tick(now);
    if (random() < 0.5) client.finishOperation(now);
    // Each direction keeps its order, as a WebSocket does.
    if (!isBroken && random() < 0.5)
      deliver(client.sent.shift(), (message) => {
        server.receive(message);
      });
    if (!isBroken && random() < 0.5) {
      deliver(server.sent.shift(), ({ type, change }) => {
        client.input({ is: type === "offer" ? "remote-offer" : "remote-answer", sdp: String(change) }, now);
      });
    }
    const due = client.machine.nextTimeout();
    if (due !== null && due <= now) client.input({ is: "timeout" }, now);
  }
  expect(client.gaveUp).toBe(false);
  expect({ client: client.confirmed, server: server.confirmed }).toEqual({
    client: client.change,
    server: server.change,
  });
  expect({ client: client.seen, server: server.seen }).toEqual({
    client: server.change,
    server: client.change,
  });
  expect(client.machine.state).toBe("stable");
}

function deliver(message: Message | undefined, receive: (message: Message) => void): void {
  if (message !== undefined) receive(message);
}

describe("two ends that offer at any time", () => {
  it("agree at the end, for 300 seeds", () => {
    for (let seed = 1; seed <= 300; seed += 1) run(seed, 0);
  });

  it("agree at the end also when the WebSocket breaks repeatedly, for 300 seeds", () => {
    for (let seed = 1; seed <= 300; seed += 1) run(seed, 0.1);
  });
});
