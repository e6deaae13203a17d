/** Tracks and streams without devices. */

/** A MediaStreamTrack with the members that the library uses. */
export class FakeTrack extends EventTarget {
  static #count = 0;
  readonly id = `track-${(FakeTrack.#count += 1)}`;
  readonly kind: string;
  enabled = true;
  readyState: "live" | "ended" = "live";
  contentHint = "";

  constructor(kind: string) {
    super();
    this.kind = kind;
  }

  /** As in browsers: `stop` by the program fires no event. */
  stop(): void {
    this.readyState = "ended";
  }

  /** The device is unplugged. */
  unplug(): void {
    this.readyState = "ended";
    this.dispatchEvent(new Event("ended"));
  }
}

/** A MediaStream with the members that the library uses. */
export class FakeStream {
  readonly #tracks: FakeTrack[];

  constructor(tracks: FakeTrack[] = []) {
    this.#tracks = tracks;
  }

  getTracks(): FakeTrack[] {
    return this.#tracks;
  }

  getAudioTracks(): FakeTrack[] {
    return this.#tracks.filter(({ kind }) => kind === "audio");
  }

  getVideoTracks(): FakeTrack[] {
    return this.#tracks.filter(({ kind }) => kind === "video");
  }
}

/** A fake track, typed as the library expects it. */
export function track(kind: "audio" | "video"): MediaStreamTrack & FakeTrack {
  return new FakeTrack(kind) as unknown as MediaStreamTrack & FakeTrack;
}
