"""A published stream: what is forwarded, what is asked of the publisher, what is reported to it."""

from pathlib import Path

import pytest
from support.captures import VECTORS, read, rtpdump_records, whole
from support.media import DELTA_FRAME, KEY_FRAME, OPUS, PUBLISHER_IDS, VP8, Publisher, Subscriber, published

from sfu.errors import BadPacket
from sfu.rtp import nack
from sfu.rtp.packet import RtpPacket
from sfu.rtp.rewrite import SEGMENTS
from sfu.rtp.rtcp import FirEntry, FullIntraRequest, GenericNack, PictureLossIndication, SenderReport
from sfu.rtp.rtx import wrap_rtx
from sfu.sdp.codecs import Codec
from sfu.transport.key_frame_requests import MIN_INTERVAL
from sfu.transport.receive_stream import ReceiveStream


def rtx(packet: RtpPacket, number: int = 1) -> RtpPacket:
    return wrap_rtx(packet, payload_type=97, ssrc=1001, sequence_number=number)


def test_packets_in_order_are_forwarded_with_extended_numbers() -> None:
    stream = published()
    publisher = Publisher(stream, first=65535)
    first = publisher.send(KEY_FRAME)
    second = publisher.send(DELTA_FRAME)
    assert (first.sequence, first.in_order, first.key_frame) == (65535, True, True)
    assert (second.sequence, second.in_order, second.key_frame) == (65536, True, False)
    assert stream.newest == 65536
    statistics = stream.statistics()
    assert (statistics.packets, statistics.octets) == (2, len(KEY_FRAME) + len(DELTA_FRAME))
    assert statistics.key_frames == 1


def test_every_audio_packet_is_a_start() -> None:
    stream = published(kind="audio")
    assert Publisher(stream).send(b"opus").key_frame
    assert stream.history is None


def test_a_late_packet_is_forwarded_once() -> None:
    stream = published()
    publisher = Publisher(stream)
    publisher.send(KEY_FRAME)
    late = publisher.packet()
    publisher.send()
    media = publisher.receive(late, 0.0)
    assert media is not None
    assert not media.in_order
    assert media.sequence == stream.newest - 1
    assert publisher.receive(late, 0.0) is None
    assert stream.statistics().dropped == {"duplicate": 1}


def test_unknown_payload_types_and_wild_numbers_are_dropped() -> None:
    stream = published()
    publisher = Publisher(stream)
    publisher.send(KEY_FRAME)
    assert publisher.receive(publisher.packet(payload_type=50), 0.0) is None
    assert publisher.receive(publisher.packet(sequence_number=40000), 0.0) is None
    assert stream.statistics().dropped == {"payload-type": 1, "sequence-jump": 1}


def test_padding_only_packets_leave_no_hole() -> None:
    stream = published()
    publisher = Publisher(stream)
    first = publisher.send(KEY_FRAME)
    assert publisher.receive(publisher.packet(b"", padding_size=200), 0.0) is None
    lost = publisher.packet()
    assert publisher.receive(publisher.packet(b"", padding_size=200), 0.0) is None
    following = publisher.send()
    assert following.sequence == first.sequence + 2
    assert stream.take_feedback(0.0) == []
    recovered = publisher.receive(lost, 0.01)
    assert recovered is not None
    assert recovered.sequence == first.sequence + 1
    assert stream.statistics().packets == 5


def test_a_late_packet_before_padding_is_the_newest_to_forward() -> None:
    stream = published()
    publisher = Publisher(stream)
    first = publisher.send(KEY_FRAME)
    late = publisher.packet()
    publisher.receive(publisher.packet(b"", padding_size=200), 0.0)
    media = publisher.receive(late, 0.01)
    assert media is not None
    assert not media.in_order
    assert stream.newest == media.sequence == first.sequence + 1


def test_a_late_padding_only_packet_and_a_packet_before_the_first() -> None:
    stream = published()
    publisher = Publisher(stream)
    before = publisher.packet()
    publisher.send(KEY_FRAME)
    padding = publisher.packet(b"", padding_size=9)
    publisher.send()
    media = publisher.receive(padding, 0.0)
    assert media is not None
    assert (media.sequence, media.in_order, media.key_frame) == (stream.newest - 1, False, False)
    assert publisher.receive(before, 0.0) is None
    assert stream.statistics().dropped == {"duplicate": 1}


