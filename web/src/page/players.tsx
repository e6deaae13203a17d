/** The two elements that play streams. They release the stream when they are removed. */
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
      // An AbortError only says that another source replaced this one.
      if (error instanceof DOMException && error.name === "NotAllowedError") actions.soundBlocked();
    });
  }, [stream, round, actions]);

  return ref;
}

/** Plays video without sound. */
export function Picture({
  stream,
  label,
  isMirrored = false,
  onShown,
}: {
  stream: MediaStream | null;
  label: string;
  isMirrored?: boolean;
  /** Called with true when frames arrive, and with false when there are none any more. */
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

/** Plays audio; it shows nothing. */
export function Sound({ stream }: { stream: MediaStream }) {
  return <audio ref={usePlayer<HTMLAudioElement>(stream)} />;
}
