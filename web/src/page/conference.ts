/** A room, the devices and the store that shows them: the page without its components. */
import { createStore, type StoreApi } from "zustand/vanilla";
import type { LocalMedia, Room } from "../client/index.js";
import { Actions, type Clocks, type Memory } from "./actions.js";
import { narrate } from "./event-log.js";
import { follow } from "./follow.js";
import { INITIAL, type State } from "./state.js";

/** What the components use: a store to read, and the person's actions. */
export interface Conference {
  readonly store: StoreApi<State>;
  readonly actions: Actions;
}

const BROWSER_CLOCKS: Clocks = { now: () => Date.now(), monotonic: () => performance.now() };

/** Makes the store and feeds it with the events of `room` and `media` until the page closes. */
export function createConference(
  room: Room,
  media: LocalMedia,
  memory: Memory,
  clocks: Clocks = BROWSER_CLOCKS,
): Conference {
  const store = createStore<State>(() => INITIAL);
  const actions = new Actions(room, media, store, memory, clocks);
  narrate(room, (text, isTrouble) => {
    actions.note(text, isTrouble);
  });
  follow(room, media, store);
  return { store, actions };
}
