/** The panel beside the tiles: statistics and events, one of them at a time. */
import { type KeyboardEvent, useRef, useState } from "react";
import { Events } from "./events.js";
import { Statistics } from "./statistics.js";

const TABS = { statistics: "Statistics", events: "Events" } as const;
type Tab = keyof typeof TABS;

/** Shown while it is open; `onClose` is called by its button and by Escape. */
export function Details({ onClose }: { onClose: () => void }) {
  const [tab, setTab] = useState<Tab>("statistics");
  const buttons = useRef<Partial<Record<Tab, HTMLButtonElement | null>>>({});

  // As in the ARIA Authoring Practices: one stop for the Tab key, arrow keys between the tabs.
  const onArrow = (event: KeyboardEvent) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const other = tab === "statistics" ? "events" : "statistics";
    event.preventDefault();
    setTab(other);
    buttons.current[other]?.focus();
  };

  return (
    <aside
      id="details"
      className="details"
      aria-label="Details"
      onKeyDown={({ key }) => {
        if (key === "Escape") onClose();
      }}
    >
      <div className="details-head">
        <div role="tablist" aria-label="Details" onKeyDown={onArrow}>
          {(Object.keys(TABS) as Tab[]).map((each) => (
            <button
              key={each}
              ref={(button) => {
                buttons.current[each] = button;
              }}
              type="button"
              role="tab"
              id={`tab-${each}`}
              aria-selected={tab === each}
              aria-controls="details-content"
              tabIndex={tab === each ? 0 : -1}
              onClick={() => {
                setTab(each);
              }}
            >
              {TABS[each]}
            </button>
          ))}
        </div>
        <button type="button" className="close" aria-label="Close the details" onClick={onClose}>
          ×
        </button>
      </div>
      <div
        id="details-content"
        className={`details-content ${tab}`}
        role="tabpanel"
        aria-labelledby={`tab-${tab}`}
      >
        {tab === "statistics" ? <Statistics /> : <Events />}
      </div>
    </aside>
  );
}
