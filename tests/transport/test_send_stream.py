"""An outgoing stream: one unbroken stream to the receiver, whatever goes through it."""

from typing import Literal

from hypothesis import given
from hypothesis import strategies as st
from support.media import (
    DELTA_FRAME,
    FEEDBACK,
    KEY_FRAME,
    PUBLISHER_IDS,
    SUBSCRIBER_IDS,
    VP8,
    Publisher,
    Subscriber,
    Wire,
    published,
)

from sfu.rtp import extensions
from sfu.rtp.ntp import compact_ntp
from sfu.rtp.packet import RtpPacket
from sfu.rtp.rtcp import PictureLossIndication, ReportBlock, SenderReport
from sfu.rtp.rtx import unwrap_rtx
from sfu.rtp.srtp import MAX_PLAINTEXT
from sfu.sdp.codecs import Codec
from sfu.transport.egress import Egress
from sfu.transport.fan_out import fan_out
from sfu.transport.receive_stream import ReceiveStream
from sfu.transport.translation import MID_PACKETS

NO_RTX = Codec(100, "VP8", 90000, feedback=FEEDBACK)


def call(
    codecs: tuple[Codec, ...] = (), *, mid_packets: int = MID_PACKETS
) -> tuple[Publisher, Subscriber, Wire]:
    """A publisher and one subscriber that is bound to it and past its first `MID_PACKETS - mid_packets`."""
    publisher, subscriber, wire = Publisher(published()), Subscriber(codecs=codecs), Wire()
    subscriber.stream.bind(publisher.stream, 0.0)
    publisher.stream.take_feedback(0.0)
    for count in range(MID_PACKETS - mid_packets):
        send(publisher, subscriber, wire, DELTA_FRAME if count else KEY_FRAME)
    subscriber.read(wire)
    return publisher, subscriber, wire


def send(
    publisher: Publisher, subscriber: Subscriber, wire: Wire, payload: bytes = DELTA_FRAME, now: float = 0.0
) -> None:
    subscriber.stream.forward(publisher.send(payload, now), wire.egress, now)


def numbers(packets: list[RtpPacket]) -> list[int]:
    return [packet.sequence_number for packet in packets]


# What goes through.


def test_video_begins_at_a_key_frame_which_is_asked_for_at_once() -> None:
    publisher, subscriber, wire = Publisher(published()), Subscriber(), Wire()
    subscriber.stream.bind(publisher.stream, 0.0)
    assert publisher.stream.take_feedback(0.0) == [PictureLossIndication(5, 1000)]
    send(publisher, subscriber, wire)
    assert subscriber.read(wire) == []
    send(publisher, subscriber, wire, KEY_FRAME)
    send(publisher, subscriber, wire)
    first, second = subscriber.read(wire)
    assert first == RtpPacket(100, True, 0, 12000, 7000, (), ((2, b"\1"), (9, b"v0")), KEY_FRAME)
    assert (second.sequence_number, second.timestamp) == (1, 15000)
    statistics = subscriber.stream.statistics()
    assert (statistics.packets, statistics.octets) == (2, len(KEY_FRAME) + len(DELTA_FRAME))
    assert statistics.dropped == {"before-key-frame": 1}


def test_audio_begins_at_once() -> None:
    publisher, subscriber, wire = Publisher(published(kind="audio")), Subscriber(kind="audio"), Wire()
    subscriber.stream.bind(publisher.stream, 0.0)
    send(publisher, subscriber, wire, b"opus")
    assert [packet.payload for packet in subscriber.read(wire)] == [b"opus"]
    assert subscriber.stream.receive_nack([0], 0.0) == []
    assert subscriber.stream.statistics().dropped == {"nack-no-history": 1}


def test_before_the_transport_is_up_no_key_frame_is_wasted() -> None:
    publisher, wire = Publisher(published()), Wire()
    subscriber = Subscriber(connected=False)
    subscriber.stream.bind(publisher.stream, 0.0)
    assert publisher.stream.take_feedback(0.0) == []
    send(publisher, subscriber, wire, KEY_FRAME)
    subscriber.connect()
    send(publisher, subscriber, wire, DELTA_FRAME, 0.1)
    assert publisher.stream.take_feedback(0.1) == [PictureLossIndication(5, 1000)]
    send(publisher, subscriber, wire, DELTA_FRAME, 0.2)
    assert publisher.stream.take_feedback(0.2) == []
    send(publisher, subscriber, wire, KEY_FRAME, 0.3)
    assert numbers(subscriber.read(wire)) == [0]
    assert subscriber.stream.statistics().dropped == {"not-connected": 1, "before-key-frame": 2}


