/**
 * Which tracks the program has asked to receive or not to receive; for all others the server decides.
 *
 * A preference outlives the WebSocket that carried it. After each return to the room it is compared with what the
 * server has, and sent again where they differ.
 */
import { type Deferred, deferred } from "./deferred.js";
import { RoomError } from "./errors.js";
import type { ClientMessages, ServerMessages, SubscriptionInfo } from "./protocol.js";

type Request = "subscribe" | "unsubscribe";
type Send = <Type extends Request>(type: Type, data: ClientMessages[Type]) => void;

interface Preference {
  readonly peerId: string;
  wanted: boolean;
  layer: string | null;
  /** The number of requests on this WebSocket that were not acknowledged yet. */
  unanswered: number;
  waiting: Deferred<undefined>[];
}

/** The preferences of one stay in a room. */
export class Subscriptions {
  readonly #send: Send;
  readonly #preferences = new Map<string, Preference>();
  /** What the server had at the last return to the room, by trackId. */
  #known = new Map<string, SubscriptionInfo>();

  constructor(send: Send) {
    this.#send = send;
  }

  /** Whether a track is to be received, as far as it was requested; null: no request was made. */
  isWanted(trackId: string): boolean | null {
    return this.#preferences.get(trackId)?.wanted ?? (this.#known.has(trackId) ? true : null);
  }

  /** The highest simulcast layer requested for a track; null: the best one. */
  preferredLayer(trackId: string): string | null {
    const preference = this.#preferences.get(trackId) ?? this.#known.get(trackId);
    return preference?.layer ?? null;
  }

  /** Resolves when the server agrees; rejects with a RoomError when it does not. */
  async want(peerId: string, trackId: string, layer: string | null): Promise<void> {
    await this.#preference(peerId, trackId, true, layer);
  }

  /** The same for unsubscribing. */
  async refuse(peerId: string, trackId: string): Promise<void> {
    await this.#preference(peerId, trackId, false, this.preferredLayer(trackId));
  }

  /** The server's answer to the oldest request about a track. */
  acknowledged({ trackId, success, reason }: ServerMessages["subscription-ack"]): void {
    const preference = this.#preferences.get(trackId);
    if (preference === undefined || preference.unanswered === 0) return;
    preference.unanswered -= 1;
    if (preference.unanswered > 0) return; // an older preference: only the last one counts
    if (success) {
      for (const { resolve } of preference.waiting.splice(0)) resolve(undefined);
    } else {
      this.#drop(trackId, new RoomError("request-refused", reason, { request: requestOf(preference) }));
    }
  }

  /** The server could not read a request, so its error does not name the track. */
  refused(error: RoomError): void {
    for (const [trackId, preference] of this.#preferences) {
      const isMeant = error.request === null || requestOf(preference) === error.request;
      if (preference.unanswered > 0 && isMeant) this.#drop(trackId, error);
    }
  }

  /** After a return to the room: `known` is what the server has; sends again the preferences that differ. */
  restore(known: readonly SubscriptionInfo[], isPublished: (peerId: string, trackId: string) => boolean): void {
    this.#known = new Map(known.map((subscription) => [subscription.trackId, subscription]));
    for (const [trackId, preference] of this.#preferences) {
      const has = this.#known.get(trackId);
      const agrees = preference.wanted ? has?.layer === preference.layer : has === undefined;
      preference.unanswered = 0;
      if (!isPublished(preference.peerId, trackId)) this.ended(trackId);
      else if (!agrees) this.#ask(trackId, preference);
      else for (const { resolve } of preference.waiting.splice(0)) resolve(undefined);
    }
  }

  /** A track has ended, and with it every preference about it. */
  ended(trackId: string): void {
    this.#known.delete(trackId);
    this.#drop(trackId, new RoomError("request-refused", "the track has ended"));
  }

  /** The stay is over. */
  close(error: RoomError): void {
    for (const trackId of [...this.#preferences.keys()]) this.#drop(trackId, error);
    this.#known.clear();
  }

  async #preference(peerId: string, trackId: string, wanted: boolean, layer: string | null): Promise<void> {
    const preference = this.#preferences.get(trackId) ?? { peerId, wanted, layer, unanswered: 0, waiting: [] };
    this.#preferences.set(trackId, preference);
    Object.assign(preference, { wanted, layer });
    const answer = deferred<undefined>();
    preference.waiting.push(answer);
    this.#ask(trackId, preference);
    await answer.promise;
  }

  #ask(trackId: string, preference: Preference): void {
    const { peerId, layer } = preference;
    preference.unanswered += 1;
    if (!preference.wanted) this.#send("unsubscribe", { trackId, peerId });
    else this.#send("subscribe", layer === null ? { trackId, peerId } : { trackId, peerId, layer });
  }

  #drop(trackId: string, error: RoomError): void {
    const preference = this.#preferences.get(trackId);
    this.#preferences.delete(trackId);
    for (const { reject } of preference?.waiting ?? []) reject(error);
  }
}

function requestOf(preference: Preference): Request {
  return preference.wanted ? "subscribe" : "unsubscribe";
}
