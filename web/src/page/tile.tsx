/** One tile: a picture, whose it is, and how that person is doing. */
import { type ReactNode, useState } from "react";
import { Icon } from "./icons.js";
import { Picture } from "./players.js";

/** What a tile shows. */
export interface TileProps {
  /** Whose it is; `caption` is what stands there instead of the name alone. */
  name: string;
  caption?: string;
  kind?: "person" | "screen";
  /** Our own picture is shown as in a mirror. */
  isSelf?: boolean;
  stream: MediaStream | null;
  isMuted?: boolean;
  /** The camera is off: the initials are shown, whatever the stream brings. */
  isPictureOff?: boolean;
  /** The connection broke and may come back. */
  isAway?: boolean;
  /** Sounds, and what can be chosen. */
  children?: ReactNode;
}

/** One tile. */
export function Tile(props: TileProps) {
  const { name, caption = name, kind = "person", stream, children } = props;
  const { isSelf = false, isMuted = false, isPictureOff = false, isAway = false } = props;
  // A track without frames leaves the last picture of the one before it: show the video only while it plays.
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
