/** Tracks and streams without devices. */

/** A MediaStreamTrack as far as the library looks at one. */
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

  /** As in browsers: no event for an end that the program asked for. */
  stop(): void {
    this.readyState = "ended";
  }

  /** The device goes away. */
  unplug(): void {
    this.readyState = "ended";
    this.dispatchEvent(new Event("ended"));
  }
}

/** A MediaStream as far as the library looks at one. */
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

/** A fake track in the type that the library takes. */
export function track(kind: "audio" | "video"): MediaStreamTrack & FakeTrack {
  return new FakeTrack(kind) as unknown as MediaStreamTrack & FakeTrack;
}
