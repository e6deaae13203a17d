/** Offers that cross after a break, with a browser that forgets mids when it rolls back. */
import { beforeEach, describe, expect, it } from "vitest";
import { Negotiator } from "../../src/client/negotiator.js";
import { description, FakeConnection, type FakeTransceiver } from "../fakes/connection.js";
import { FakeTrack } from "../fakes/media.js";
import { settle } from "../fakes/harness.js";

let connection: FakeConnection;
let negotiator: Negotiator;
let microphone: FakeTransceiver;
let sent: string[];
/** The candidates that were sent. */
let told: (string | undefined)[];

/** A microphone was offered; then the WebSocket broke and came back. */
beforeEach(async () => {
  connection = new FakeConnection({});
  sent = [];
  told = [];
  negotiator = new Negotiator(connection as unknown as RTCPeerConnection, {
    sendOffer: () => sent.push("offer"),
    sendAnswer: () => sent.push("answer"),
    sendCandidate: (candidate) => told.push(candidate?.candidate),
    remoteDescriptionChanged: () => undefined,
    agreed: () => undefined,
    withdraw: () => undefined,
    giveUp: () => undefined,
  });
  microphone = connection.addTransceiver(new FakeTrack("audio"), { direction: "sendonly" });
  await settle();
  negotiator.signalingLost();
  negotiator.signalingRestored();
  expect(sent).toEqual(["offer", "offer"]);
  sent = [];
});

function gather(candidate: string): void {
  connection.onicecandidate?.({ candidate: { candidate } });
}

/** The description of a server that is a full ICE agent. */
const full = (sdp: string) => sdp.replace("a=ice-lite\r\n", "");

const ours = { kind: "audio", mid: "c0", direction: "recvonly" };
const theirs = { kind: "video", mid: "s0", direction: "sendonly", msid: "ann t-cam" };

describe("the server's offer after a break", () => {
  it("keeps our m-sections when it names them: the server has applied our offer", async () => {
    negotiator.remoteOffer(description(ours, theirs));
    await settle();
    expect(sent).toEqual([]);
    negotiator.remoteAnswer(description(ours));
    await settle();
    expect(connection.history).toEqual(["local offer", "remote answer"]);
    negotiator.remoteOffer(description(ours, theirs));
    await settle();
    expect(sent).toEqual(["answer"]);
    expect(microphone.mid).toBe("c0");
  });

  it("rolls ours back when it does not contain our m-sections", async () => {
    negotiator.remoteOffer(description(theirs));
    await settle();
    expect(sent).toEqual(["answer", "offer"]);
    expect(connection.history.slice(0, 2)).toEqual(["local offer", "rollback"]);
    expect(microphone.mid).toBe("c1");
  });

  it("rolls ours back also when ours adds no m-section: no mid is lost", async () => {
    negotiator.remoteAnswer(description(ours));
    await settle();
    microphone.direction = "inactive";
    await settle();
    negotiator.remoteOffer(description({ ...ours, direction: "inactive" }, theirs));
    await settle();
    expect(sent.filter((each) => each === "answer")).toHaveLength(1);
    expect(microphone.mid).toBe("c0");
  });
});

describe("candidates", () => {
  it("are sent once the server has described itself and the WebSocket is back", async () => {
    gather("first");
    negotiator.remoteAnswer(full(description(ours)));
    expect(told).toEqual([]);
    await settle();
    gather("second");
    negotiator.signalingLost();
    gather("third");
    expect(told).toEqual(["first", "second"]);
    negotiator.signalingRestored();
    expect(told).toEqual(["first", "second", "third"]);
  });

  it("are sent before the server's queued offer is answered", async () => {
    gather("first");
    negotiator.remoteAnswer(full(description(ours)));
    negotiator.remoteOffer(full(description(ours, theirs)));
    await settle();
    expect(told).toEqual(["first"]);
  });

  it("are sent again with the offer that is sent again", async () => {
    negotiator.remoteAnswer(full(description(ours)));
    await settle();
    microphone.direction = "inactive";
    await settle();
    negotiator.signalingLost();
    gather("late");
    negotiator.signalingRestored();
    expect(sent.slice(-1)).toEqual(["offer"]);
    expect(told).toEqual(["late"]);
  });

  it("are not sent to an ICE-lite server", async () => {
    gather("first");
    negotiator.remoteAnswer(description(ours));
    await settle();
    gather("second");
    negotiator.remoteOffer(description(ours, theirs));
    gather("third");
    await settle();
    expect(sent).toEqual(["answer"]);
    expect(told).toEqual([]);
  });

  it("of the server wait while their offer is queued", async () => {
    negotiator.remoteAnswer(description(ours));
    negotiator.remoteOffer(description(ours, theirs));
    negotiator.remoteCandidate({ candidate: "for s0" });
    await settle();
    expect(connection.history.slice(1)).toEqual(["remote answer", "remote offer", "candidate", "local answer"]);
  });

  it("of the server are discarded with their offer", async () => {
    negotiator.remoteAnswer(description(ours));
    negotiator.remoteOffer(description(ours, theirs));
    negotiator.remoteCandidate({ candidate: "for s0" });
    negotiator.signalingLost();
    await settle();
    negotiator.signalingRestored();
    negotiator.remoteOffer(description(ours, theirs));
    await settle();
    expect(connection.candidates).toEqual([]);
  });
});
