/** Shows a room in tiles: follows its events, and nothing else. */
import type { LocalMedia, RemotePeer, RemoteTrack, Room, TrackInfo } from "../client/index.js";
import type { TileGrid } from "./tiles.js";

/** The keys of our own tiles; peer ids are the server's and have no spaces. */
const SELF = "self ";
const SELF_SCREEN = "self screen";

/** Keeps the tiles of a grid as the room is. */
export class CallView {
  readonly #room: Room;
  readonly #media: LocalMedia;
  readonly #grid: TileGrid;

  constructor(room: Room, media: LocalMedia, grid: TileGrid) {
    this.#room = room;
    this.#media = media;
    this.#grid = grid;
    room.on("peerJoined", (peer) => {
      this.#showPeer(peer);
    });
    room.on("mediaStateChanged", (peer) => {
      this.#showPeer(peer);
    });
    for (const event of ["peerSuspended", "peerResumed"] as const) {
      room.on(event, (peer) => {
        this.#showPeer(peer);
      });
    }
    room.on("peerLeft", ({ peerId, tracks }) => {
      for (const track of tracks.values()) this.#withdrawTrack(peerId, track);
      grid.remove(peerId);
    });
    room.on("trackPublished", ({ peer, track }) => {
      this.#offerTrack(peer, track);
    });
    room.on("trackUnpublished", ({ peer, track }) => {
      this.#withdrawTrack(peer.peerId, track);
    });
    room.on("trackSubscribed", (track) => {
      this.#addTrack(track);
      this.#offerTracks(track.peerId);
    });
    room.on("trackUnsubscribed", (track) => {
      this.#removeTrack(track);
      this.#offerTracks(track.peerId);
    });
    room.on("stateChanged", ({ state }) => {
      grid.get(SELF)?.setAway(state === "reconnecting");
    });
    media.on("changed", () => {
      if (room.inRoom) this.#showSelf();
    });
  }

  /** Shows the person's own tile under this name; the others' come by themselves. */
  start(name: string): void {
    const tile = this.#grid.ensure(SELF);
    tile.element.classList.add("is-self");
    tile.setName(name, `${name} (you)`);
    this.#showSelf();
  }

  /** Takes all tiles away. */
  stop(): void {
    this.#grid.clear();
  }

  #showSelf(): void {
    const camera = this.#media.track("camera");
    const tile = this.#grid.ensure(SELF);
    tile.setVideo(camera === null ? null : new MediaStream([camera]));
    tile.setPictureOff(camera === null);
    tile.setMuted(!this.#media.isOn("mic"));
    const screen = this.#media.track("screen");
    if (screen === null) {
      this.#grid.remove(SELF_SCREEN);
    } else if (this.#grid.get(SELF_SCREEN) === null) {
      const screenTile = this.#grid.ensure(SELF_SCREEN, "screen");
      screenTile.setName("Your screen");
      screenTile.setVideo(new MediaStream([screen]));
    }
  }

  #showPeer(peer: RemotePeer): void {
    const tile = this.#grid.ensure(peer.peerId);
    tile.setName(peer.name);
    tile.setMuted(!peer.mediaState.micEnabled);
    tile.setPictureOff(!peer.mediaState.cameraEnabled);
    tile.setAway(peer.suspended);
    this.#offerTracks(peer.peerId);
  }

  /** Lets the person choose of which of somebody's tracks the picture is received. */
  #offerTracks(peerId: string): void {
    const peer = this.#room.peers.get(peerId);
    for (const track of peer?.tracks.values() ?? []) if (peer !== undefined) this.#offerTrack(peer, track);
  }

  #offerTrack({ peerId, name }: RemotePeer, { trackId, kind, source }: TrackInfo): void {
    if (kind === "audio") return;
    const isScreen = source === "screen";
    const tile = isScreen ? this.#grid.ensure(screenKey(trackId), "screen") : this.#grid.ensure(peerId);
    if (isScreen) tile.setName(`Screen of ${name}`);
    const isWatched = this.#room.isSubscribed(trackId);
    const toggle = async () => {
      try {
        const done = isWatched ? this.#room.unsubscribe(trackId) : this.#room.subscribe(trackId);
        this.#offerTracks(peerId);
        await done;
      } catch {
        // The track or the room has ended, or the room reports the refusal: in each case show what is the case.
      }
      this.#offerTracks(peerId);
    };
    tile.setWatch({ isWatched, toggle: () => void toggle() });
  }

  #withdrawTrack(peerId: string, { trackId, kind, source }: TrackInfo): void {
    if (kind === "audio") return;
    if (source === "screen") this.#grid.remove(screenKey(trackId));
    else this.#grid.get(peerId)?.setWatch(null);
  }

  #addTrack({ peerId, trackId, kind, source, stream }: RemoteTrack): void {
    if (kind === "audio") {
      this.#grid.ensure(peerId).addAudio(trackId, stream);
    } else if (source === "screen") {
      this.#grid.ensure(screenKey(trackId), "screen").setVideo(stream);
    } else {
      this.#grid.ensure(peerId).setVideo(stream);
    }
  }

  #removeTrack({ peerId, trackId, kind, source }: RemoteTrack): void {
    if (kind === "audio") this.#grid.get(peerId)?.removeAudio(trackId);
    else this.#grid.get(source === "screen" ? screenKey(trackId) : peerId)?.setVideo(null);
  }
}

function screenKey(trackId: string): string {
  return `screen ${trackId}`;
}
