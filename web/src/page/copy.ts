/** Copies text to the clipboard. */
import { useEffect, useRef, useState } from "react";

/** How long "done" is shown, in ms. */
export const DONE_MS = 1500;

/**
 * Returns whether text was copied just now, and the function that copies. It resolves to false if the browser forbids
 * copying.
 */
export function useCopying(): [isDone: boolean, copy: (text: string) => Promise<boolean>] {
  const [isDone, setDone] = useState(false);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(
    () => () => {
      clearTimeout(timer.current);
    },
    [],
  );
  const copy = async (text: string) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      return false;
    }
    setDone(true);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      setDone(false);
    }, DONE_MS);
    return true;
  };
  return [isDone, copy];
}
