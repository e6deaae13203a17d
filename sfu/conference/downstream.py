"""What one client receives: which track is forwarded on which m-line and outgoing stream.

    subscribed ──> assigned an m-line in the next description ──> accepted by the client ──> forwarded

An m-line (`sfu.sdp.SendSlot`) and its outgoing stream are reused for other tracks after a subscription has
ended.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sfu.conference.track import Track
from sfu.sdp import BundleSession, SendSlot, SessionDescription, TooManyLines, codecs_of
from sfu.transport.peer import PeerTransport
from sfu.transport.send_stream import SendStream


@dataclass(slots=True, eq=False)
class Subscription:
    """A track that one client is to receive, and how far its negotiation has come."""

    track: Track
    slot: SendSlot | None = None
    """The m-line that carries it, from the first description on that names it."""
    stream: SendStream | None = None
    """The outgoing stream, while the client accepts the m-line."""
    rejected: bool = False
    """Whether the client rejected the m-line, presumably since it has none of the track's codecs."""


class Downstream:
    """The subscriptions of one connection, with their m-lines and outgoing streams."""

    def __init__(
        self,
        sdp: BundleSession,
        transport: PeerTransport,
        random: Callable[[int], bytes],
        request: Callable[[], None],
    ) -> None:
        """`request` is called when there is something to negotiate."""
        self.subscribed = 0
        """Subscriptions made."""
        self.unsubscribed = 0
        """Subscriptions ended."""
        self._sdp = sdp
        self._transport = transport
        self._random = random
        self._request = request
        self._subscriptions: dict[str, Subscription] = {}
        self._streams: dict[int, SendStream] = {}

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """What the client receives, or will receive."""
        return tuple(self._subscriptions.values())

    @property
    def forwarded(self) -> int:
        """How many subscriptions are forwarded now."""
        return sum(subscription.stream is not None for subscription in self._subscriptions.values())

    # --- subscriptions ---

    def subscribe(self, track: Track) -> None:
        """Forward `track` to this client as soon as it is negotiated. Doing it twice is harmless."""
        if track.id in self._subscriptions:
            return
        self._subscriptions[track.id] = Subscription(track)
        self.subscribed += 1
        self._request()

    def unsubscribe(self, track: Track, now: float) -> None:
        """Stop forwarding `track` at once, and free its m-line for another track."""
        subscription = self._subscriptions.pop(track.id, None)
        if subscription is None:
            return
        self.unsubscribed += 1
        self._free(subscription, now)

    def renegotiate(self, track: Track, now: float) -> None:
        """Forward `track`, whose codecs have changed, again as soon as the client has accepted them."""
        subscription = self._subscriptions.get(track.id)
        if subscription is not None:
            self._free(subscription, now)
            subscription.rejected = False
            self._request()

    def close(self, now: float) -> None:
        """End all subscriptions. Nothing is negotiated after this."""
        for subscription in self._subscriptions.values():
            self._stop(subscription, now)
        self.unsubscribed += len(self._subscriptions)
        self._subscriptions.clear()

    # --- negotiation ---

    def give_slots(self) -> None:
        """Find an m-line for every subscription that has none. Without a free m-line a subscription waits."""
        for subscription in self._subscriptions.values():
            track = subscription.track
            has_slot = subscription.slot is not None and not subscription.slot.stopped
            if track.codecs and not has_slot and not subscription.rejected:
                try:
                    subscription.slot = self._sdp.acquire_slot(
                        track.kind, track.publisher_id, track.id, track.codecs, cname=track.publisher_id
                    )
                except TooManyLines:
                    subscription.slot = None

    def note_rejections(self) -> None:
        """Note which tracks the client's answer rejected, so that they are not offered again and again.

        A client that stops an m-line later has another reason: for example, its page removes unused elements.
        The track is then offered on another m-line.
        """
        for subscription in self._subscriptions.values():
            slot = subscription.slot
            if slot is None or not slot.stopped:
                continue
            if slot.mid is None:
                subscription.rejected = True
            else:
                self._request()

    def reconsider_rejected(self, offer: SessionDescription) -> None:
        """Offer rejected tracks again if the client's offer now names one of their codecs."""
        rejected = [subscription for subscription in self._subscriptions.values() if subscription.rejected]
        if not rejected:
            return
        lines = (media for media in offer.media if not media.stopped)
        named = {codec.identity for media in lines for codec in codecs_of(media)}
        for subscription in rejected:
            subscription.rejected = not any(codec.identity in named for codec in subscription.track.codecs)

    def update_streams(self, now: float) -> None:
        """Forward exactly the subscriptions whose m-lines the client has accepted."""
        for subscription in self._subscriptions.values():
            slot = subscription.slot
            if slot is not None and slot.active:
                self._start(subscription, slot, now)
            else:
                self._stop(subscription, now)
        in_use = {slot.ssrc for slot in self._sdp.send_slots}
        for ssrc in [ssrc for ssrc in self._streams if ssrc not in in_use]:
            self._transport.remove_sender(self._streams.pop(ssrc), now)

    def _start(self, subscription: Subscription, slot: SendSlot, now: float) -> None:
        stream = self._streams.get(slot.ssrc)
        if stream is None:
            stream = SendStream(
                kind=slot.kind,
                ssrc=slot.ssrc,
                rtx_ssrc=slot.rtx_ssrc,
                cname=slot.cname,
                send_context=self._transport.send_context,
                random=self._random,
            )
            self._streams[slot.ssrc] = stream
            self._transport.add_sender(stream)
        stream.cname = slot.cname
        stream.negotiate(slot.codecs, slot.extensions, slot.mid)
        subscription.stream = stream
        subscription.track.add_sender(stream, now)

    def _stop(self, subscription: Subscription, now: float) -> None:
        if subscription.stream is not None:
            subscription.track.remove_sender(subscription.stream, now)
            subscription.stream = None

    def _free(self, subscription: Subscription, now: float) -> None:
        self._stop(subscription, now)
        if subscription.slot is not None:
            self._sdp.release_slot(subscription.slot)
            subscription.slot = None
            self._request()