def test_a_lost_path_leaves_no_gap_as_long_as_the_silence() -> None:
    """A gap of 2**15 packets has SRTP guess the rollover counter wrong, and nonces repeat (RFC 3711 3.3.1)."""
    publisher, subscriber, wire = call()
    send(publisher, subscriber, wire, KEY_FRAME)
    srtp, path = subscriber.send_context.srtp, subscriber.send_context.path
    assert srtp is not None
    assert path is not None
    subscriber.send_context.suspend()
    for _ in range(66):
        send(publisher, subscriber, wire)
        publisher.number = (publisher.number + 999) & 0xFFFF
    subscriber.send_context.open(srtp, path)
    publisher.stream.take_feedback(1.0)
    send(publisher, subscriber, wire, DELTA_FRAME, 2.0)
    assert publisher.stream.take_feedback(2.0) == [PictureLossIndication(5, 1000)]
    send(publisher, subscriber, wire, KEY_FRAME, 2.1)
    assert numbers(subscriber.read(wire)) == [0, 2]
    assert subscriber.stream.statistics().dropped == {"not-connected": 66, "before-key-frame": 1}


def test_real_losses_stay_gaps_and_late_packets_fill_them() -> None:
    publisher, subscriber, wire = call()
    send(publisher, subscriber, wire, KEY_FRAME)
    lost = publisher.packet()
    send(publisher, subscriber, wire)
    assert numbers(subscriber.read(wire)) == [0, 2]
    media = publisher.receive(lost, 0.0)
    assert media is not None
    subscriber.stream.forward(media, wire.egress, 0.0)
    assert numbers(subscriber.read(wire)) == [1]


def test_late_padding_fills_its_gap() -> None:
    publisher, subscriber, wire = call()
    send(publisher, subscriber, wire, KEY_FRAME)
    padding = publisher.packet(b"", padding_size=200)
    send(publisher, subscriber, wire)
    media = publisher.receive(padding, 0.0)
    assert media is not None
    subscriber.stream.forward(media, wire.egress, 0.0)
    packets = subscriber.read(wire)
    assert numbers(packets) == [0, 2, 1]
    assert (packets[2].payload, packets[2].padding_size) == (b"", 1)


def test_a_late_packet_from_before_the_key_frame_stays_out() -> None:
    publisher, subscriber, wire = call()
    publisher.send()
    early = publisher.packet()
    send(publisher, subscriber, wire, KEY_FRAME)
    media = publisher.receive(early, 0.0)
    assert media is not None
    subscriber.stream.forward(media, wire.egress, 0.0)
    assert numbers(subscriber.read(wire)) == [0]
    assert subscriber.stream.statistics().dropped == {"late": 1}


def test_pause_and_resume_leave_no_gap_and_resume_at_a_key_frame() -> None:
    publisher, subscriber, wire = call()
    send(publisher, subscriber, wire, KEY_FRAME, 1.0)
    subscriber.stream.pause()
    send(publisher, subscriber, wire, KEY_FRAME, 1.1)
    subscriber.stream.receive_key_frame_request(1.1)
    assert publisher.stream.take_feedback(1.1) == []
    subscriber.stream.resume(2.0)
    subscriber.stream.resume(2.0)
    assert publisher.stream.take_feedback(2.0) == [PictureLossIndication(5, 1000)]
    send(publisher, subscriber, wire, DELTA_FRAME, 2.0)
    send(publisher, subscriber, wire, KEY_FRAME, 2.1)
    first, second = subscriber.read(wire)
    assert (first.sequence_number, second.sequence_number) == (0, 1)
    assert second.timestamp - first.timestamp == 3 * 3000  # the source's own clock went on


