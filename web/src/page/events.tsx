/** The list of events. */
import { useLayoutEffect, useRef } from "react";
import { useActions, useShown } from "./context.js";
import { useCopying } from "./copy.js";
import { logAsText } from "./event-log.js";

/** A list scrolled to within this distance of its end follows new entries, in CSS pixels. */
const NEAR_THE_END = 48;

/** All entries, the newest last. The list scrolls to new entries unless the person has scrolled up. */
export function Events() {
  const log = useShown((state) => state.log);
  const actions = useActions();
  const [isCopied, copy] = useCopying();
  const list = useRef<HTMLOListElement>(null);
  const isFollowing = useRef(true);

  useLayoutEffect(() => {
    const element = list.current;
    if (element !== null && isFollowing.current) element.scrollTop = element.scrollHeight;
  }, [log]);

  const copyAll = async () => {
    if (await copy(logAsText(log))) actions.announce("The events are copied");
    else actions.notify("Your browser does not let this page copy text.");
  };

  return (
    <>
      <ol
        ref={list}
        className="events"
        aria-label="Events"
        tabIndex={0}
        onScroll={({ currentTarget: { scrollTop, clientHeight, scrollHeight } }) => {
          isFollowing.current = scrollTop + clientHeight > scrollHeight - NEAR_THE_END;
        }}
      >
        {log.map(({ serial, at, text, isTrouble }) => (
          <li key={serial} className={isTrouble ? "is-trouble" : undefined}>
            <time dateTime={new Date(at).toISOString()}>{new Date(at).toLocaleTimeString()}</time>{" "}
            <bdi>{text}</bdi>
          </li>
        ))}
      </ol>
      <button type="button" className="secondary" id="copy-events" onClick={() => void copyAll()}>
        {isCopied ? "Copied" : "Copy all"}
      </button>
    </>
  );
}
