/** The page without its components: a fake harness, devices, storage, and clocks that the test sets. */
import { LocalMedia } from "../../src/client/local-media.js";
import type { Memory } from "../../src/page/actions.js";
import { createConference, type Conference } from "../../src/page/conference.js";
import type { State } from "../../src/page/state.js";
import { FakeStream, FakeTrack } from "./media.js";
import { RoomHarness } from "./harness.js";

export const CAMERA = { trackId: "cam", kind: "video", source: "camera", layers: [] };
export const MIC = { trackId: "mic", kind: "audio", source: "mic", layers: [] };
export const SCREEN = { trackId: "scr", kind: "video", source: "screen", layers: [] };
export const ON = { micEnabled: true, cameraEnabled: true, screenEnabled: false };

/** Fake preferences that record what the page stores. */
export class FakeMemory implements Memory {
  readonly told: string[] = [];
  /** The room of the call that a reload interrupted. */
  interrupted = "";

  rememberName(name: string): void {
    this.told.push(`name ${name}`);
  }

  rememberDevices({ mic, camera }: { mic: boolean; camera: boolean }): void {
    this.told.push(`mic ${mic}, camera ${camera}`);
  }

  rememberCall(room: string): void {
    this.told.push(`call ${room}`);
  }

  showAddressOf(room: string): void {
    this.told.push(`address ${room}`);
  }

  interruptedCall(): string {
    return this.interrupted;
  }

  userIdOfThisTab(): string {
    return "u1";
  }
}

/** A conference with fake devices and a fake server. */
export class ConferenceHarness extends RoomHarness {
  readonly media: LocalMedia;
  readonly memory = new FakeMemory();
  readonly conference: Conference;
  /** The error with which opening a device fails, or null. */
  refusal: string | null = null;
  /** The tracks of the devices that were opened. */
  readonly captured: FakeTrack[] = [];
  /** In ms since 1970, and in ms of a monotonic clock. */
  now = 0;

  constructor() {
    super();
    const open = (kinds: string[]) => async () => {
      await Promise.resolve();
      if (this.refusal !== null) throw new DOMException("no", this.refusal);
      const tracks = kinds.map((kind) => new FakeTrack(kind));
      this.captured.push(...tracks);
      return new FakeStream(tracks);
    };
    this.media = new LocalMedia(this.room, {}, {
      getUserMedia: ({ audio, video }: MediaStreamConstraints) =>
        open([audio === undefined ? [] : "audio", video === undefined ? [] : "video"].flat())(),
      getDisplayMedia: open(["video"]),
    } as unknown as MediaDevices);
    const clock = () => this.now;
    this.conference = createConference(this.room, this.media, this.memory, { now: clock, monotonic: clock });
  }

  get state(): State {
    return this.conference.store.getState();
  }

  /** The texts of the event list. */
  get log(): string[] {
    return this.state.log.map(({ text, isTrouble }) => (isTrouble ? `! ${text}` : text));
  }
}