def test_another_source_continues_numbers_and_time() -> None:
    publisher, subscriber, wire = call()
    send(publisher, subscriber, wire, KEY_FRAME, 1.0)
    other = Publisher(published(2000), first=60000, timestamp=4_000_000_000)
    subscriber.stream.bind(other.stream, 1.5)
    subscriber.stream.bind(other.stream, 1.5)
    assert publisher.stream.senders == []
    assert other.stream.take_feedback(1.5) == [PictureLossIndication(5, 2000)]
    send(other, subscriber, wire, DELTA_FRAME, 1.6)
    send(other, subscriber, wire, KEY_FRAME, 2.0)
    first, second = subscriber.read(wire)
    assert second.sequence_number == first.sequence_number + 1
    assert second.timestamp == first.timestamp + 90000
    assert {first.ssrc, second.ssrc} == {7000}
    subscriber.stream.bind(None, 3.0)
    assert subscriber.stream.source is None
    assert not subscriber.stream.fast_path


def test_dependency_descriptors_are_those_of_the_first_source_alone() -> None:
    """The next source numbers its frames from the start, and libwebrtc would drop all that look old."""
    uri = extensions.DEPENDENCY_DESCRIPTOR.uri
    sources = [published(1000), published(2000)]
    subscriber, wire = Subscriber(ids={uri: 7}, mid=None), Wire()

    def forwarded(source: ReceiveStream, number: int, now: float) -> bytes | None:
        publisher = Publisher(source, first=number, timestamp=3000 * number)
        packet = publisher.packet(KEY_FRAME)
        packet.extensions = ((12, b"abc"),)
        media = publisher.receive(packet, now)
        assert media is not None
        fan_out(media, source.senders, wire.egress, now)
        (received,) = subscriber.read(wire)
        return received.extension(7)

    for source in sources:
        source.negotiate([VP8], {12: uri})
    subscriber.stream.bind(published(3000), 0.0)  # of which nothing comes
    subscriber.stream.bind(sources[0], 0.1)
    assert forwarded(sources[0], 100, 0.1) == b"abc"
    assert forwarded(sources[0], 101, 0.2) == b"abc"
    subscriber.stream.bind(sources[1], 1.0)
    assert forwarded(sources[1], 5, 1.0) is None
    subscriber.stream.negotiate(subscriber.codecs, {uri: 7}, None)
    assert forwarded(sources[1], 6, 1.1) is None

    fresh = Subscriber(ids={uri: 7}, mid=None)
    fresh.stream.bind(sources[1], 2.0)
    subscriber.stream.bind(None, 2.0)
    subscriber = fresh
    assert forwarded(sources[1], 7, 2.0) == b"abc"
    # A source whose packet numbers begin again also numbers its frames from the start.
    publisher = Publisher(sources[1], first=30000)
    assert publisher.receive(publisher.packet(), 2.1) is None
    assert forwarded(sources[1], 30001, 2.2) is None


def test_a_source_that_never_began_does_not_disturb_the_clock() -> None:
    publisher, subscriber, wire = call()
    send(publisher, subscriber, wire, KEY_FRAME, 1.0)
    silent = published(3000)
    subscriber.stream.bind(silent, 1.1)
    subscriber.stream.bind(publisher.stream, 1.2)
    send(publisher, subscriber, wire, KEY_FRAME, 2.0)
    first, second = subscriber.read(wire)
    assert second.timestamp == first.timestamp + 90000


def test_a_codec_that_was_not_negotiated_is_left_out_without_a_gap() -> None:
    stream = published()
    stream.negotiate([VP8, Codec(98, "VP9", 90000)], PUBLISHER_IDS)
    publisher, subscriber, wire = Publisher(stream), Subscriber(), Wire()
    subscriber.stream.bind(stream, 0.0)
    for payload_type in (98, 96, 98, 96):
        media = publisher.receive(publisher.packet(KEY_FRAME, payload_type=payload_type), 0.0)
        assert media is not None
        subscriber.stream.forward(media, wire.egress, 0.0)
    assert numbers(subscriber.read(wire)) == [0, 1]
    assert subscriber.stream.statistics().dropped == {"codec": 2}


def test_a_packet_that_is_too_long_with_its_extensions_is_counted() -> None:
    publisher, subscriber, wire = call()
    send(publisher, subscriber, wire, KEY_FRAME + bytes(MAX_PLAINTEXT))
    assert subscriber.read(wire) == []
    send(publisher, subscriber, wire, KEY_FRAME)
    send(publisher, subscriber, wire, KEY_FRAME + bytes(MAX_PLAINTEXT))
    send(publisher, subscriber, wire)
    # Left out without a gap: else a publisher of many could have the rollover counter guessed wrong.
    assert numbers(subscriber.read(wire)) == [0, 1]
    assert subscriber.stream.statistics().dropped == {"srtp-too-long": 2}


