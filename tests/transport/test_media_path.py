"""Publisher → server → subscriber over two terrible, seeded networks, on a clock that jumps.

Loss, duplication and reordering both ways, with NACK and RTX on both legs and padding-only probes in between:
in the end the subscriber has every packet once, in the publisher's order, under consecutive numbers.
"""

import heapq
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.media import (
    DELTA_FRAME,
    KEY_FRAME,
    OPUS,
    PUBLISHER_IDS,
    VP8,
    Publisher,
    Subscriber,
    Wire,
    published,
)

from sfu.errors import BadPacket
from sfu.rtp.nack import MissingPackets
from sfu.rtp.packet import RtpPacket
from sfu.rtp.rtcp import GenericNack, ReportBlock
from sfu.rtp.rtx import unwrap_rtx, wrap_rtx
from sfu.rtp.serial import Unwrapper
from sfu.sdp.codecs import Codec
from sfu.transport.fan_out import fan_out

PACKETS = 300
INTERVAL = 0.005
SECONDS = PACKETS * INTERVAL + 1.5


class Network:
    """Delivers to callbacks after a delay, sometimes twice, sometimes never."""

    def __init__(self, seed: int, loss: float) -> None:
        self._random = Random(seed)
        self._loss = loss
        self._queue: list[tuple[float, int, Callable[[float], None]]] = []
        self._count = 0

    def send(self, now: float, deliver: Callable[[float], None]) -> None:
        for _ in range(1 + (self._random.random() < 0.02)):
            if self._random.random() >= self._loss:
                self.at(now + 0.01 + 0.006 * self._random.random(), deliver)

    def at(self, when: float, deliver: Callable[[float], None]) -> None:
        self._count += 1
        heapq.heappush(self._queue, (when, self._count, deliver))

    def run(self, until: float) -> None:
        while self._queue and self._queue[0][0] <= until:
            when, _, deliver = heapq.heappop(self._queue)
            deliver(when)


class PublishingBrowser:
    """Sends frames and answers NACKs by RTX."""

    def __init__(self, publisher: Publisher) -> None:
        self.publisher = publisher
        self.sent: dict[int, RtpPacket] = {}
        self.payloads: list[bytes] = []
        self._rtx = 60000

    def next(self, count: int) -> RtpPacket:
        if count % 20 == 7:
            packet = self.publisher.packet(b"", padding_size=200)
        else:
            packet = self.publisher.packet((DELTA_FRAME if count % 50 else KEY_FRAME) + count.to_bytes(2))
            self.payloads.append(packet.payload)
        self.sent[packet.sequence_number] = packet
        return packet

    def repeat(self, number: int) -> RtpPacket:
        self._rtx = (self._rtx + 1) & 0xFFFF
        return wrap_rtx(self.sent[number], payload_type=97, ssrc=1001, sequence_number=self._rtx)


