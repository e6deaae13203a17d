/** The form before a call: name, room, and camera preview. */
import { type SyntheticEvent, useEffect, useRef } from "react";
import { useActions, useShown } from "./context.js";
import { DeviceButton } from "./device-button.js";
import { Picture } from "./players.js";

/** The default of the server's SFU_MAX_ID_LENGTH, which counts characters; an input counts no fewer. */
const MAX_LENGTH = 128;

/** Asks for a name and a room. */
export function Lobby() {
  const connection = useShown((state) => state.connection);
  const name = useShown((state) => state.name);
  const roomId = useShown((state) => state.roomId);
  const camera = useShown(({ own }) => own.camera.stream);
  const actions = useActions();
  const nameInput = useRef<HTMLInputElement>(null);
  const roomInput = useRef<HTMLInputElement>(null);
  const joinButton = useRef<HTMLButtonElement>(null);
  const isJoining = connection === "connecting" || connection === "joining";
  const isBusy = isJoining || connection === "leaving";

  // At the start, and after each call or failed join: the focus goes where the person continues.
  useEffect(() => {
    if (isBusy) return;
    (nameInput.current?.value === "" ? nameInput.current : joinButton.current)?.focus();
  }, [isBusy]);

  const submit = (event: SyntheticEvent<HTMLFormElement>) => {
    event.preventDefault();
    if (isBusy) return;
    void actions.join(nameInput.current?.value ?? "", roomInput.current?.value ?? "");
  };

  return (
    <main id="lobby" className="lobby">
      <form id="join" className="card" onSubmit={submit}>
        <h1>
          <img src="./icon.svg" alt="" width="32" height="32" /> trio-sfu
        </h1>
        <div className="preview">
          <Picture stream={camera} label="Your camera" isMirrored />
          {camera === null && <p className="preview-off">Your camera is off</p>}
          <div className="toggles">
            <DeviceButton source="mic" />
            <DeviceButton source="camera" />
          </div>
        </div>
        <label>
          Your name
          <input
            ref={nameInput}
            id="name"
            name="name"
            autoComplete="name"
            maxLength={MAX_LENGTH}
            required
            defaultValue={name}
          />
        </label>
        <label>
          Room
          <input
            ref={roomInput}
            id="room"
            name="room"
            autoComplete="off"
            autoCapitalize="none"
            maxLength={MAX_LENGTH}
            required
            defaultValue={roomId}
          />
        </label>
        <button ref={joinButton} id="join-button" className="primary" type="submit" disabled={isBusy}>
          {isJoining ? "Joining…" : "Join"}
        </button>
      </form>
    </main>
  );
}