def test_the_first_packets_have_a_mid_and_then_the_stream_takes_the_fast_path() -> None:
    publisher, subscriber, wire = call()
    for count in range(MID_PACKETS):
        assert not subscriber.stream.fast_path
        send(publisher, subscriber, wire, DELTA_FRAME if count else KEY_FRAME)
    assert subscriber.stream.fast_path
    send(publisher, subscriber, wire)
    packets = subscriber.read(wire)
    assert [packet.extension(9) for packet in packets] == [b"v0"] * MID_PACKETS + [None]


def test_a_receiver_report_ends_the_mid_phase() -> None:
    publisher, subscriber, wire = call()
    send(publisher, subscriber, wire, KEY_FRAME)
    subscriber.stream.receive_report(ReportBlock(7000, 64, 3, 0, 900, 0, 0), 0.0)
    send(publisher, subscriber, wire)
    assert subscriber.stream.fast_path
    statistics = subscriber.stream.statistics()
    assert (statistics.fraction_lost, statistics.lost, statistics.jitter_seconds) == (0.25, 3, 0.01)
    assert statistics.round_trip is None


def test_a_slot_without_a_mid_sends_none() -> None:
    publisher, wire = Publisher(published()), Wire()
    beyond = {uri: identifier + 14 for uri, identifier in SUBSCRIBER_IDS.items()}
    for subscriber in (
        Subscriber(mid=None),
        Subscriber(mid="m" * 17),
        Subscriber(ids={}),
        Subscriber(ids=beyond),
    ):
        subscriber.stream.bind(publisher.stream, 0.0)
        send(publisher, subscriber, wire, KEY_FRAME)
        (packet,) = subscriber.read(wire)
        assert {identifier for identifier, _ in packet.extensions} <= {2}


def test_nothing_goes_out_before_anything_is_bound() -> None:
    publisher, subscriber, wire = Publisher(published()), Subscriber(), Wire()
    subscriber.stream.forward(publisher.send(KEY_FRAME), wire.egress, 0.0)
    assert subscriber.read(wire) == []
    assert subscriber.stream.make_sender_report(0.0) is None
    subscriber.stream.receive_key_frame_request(0.0)
    subscriber.stream.receive_report(ReportBlock(7000, 0, 0, 0, 5, 0, 0), 0.0)
    subscriber.stream.pause()
    subscriber.stream.resume(0.0)
    statistics = subscriber.stream.statistics()
    assert (statistics.key_frame_requests, statistics.jitter_seconds) == (1, 0.0)


# A slow path to the receiver.


class Slow:
    """A publisher, and a subscriber whose path is full from time to time."""

    def __init__(self, kind: Literal["audio", "video"] = "video") -> None:
        self.publisher = Publisher(published(kind=kind))
        self.subscriber = Subscriber(kind=kind)
        self.wire = Wire()
        self.subscriber.stream.bind(self.publisher.stream, 0.0)
        self.subscriber.stream.receive_report(ReportBlock(7000, 0, 0, 0, 0, 0, 0), 0.0)
        self.frame(KEY_FRAME)
        self.subscriber.read(self.wire)

    def full(self, full: bool) -> None:
        """Say so, as the transport does."""
        stream = self.subscriber.stream
        stream.send_context.full = full
        stream.path_full_changed(0.0)

    def frame(self, start: bytes = DELTA_FRAME, size: int = 1) -> None:
        """Send a frame in `size` packets."""
        for index in range(size):
            self.piece(start, index, size)

    def piece(self, start: bytes, index: int, size: int) -> None:
        """Send one packet of a frame; only the first shows what frame it is of."""
        publisher, timestamp = self.publisher, self.publisher.timestamp
        payload = (start if index == 0 else b"\0") + b"%d of %d" % (index, size)
        packet = publisher.packet(payload, timestamp=timestamp, marker=index + 1 == size)
        if index + 1 < size:
            publisher.timestamp = timestamp
        media = publisher.receive(packet, 0.0)
        assert media is not None
        fan_out(media, publisher.stream.senders, self.wire.egress, 0.0)


