/** Updates the store from the events of the room and the devices. */
import type { StoreApi } from "zustand/vanilla";
import type { LocalMedia, Room, RoomEvents, Source } from "../client/index.js";
import type { OwnSource, Person, State } from "./state.js";
import { endInWords, roomErrorInWords } from "./words.js";

const UNSTABLE = "Your connection is unstable: reconnecting…";
const RECONNECTING = "The connection to the server is lost: reconnecting…";

/** Follows the events of `room` and `media`. */
export function follow(room: Room, media: LocalMedia, { setState }: StoreApi<State>): void {
  const announce = (announcement: string) => {
    setState({ announcement });
  };
  const refresh = ({ peerId }: { peerId: string }) => {
    setState(withPerson(room, peerId));
  };

  room.on("stateChanged", (change) => {
    setState((state) => ({
      connection: change.state,
      notice: noticeAfter(change, state.notice),
      // Outside a call no sound plays.
      isSoundBlocked: state.isSoundBlocked && room.inRoom,
      transport: room.inRoom ? state.transport : null,
    }));
  });
  room.on("transportChanged", (transport) => {
    setState(({ notice }) => {
      if (transport === "disconnected") return { transport, notice: { text: UNSTABLE, about: "media" } };
      const isSettled = transport === "connected" && notice?.about === "media";
      return { transport, notice: isSettled ? null : notice };
    });
  });

  for (const event of [
    "peerJoined",
    "peerLeft",
    "peerSuspended",
    "peerResumed",
    "mediaStateChanged",
  ] as const) {
    room.on(event, refresh);
  }
  for (const event of ["trackSubscribed", "trackUnsubscribed"] as const) room.on(event, refresh);
  for (const event of ["trackPublished", "trackUnpublished"] as const) {
    room.on(event, ({ peer }) => {
      refresh(peer);
    });
  }
  room.on("peerJoined", ({ name }) => {
    announce(`${name} is here`);
  });
  room.on("peerLeft", ({ name }) => {
    if (room.inRoom) announce(`${name} has left`);
  });
  room.on("peerSuspended", ({ name }) => {
    announce(`${name} is reconnecting`);
  });
  room.on("peerResumed", ({ name }) => {
    announce(`${name} is back`);
  });

  room.on("publicationEnded", ({ publication, reason }) => {
    const text = endInWords(publication.source, reason);
    if (text !== null) setState({ notice: { text, about: "other" } });
  });
  media.on("changed", (source) => {
    setState(({ own }) => ({ own: { ...own, [source]: ownSource(media, source, own[source]) } }));
  });
}

/** The change of the store that copies the room's present data about one peer. */
export function withPerson(room: Room, peerId: string): (state: State) => Pick<State, "people"> {
  return (state) => {
    const people = new Map(state.people);
    const peer = room.peers.get(peerId);
    if (peer === undefined) {
      people.delete(peerId);
    } else {
      const preferences: Person["preferences"] = new Map(
        [...peer.tracks.keys()].map((trackId) => [
          trackId,
          { isReceived: room.isSubscribed(trackId), layer: room.preferredLayer(trackId) },
        ]),
      );
      people.set(peerId, {
        peer,
        preferences,
        received: room.remoteTracks.filter((each) => each.peerId === peerId),
      });
    }
    return { people };
  };
}

function noticeAfter({ state, error }: RoomEvents["stateChanged"], notice: State["notice"]): State["notice"] {
  if (state === "reconnecting") return { text: RECONNECTING, about: "signaling" };
  if (error !== null) return { text: roomErrorInWords(error), about: "other" };
  return state === "joined" && notice?.about === "signaling" ? null : notice;
}

/** Creates a new stream only for another track: a player that gets the same stream does not flicker. */
function ownSource(media: LocalMedia, source: Source, { stream }: OwnSource): OwnSource {
  const isOn = media.isOn(source);
  const track = media.track(source);
  if (track === null) return { isOn, stream: null };
  return { isOn, stream: stream?.getTracks()[0] === track ? stream : new MediaStream([track]) };
}
