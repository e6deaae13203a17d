/** Controls for another person's tracks: whether to receive them, and the highest layer. */
import { useId } from "react";
import type { TrackInfo } from "../client/index.js";
import { useActions } from "./context.js";
import { Icon } from "./icons.js";
import type { Person } from "./state.js";
import { layersInWords } from "./words.js";

/** The controls for `tracks`, which belong to one person and one tile. */
export function TrackControls({ person, tracks }: { person: Person; tracks: readonly TrackInfo[] }) {
  const pictures = tracks.filter(({ kind }) => kind === "video");
  const sounds = tracks.filter(({ kind }) => kind === "audio");
  return (
    <div className="track-controls">
      {pictures.map((track) => (
        <LayerChoice key={track.trackId} person={person} track={track} />
      ))}
      <ReceiveButton person={person} tracks={pictures} what="picture" />
      <ReceiveButton person={person} tracks={sounds} what="sound" />
    </div>
  );
}

/** Switches between receiving all of `tracks` and none; renders nothing if `tracks` is empty. */
function ReceiveButton({
  person,
  tracks,
  what,
}: {
  person: Person;
  tracks: readonly TrackInfo[];
  what: "picture" | "sound";
}) {
  const actions = useActions();
  if (tracks.length === 0) return null;
  const { peerId, name } = person.peer;
  const trackIds = tracks.map(({ trackId }) => trackId);
  const isReceived = trackIds.some((trackId) => person.preferences.get(trackId)?.isReceived);
  const label = `Receive the ${what} of ${name}`;
  return (
    <button
      type="button"
      className="receive"
      data-receive={what}
      aria-pressed={isReceived}
      aria-label={label}
      title={isReceived ? `Stop receiving the ${what} of ${name}` : label}
      onClick={() => void actions.receive(peerId, trackIds, !isReceived)}
    >
      <Icon name={what} />
    </button>
  );
}

/** Selects the highest simulcast layer; renders nothing if the publisher sends only one. */
function LayerChoice({ person, track }: { person: Person; track: TrackInfo }) {
  const actions = useActions();
  const hintId = useId();
  const { trackId, layers } = track;
  if (layers.length < 2) return null;
  const names = layersInWords(layers);
  // The library and the server keep the preference; the server decides which layer it sends.
  const hint = "The highest quality to receive. The server may send less or may not support the choice.";
  return (
    <>
      <select
        className="layer"
        aria-label={`Quality wanted of ${person.peer.name}`}
        aria-describedby={hintId}
        title={hint}
        value={person.preferences.get(trackId)?.layer ?? ""}
        disabled={person.preferences.get(trackId)?.isReceived !== true}
        onChange={({ target }) =>
          void actions.chooseLayer(person.peer.peerId, trackId, target.value === "" ? null : target.value)
        }
      >
        <option value="">Best</option>
        {layers.map((rid, index) => (
          <option key={rid} value={rid}>
            {names[index]}
          </option>
        ))}
      </select>
      <span id={hintId} className="visually-hidden">
        {hint}
      </span>
    </>
  );
}
