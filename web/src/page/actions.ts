/** What a person does with the page: each button and form calls one of these. */
import type { StoreApi } from "zustand/vanilla";
import { type LocalMedia, type Room, RoomError, type Source } from "../client/index.js";
import { withEntry } from "./event-log.js";
import { figuresOf, type Snapshot } from "./figures.js";
import { withPerson } from "./follow.js";
import type { Request } from "./preferences.js";
import type { Notice, State } from "./state.js";
import { userIn } from "./token.js";
import { captureInWords, roomErrorInWords } from "./words.js";

/** The room of a page opened without a link: two tabs on the same address are in one call. */
const DEFAULT_ROOM = "lobby";

/** How often the statistics are read while a component shows them, in ms. */
export const STATISTICS_INTERVAL_MS = 1000;

/** What the page remembers, and its address: `preferences.ts`, or a fake of it. */
export interface Memory {
  rememberName(name: string): void;
  rememberDevices(on: { mic: boolean; camera: boolean }): void;
  rememberCall(room: string): void;
  interruptedCall(): string;
  userIdOfThisTab(): string;
  showAddressOf(room: string): void;
}

/** The clocks of the page. */
export interface Clocks {
  /** In ms since 1970, for people. */
  now(): number;
  /** In ms, monotonic. */
  monotonic(): number;
}

/** The person's actions. */
export class Actions {
  readonly #room: Room;
  readonly #media: LocalMedia;
  readonly #store: StoreApi<State>;
  readonly #memory: Memory;
  readonly #clocks: Clocks;
  #token = "";

  constructor(room: Room, media: LocalMedia, store: StoreApi<State>, memory: Memory, clocks: Clocks) {
    this.#room = room;
    this.#media = media;
    this.#store = store;
    this.#memory = memory;
    this.#clocks = clocks;
    room.on("stateChanged", ({ state }) => {
      // A reload goes back into a call, but not into one that is over.
      if (state === "leaving" || state === "failed") memory.rememberCall("");
    });
  }

  /** Opens the devices, and joins if the page's address asks for it. */
  async start(request: Request): Promise<void> {
    const { name, room, token, autojoin } = request;
    this.#token = token;
    this.#store.setState({ name, roomId: room === "" ? DEFAULT_ROOM : room });
    const capturing = this.#media.start(request);
    const isInterrupted = room !== "" && room === this.#memory.interruptedCall();
    if (autojoin || isInterrupted) await this.join(name, this.#store.getState().roomId);
    const words = (await capturing).map(captureInWords).filter((each) => each !== null);
    for (const each of words) this.note(each, true);
    if (words.length > 0) this.notify(words.join(" "));
  }

  /** Joins a room; does nothing without a name or a room. */
  async join(name: string, roomId: string): Promise<void> {
    if (name.trim() === "" || roomId.trim() === "") return;
    const me = { name: name.trim(), roomId: roomId.trim() };
    this.#store.setState({ ...me, notice: null });
    this.#memory.rememberName(me.name);
    this.#memory.showAddressOf(me.roomId);
    try {
      // A token is valid only for the user that it names.
      const userId = userIn(this.#token) ?? this.#memory.userIdOfThisTab();
      await this.#room.join({ ...me, userId, ...(this.#token === "" ? {} : { token: this.#token }) });
    } catch (error) {
      // The change of the state tells the person.
      if (error instanceof RoomError) return;
      throw error;
    }
    this.#memory.rememberCall(me.roomId);
  }

  /** Leaves the call. */
  leave(): void {
    void this.#room.leave();
  }

  /** Switches a device; if that fails, shows the reason. */
  async toggle(source: Source): Promise<void> {
    this.notify(null);
    try {
      await this.#media.set(source, !this.#media.isOn(source));
    } catch (error) {
      const words = captureInWords({ source, error });
      this.notify(words);
      if (words !== null) this.note(words, true);
    }
    if (source === "screen") return;
    this.#memory.rememberDevices({ mic: this.#media.isOn("mic"), camera: this.#media.isOn("camera") });
  }

  /** Receives these tracks of one peer, or receives them no longer. */
  async receive(peerId: string, trackIds: readonly string[], isReceived: boolean): Promise<void> {
    await this.#ask(peerId, trackIds, (trackId) =>
      isReceived
        ? this.#room.subscribe(trackId, this.#room.preferredLayer(trackId))
        : this.#room.unsubscribe(trackId),
    );
  }

  /** Sets the highest simulcast layer of a track; null: the best one. */
  async chooseLayer(peerId: string, trackId: string, layer: string | null): Promise<void> {
    await this.#ask(peerId, [trackId], () => this.#room.subscribe(trackId, layer));
  }

  /** Reads the statistics into the store, until the function that it returns is called. */
  watchStatistics(): () => void {
    let earlier: Snapshot | null = null;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const watch = { isOver: false };
    const take = async () => {
      const statistics = await this.#room.statistics();
      if (watch.isOver) return;
      const current = { at: this.#clocks.monotonic(), statistics };
      this.#store.setState({ figures: figuresOf(current, earlier) });
      earlier = current;
      timer = setTimeout(() => void take(), STATISTICS_INTERVAL_MS);
    };
    void take();
    return () => {
      watch.isOver = true;
      clearTimeout(timer);
      this.#store.setState({ figures: null });
    };
  }

  /** The browser blocked the playback of a player. */
  soundBlocked(): void {
    this.#store.setState({ isSoundBlocked: true });
  }

  /** Retries the blocked players; call it from a click handler. */
  playSound(): void {
    this.#store.setState(({ playRound }) => ({ isSoundBlocked: false, playRound: playRound + 1 }));
  }

  /** Shows a message above everything else; null removes it. */
  notify(text: string | null, about: Notice["about"] = "other"): void {
    this.#store.setState({ notice: text === null ? null : { text, about } });
  }

  /** Announces a text to screen readers. */
  announce(announcement: string): void {
    this.#store.setState({ announcement });
  }

  /** Adds to the list of events. */
  note(text: string, isTrouble: boolean): void {
    this.#store.setState(({ log }) => ({ log: withEntry(log, { at: this.#clocks.now(), text, isTrouble }) }));
  }

  /** Sends requests about tracks of one peer. The page shows the new preference at once; a refusal undoes it. */
  async #ask(
    peerId: string,
    trackIds: readonly string[],
    request: (trackId: string) => Promise<void>,
  ): Promise<void> {
    const asking = Promise.all(trackIds.map((trackId) => this.#try(peerId, trackId, request)));
    this.#store.setState(withPerson(this.#room, peerId));
    await asking;
    this.#store.setState(withPerson(this.#room, peerId));
  }

  async #try(peerId: string, trackId: string, request: (trackId: string) => Promise<void>): Promise<void> {
    try {
      await request(trackId);
    } catch (error) {
      if (!(error instanceof RoomError)) throw error;
      // The page already shows that the track or the room has ended meanwhile.
      if (this.#room.peers.get(peerId)?.tracks.has(trackId) !== true) return;
      this.notify(roomErrorInWords(error));
      this.note(roomErrorInWords(error), true);
    }
  }
}
