"""The forwarding loop sends to each receiver what `SendStream.forward` would send, and survives errors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.media import DELTA_FRAME, KEY_FRAME, OPUS, Publisher, Subscriber, Wire, published

from sfu.rtp.libsrtp import portable_binding
from sfu.rtp.packet import RtpPacket
from sfu.rtp.rtcp import ReportBlock
from sfu.rtp.srtp import MAX_PLAINTEXT, PROFILES
from sfu.sdp.codecs import Codec
from sfu.transport.fan_out import fan_out


def room(count: int, wire: Wire, **options: str) -> tuple[Publisher, list[Subscriber]]:
    """A publisher and subscribers whose streams are fast_path."""
    publisher = Publisher(published())
    subscribers = [Subscriber(profile=options.get("profile", "AEAD_AES_128_GCM")) for _ in range(count)]
    for subscriber in subscribers:
        subscriber.stream.bind(publisher.stream, 0.0)
        subscriber.stream.receive_report(ReportBlock(7000, 0, 0, 0, 0, 0, 0), 0.0)
    fan_out(publisher.send(KEY_FRAME), publisher.stream.senders, wire.egress, 0.0)
    for subscriber in subscribers:
        assert subscriber.stream.fast_path
        assert len(subscriber.read(wire)) == 1
    return publisher, subscribers


@pytest.mark.parametrize("profile", PROFILES)
def test_every_receiver_gets_the_packet_in_its_own_numbers(profile: str) -> None:
    wire = Wire(capacity=4)
    publisher, subscribers = room(9, wire, profile=profile)
    early, late = subscribers[0], Subscriber()
    late.stream.bind(publisher.stream, 0.0)
    media = publisher.send(DELTA_FRAME)
    fan_out(media, publisher.stream.senders, wire.egress, 0.0)
    for subscriber in subscribers:
        (packet,) = subscriber.read(wire)
        assert packet == RtpPacket(100, True, 1, media.rtp.timestamp, 7000, (), ((2, b"\1"),), DELTA_FRAME)
    assert late.read(wire) == []
    assert wire.sent == []
    statistics = early.stream.statistics()
    assert (statistics.packets, statistics.octets) == (2, len(KEY_FRAME) + len(DELTA_FRAME))


def test_packets_as_long_as_gstreamer_makes_them_come_through() -> None:
    wire = Wire()
    publisher, subscribers = room(2, wire)
    packet = publisher.packet()
    packet.payload += bytes(1400 - len(packet.serialize()))
    media = publisher.receive(packet, 0.0)
    assert media is not None
    fan_out(media, publisher.stream.senders, wire.egress, 0.0)
    for subscriber in subscribers:
        assert [received.payload for received in subscriber.read(wire)] == [packet.payload]


def test_the_batch_is_flushed_when_full_and_holds_the_rest() -> None:
    wire = Wire(capacity=4)
    publisher, _ = room(9, wire)
    fan_out(publisher.send(DELTA_FRAME), publisher.stream.senders, wire.egress, 0.0)
    assert (len(wire.sent), wire.egress.count) == (8, 1)


def test_late_and_first_packets_are_left_to_forward() -> None:
    wire = Wire(capacity=3)
    publisher, subscribers = room(2, wire)
    newcomer = Subscriber()
    newcomer.stream.bind(publisher.stream, 0.0)
    publisher.stream.senders.reverse()
    lost = publisher.packet()
    fan_out(publisher.send(KEY_FRAME), publisher.stream.senders, wire.egress, 0.0)
    media = publisher.receive(lost, 0.0)
    assert media is not None
    fan_out(media, publisher.stream.senders, wire.egress, 0.0)
    for subscriber in subscribers:
        assert [packet.sequence_number for packet in subscriber.read(wire)] == [2, 1]
    assert [packet.sequence_number for packet in newcomer.read(wire)] == [0]
    assert newcomer.stream.statistics().dropped == {"late": 1}


def test_different_negotiations_side_by_side() -> None:
    wire = Wire()
    publisher, subscribers = room(4, wire)
    for index, subscriber in enumerate(subscribers):
        if index % 2:
            subscriber.stream.negotiate((Codec(120, "VP8", 90000),), {}, None)
    for _ in range(2):
        fan_out(publisher.send(DELTA_FRAME), publisher.stream.senders, wire.egress, 0.0)
    for index, subscriber in enumerate(subscribers):
        packets = subscriber.read(wire)
        assert [packet.payload_type for packet in packets] == [120 if index % 2 else 100] * 2
        assert [bool(packet.extensions) for packet in packets] == [not index % 2] * 2


def test_a_packet_that_one_receiver_cannot_get_reaches_the_others() -> None:
    wire = Wire()
    publisher, subscribers = room(4, wire)
    gone, unwilling, broken, well = subscribers
    gone.send_context.close()
    unwilling.stream.negotiate((OPUS,), {}, None)
    # What libsrtp refuses: a number from before its window.
    broken.stream.sequence_offset -= 5000
    fan_out(publisher.send(DELTA_FRAME), publisher.stream.senders, wire.egress, 0.0)
    fan_out(publisher.send(DELTA_FRAME + bytes(MAX_PLAINTEXT)), publisher.stream.senders, wire.egress, 0.0)
    assert [len(subscriber.read(wire)) for subscriber in (unwilling, well)] == [0, 1]
    assert gone.stream.statistics().dropped == {"not-connected": 2}
    assert unwilling.stream.statistics().dropped == {"codec": 2}
    assert well.stream.statistics().dropped == {"srtp-too-long": 1}


def test_a_packet_that_libsrtp_refuses_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire()
    publisher, (subscriber,) = room(1, wire)
    monkeypatch.setitem(fan_out.__globals__, "_protect", lambda *_: 1)
    fan_out(publisher.send(DELTA_FRAME), publisher.stream.senders, wire.egress, 0.0)
    assert subscriber.read(wire) == []
    assert subscriber.stream.statistics().dropped == {"srtp-failed": 1}


def test_the_portable_binding_writes_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire()
    publisher, subscribers = room(2, wire)
    portable = portable_binding()
    sessions = {id(subscriber.send_context.srtp): subscriber.send_context.srtp for subscriber in subscribers}
    by_context = {srtp.context: srtp for srtp in sessions.values() if srtp is not None}

    def protect(context: object, memory: object, length: object) -> int:
        session = by_context[context]._session
        assert session is not None
        return portable.protect(portable.context(session), memory, length)

    monkeypatch.setitem(fan_out.__globals__, "_protect", protect)
    fan_out(publisher.send(DELTA_FRAME), publisher.stream.senders, wire.egress, 0.0)
    assert [packet.payload for subscriber in subscribers for packet in subscriber.read(wire)] == [
        DELTA_FRAME
    ] * 2


@given(st.lists(st.sampled_from(["delta", "key", "lose", "late", "padding"]), max_size=30))
def test_the_loop_sends_what_forward_sends(steps: list[str]) -> None:
    wire = Wire()
    publisher, (by_loop, by_hand) = room(2, wire)
    lost: list[RtpPacket] = []
    for step in steps:
        packet = publisher.packet({"key": KEY_FRAME, "padding": b""}.get(step, DELTA_FRAME))
        if step == "lose":
            lost.append(packet)
            continue
        if step == "padding":
            packet.padding_size = 7
        media = publisher.receive(lost.pop() if step == "late" and lost else packet, 0.0)
        if media is not None:
            fan_out(media, [by_loop.stream], wire.egress, 0.0)
            by_hand.stream.forward(media, wire.egress, 0.0)
    ours, theirs = by_loop.read(wire), by_hand.read(wire)
    assert ours == theirs
    assert by_loop.stream.statistics() == by_hand.stream.statistics()
