/** The button that switches one of our own sources. */
import type { Source } from "../client/index.js";
import { useActions, useShown } from "./context.js";
import { Icon } from "./icons.js";

const LABELS: Readonly<Record<Source, string>> = {
  mic: "Microphone",
  camera: "Camera",
  screen: "Share screen",
};

/** Shows whether a source is on, and switches it. */
export function DeviceButton({ source }: { source: Source }) {
  const isOn = useShown(({ own }) => own[source].isOn);
  const actions = useActions();
  return (
    <button
      type="button"
      className="round"
      data-source={source}
      aria-pressed={isOn}
      onClick={() => void actions.toggle(source)}
    >
      <Icon name={source} />
      <span className="label">{LABELS[source]}</span>
    </button>
  );
}