def test_while_the_path_is_full_a_frame_is_completed_and_no_other_begins() -> None:
    call = Slow()
    stream = call.subscriber.stream
    assert stream.fast_path
    call.piece(DELTA_FRAME, 0, 3)
    call.full(True)
    call.piece(DELTA_FRAME, 1, 3)
    call.piece(DELTA_FRAME, 2, 3)
    call.frame(size=2)
    call.frame(KEY_FRAME, 2)
    assert numbers(call.subscriber.read(call.wire)) == [1, 2, 3]
    assert stream.statistics().dropped == {"outlet-full": 4}
    # The receiver does not know what would become of the key frame that it asks for.
    call.publisher.stream.take_feedback(9.0)
    stream.receive_key_frame_request(10.0)
    assert call.publisher.stream.take_feedback(10.0) == []

    call.full(False)
    assert call.publisher.stream.take_feedback(10.0) == [PictureLossIndication(5, 1000)]
    call.frame()
    call.frame(KEY_FRAME, 2)
    call.frame()
    assert stream.fast_path
    packets = call.subscriber.read(call.wire)
    assert numbers(packets) == [4, 5, 6]
    assert packets[0].payload.startswith(KEY_FRAME)


def test_a_path_that_was_full_between_two_packets_costs_nothing() -> None:
    call = Slow()
    call.publisher.stream.take_feedback(9.0)
    call.full(True)
    call.full(False)
    call.frame(size=2)
    assert numbers(call.subscriber.read(call.wire)) == [1, 2]
    assert call.publisher.stream.take_feedback(10.0) == []


def test_losses_from_before_the_path_was_full_are_repaired() -> None:
    call = Slow()
    lost = call.publisher.packet()
    call.frame()
    call.full(True)
    late = call.publisher.receive(lost, 0.0)
    assert late is not None
    fan_out(late, call.publisher.stream.senders, call.wire.egress, 0.0)
    call.frame()
    assert numbers(call.subscriber.read(call.wire)) == [2, 1]


def test_audio_goes_on_when_the_path_is_full() -> None:
    call = Slow("audio")
    call.full(True)
    call.frame(b"opus")
    assert call.subscriber.stream.fast_path
    assert numbers(call.subscriber.read(call.wire)) == [1]


def test_a_source_that_is_bound_while_the_path_is_full_waits() -> None:
    call = Slow()
    call.full(True)
    call.publisher = Publisher(published(2000))
    call.subscriber.stream.bind(call.publisher.stream, 0.0)
    assert call.publisher.stream.take_feedback(0.0) == []
    call.frame(KEY_FRAME)
    assert call.subscriber.read(call.wire) == []
    call.full(False)
    assert call.publisher.stream.take_feedback(0.0) == [PictureLossIndication(5, 2000)]
    call.frame(KEY_FRAME)
    assert numbers(call.subscriber.read(call.wire)) == [1]


@given(
    st.lists(st.tuples(st.booleans(), st.lists(st.sampled_from(["", "full", "free"]), min_size=1, max_size=5)))
)
def test_the_receiver_gets_whole_frames_whenever_the_path_is_full(frames: list[tuple[bool, list[str]]]) -> None:
    """And what it gets can be shown: no number is missing, and after a frame left out comes a key frame."""
    call = Slow()
    expected: list[int] = []  # timestamps
    is_full, broken = False, False
    for key, packets in frames:
        timestamp = call.publisher.timestamp
        for index, change in enumerate(packets):
            if change:
                is_full = change == "full"
                call.full(is_full)
            if index == 0:
                begins = not is_full and (key or not broken)
                broken = not begins
            call.piece(KEY_FRAME if key else DELTA_FRAME, index, len(packets))
        expected += [timestamp] * len(packets) * begins
    received = call.subscriber.read(call.wire)
    first = call.subscriber.stream._timestamps.offset
    assert [packet.timestamp - first for packet in received] == expected
    assert numbers(received) == list(range(1, len(received) + 1))


# Retransmissions.