def test_a_packet_whose_place_is_forgotten_is_dropped() -> None:
    stream = published()
    publisher = Publisher(stream)
    publisher.send(KEY_FRAME)
    lost = publisher.packet()
    for _ in range(SEGMENTS + 1):
        publisher.receive(publisher.packet(b"", padding_size=9), 0.0)
        publisher.send()
    assert publisher.receive(lost, 0.0) is None
    assert stream.statistics().dropped == {"late": 1}


def test_a_frame_of_several_starts_is_one_key_frame_and_begins_with_the_first() -> None:
    """Who wants a key frame that has begun would get a part of it, so that is no answer."""
    stream = published(codec=Codec(102, "H264", 90000, feedback=VP8.feedback))
    publisher = Publisher(stream)
    publisher.send(b"\x61 no key frame")
    frame = [publisher.packet(payload, timestamp=9000) for payload in (b"\x67", b"\x65 slice", b"\x65 slice")]
    stream.request_key_frame(0.0)
    assert stream.take_feedback(0.0) == [PictureLossIndication(5, 1000)]
    starts = []
    for packet in (frame[1], frame[2], frame[0]):
        media = publisher.receive(packet, 0.1)
        assert media is not None
        starts.append(media.key_frame)
        if packet is frame[1]:
            assert stream.next_timeout() == 0.1 + nack.REORDERING_WAIT
            stream.request_key_frame(0.1)
        elif packet is frame[2]:
            assert PictureLossIndication(5, 1000) in stream.take_feedback(MIN_INTERVAL)
    # Those behind the parameters that came late can be asked for again.
    assert starts == [True, False, True]
    assert stream.statistics().key_frames == 1


def test_audio_starts_with_every_packet_of_one_timestamp_too() -> None:
    publisher = Publisher(published(kind="audio"))
    for _ in range(2):
        media = publisher.receive(publisher.packet(b"opus", timestamp=9000), 0.0)
        assert media is not None
        assert media.key_frame


def test_gaps_are_nacked_and_rtx_repairs_them() -> None:
    stream = published()
    publisher = Publisher(stream, first=65534)
    publisher.send(KEY_FRAME)
    lost = [publisher.packet(), publisher.packet()]
    publisher.send(now=1.0)
    assert stream.next_timeout() == 1.0 + nack.REORDERING_WAIT
    assert stream.take_feedback(1.0 + nack.REORDERING_WAIT) == [GenericNack(5, 1000, (65535, 0))]
    stream.set_round_trip(0.05)
    media = stream.receive_rtx(rtx(lost[1]), 1.02)
    assert media is not None
    assert media.rtp.payload == lost[1].payload
    assert (media.rtp.payload_type, media.rtp.ssrc, media.sequence) == (96, 1000, 65536)
    assert stream.receive_rtx(rtx(lost[1], 2), 1.03) is None
    statistics = stream.statistics()
    assert (statistics.repaired, statistics.nacked, statistics.lost) == (1, 2, 2)
    assert statistics.dropped == {"duplicate": 1}
    assert stream.history is not None
    kept = stream.history.get(65536, 1.03)
    assert kept is not None
    assert RtpPacket.parse(kept) == media.rtp


def test_rtx_that_is_a_probe_or_too_early_or_malformed() -> None:
    stream = published()
    publisher = Publisher(stream)
    packet = publisher.packet()
    assert stream.receive_rtx(rtx(packet), 0.0) is None
    assert stream.receive_rtx(RtpPacket(97, False, 1, 2, 1001, padding_size=100), 0.0) is None
    assert stream.receive_rtx(RtpPacket(98, False, 1, 2, 1001, payload=b"abc"), 0.0) is None
    assert stream.statistics().dropped == {"rtx-first": 1, "payload-type": 1}
    with pytest.raises(BadPacket, match="rtx-truncated"):
        stream.receive_rtx(RtpPacket(97, False, 1, 2, 1001, payload=b"a"), 0.0)


