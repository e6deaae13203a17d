/** Messages: one shown above everything else, and one for screen readers only. */
import { useActions, useShown } from "./context.js";

/** The message, if any. Its element is always there: otherwise screen readers would not read a new message. */
export function NoticeBar() {
  const notice = useShown((state) => state.notice);
  const actions = useActions();
  return (
    <div id="notice" className="notice" role="alert" hidden={notice === null}>
      <p id="notice-text">{notice?.text}</p>
      <button
        type="button"
        id="notice-close"
        aria-label="Close this message"
        onClick={() => {
          actions.notify(null);
        }}
      >
        ×
      </button>
    </div>
  );
}

/** Announces events to screen readers. */
export function Announcer() {
  const announcement = useShown((state) => state.announcement);
  return (
    <p id="status" className="visually-hidden" role="status">
      {announcement}
    </p>
  );
}
