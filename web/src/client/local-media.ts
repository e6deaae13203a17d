/** Microphone, camera and screen of this device, switched on and off in a room. */
import { Emitter } from "./emitter.js";
import type { Source } from "./protocol.js";
import type { Publication } from "./publications.js";
import type { Room } from "./room.js";

/** The events of local media. */
export interface LocalMediaEvents {
  /** A source was switched on or off, by the program or by unplugging the device. */
  changed: Source;
}

/** A source that could not be opened, and the browser's error (a DOMException: NotAllowedError, NotFoundError, …). */
export interface CaptureFailure {
  source: Source;
  error: unknown;
}

/** The constraints for each device; the browser picks the closest mode of the device. */
export interface CaptureOptions {
  audio: MediaTrackConstraints;
  video: MediaTrackConstraints;
  screen: DisplayMediaStreamOptions;
}

const DEFAULTS: CaptureOptions = {
  audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
  video: { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } },
  // 30 frames/s are enough for a screen; text needs the full resolution.
  screen: { video: { frameRate: { max: 30 } }, audio: false },
};

/**
 * The devices of one person in one room.
 *
 * Switching off a microphone sends silence and keeps the device, because opening it again takes long enough to lose
 * the first word. Switching off a camera closes the device, because its light says whether it is on. Switching
 * off a screen ends its publication. Sources may be switched on before the room is joined: they are then shown in
 * a preview, and published when it is.
 */
export class LocalMedia extends Emitter<LocalMediaEvents> {
  readonly #room: Room;
  readonly #devices: MediaDevices | undefined;
  readonly #options: CaptureOptions;
  readonly #publications = new Map<Source, Publication>();
  /** The last switch operation of each source: the next one waits for it. */
  readonly #queues = new Map<Source, Promise<void>>();
  /** How often all devices were closed: requests from before the last time are dropped. */
  #closings = 0;

  constructor(
    room: Room,
    options: Partial<CaptureOptions> = {},
    devices: MediaDevices | undefined = navigator.mediaDevices,
  ) {
    super();
    this.#room = room;
    this.#devices = devices;
    this.#options = { ...DEFAULTS, ...options };
    room.on("stateChanged", ({ state, previous }) => {
      if (state === "leaving" || (state === "closed" && previous === "failed")) this.#closings += 1;
    });
    room.on("publicationEnded", ({ publication }) => {
      if (this.#publications.get(publication.source) !== publication) return;
      this.#publications.delete(publication.source);
      publication.track?.stop();
      this.emit("changed", publication.source);
    });
  }

  /** Whether other peers receive media from this source. */
  isOn(source: Source): boolean {
    const publication = this.#publications.get(source);
    return publication !== undefined && !publication.muted;
  }

  /** The track of a source, also while it is muted; null while its device is closed. */
  track(source: Source): MediaStreamTrack | null {
    return this.#publications.get(source)?.track ?? null;
  }

  /**
   * Opens the microphone and the camera with one permission prompt instead of two.
   *
   * A device that cannot be opened stays off and is reported; the other is switched on.
   */
  async start(wanted: { mic: boolean; camera: boolean }): Promise<CaptureFailure[]> {
    const closings = this.#closings;
    if (wanted.mic && wanted.camera) {
      await this.#inTurn(["mic", "camera"], () => this.#openBoth(closings));
    }
    // One of the two may still open: request each alone, which also shows which one failed.
    const failures: CaptureFailure[] = [];
    for (const source of ["mic", "camera"] as const) {
      if (!wanted[source] || closings !== this.#closings) continue;
      try {
        await this.set(source, true);
      } catch (error) {
        failures.push({ source, error });
      }
    }
    return failures;
  }

  /**
   * Switches a source on or off. Calls for one source are carried out one after the other.
   *
   * Rejects with the browser's DOMException when a device cannot be opened: NotAllowedError when the person or
   * the system forbids it, NotFoundError when there is none, NotReadableError when another program has it,
   * SecurityError when the page was not loaded over https.
   */
  async set(source: Source, on: boolean): Promise<void> {
    const closings = this.#closings;
    await this.#inTurn([source], () => this.#switch(source, on, closings));
  }

  /** Closes all devices, also those that are being opened, and ends their publications. */
  stop(): void {
    this.#closings += 1;
    for (const publication of [...this.#publications.values()]) this.#room.unpublish(publication);
  }

  /** Runs `task` after all earlier operations on these sources. */
  async #inTurn(sources: readonly Source[], task: () => Promise<void>): Promise<void> {
    const before = sources.map((source) => this.#queues.get(source) ?? Promise.resolve());
    const current = Promise.all(before).then(task);
    const done = current.catch(() => undefined);
    for (const source of sources) this.#queues.set(source, done);
    await current;
  }

  /** Opens microphone and camera, unless one of them is open, or one of them cannot be opened. */
  async #openBoth(closings: number): Promise<void> {
    if (this.#publications.has("mic") || this.#publications.has("camera")) return;
    const { audio, video } = this.#options;
    let stream: MediaStream;
    try {
      stream = await this.#open().getUserMedia({ audio, video });
    } catch {
      return;
    }
    for (const track of stream.getTracks()) {
      if (closings === this.#closings) this.#publish(track.kind === "audio" ? "mic" : "camera", track);
      else track.stop();
    }
  }

  /** `closings` is the value of `#closings` at the time of the request. */
  async #switch(source: Source, on: boolean, closings: number): Promise<void> {
    if (this.isOn(source) === on || closings !== this.#closings) return;
    const publication = this.#publications.get(source);
    if (on) await this.#switchOn(source, publication, closings);
    else if (publication !== undefined) await this.#switchOff(source, publication);
    this.emit("changed", source);
  }

  async #switchOn(source: Source, publication: Publication | undefined, closings: number): Promise<void> {
    if (publication !== undefined && publication.track !== null) {
      publication.setMuted(false);
      return;
    }
    const track = await this.#capture(source);
    // The room may have been left while the person was asked, or the server may have ended the publication.
    if (closings !== this.#closings || (publication?.ended ?? null) !== null) track.stop();
    else if (publication === undefined) this.#publish(source, track);
    else await publication.replaceTrack(track);
  }

  async #switchOff(source: Source, publication: Publication): Promise<void> {
    if (source === "mic") {
      publication.setMuted(true);
    } else if (source === "camera") {
      publication.track?.stop();
      await publication.replaceTrack(null);
    } else {
      this.#room.unpublish(publication);
    }
  }

  async #capture(source: Source): Promise<MediaStreamTrack> {
    const { audio, video, screen } = this.#options;
    let stream: MediaStream;
    if (source === "mic") stream = await this.#open().getUserMedia({ audio });
    else if (source === "camera") stream = await this.#open().getUserMedia({ video });
    else stream = await this.#open().getDisplayMedia(screen);
    const track = (source === "mic" ? stream.getAudioTracks() : stream.getVideoTracks())[0];
    if (track === undefined) throw new DOMException(`no track for ${source}`, "NotFoundError");
    // Sharp text matters more than smooth motion.
    if (source === "screen") track.contentHint = "detail";
    return track;
  }

  /** The browser's devices; it hides them from pages that were not loaded over https or from localhost. */
  #open(): MediaDevices {
    if (this.#devices === undefined) throw new DOMException("not a secure context", "SecurityError");
    return this.#devices;
  }

  #publish(source: Source, track: MediaStreamTrack): void {
    this.#publications.set(source, this.#room.publish(track, { source }));
    this.emit("changed", source);
  }
}