def test_rtx_from_before_a_restart_is_dropped() -> None:
    stream = published()
    publisher = Publisher(stream)
    publisher.send(KEY_FRAME)
    newest = publisher.number - 1
    for ahead in (nack.MAX_MISSING + 1, 0x7FFF):
        repeated = RtpPacket(96, True, newest + ahead, 9000, 1000, payload=DELTA_FRAME)
        assert stream.receive_rtx(rtx(repeated), 0.1) is None
    assert publisher.send().in_order
    overtakes = RtpPacket(96, True, newest + 3, 9000, 1000, payload=DELTA_FRAME)
    assert stream.receive_rtx(rtx(overtakes), 0.2) is not None
    assert publisher.send() is not None
    assert stream.statistics().dropped == {"rtx-ahead": 2}


def test_without_nack_nothing_is_requested_but_video_is_kept_for_subscribers() -> None:
    stream = published(codec=Codec(96, "VP8", 90000, feedback=frozenset({"nack pli"})))
    publisher = Publisher(stream)
    publisher.send(KEY_FRAME)
    publisher.packet()
    publisher.send()
    assert stream.next_timeout() is None
    assert stream.history is not None
    assert len(stream.history) == 2


def test_audio_is_kept_if_nack_was_negotiated() -> None:
    assert published(kind="audio").history is None
    asked = Codec(111, "opus", 48000, 2, feedback=frozenset({"nack"}))
    assert published(kind="audio", codec=asked).history is not None


def test_key_frame_requests_are_pli_and_stop_at_a_key_frame() -> None:
    stream = published()
    publisher = Publisher(stream)
    stream.request_key_frame(0.0)
    stream.request_key_frame(0.0)
    assert stream.next_timeout() == 0.0
    assert stream.take_feedback(0.0) == [PictureLossIndication(5, 1000)]
    publisher.send(DELTA_FRAME, 0.1)
    assert stream.next_timeout() == MIN_INTERVAL
    assert stream.take_feedback(0.5) == [PictureLossIndication(5, 1000)]
    publisher.send(KEY_FRAME, 0.6)
    assert stream.next_timeout() is None
    assert stream.statistics().key_frame_requests == 2


def test_fir_where_pli_was_not_negotiated_counts_its_commands() -> None:
    stream = published(codec=Codec(96, "VP8", 90000, feedback=frozenset({"ccm fir"})))
    numbers = []
    for now in (0.0, 0.5):
        stream.request_key_frame(now)
        (request,) = stream.take_feedback(now)
        assert isinstance(request, FullIntraRequest)
        numbers.append(request.entries[0].command_number)
    Publisher(stream).send(KEY_FRAME, 1.0)
    stream.request_key_frame(1.0)
    assert stream.take_feedback(1.0) == [FullIntraRequest(5, (FirEntry(1000, 2),))]
    assert numbers == [1, 1]


def test_without_negotiated_feedback_nothing_is_requested() -> None:
    stream = published(codec=Codec(96, "VP8", 90000))
    stream.request_key_frame(0.0)
    audio = published(kind="audio")
    audio.request_key_frame(0.0)
    assert stream.next_timeout() is None
    assert audio.next_timeout() is None


def test_a_gap_too_wide_is_a_key_frame_request() -> None:
    stream = published()
    publisher = Publisher(stream)
    publisher.send(KEY_FRAME)
    publisher.number += nack.MAX_MISSING + 1
    publisher.send(now=1.0)
    assert stream.take_feedback(1.0) == [PictureLossIndication(5, 1000)]


def test_the_sooner_of_nack_and_pli_is_the_timeout() -> None:
    stream = published()
    publisher = Publisher(stream)
    publisher.send(KEY_FRAME)
    publisher.packet()
    publisher.send()
    stream.request_key_frame(0.0)
    assert stream.next_timeout() == 0.0
    assert len(stream.take_feedback(0.0)) == 1
    assert stream.next_timeout() == nack.REORDERING_WAIT


def test_report_blocks() -> None:
    stream = published()
    publisher = Publisher(stream)
    assert stream.report_block(0.0) is None
    publisher.send(KEY_FRAME)
    block = stream.report_block(0.0)
    assert block is not None
    assert (block.last_sender_report, block.delay_since_last_sender_report) == (0, 0)
    stream.receive_sender_report(SenderReport(1000, 0x1122_3344_5566_7788, 9000, 1, 11), 10.0)
    block = stream.report_block(10.5)
    assert block is not None
    assert (block.ssrc, block.highest_sequence) == (1000, 100)
    assert (block.last_sender_report, block.delay_since_last_sender_report) == (0x3344_5566, 32768)


