"""A path whose connection is slow: what the transport makes of being told so."""

import pytest
from support.media import DELTA_FRAME, KEY_FRAME, VP8, Publisher, Wire, published
from support.transport_link import SERVER, Link

from sfu.ice.path import Address, IcePath
from sfu.transport.events import KeyFrameRequested
from sfu.transport.fan_out import fan_out
from sfu.transport.send_stream import SendStream

OTHER = IcePath(SERVER, Address("198.51.100.8", 50001))


class Subscription:
    """A subscriber's transport with a slot, and a publisher whose stream goes through it."""

    def __init__(self) -> None:
        self.link = Link().connect()
        self.publisher = Publisher(published())
        self.slot = SendStream(
            kind="video",
            ssrc=0x2221,
            rtx_ssrc=None,
            cname="alice",
            send_context=self.link.transport.send_context,
            random=self.link.random.randbytes,
        )
        self.slot.negotiate([VP8], {}, None)
        self.link.transport.add_sender(self.slot)
        self.slot.bind(self.publisher.stream, self.link.now)
        self.frames(KEY_FRAME)
        self.link.run(1.0)
        self.asks_for_key_frame()
        self.link.events.clear()

    def frames(self, *starts: bytes) -> list[IcePath]:
        """Send frames of a packet each; return the paths of those that leave."""
        wire = Wire()
        for start in starts:
            media = self.publisher.send(start, self.link.now)
            fan_out(media, self.publisher.stream.senders, wire.egress, self.link.now)
        wire.egress.flush()
        return [path for _, path in wire.sent]

    def asks_for_key_frame(self) -> bool:
        """Whether the publisher is asked for one now."""
        return bool(self.publisher.stream.take_feedback(self.link.now))

    def wakes_publisher(self) -> bool:
        """Whether it was said that the publisher's timers have to be looked at."""
        return KeyFrameRequested(self.publisher.stream) in self.link.transport.events()


@pytest.fixture
def subscription() -> Subscription:
    return Subscription()


def test_video_stops_on_a_path_that_is_full_and_goes_on_when_it_is_not(subscription: Subscription) -> None:
    transport, path = subscription.link.transport, subscription.link.path
    for _ in range(2):
        transport.set_path_full(path, True, subscription.link.now)
        assert subscription.frames(DELTA_FRAME, KEY_FRAME) == []
    assert not subscription.asks_for_key_frame()
    transport.set_path_full(path, False, subscription.link.now)
    assert subscription.asks_for_key_frame()
    assert subscription.wakes_publisher()
    assert subscription.frames(DELTA_FRAME, KEY_FRAME, DELTA_FRAME) == [path] * 2
    transport.set_path_full(path, False, subscription.link.now)
    assert not subscription.wakes_publisher()


def test_how_full_another_path_is_changes_nothing(subscription: Subscription) -> None:
    transport, path = subscription.link.transport, subscription.link.path
    transport.set_path_full(OTHER, True, subscription.link.now)
    assert subscription.frames(DELTA_FRAME) == [path]
    transport.set_path_full(path, True, subscription.link.now)
    transport.set_path_full(OTHER, False, subscription.link.now)
    assert subscription.frames(DELTA_FRAME) == []


def test_video_goes_on_when_the_client_moves_away_from_a_full_path(subscription: Subscription) -> None:
    link = subscription.link
    link.transport.set_path_full(link.path, True, link.now)
    assert subscription.frames(DELTA_FRAME) == []
    for nominate in (False, True):
        link.transport.receive(link.client.check(nominate=nominate), OTHER, link.now)
    assert link.transport.selected == OTHER
    assert subscription.asks_for_key_frame()
    assert subscription.wakes_publisher()
    assert subscription.frames(DELTA_FRAME, KEY_FRAME) == [OTHER]
    # What becomes of the old one is no concern any more.
    link.transport.set_path_full(link.path, True, link.now)
    link.transport.set_path_full(link.path, False, link.now)
    assert subscription.frames(DELTA_FRAME) == [OTHER]
