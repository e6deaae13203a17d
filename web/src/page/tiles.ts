/** The tiles of a call: one for each person, one for each shared screen. */
import { columnsFor } from "./layout.js";

/** One tile. */
export class Tile {
  readonly element: HTMLElement;
  readonly #video: HTMLVideoElement;
  readonly #name: HTMLElement;
  readonly #initials: HTMLElement;
  readonly #audio = new Map<string, HTMLAudioElement>();
  readonly #watch: HTMLButtonElement;
  #onWatch: (() => void) | null = null;
  readonly #onBlocked: () => void;

  constructor(template: HTMLTemplateElement, onBlocked: () => void) {
    const element = (template.content.cloneNode(true) as DocumentFragment).querySelector<HTMLElement>(".tile");
    if (element === null) throw new Error("the template has no tile");
    this.element = element;
    this.#video = query(element, "video");
    this.#name = query<"span">(element, ".name");
    this.#initials = query<"span">(element, ".initials");
    this.#watch = query<"button">(element, ".watch");
    this.#watch.addEventListener("click", () => this.#onWatch?.());
    this.#onBlocked = onBlocked;
    // A track without frames leaves the last picture of the one before it: show the video only while it plays.
    this.#video.addEventListener("emptied", () => {
      this.element.classList.remove("has-picture");
    });
    this.#video.addEventListener("playing", () => {
      this.element.classList.add("has-picture");
    });
  }

  /** Shows whose tile it is; `caption` is what stands there instead of the name alone. */
  setName(name: string, caption = name): void {
    this.#name.textContent = caption;
    this.#initials.textContent = initials(name);
    this.#video.setAttribute("aria-label", `Video: ${caption}`);
  }

  /** Marks the microphone as off. */
  setMuted(muted: boolean): void {
    this.element.classList.toggle("is-muted", muted);
  }

  /** Shows the initials instead of the picture. */
  setPictureOff(off: boolean): void {
    this.element.classList.toggle("picture-off", off);
  }

  /** Says that the connection broke and may come back. */
  setAway(away: boolean): void {
    this.element.classList.toggle("is-away", away);
  }

  /** Offers to receive the picture, or to receive it no longer; null: there is none to be had. */
  setWatch(offer: { isWatched: boolean; toggle: () => void } | null): void {
    this.#onWatch = offer?.toggle ?? null;
    this.#watch.hidden = offer === null;
    this.#watch.textContent = offer?.isWatched === false ? "Show picture" : "Hide picture";
    this.element.classList.toggle("is-unwatched", offer?.isWatched === false);
  }

  /** Shows this stream's picture; null shows the initials. */
  setVideo(stream: MediaStream | null): void {
    if (this.#video.srcObject === stream) return;
    this.#video.srcObject = stream;
    if (stream !== null) void this.#play(this.#video);
  }

  /** Plays this stream's sound until `removeAudio`. */
  addAudio(trackId: string, stream: MediaStream): void {
    const audio = document.createElement("audio");
    audio.srcObject = stream;
    this.#audio.set(trackId, audio);
    this.element.append(audio);
    void this.#play(audio);
  }

  removeAudio(trackId: string): void {
    const audio = this.#audio.get(trackId);
    if (audio === undefined) return;
    audio.srcObject = null;
    audio.remove();
    this.#audio.delete(trackId);
  }

  /** Tries again to play what the browser refused to play before the person did something. */
  play(): void {
    for (const element of [this.#video, ...this.#audio.values()]) {
      if (element.srcObject !== null && element.paused) void this.#play(element);
    }
  }

  async #play(element: HTMLMediaElement): Promise<void> {
    try {
      await element.play();
    } catch (error) {
      // An AbortError only says that another source took its place.
      if (error instanceof DOMException && error.name === "NotAllowedError") this.#onBlocked();
    }
  }
}

/** Lays tiles out so that they are as large as they can be. */
export class TileGrid {
  readonly #container: HTMLElement;
  readonly #template: HTMLTemplateElement;
  readonly #onBlocked: () => void;
  readonly #tiles = new Map<string, Tile>();

  constructor(container: HTMLElement, template: HTMLTemplateElement, onBlocked: () => void) {
    this.#container = container;
    this.#template = template;
    this.#onBlocked = onBlocked;
    new ResizeObserver(() => {
      this.#arrange();
    }).observe(container);
  }

  get size(): number {
    return this.#tiles.size;
  }

  get(key: string): Tile | null {
    return this.#tiles.get(key) ?? null;
  }

  /** The tile of this key; a new one comes last, but screens come before people. */
  ensure(key: string, kind: "person" | "screen" = "person"): Tile {
    let tile = this.#tiles.get(key);
    if (tile === undefined) {
      tile = new Tile(this.#template, this.#onBlocked);
      tile.element.classList.toggle("is-screen", kind === "screen");
      this.#tiles.set(key, tile);
      this.#container.append(tile.element);
      this.#arrange();
    }
    return tile;
  }

  remove(key: string): void {
    const tile = this.#tiles.get(key);
    if (tile === undefined) return;
    tile.setVideo(null);
    tile.element.remove();
    this.#tiles.delete(key);
    this.#arrange();
  }

  clear(): void {
    for (const key of [...this.#tiles.keys()]) this.remove(key);
  }

  play(): void {
    for (const tile of this.#tiles.values()) tile.play();
  }

  #arrange(): void {
    const { clientWidth, clientHeight, style, classList } = this.#container;
    const screens = this.#container.querySelectorAll(".is-screen").length;
    // A screen is as large as four people where there is room for two columns.
    const cells = this.#tiles.size + 3 * screens;
    const columns = columnsFor(cells, clientWidth, clientHeight);
    const isWide = columns > 1;
    classList.toggle("is-wide", isWide);
    style.setProperty("--columns", String(columns));
    style.setProperty("--rows", String(isWide ? Math.ceil(cells / columns) : Math.max(1, this.#tiles.size)));
  }
}

/** Up to two letters that stand for a name. */
export function initials(name: string): string {
  const words = name.trim().split(/\s+/);
  const chosen = words.length > 1 ? [words[0], words.at(-1)] : words;
  return chosen
    .map((word) => firstLetter(word ?? ""))
    .join("")
    .toUpperCase();
}

/** A letter may be several code points; a flag or a family is one letter. */
function firstLetter(word: string): string {
  const [first] = new Intl.Segmenter().segment(word);
  return first?.segment ?? "";
}

function query<Name extends keyof HTMLElementTagNameMap>(
  parent: HTMLElement,
  selector: Name | `.${string}`,
): HTMLElementTagNameMap[Name] {
  const element = parent.querySelector<HTMLElementTagNameMap[Name]>(selector);
  if (element === null) throw new Error(`no ${selector} in the tile`);
  return element;
}