def test_nacked_packets_are_retransmitted_by_rtx_with_the_mid() -> None:
    publisher, subscriber, wire = call(mid_packets=0)
    send(publisher, subscriber, wire, KEY_FRAME, 0.5)
    (sent,) = subscriber.read(wire)
    first, second = subscriber.stream.receive_nack([sent.sequence_number, sent.sequence_number - 1], 0.6)
    packet = RtpPacket.parse(first)
    assert (packet.ssrc, packet.payload_type, packet.sequence_number) == (7001, 101, 0)
    assert packet.extension(9) == b"v0"
    original = unwrap_rtx(packet, payload_type=100, ssrc=7000)
    assert original is not None
    assert (original.sequence_number, original.payload) == (sent.sequence_number, sent.payload)
    assert (original.timestamp, original.marker) == (sent.timestamp, sent.marker)
    assert RtpPacket.parse(second).sequence_number == 1
    statistics = subscriber.stream.statistics()
    assert (statistics.nacked, statistics.retransmitted) == (2, 2)
    assert statistics.retransmitted_octets == len(first) + len(second)
    assert statistics.packets == MID_PACKETS + 1


def test_what_is_unknown_or_asked_too_often_is_not_retransmitted() -> None:
    publisher, subscriber, wire = call(mid_packets=0)
    send(publisher, subscriber, wire, now=1.0)
    (sent,) = subscriber.read(wire)
    assert subscriber.stream.receive_nack([sent.sequence_number + 1, 30000], 1.0) == []
    assert len(subscriber.stream.receive_nack([sent.sequence_number] * 3, 1.0)) == 1
    assert subscriber.stream.receive_nack([sent.sequence_number], 3.0) == []  # too old by now
    assert subscriber.stream.statistics().dropped == {"nack-unknown": 3, "nack-limit": 2}


def test_the_number_of_lookups_is_limited() -> None:
    publisher, subscriber, wire = call(mid_packets=0)
    for _ in range(2):
        subscriber.stream.receive_nack(range(60000, 61000), 0.0)
    statistics = subscriber.stream.statistics()
    assert statistics.nacked == 2000
    assert statistics.dropped == {"nack-unknown": 512, "nack-limit": 2000 - 512}
    send(publisher, subscriber, wire)
    (sent,) = subscriber.read(wire)
    assert len(subscriber.stream.receive_nack([sent.sequence_number], 0.0)) == 1


def test_numbers_of_a_nack_are_those_around_the_newest() -> None:
    publisher, subscriber, wire = call(mid_packets=0)
    for _ in range(35):
        publisher.number = (publisher.number + 1999) & 0xFFFF
        send(publisher, subscriber, wire, now=1.0)
    assert subscriber.stream.packets < publisher.stream.newest - 0x10000
    sent = subscriber.read(wire)[-1]
    (answer,) = subscriber.stream.receive_nack([sent.sequence_number], 1.0)
    assert RtpPacket.parse(answer).payload[:2] == sent.sequence_number.to_bytes(2)


def test_without_rtx_the_retransmission_is_the_packet_itself() -> None:
    publisher, subscriber, wire = call((NO_RTX,), mid_packets=0)
    send(publisher, subscriber, wire)
    (sent,) = subscriber.read(wire)
    assert subscriber.stream.receive_nack([sent.sequence_number], 0.0) == [sent.serialize()]


def test_without_rtx_nothing_is_retransmitted_that_would_look_different_now() -> None:
    publisher, subscriber, wire = call((NO_RTX,), mid_packets=1)
    assert subscriber.stream.receive_nack([3], 0.0) == []  # would lack its mid
    send(publisher, subscriber, wire)
    send(publisher, subscriber, wire)
    assert subscriber.stream.receive_nack([MID_PACKETS - 1], 0.0) == []
    assert len(subscriber.stream.receive_nack([MID_PACKETS], 0.0)) == 1
    subscriber.stream.negotiate((NO_RTX,), {}, "v0")
    assert subscriber.stream.receive_nack([MID_PACKETS], 0.1) == []
    send(publisher, subscriber, wire)
    assert len(subscriber.stream.receive_nack([MID_PACKETS + 1], 0.1)) == 1
    assert subscriber.stream.statistics().dropped == {"nack-changed": 3}


def test_without_rtx_nothing_is_retransmitted_from_before_a_restart_of_the_source() -> None:
    """Its timestamp would be another one by now, under the same nonce."""
    publisher, subscriber, wire = call((NO_RTX,), mid_packets=0)
    send(publisher, subscriber, wire)
    (sent,) = subscriber.read(wire)
    publisher.number = 30000
    assert publisher.receive(publisher.packet(), 0.1) is None
    send(publisher, subscriber, wire, KEY_FRAME, 0.2)
    assert subscriber.stream.receive_nack([sent.sequence_number], 0.3) == []
    assert subscriber.stream.statistics().dropped == {"nack-unknown": 1}
    (after,) = subscriber.read(wire)
    assert subscriber.stream.receive_nack([after.sequence_number], 0.3) == [after.serialize()]


