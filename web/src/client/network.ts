/** Detects network changes that the browser reports. */

/** Calls `changed` at every change of the network; returns a function that stops the watch. */
export type NetworkWatch = (changed: () => void) => () => void;

/** `navigator.connection` of the Network Information API, where there is one. */
interface NetworkInformation extends EventTarget {
  /** "wifi", "cellular", …; desktop browsers do not tell. */
  readonly type?: string;
}

/** Watches the browser's `online` event, and the kind of the network where the browser tells it. */
export const watchNetwork: NetworkWatch = (changed) => {
  const { connection } = navigator as { connection?: NetworkInformation };
  let type = connection?.type;
  const onChange = (): void => {
    // The event is also about estimates of speed, which say nothing about the network path.
    if (connection?.type === type) return;
    type = connection?.type;
    changed();
  };
  addEventListener("online", changed);
  connection?.addEventListener("change", onChange);
  return () => {
    removeEventListener("online", changed);
    connection?.removeEventListener("change", onChange);
  };
};
