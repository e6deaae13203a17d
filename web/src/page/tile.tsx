/** One tile: a video, the person's name, and the state of their devices and connection. */
import { type ReactNode, useState } from "react";
import { Icon } from "./icons.js";
import { Picture } from "./players.js";

/** What a tile shows. */
export interface TileProps {
  /** The person's name; `caption`, if any, is shown in its place. */
  name: string;
  caption?: string;
  kind?: "person" | "screen";
  /** Mirrors our own video. */
  isSelf?: boolean;
  stream: MediaStream | null;
  isMuted?: boolean;
  /** The camera is off: shows the initials, even if the stream has frames. */
  isPictureOff?: boolean;
  /** The connection broke and may come back. */
  isAway?: boolean;
  /** Audio players and controls. */
  children?: ReactNode;
}

/** One tile. */
export function Tile(props: TileProps) {
  const { name, caption = name, kind = "person", stream, children } = props;
  const { isSelf = false, isMuted = false, isPictureOff = false, isAway = false } = props;
  // Without frames, the element keeps the last frame of the previous track: show the video only while it plays.
  const [hasPicture, setHasPicture] = useState(false);
  const classes = {
    "is-screen": kind === "screen",
    "is-self": isSelf,
    "is-muted": isMuted,
    "picture-off": isPictureOff,
    "is-away": isAway,
    "has-picture": hasPicture,
  };
  const marks = Object.entries(classes).flatMap(([mark, isSet]) => (isSet ? mark : []));
  return (
    <article className={["tile", ...marks].join(" ")} aria-label={caption}>
      <Picture
        stream={stream}
        label={`Video: ${caption}`}
        isMirrored={isSelf && kind === "person"}
        onShown={setHasPicture}
      />
      {kind === "person" && (
        <span className="initials" aria-hidden="true">
          {initials(name)}
        </span>
      )}
      <p className="caption">
        {isMuted && (
          <span className="muted-badge" role="img" aria-label="Microphone off">
            <Icon name="mic" />
          </span>
        )}
        <bdi className="name">{caption}</bdi>
        {isAway && <span className="away">reconnecting…</span>}
      </p>
      {children}
    </article>
  );
}

/** Up to two letters that stand for a name. */
export function initials(name: string): string {
  const words = name.trim().split(/\s+/);
  const chosen = words.length > 1 ? [words[0], words.at(-1)] : words;
  return chosen
    .map((word) => firstLetter(word ?? ""))
    .join("")
    .toUpperCase();
}

/** A letter may be several code points; a flag or a family is one letter. */
function firstLetter(word: string): string {
  const [first] = new Intl.Segmenter().segment(word);
  return first?.segment ?? "";
}
