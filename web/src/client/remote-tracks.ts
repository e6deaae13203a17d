/**
 * Maps each receiving transceiver ("slot") to the remote track that it carries.
 *
 * The server sends each forwarded track in a *slot*: one m-section, one transceiver, one SSRC for its whole life.
 * Slots are used again: another track's media simply continues in the same `MediaStreamTrack`, and the browser
 * fires no `track` event for that. So events are not made from `track` events but from the difference between what
 * the remote description says now and what it said before.
 */
import type { Kind, Source } from "./protocol.js";
import type { Section } from "./sdp.js";

/** A peer's track as it is received. */
export interface RemoteTrack {
  readonly peerId: string;
  readonly trackId: string;
  readonly kind: Kind;
  readonly source: Source;
  /** Identifies the slot in the RTCPeerConnection. */
  readonly mid: string;
  readonly track: MediaStreamTrack;
  /** A stream with this one track, for `srcObject`. */
  readonly stream: MediaStream;
}

/** What a slot carries. */
export type Slot = Omit<RemoteTrack, "track" | "stream">;

/** What changed from one description to the next. */
export interface SlotChanges {
  removed: RemoteTrack[];
  added: RemoteTrack[];
}

/** The slots on which the server sends a track that `sourceOf` knows (null: it is not published). */
export function readSlots(
  sections: readonly Section[],
  sourceOf: (peerId: string, trackId: string) => Source | null,
): Slot[] {
  return sections.flatMap(({ mid, kind, sends, msid }) => {
    if (!sends || msid === null) return [];
    const { streamId: peerId, trackId } = msid;
    const source = sourceOf(peerId, trackId);
    return source === null ? [] : [{ mid, kind, peerId, trackId, source }];
  });
}

/** The tracks that are received at this moment. */
export class RemoteTracks {
  readonly #byMid = new Map<string, RemoteTrack>();

  /** All of them, in no particular order. */
  get all(): RemoteTrack[] {
    return [...this.#byMid.values()];
  }

  /**
   * Updates the tracks to what the slots carry now.
   *
   * `trackOf` gives the browser's track of a mid, or null where the browser has no transceiver for it (yet).
   */
  update(slots: readonly Slot[], trackOf: (mid: string) => MediaStreamTrack | null): SlotChanges {
    const changes: SlotChanges = { removed: [], added: [] };
    const wanted = new Map(slots.map((slot) => [slot.mid, slot]));
    for (const [mid, current] of this.#byMid) {
      const slot = wanted.get(mid);
      if (slot !== undefined && sameTrack(slot, current) && trackOf(mid) === current.track) continue;
      this.#byMid.delete(mid);
      changes.removed.push(current);
    }
    for (const [mid, slot] of wanted) {
      const track = this.#byMid.has(mid) ? null : trackOf(mid);
      if (track === null) continue;
      const added: RemoteTrack = { ...slot, track, stream: new MediaStream([track]) };
      this.#byMid.set(mid, added);
      changes.added.push(added);
    }
    return changes;
  }
}

function sameTrack(a: Slot, b: Slot): boolean {
  return a.peerId === b.peerId && a.trackId === b.trackId && a.kind === b.kind && a.source === b.source;
}
