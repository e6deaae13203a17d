/** The two elements that play streams. They let go of the stream when they go. */
import { type RefObject, useEffect, useRef } from "react";
import { useActions, useShown } from "./context.js";

/** Plays `stream` in the element that gets the returned ref; null plays nothing. */
function usePlayer<Player extends HTMLMediaElement>(stream: MediaStream | null): RefObject<Player | null> {
  const ref = useRef<Player>(null);
  const actions = useActions();
  const round = useShown(({ playRound }) => playRound);

  useEffect(() => {
    const player = ref.current;
    if (player === null) return;
    player.srcObject = stream;
    return () => {
      player.srcObject = null;
    };
  }, [stream]);

  useEffect(() => {
    const player = ref.current;
    if (player === null || stream === null || !player.paused) return;
    player.play().catch((error: unknown) => {
      // An AbortError only says that another source took its place.
      if (error instanceof DOMException && error.name === "NotAllowedError") actions.soundBlocked();
    });
  }, [stream, round, actions]);

  return ref;
}

/** A picture, without sound. */
export function Picture({
  stream,
  label,
  isMirrored = false,
  onShown,
}: {
  stream: MediaStream | null;
  label: string;
  isMirrored?: boolean;
  /** Called with true when frames are there, and with false when they are no more. */
  onShown?: (isShown: boolean) => void;
}) {
  const ref = usePlayer<HTMLVideoElement>(stream);
  return (
    <video
      ref={ref}
      className={isMirrored ? "mirrored" : undefined}
      aria-label={label}
      autoPlay
      muted
      playsInline
      onPlaying={() => onShown?.(true)}
      onEmptied={() => onShown?.(false)}
    />
  );
}

/** A sound; there is nothing to be seen. */
export function Sound({ stream }: { stream: MediaStream }) {
  return <audio ref={usePlayer<HTMLAudioElement>(stream)} />;
}
