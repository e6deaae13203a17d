/** A call: tiles, buttons, and the panel with details. */
import { useCallback, useEffect, useRef, useState } from "react";
import { Bar } from "./bar.js";
import { useActions, useShown } from "./context.js";
import { Details } from "./details.js";
import { Tiles } from "./tiles.js";

/** The page while the person is in a room. */
export function Call() {
  const roomId = useShown((state) => state.roomId);
  const isAlone = useShown(({ people }) => people.size === 0);
  const isSoundBlocked = useShown((state) => state.isSoundBlocked);
  const actions = useActions();
  const [areDetailsOpen, setDetailsOpen] = useState(false);
  const title = useRef<HTMLHeadingElement>(null);
  const detailsButton = useRef<HTMLButtonElement>(null);

  // The button that had the focus is gone. Focus here also makes screen readers announce the call.
  useEffect(() => {
    title.current?.focus();
  }, []);

  const closeDetails = useCallback(() => {
    setDetailsOpen(false);
    detailsButton.current?.focus();
  }, []);

  return (
    <main id="call" className="call">
      <h1 ref={title} className="visually-hidden" tabIndex={-1}>
        Room {roomId}
      </h1>
      <div className="stage">
        <Tiles />
        {isAlone && <p className="alone">You are alone in this room. Copy the link to invite others.</p>}
        {isSoundBlocked && (
          <button
            type="button"
            id="play-sound"
            className="primary play-sound"
            onClick={() => {
              actions.playSound();
            }}
          >
            Play the sound of this call
          </button>
        )}
      </div>
      {areDetailsOpen && <Details onClose={closeDetails} />}
      <Bar
        areDetailsOpen={areDetailsOpen}
        detailsButton={detailsButton}
        onDetails={() => {
          setDetailsOpen((isOpen) => !isOpen);
        }}
      />
    </main>
  );
}