def test_a_restart_of_the_numbering_is_another_source_to_subscribers() -> None:
    stream = published()
    publisher = Publisher(stream)
    subscriber = Subscriber()
    subscriber.stream.bind(stream, 0.0)
    stream.take_feedback(0.0)
    before = publisher.send(KEY_FRAME, 1.0)
    publisher.packet()
    publisher.send(DELTA_FRAME, 1.0)
    stream.receive_sender_report(SenderReport(1000, 1, 9000, 1, 11), 1.0)
    publisher.number = 30000
    assert publisher.receive(publisher.packet(), 2.0) is None
    after = publisher.send(DELTA_FRAME, 2.0)
    assert after.in_order
    assert after.sequence == before.sequence + 3
    assert stream.sender_clock is None
    assert stream.take_feedback(2.0) == [PictureLossIndication(5, 1000)]
    assert stream.next_timeout() == 2.0 + MIN_INTERVAL


def test_a_negotiation_changes_the_codecs_and_reaches_the_subscribers() -> None:
    stream = published()
    subscriber = Subscriber()
    subscriber.stream.bind(stream, 0.0)
    before = subscriber.stream.translation
    assert stream.translation(subscriber.codecs, {}) is not before
    stream.negotiate([Codec(120, "VP8", 90000, feedback=VP8.feedback, rtx_payload_type=121)], PUBLISHER_IDS)
    after = subscriber.stream.translation
    assert after is not before
    assert after is not None
    translated = after.translate(Publisher(published()).packet(payload_type=120))
    assert translated is not None
    assert translated.payload_type == 100
    assert Publisher(stream).send(KEY_FRAME).rtp.payload_type == 120
    with pytest.raises(ValueError, match="needs a codec"):
        stream.negotiate([], {})


def test_receivers_with_equal_negotiations_share_a_translation_that_is_freed_with_the_last() -> None:
    stream = published()
    one, other = Subscriber(), Subscriber(ids={})
    another = Subscriber()
    for subscriber in (one, other, another):
        subscriber.stream.bind(stream, 0.0)
    assert one.stream.translation is another.stream.translation
    assert one.stream.translation is not other.stream.translation
    assert len(stream._translations) == 2
    other.stream.bind(None, 0.0)
    assert len(stream._translations) == 1


def test_close_unbinds_the_subscribers() -> None:
    stream = published()
    publisher = Publisher(stream)
    subscribers = [Subscriber(), Subscriber()]
    for subscriber in subscribers:
        subscriber.stream.bind(stream, 0.0)
    publisher.send(KEY_FRAME)
    stream.close(1.0)
    assert stream.senders == []
    assert all(subscriber.stream.source is None for subscriber in subscribers)
    assert stream.history is not None
    assert len(stream.history) == 0
    published(kind="audio").close(1.0)


def recordings() -> dict[str, Path]:
    trimmed = {f"trimmed-{path.stem}": path for path in sorted((VECTORS / "rtp").glob("*.rtpdump"))}
    return trimmed | {f"whole-{name}": path for name, path in whole("rtp", "*.rtpdump").items()}


@pytest.mark.parametrize("path", recordings().values(), ids=recordings())
def test_recorded_packets_of_browsers_come_through(path: Path) -> None:
    """Every stream of a recording as a published one: nothing but padding and duplicates stays behind."""
    streams: dict[int, ReceiveStream] = {}
    forwarded = padding = 0
    total = 0
    for record in rtpdump_records(read(path)):
        if record.is_rtcp:
            continue
        packet = RtpPacket.parse(record.data)
        stream = streams.get(packet.ssrc)
        if stream is None:
            codec = Codec(packet.payload_type, OPUS.name, 48000, feedback=VP8.feedback)
            stream = streams[packet.ssrc] = published(packet.ssrc, codec=codec)
        total += 1
        padding += not packet.payload
        forwarded += stream.receive(packet, record.data, record.at) is not None
        stream.take_feedback(record.at)
    dropped = sum(sum(stream.statistics().dropped.values()) for stream in streams.values())
    assert forwarded + padding + dropped == total
    assert sum(stream.statistics().dropped.get("payload-type", 0) for stream in streams.values()) < total / 4
