/** Messages: one above everything else, and what is only said. */
import { useActions, useShown } from "./context.js";

/** The message that is shown, if any. Its place is always there, since only then it is read out when it comes. */
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

/** What happens, for those who hear the page. */
export function Announcer() {
  const announcement = useShown((state) => state.announcement);
  return (
    <p id="status" className="visually-hidden" role="status">
      {announcement}
    </p>
  );
}
