/** The buttons below a call. */
import type { RefObject } from "react";
import { useActions, useShown } from "./context.js";
import { useCopying } from "./copy.js";
import { DeviceButton } from "./device-button.js";
import { Icon } from "./icons.js";
import { linkTo } from "./preferences.js";

/** Buttons for devices, link, details, and leaving. */
export function Bar({
  areDetailsOpen,
  detailsButton,
  onDetails,
}: {
  areDetailsOpen: boolean;
  detailsButton: RefObject<HTMLButtonElement | null>;
  onDetails: () => void;
}) {
  const roomId = useShown((state) => state.roomId);
  const actions = useActions();
  const [isCopied, copy] = useCopying();
  const copyLink = async () => {
    if (await copy(linkTo(roomId))) actions.announce("The link is copied");
    else actions.notify(`Copy this address: ${linkTo(roomId)}`);
  };
  return (
    <nav className="bar" aria-label="Call">
      <DeviceButton source="mic" />
      <DeviceButton source="camera" />
      {canShareScreen() && <DeviceButton source="screen" />}
      <button
        type="button"
        className={isCopied ? "round done" : "round"}
        id="copy"
        onClick={() => void copyLink()}
      >
        <Icon name="link" />
        <span className="label">Copy link</span>
      </button>
      <button
        ref={detailsButton}
        type="button"
        className="round"
        id="details-button"
        aria-expanded={areDetailsOpen}
        aria-controls={areDetailsOpen ? "details" : undefined}
        onClick={onDetails}
      >
        <Icon name="details" />
        <span className="label">Details</span>
      </button>
      <button
        type="button"
        className="round danger"
        id="leave"
        onClick={() => {
          actions.leave();
        }}
      >
        <Icon name="leave" />
        <span className="label">Leave</span>
      </button>
    </nav>
  );
}

/** Phones cannot share a screen. A page that was not loaded over https has no devices at all. */
function canShareScreen(): boolean {
  return "getDisplayMedia" in ((navigator.mediaDevices as object | undefined) ?? {});
}
