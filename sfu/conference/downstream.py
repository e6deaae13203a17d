"""What one client receives: tracks on their way to being m-lines, and m-lines to being streams.

    wished for ──> given a slot, in the next description ──> agreed to by the client ──> forwarded

A slot (`sfu.sdp.Sender`) and its stream are used again for other tracks; a subscription has them for a while.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sfu.conference.track import Track
from sfu.sdp import BundleSession, Sender, SessionDescription, TooManyLines, codecs_of
from sfu.transport.peer import PeerTransport
from sfu.transport.send_stream import SendStream


@dataclass(slots=True, eq=False)
class Subscription:
    """A track on its way to one client, and how far it has come."""

    track: Track
    slot: Sender | None = None
    """The m-line that carries it, from the description on in which it is first named."""
    stream: SendStream | None = None
    """What forwards it, while the client agrees to the slot."""
    rejected: bool = False
    """Whether the client refused the m-line: it has none of the track's codecs, or so it seems."""


class Downstream:
    """The subscriptions of one connection, with their slots and streams."""

    def __init__(
        self,
        sdp: BundleSession,
        transport: PeerTransport,
        random: Callable[[int], bytes],
        request: Callable[[], None],
    ) -> None:
        """`request` is called when something is to be negotiated."""
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
        """What the client receives, or will."""
        return tuple(self._subscriptions.values())

    @property
    def forwarded(self) -> int:
        """How many of these are forwarded now."""
        return sum(subscription.stream is not None for subscription in self._subscriptions.values())

    # --- what is wished ---

    def subscribe(self, track: Track) -> None:
        """Forward `track` to this client as soon as that is negotiated; harmless when it is subscribed."""
        if track.id in self._subscriptions:
            return
        self._subscriptions[track.id] = Subscription(track)
        self.subscribed += 1
        self._request()

    def unsubscribe(self, track: Track, now: float) -> None:
        """Stop forwarding `track` at once; its slot is free for another from now on."""
        subscription = self._subscriptions.pop(track.id, None)
        if subscription is None:
            return
        self.unsubscribed += 1
        self._free(subscription, now)

    def renew(self, track: Track, now: float) -> None:
        """The codecs of `track` have changed: forward it again as soon as the client has agreed to those."""
        subscription = self._subscriptions.get(track.id)
        if subscription is not None:
            self._free(subscription, now)
            subscription.rejected = False
            self._request()

    def close(self, now: float) -> None:
        """End all subscriptions; nothing is negotiated any more."""
        for subscription in self._subscriptions.values():
            self._stop(subscription, now)
        self.unsubscribed += len(self._subscriptions)
        self._subscriptions.clear()

    # --- what negotiation makes of it ---

    def give_slots(self) -> None:
        """Find an m-line for every subscription that has none; one for which there is none goes on waiting."""
        for subscription in self._subscriptions.values():
            track = subscription.track
            has_slot = subscription.slot is not None and not subscription.slot.stopped
            if track.codecs and not has_slot and not subscription.rejected:
                try:
                    subscription.slot = self._sdp.acquire_sender(
                        track.kind, track.publisher_id, track.id, track.codecs, cname=track.publisher_id
                    )
                except TooManyLines:
                    subscription.slot = None

    def note_rejections(self) -> None:
        """Remember which tracks the client's answer refused: to offer them again and again is no help.

        A line that it stops later than that is another matter, such as a page that tidies up: what was on it
        is offered on another line.
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
        """Try once more what was refused, where the client's offer names a codec of it now."""
        rejected = [subscription for subscription in self._subscriptions.values() if subscription.rejected]
        if not rejected:
            return
        lines = (media for media in offer.media if not media.stopped)
        named = {codec.identity for media in lines for codec in codecs_of(media)}
        for subscription in rejected:
            subscription.rejected = not any(codec.identity in named for codec in subscription.track.codecs)

    def follow(self, now: float) -> None:
        """Forward what is now agreed, and nothing else."""
        for subscription in self._subscriptions.values():
            slot = subscription.slot
            if slot is not None and slot.active:
                self._start(subscription, slot, now)
            else:
                self._stop(subscription, now)
        living = {slot.ssrc for slot in self._sdp.senders}
        for ssrc in [ssrc for ssrc in self._streams if ssrc not in living]:
            self._transport.remove_sender(self._streams.pop(ssrc), now)

    def _start(self, subscription: Subscription, slot: Sender, now: float) -> None:
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
            self._sdp.release_sender(subscription.slot)
            subscription.slot = None
            self._request()
