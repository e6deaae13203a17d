/** Carries out what `Recovery` decides, with a timer. */
import { Alarm } from "./alarm.js";
import { Recovery, type RecoveryInput } from "./recovery.js";

/** Callbacks of the recovery. */
export interface MediaRecoveryHooks {
  askForRestart(): void;
  /** Another RTCPeerConnection is needed; then `replaced`. */
  replace(): void;
  giveUp(): void;
}

/** Recovers media during one stay in a room. */
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

  /** Stops the recovery: no more callbacks follow. */
  close(): void {
    this.#alarm.set(null);
  }
}