def test_a_packet_of_a_codec_that_has_gone_is_not_retransmitted() -> None:
    publisher, subscriber, wire = call(mid_packets=0)
    send(publisher, subscriber, wire)
    subscriber.stream.negotiate((Codec(98, "VP9", 90000),), SUBSCRIBER_IDS, "v0")
    assert subscriber.stream.receive_nack([MID_PACKETS], 0.0) == []
    assert subscriber.stream.statistics().dropped == {"nack-codec": 1}


# Reports.


def test_sender_reports_carry_the_publishers_clock_on() -> None:
    publisher, subscriber, wire = call()
    send(publisher, subscriber, wire, KEY_FRAME, 1.0)
    assert subscriber.stream.make_sender_report(1.0) is None
    ntp_time = 0xE000_0000 << 32
    publisher.stream.receive_sender_report(SenderReport(1000, ntp_time, 9000, 1, 1), 2.0)
    report = subscriber.stream.make_sender_report(2.5)
    assert report == SenderReport(7000, ntp_time + (1 << 31), 9000 + 45000, 1, len(KEY_FRAME))
    subscriber.stream.pause()
    assert subscriber.stream.make_sender_report(3.0) is None


def test_sender_reports_after_a_switch_have_the_outgoing_timestamps() -> None:
    publisher, subscriber, wire = call()
    send(publisher, subscriber, wire, KEY_FRAME, 1.0)
    other = Publisher(published(2000), timestamp=500)
    subscriber.stream.bind(other.stream, 1.0)
    other.stream.receive_sender_report(SenderReport(2000, 1 << 40, 500, 1, 1), 2.0)
    assert subscriber.stream.make_sender_report(2.0) is None
    send(other, subscriber, wire, KEY_FRAME, 2.0)
    report = subscriber.stream.make_sender_report(2.0)
    assert report is not None
    assert report.rtp_timestamp == subscriber.read(wire)[-1].timestamp


