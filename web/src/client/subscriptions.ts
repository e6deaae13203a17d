/**
 * What we wish to receive, where a program has said so; for all else the server's own way counts.
 *
 * A wish outlives the WebSocket that carried it: after each return to the room it is compared with what the server
 * has, and said again where that differs.
 */
import { type Deferred, deferred } from "./deferred.js";
import { RoomError } from "./errors.js";
import type { ClientMessages, ServerMessages, SubscriptionInfo } from "./protocol.js";

type Request = "subscribe" | "unsubscribe";
type Send = <Type extends Request>(type: Type, data: ClientMessages[Type]) => void;

interface Wish {
  readonly peerId: string;
  wanted: boolean;
  layer: string | null;
  /** Requests of this WebSocket that no acknowledgement has come to. */
  unanswered: number;
  waiting: Deferred<undefined>[];
}

/** The wishes of one stay in a room. */
export class Subscriptions {
  readonly #send: Send;
  readonly #wishes = new Map<string, Wish>();
  /** What the server had at the last return to the room, by trackId. */
  #known = new Map<string, SubscriptionInfo>();

  constructor(send: Send) {
    this.#send = send;
  }

  /** Whether a track is to be received, as far as anybody has said; null: nobody has. */
  isWanted(trackId: string): boolean | null {
    return this.#wishes.get(trackId)?.wanted ?? (this.#known.has(trackId) ? true : null);
  }

  /** The highest simulcast layer that is wanted of a track, as far as anybody has said; null: the best one. */
  wishedLayer(trackId: string): string | null {
    const wish = this.#wishes.get(trackId) ?? this.#known.get(trackId);
    return wish?.layer ?? null;
  }

  /** Resolves when the server agrees; rejects with a RoomError when it does not. */
  async want(peerId: string, trackId: string, layer: string | null): Promise<void> {
    await this.#wish(peerId, trackId, true, layer);
  }

  /** The same for receiving a track no longer. */
  async refuse(peerId: string, trackId: string): Promise<void> {
    await this.#wish(peerId, trackId, false, this.wishedLayer(trackId));
  }

  /** The server's answer to the oldest request about a track. */
  acknowledged({ trackId, success, reason }: ServerMessages["subscription-ack"]): void {
    const wish = this.#wishes.get(trackId);
    if (wish === undefined || wish.unanswered === 0) return;
    wish.unanswered -= 1;
    if (wish.unanswered > 0) return; // an older wish: only the last one counts
    if (success) {
      for (const { resolve } of wish.waiting.splice(0)) resolve(undefined);
    } else {
      this.#drop(trackId, new RoomError("request-refused", reason, { request: requestOf(wish) }));
    }
  }

  /** The server could not read a request: then it cannot say which it was. */
  refused(error: RoomError): void {
    for (const [trackId, wish] of this.#wishes) {
      const isMeant = error.request === null || requestOf(wish) === error.request;
      if (wish.unanswered > 0 && isMeant) this.#drop(trackId, error);
    }
  }

  /** We are in the room again, the server has `known`: says again what it does not know. */
  restore(known: readonly SubscriptionInfo[], isPublished: (peerId: string, trackId: string) => boolean): void {
    this.#known = new Map(known.map((subscription) => [subscription.trackId, subscription]));
    for (const [trackId, wish] of this.#wishes) {
      const has = this.#known.get(trackId);
      const agrees = wish.wanted ? has?.layer === wish.layer : has === undefined;
      wish.unanswered = 0;
      if (!isPublished(wish.peerId, trackId)) this.ended(trackId);
      else if (!agrees) this.#ask(trackId, wish);
      else for (const { resolve } of wish.waiting.splice(0)) resolve(undefined);
    }
  }

  /** A track has ended, and with it every wish about it. */
  ended(trackId: string): void {
    this.#known.delete(trackId);
    this.#drop(trackId, new RoomError("request-refused", "the track has ended"));
  }

  /** The stay is over. */
  close(error: RoomError): void {
    for (const trackId of [...this.#wishes.keys()]) this.#drop(trackId, error);
    this.#known.clear();
  }

  async #wish(peerId: string, trackId: string, wanted: boolean, layer: string | null): Promise<void> {
    const wish = this.#wishes.get(trackId) ?? { peerId, wanted, layer, unanswered: 0, waiting: [] };
    this.#wishes.set(trackId, wish);
    Object.assign(wish, { wanted, layer });
    const answer = deferred<undefined>();
    wish.waiting.push(answer);
    this.#ask(trackId, wish);
    await answer.promise;
  }

  #ask(trackId: string, wish: Wish): void {
    const { peerId, layer } = wish;
    wish.unanswered += 1;
    if (!wish.wanted) this.#send("unsubscribe", { trackId, peerId });
    else this.#send("subscribe", layer === null ? { trackId, peerId } : { trackId, peerId, layer });
  }

  #drop(trackId: string, error: RoomError): void {
    const wish = this.#wishes.get(trackId);
    this.#wishes.delete(trackId);
    for (const { reject } of wish?.waiting ?? []) reject(error);
  }
}

function requestOf(wish: Wish): Request {
  return wish.wanted ? "subscribe" : "unsubscribe";
}
