/** The tiles of a call: one for each person, one for each shared screen. */
import { type CSSProperties, memo } from "react";
import type { TrackInfo } from "../client/index.js";
import { useShown } from "./context.js";
import { useGrid } from "./layout.js";
import { Sound } from "./players.js";
import type { Person } from "./state.js";
import { Tile } from "./tile.js";
import { TrackControls } from "./track-controls.js";

/** All tiles; screens come first, our own tile last. */
export function Tiles() {
  const people = useShown((state) => state.people);
  const ownScreen = useShown(({ own }) => own.screen.stream);
  const everybody = [...people.values()];
  const screens = everybody.flatMap((person) =>
    tracksOf(person)
      .filter(isScreen)
      .map((track) => ({ person, track })),
  );
  const screenCount = screens.length + (ownScreen === null ? 0 : 1);
  const [ref, grid] = useGrid(screenCount + everybody.length + 1, screenCount);
  const style: CSSProperties & Record<`--${string}`, number> = {
    "--columns": grid.columns,
    "--rows": grid.rows,
  };
  return (
    <div ref={ref} id="tiles" className={grid.isWide ? "tiles is-wide" : "tiles"} style={style}>
      {screens.map(({ person, track }) => (
        <ScreenTile key={`screen ${track.trackId}`} person={person} track={track} />
      ))}
      {ownScreen !== null && (
        <Tile key="own screen" name="Your screen" kind="screen" isSelf stream={ownScreen} />
      )}
      {everybody.map((person) => (
        <PersonTile key={`person ${person.peer.peerId}`} person={person} />
      ))}
      <OwnTile key="self" />
    </div>
  );
}

const PersonTile = memo(function PersonTile({ person }: { person: Person }) {
  const { peer, received } = person;
  const { name, mediaState, suspended } = peer;
  const camera = received.find(({ kind, source }) => kind === "video" && source !== "screen");
  return (
    <Tile
      name={name}
      stream={camera?.stream ?? null}
      isMuted={!mediaState.micEnabled}
      isPictureOff={!mediaState.cameraEnabled}
      isAway={suspended}
    >
      {received.map(({ kind, trackId, stream }) => kind === "audio" && <Sound key={trackId} stream={stream} />)}
      <TrackControls person={person} tracks={tracksOf(person).filter((track) => !isScreen(track))} />
    </Tile>
  );
});

const ScreenTile = memo(function ScreenTile({ person, track }: { person: Person; track: TrackInfo }) {
  const stream = person.received.find(({ trackId }) => trackId === track.trackId)?.stream ?? null;
  return (
    <Tile name={`Screen of ${person.peer.name}`} kind="screen" stream={stream}>
      <TrackControls person={person} tracks={[track]} />
    </Tile>
  );
});

function OwnTile() {
  const name = useShown((state) => state.name);
  const camera = useShown(({ own }) => own.camera.stream);
  const isMicOn = useShown(({ own }) => own.mic.isOn);
  const isAway = useShown(({ connection }) => connection === "reconnecting");
  return (
    <Tile
      name={name}
      caption={`${name} (you)`}
      isSelf
      stream={camera}
      isMuted={!isMicOn}
      isPictureOff={camera === null}
      isAway={isAway}
    />
  );
}

function tracksOf({ peer }: Person): TrackInfo[] {
  return [...peer.tracks.values()];
}

function isScreen({ kind, source }: TrackInfo): boolean {
  return kind === "video" && source === "screen";
}