def test_round_trips_are_measured_from_the_time_of_sending() -> None:
    publisher, subscriber, wire = call(mid_packets=0)
    publisher.stream.receive_sender_report(SenderReport(1000, 77 << 40, 9000, 1, 1), 1.0)
    report = subscriber.stream.make_sender_report(1.0)
    assert report is not None
    compact = compact_ntp(report.ntp_time)
    subscriber.stream.receive_report(ReportBlock(7000, 0, 0, 0, 0, compact, 65536 // 2), 1.75)
    assert subscriber.stream.statistics().round_trip == 0.25
    subscriber.stream.receive_report(ReportBlock(7000, 0, 0, 0, 0, compact, 65536 * 9), 1.75)
    assert subscriber.stream.statistics().round_trip == 0.0
    subscriber.stream.receive_report(ReportBlock(7000, 0, 0, 0, 0, compact + 1, 0), 9.0)
    assert subscriber.stream.statistics().round_trip == 0.0
    send(publisher, subscriber, wire)


def test_a_key_frame_request_goes_to_the_source() -> None:
    publisher, subscriber, _ = call(mid_packets=0)
    subscriber.stream.receive_key_frame_request(5.0)
    assert publisher.stream.take_feedback(5.0) == [PictureLossIndication(5, 1000)]
    assert subscriber.stream.statistics().key_frame_requests == 1


def test_a_receiver_that_goes_on_requesting_key_frames_is_refused_and_others_are_not() -> None:
    publisher, subscriber, wire = call(mid_packets=0)
    other = Subscriber()
    other.stream.bind(publisher.stream, 0.0)
    asked = []
    for index in range(400):
        now = 5.0 + index * 0.25
        subscriber.stream.receive_key_frame_request(now)
        if publisher.stream.take_feedback(now):
            asked.append(now)
            send(publisher, subscriber, wire, KEY_FRAME, now)
    # Five at the usual interval, then 1, 2, 4, 8 and 10 s apart.
    assert len(asked) < 20
    assert asked[-1] - asked[-2] == 10.0
    assert subscriber.stream.statistics().key_frame_requests == 400
    assert subscriber.stream.statistics().dropped["key-frame-budget"] > 350
    other.stream.receive_key_frame_request(105.0)
    assert publisher.stream.take_feedback(105.0) == [PictureLossIndication(5, 1000)]
    assert "key-frame-budget" not in other.stream.statistics().dropped


def test_a_source_that_is_bound_again_and_again_is_requested_more_and_more_slowly() -> None:
    """Subscribing to a track again and again costs its publisher no more than requesting key frames."""
    publisher, subscriber, wire = call(mid_packets=0)
    asked = []
    for index in range(200):
        now = 5.0 + index * 0.25
        subscriber.stream.bind(None, now)
        subscriber.stream.bind(publisher.stream, now)
        if publisher.stream.take_feedback(now):
            asked.append(now)
            publisher.send(KEY_FRAME)
    assert asked[-1] - asked[-2] == 10.0
    # What the budget refused is requested later, with the next packet, and then goes out.
    subscriber.read(wire)
    send(publisher, subscriber, wire, DELTA_FRAME, 65.0)
    assert publisher.stream.take_feedback(65.0) == [PictureLossIndication(5, 1000)]
    send(publisher, subscriber, wire, KEY_FRAME, 65.1)
    assert len(subscriber.read(wire)) == 1


@given(
    st.lists(
        st.sampled_from(
            [
                "key",
                "delta",
                "lose",
                "late",
                "padding",
                "long",
                "restart",
                "pause",
                "resume",
                "switch",
                "offline",
                "online",
                "nack",
                "ids",
                "report",
                "full",
                "free",
            ]
        ),
        max_size=80,
    ),
    st.booleans(),
)
def test_one_outgoing_number_never_stands_for_two_packets(steps: list[str], with_rtx: bool) -> None:
    """The promise that SRTP depends on (a repeated nonce), whatever happens to the stream."""
    publishers = [Publisher(published(1000)), Publisher(published(2000), first=65500)]
    subscriber = Subscriber(codecs=() if with_rtx else (NO_RTX,))
    stream, srtp, current, ids = subscriber.stream, subscriber.send_context.srtp, 0, True
    assert srtp is not None
    seen: dict[tuple[int, int], bytes] = {}

    def record(data: bytes) -> None:
        packet = RtpPacket.parse(data)
        assert seen.setdefault((packet.ssrc, packet.sequence_number), data) == data

    def collect(egress: Egress) -> None:
        for index in range(egress.count):
            protected = bytes(egress.buffers[index][: egress.lengths[index]])
            record(subscriber.inbound.unprotect(protected))

    egress = Egress(collect, 1)
    stream.bind(publishers[0].stream, 0.0)
    lost: list[list[RtpPacket]] = [[], []]
    for count, step in enumerate(steps):
        now = count * 0.05
        publisher = publishers[current]
        packet = None
        if step in ("key", "delta"):
            packet = publisher.packet((KEY_FRAME if step == "key" else DELTA_FRAME) + bytes([count]))
        elif step == "lose":
            lost[current].append(publisher.packet(DELTA_FRAME + bytes([count])))
        elif step == "late" and lost[current]:
            packet = lost[current].pop()
        elif step == "padding":
            packet = publisher.packet(b"", padding_size=9)
        elif step == "long":
            packet = publisher.packet(KEY_FRAME + bytes(MAX_PLAINTEXT))
        elif step == "restart":
            publisher.number = (publisher.number + 0x8000) & 0xFFFF
            publisher.receive(publisher.packet(), now)
        elif step == "offline":
            subscriber.send_context.suspend()
        elif step == "online":
            subscriber.send_context.open(srtp, subscriber.path)
        elif step == "pause":
            stream.pause()
        elif step == "resume":
            stream.resume(now)
        elif step == "full":
            stream.send_context.full = True
            stream.path_full_changed(now)
        elif step == "free":
            stream.send_context.full = False
            stream.path_full_changed(now)
        elif step == "switch":
            current = 1 - current
            stream.bind(publishers[current].stream, now)
        elif step == "nack":
            for data in stream.receive_nack(range(20), now):
                record(data)
        elif step == "ids":
            ids = not ids
            stream.negotiate(subscriber.codecs, SUBSCRIBER_IDS if ids else {}, "v0")
        elif step == "report":
            stream.receive_report(ReportBlock(7000, 0, 0, 0, 0, 0, 0), now)
        if packet is not None:
            media = publisher.receive(packet, now)
            if media is not None:
                stream.forward(media, egress, now)
