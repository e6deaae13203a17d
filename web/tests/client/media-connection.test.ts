import { afterEach, expect, it, vi } from "vitest";
import { MediaConnection } from "../../src/client/media-connection.js";
import { Publications } from "../../src/client/publications.js";
import { description, FakeConnection } from "../fakes/connection.js";
import { settle } from "../fakes/harness.js";

afterEach(() => {
  vi.useRealTimers();
});

it("reads a description once: in a large room it is long, and asked for at every message", async () => {
  vi.useFakeTimers();
  const connection = new FakeConnection({});
  const nothing = () => undefined;
  const media = new MediaConnection(
    () => connection as unknown as RTCPeerConnection,
    [],
    "me",
    new Publications(),
    [],
    {
      send: nothing,
      remoteDescriptionChanged: nothing,
      agreed: nothing,
      stateChanged: nothing,
      silent: nothing,
      withdraw: nothing,
      giveUp: nothing,
    },
  );
  const offer = async (mid: string) => {
    const sdp = description({ kind: "audio", mid, direction: "sendonly" });
    media.receive({ type: "offer", data: { sdp } });
    await settle();
    return media.sections();
  };
  const first = await offer("0");
  expect(media.sections()).toBe(first);
  expect((await offer("1")).map(({ mid }) => mid)).toEqual(["1"]);
  media.close();
});
