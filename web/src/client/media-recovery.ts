/** Carries out what `Recovery` decides, with a timer. */
import { Alarm } from "./alarm.js";
import { Recovery, type RecoveryInput } from "./recovery.js";

/** Whom it talks to. */
export interface MediaRecoveryHooks {
  askForRestart(): void;
  /** Another RTCPeerConnection is needed; then `replaced`. */
  replace(): void;
  giveUp(): void;
}

/** The care for media during one stay in a room. */
export class MediaRecovery {
  readonly #machine = new Recovery();
  readonly #hooks: MediaRecoveryHooks;
  readonly #alarm = new Alarm(() => {
    this.step("timeout");
  });

  constructor(hooks: MediaRecoveryHooks) {
    this.#hooks = hooks;
  }

  step(input: RecoveryInput): void {
    const action = this.#machine.step(input, performance.now());
    this.#alarm.set(this.#machine.nextTimeout());
    if (action === "ask-restart") this.#hooks.askForRestart();
    else if (action === "replace") this.#hooks.replace();
    else if (action === "give-up") this.#hooks.giveUp();
  }

  /** Ends it: nothing is asked for any more. */
  close(): void {
    this.#alarm.set(null);
  }
}