class PlayingBrowser:
    """Puts what it gets in order and asks for what is missing."""

    def __init__(self, subscriber: Subscriber) -> None:
        self.subscriber = subscriber
        self.missing = MissingPackets(asks=True)
        self.got: dict[int, RtpPacket] = {}
        self._unwrapper = Unwrapper(16)

    def receive(self, data: bytes, now: float) -> None:
        packet = RtpPacket.parse(self.subscriber.inbound.unprotect(data))
        if packet.ssrc == 7001:
            assert packet.extension(9) == b"v0"
            original = unwrap_rtx(packet, payload_type=100, ssrc=7000)
            assert original is not None
            packet = original
        number = self._unwrapper.unwrap(packet.sequence_number)
        if self.missing.receive(number, now):
            assert number not in self.got
            self.got[number] = packet


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("loss", [0.0, 0.05, 0.2])
def test_everything_arrives_once_and_in_order(seed: int, loss: float) -> None:
    stream = published()
    stream.set_round_trip(0.03)
    sending = PublishingBrowser(Publisher(stream, first=65400))
    subscriber, wire = Subscriber(), Wire()
    subscriber.stream.bind(stream, 0.0)
    playing = PlayingBrowser(subscriber)
    playing.missing.set_round_trip(0.03)
    up, down, back = Network(seed, loss), Network(seed + 100, loss), Network(seed + 200, loss)
    seen: set[bytes] = set()
    delivered: set[bytes] = set()

    def to_server(packet: RtpPacket, now: float) -> None:
        data = packet.serialize()
        if data in seen:
            return  # SRTP's replay window
        seen.add(data)
        if packet.ssrc == stream.ssrc:
            media = stream.receive(packet, data, now)
        else:
            media = stream.receive_rtx(packet, now)
        if media is not None:
            fan_out(media, stream.senders, wire.egress, now)
            wire.egress.flush()
            for sent, _ in wire.sent:
                if now:
                    down.send(now, partial(to_subscriber, sent))
                else:
                    to_subscriber(sent, now)
            wire.sent.clear()

    def to_subscriber(data: bytes, now: float) -> None:
        if data not in delivered:
            delivered.add(data)
            playing.receive(data, now)

    def nack_server(numbers: tuple[int, ...], now: float) -> None:
        srtp = subscriber.send_context.srtp
        assert srtp is not None
        for answer in subscriber.stream.receive_nack([number & 0xFFFF for number in numbers], now):
            protected = srtp.protect(answer)
            down.send(now, partial(to_subscriber, protected))

    def nack_publisher(number: int, now: float) -> None:
        repeated = sending.repeat(number)
        up.send(now, partial(to_server, repeated))

    # The packet that starts it all is not lost on either leg: no gap shows that there was one before the first.
    to_server(sending.next(0), 0.0)
    for tick in range(1, int(SECONDS / INTERVAL)):
        now = tick * INTERVAL
        if tick < PACKETS:
            packet = sending.next(tick)
            if tick == PACKETS - 1:  # nothing after it would tell that the last one is missing
                up.at(now + 0.02, partial(to_server, packet))
            else:
                up.send(now, partial(to_server, packet))
        for network in (up, down, back):
            network.run(now)
        for request in stream.take_feedback(now):
            if isinstance(request, GenericNack):
                for number in request.lost:
                    back.send(now, partial(nack_publisher, number))
        numbers = playing.missing.take_due(now)
        if numbers:
            back.send(now, partial(nack_server, numbers))

    numbers = tuple(sorted(playing.got))
    assert numbers == tuple(range(numbers[0], numbers[0] + len(numbers)))
    payloads = [packet.payload for number in numbers if (packet := playing.got[number]).payload]
    # The very last may have been lost on the second leg, where nothing after them tells.
    assert len(sending.payloads) - 3 <= len(payloads)
    assert payloads == sending.payloads[: len(payloads)]
    if loss:
        assert stream.statistics().repaired > 0
        assert subscriber.stream.statistics().retransmitted > 0


RED = Codec(63, "red", 48000, 2)
PUBLISHED = (VP8, RED, OPUS, Codec(45, "AV1", 90000), Codec(98, "VP9", 90000), Codec(102, "H264", 90000))


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0x80, 0x90, 0xA0, 0xB0, 0x82]),
            st.sampled_from([96, 97, 63, 111, 45, 98, 102, 20]),
            st.booleans(),
            st.integers(0, 40) | st.integers(0, 65535),
            st.sampled_from([b"", b"\xbe\xde\x00\x01", b"\x10\x00\x00\x02"]),
            st.binary(max_size=60),
        ),
        max_size=30,
    ),
    st.booleans(),
)
@example(
    [(0x80, 96, False, 0, b"", b""), (0x80, 111, False, 1, b"", b"\0"), (0x80, 63, False, 2, b"", b"\x60")],
    False,
)
def test_no_packets_of_a_publisher_break_anything(
    packets: list[tuple[int, int, bool, int, bytes, bytes]], red: bool
) -> None:
    stream = published()
    stream.negotiate(PUBLISHED, PUBLISHER_IDS)
    renumbered = [
        replace(codec, payload_type=codec.payload_type ^ 1) for codec in PUBLISHED if red or codec != RED
    ]
    subscribers = [Subscriber(codecs=PUBLISHED), Subscriber(codecs=tuple(renumbered))]
    for subscriber in subscribers:
        subscriber.stream.bind(stream, 0.0)
        subscriber.stream.receive_report(ReportBlock(7000, 0, 0, 0, 0, 0, 0), 0.0)
    wire = Wire()
    for count, (first, payload_type, marker, number, block, rest) in enumerate(packets):
        now = count * 0.01
        header = bytes((first, payload_type | marker << 7)) + number.to_bytes(2) + bytes(7) + b"\1"
        data = header + block + rest
        try:
            packet = RtpPacket.parse(data)
            media = stream.receive_rtx(packet, now) if payload_type == 97 else stream.receive(packet, data, now)
        except BadPacket:
            continue
        if media is not None:
            fan_out(media, stream.senders, wire.egress, now)
        stream.take_feedback(now)
    stream.report_block(9.0)
    for subscriber in subscribers:
        received = subscriber.read(wire)
        sent = subscriber.stream.statistics()
        assert len(received) == sent.packets
        assert sum(len(packet.payload) for packet in received) == sent.octets
        assert {packet.payload_type for packet in received} <= {
            codec.payload_type for codec in (PUBLISHED if subscriber is subscribers[0] else renumbered)
        }
        subscriber.stream.receive_nack(range(50), 0.5)
