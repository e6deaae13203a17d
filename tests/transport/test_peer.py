"""One peer's transport with media: a publisher and a subscriber, each a scripted client."""

from dataclasses import replace

import pylibsrtp
import pytest
from support.transport_link import Link

from sfu.ice.events import IceState
from sfu.ice.path import IcePath
from sfu.rtp import extensions
from sfu.rtp.packet import RtpPacket
from sfu.rtp.rtcp import (
    FirEntry,
    FullIntraRequest,
    GenericNack,
    Goodbye,
    PictureLossIndication,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceDescription,
    TransportWideFeedback,
)
from sfu.rtp.rtx import wrap_rtx
from sfu.sdp.codecs import Codec
from sfu.sdp.mline import Receiver
from sfu.transport.egress import Egress
from sfu.transport.events import KeyFrameRequested, StreamEnded, StreamStarted
from sfu.transport.fan_out import fan_out
from sfu.transport.send_stream import SendStream

MID, TRANSPORT_SEQUENCE = 1, 3
VP8 = Codec(96, "VP8", 90000, feedback=frozenset({"nack", "nack pli", "ccm fir"}), rtx_payload_type=97)
VIDEO = Receiver(
    "0",
    "video",
    active=True,
    codecs=(VP8,),
    extensions={MID: extensions.MID.uri, TRANSPORT_SEQUENCE: extensions.TRANSPORT_SEQUENCE_NUMBER.uri},
)
# Payload descriptor with the S bit; then the frame tag, whose lowest bit is 0 for a key frame (RFC 7741, 6386).
KEY_FRAME = b"\x10\x00\x00\x00\x9d\x01\x2a"
DELTA_FRAME = b"\x10\x01\x00\x00"
SSRC, RTX_SSRC = 0x1111, 0x1112
SLOT_SSRC, SLOT_RTX_SSRC = 0x2221, 0x2222


def video(number: int, payload: bytes = DELTA_FRAME, *, transport_sequence: int | None = None) -> RtpPacket:
    elements: tuple[tuple[int, bytes], ...] = ((MID, b"0"),)
    if transport_sequence is not None:
        elements += ((TRANSPORT_SEQUENCE, transport_sequence.to_bytes(2)),)
    return RtpPacket(96, True, number, 3000 * number, SSRC, (), elements, payload)


@pytest.fixture
def publisher() -> Link:
    link = Link(seed=1).connect()
    link.transport.set_receivers([VIDEO], link.now)
    link.events.clear()
    return link


class Call:
    """A publisher and a subscriber whose slot is bound to what is published."""

    def __init__(self, publisher: Link) -> None:
        self.publisher = publisher
        self.subscriber = Link(seed=2, now=publisher.now).connect()
        self.slot = SendStream(
            kind="video",
            ssrc=SLOT_SSRC,
            rtx_ssrc=SLOT_RTX_SSRC,
            cname="alice",
            send_context=self.subscriber.transport.send_context,
            random=self.subscriber.random.randbytes,
        )
        self.slot.negotiate([VP8], {}, "5")
        self.subscriber.transport.add_sender(self.slot)
        self.egress = Egress(self._send)
        self.subscriber.now = publisher.now

    def _send(self, egress: Egress) -> None:
        for index in range(egress.count):
            data = bytes(egress.buffers[index][: egress.lengths[index]])
            self.subscriber.client.receive(data, self.publisher.now)

    def send(self, *packets: RtpPacket) -> None:
        """The publisher sends, and everything is forwarded."""
        for packet in packets:
            self.publisher.client.send_rtp(packet)
        self.run(0.01)

    def run(self, seconds: float) -> None:
        """Let time pass on both sides."""
        end = self.publisher.now + seconds
        while self.publisher.now < end:
            self.publisher.run(0.01)
            self.subscriber.run(self.publisher.now - self.subscriber.now)
            for event in self.publisher.events:
                if isinstance(event, StreamStarted):
                    self.slot.bind(event.stream, self.publisher.now)
            for media in self.publisher.media:
                fan_out(media, media.stream.senders, self.egress, self.publisher.now)
            self.publisher.events.clear()
            self.publisher.media.clear()
            self.egress.flush()

    def received(self) -> list[RtpPacket]:
        return list(self.subscriber.client.rtp)


@pytest.fixture
def call(publisher: Link) -> Call:
    call = Call(publisher)
    call.send(video(1, KEY_FRAME), video(2))
    return call


# Receiving


def test_first_packet_starts_a_stream_and_every_packet_is_to_be_forwarded(publisher: Link) -> None:
    publisher.client.send_rtp(video(1, KEY_FRAME))
    publisher.client.send_rtp(video(2))
    publisher.run(0.002)
    [started] = publisher.events
    first, second = publisher.media
    assert isinstance(started, StreamStarted)
    assert started.stream is first.stream is second.stream
    assert started.stream.mid == "0"
    assert (first.key_frame, second.key_frame) == (True, False)
    assert list(publisher.transport.streams) == [started.stream]
    statistics = publisher.transport.statistics()
    assert statistics.rtp_packets == 2
    assert statistics.rtp_octets == len(video(1, KEY_FRAME).serialize()) + len(video(2).serialize())
    assert statistics.state is IceState.COMPLETED


def test_malformed_rtp_and_rtcp_inside_valid_srtp_are_counted(publisher: Link) -> None:
    client = publisher.client
    assert client.outbound is not None
    transport = publisher.transport
    bad_rtp = b"\xa0" + video(1).serialize()[1:-1] + b"\xff"  # more padding than packet
    transport.receive(client.outbound.protect(bad_rtp), publisher.path, publisher.now)
    bad_rtcp = b"\x81\xc9\x00\x01\x00\x00\x00\x01"  # a report block that is not there
    transport.receive(client.outbound.protect_rtcp(bad_rtcp), publisher.path, publisher.now)
    assert dict(transport.statistics().drops) == {"rtp-padding": 1, "rtcp-rr": 1}
    assert transport.statistics().rtcp_packets == 0


def test_unknown_ssrcs_do_not_use_up_the_peers_share(publisher: Link) -> None:
    for ssrc in range(0x4000, 0x4000 + 500):
        publisher.client.send_rtp(replace(video(1), ssrc=ssrc, extensions=(), payload_type=50))
    publisher.client.send_rtp(video(1, KEY_FRAME))
    publisher.run(0.1)
    assert dict(publisher.transport.statistics().drops) == {"rtp-unknown-ssrc": 500}
    assert [type(event) for event in publisher.events] == [StreamStarted]
    assert len(publisher.media) == 1


def test_ssrcs_that_only_report_do_not_use_up_the_peers_share(publisher: Link) -> None:
    """A sender's last report comes after its m-line is gone, and nothing tells the end of its SSRC."""
    for ssrc in range(0x4000, 0x4000 + 300):
        publisher.client.send_rtcp([SenderReport(ssrc, 1, 2, 3, 4)])
    publisher.client.send_rtp(video(1, KEY_FRAME))
    publisher.run(0.1)
    assert dict(publisher.transport.statistics().drops) == {}
    assert [type(event) for event in publisher.events] == [StreamStarted]
    assert len(publisher.media) == 1


def test_replayed_media_is_dropped(publisher: Link) -> None:
    assert publisher.client.outbound is not None
    publisher.client.send_rtp(video(1, KEY_FRAME))
    publisher.run(0.1)
    data = publisher.client.outbound.protect(video(2).serialize())
    for _ in range(2):
        publisher.transport.receive(data, publisher.path, publisher.now)
    assert dict(publisher.transport.statistics().drops) == {"srtp-replay": 1}


def test_streams_end_with_their_m_line(publisher: Link) -> None:
    publisher.client.send_rtp(video(1, KEY_FRAME))
    publisher.run(0.1)
    publisher.transport.set_receivers([replace(VIDEO, active=False)], publisher.now)
    publisher.pump()
    assert isinstance(publisher.events[-1], StreamEnded)
    assert list(publisher.transport.streams) == []
    publisher.client.send_rtp(video(2))
    publisher.run(0.1)
    assert dict(publisher.transport.statistics().drops) == {"rtp-inactive-mid": 1}


def test_goodbye_of_a_paused_sender_ends_nothing(publisher: Link) -> None:
    publisher.client.send_rtp(video(1, KEY_FRAME))
    publisher.client.send_rtcp([Goodbye((SSRC,))])
    publisher.client.send_rtp(video(2))
    publisher.run(0.1)
    assert [type(event) for event in publisher.events] == [StreamStarted]
    assert len(publisher.media) == 2


# What the publisher is told


def test_gap_is_asked_for_and_its_repair_by_rtx_is_forwarded(publisher: Link) -> None:
    for number in (1, 2, 4):
        publisher.client.send_rtp(video(number, KEY_FRAME if number == 1 else DELTA_FRAME))
    publisher.run(0.05)
    [nack] = [packet for packet in publisher.client.rtcp if isinstance(packet, GenericNack)]
    assert (nack.media_ssrc, nack.lost) == (SSRC, (3,))
    assert isinstance(publisher.client.rtcp[0], ReceiverReport)
    assert isinstance(publisher.client.rtcp[1], SourceDescription)
    publisher.media.clear()
    publisher.client.send_rtp(replace(wrap_rtx(video(3), payload_type=97, ssrc=RTX_SSRC, sequence_number=1)))
    publisher.run(0.05)
    [media] = publisher.media
    assert media.rtp.sequence_number == 3
    assert not media.in_order


def test_probe_on_the_rtx_stream_is_not_forwarded(publisher: Link) -> None:
    publisher.client.send_rtp(video(1, KEY_FRAME))
    publisher.client.send_rtp(RtpPacket(97, False, 1, 0, RTX_SSRC, (), ((MID, b"0"),), b"", 200))
    publisher.run(0.05)
    assert [type(event) for event in publisher.events] == [StreamStarted]
    assert len(publisher.media) == 1
    assert publisher.transport.statistics().drops == {}


def test_key_frame_is_asked_for_on_request(publisher: Link) -> None:
    publisher.client.send_rtp(video(1))
    publisher.run(0.01)
    [stream] = publisher.transport.streams
    stream.request_key_frame(publisher.now)
    assert publisher.transport.next_timeout() == publisher.now
    publisher.run(0.01)
    assert PictureLossIndication(publisher.transport.local_ssrc, SSRC) in publisher.client.rtcp


def test_arrivals_are_reported_in_transport_wide_feedback(publisher: Link) -> None:
    for number in range(1, 6):
        publisher.client.send_rtp(video(number, KEY_FRAME, transport_sequence=100 + number))
    publisher.run(0.2)
    [message] = [packet for packet in publisher.client.rtcp if isinstance(packet, TransportWideFeedback)]
    assert (message.sender_ssrc, message.media_ssrc) == (publisher.transport.local_ssrc, SSRC)
    assert message.base_sequence_number == 101


def test_arrivals_of_unknown_ssrcs_are_fed_back(publisher: Link) -> None:
    """A browser sends as soon as it has made its answer, and would count all of these packets as lost."""
    for number in range(1, 4):
        early = replace(video(number, transport_sequence=number), ssrc=0x4000, payload_type=50)
        publisher.client.send_rtp(replace(early, extensions=early.extensions[1:]))
    publisher.run(0.2)
    assert publisher.transport.statistics().drops == {"rtp-unknown-ssrc": 3}
    [message] = [packet for packet in publisher.client.rtcp if isinstance(packet, TransportWideFeedback)]
    assert (message.base_sequence_number, len(message.received)) == (1, 3)


def test_malformed_transport_sequence_number_is_counted(publisher: Link) -> None:
    publisher.client.send_rtp(
        replace(video(1, KEY_FRAME), extensions=((MID, b"0"), (TRANSPORT_SEQUENCE, b"x")))
    )
    publisher.run(0.1)
    assert dict(publisher.transport.statistics().drops) == {"rtp-ext-transport-cc": 1}


def test_without_the_extension_negotiated_its_id_means_nothing(publisher: Link) -> None:
    publisher.transport.set_receivers([replace(VIDEO, extensions={MID: extensions.MID.uri})], publisher.now)
    publisher.client.send_rtp(video(1, KEY_FRAME, transport_sequence=7))
    publisher.run(0.5)
    assert not any(isinstance(packet, TransportWideFeedback) for packet in publisher.client.rtcp)


def test_receiver_reports_answer_sender_reports(publisher: Link) -> None:
    for number in range(1, 11):
        publisher.client.send_rtp(video(number, KEY_FRAME))
    publisher.client.send_rtcp([SenderReport(SSRC, 0x1234_5678_9ABC_DEF0, 0, 10, 100)])
    publisher.run(3.0)
    blocks = [
        block
        for packet in publisher.client.rtcp
        if isinstance(packet, ReceiverReport)
        for block in packet.reports
    ]
    assert len(blocks) >= 2
    assert {block.ssrc for block in blocks} == {SSRC}
    assert blocks[-1].highest_sequence == 10
    assert blocks[-1].last_sender_report == 0x5678_9ABC
    assert blocks[-1].delay_since_last_sender_report > 0.5 * 65536


def test_idle_transport_sends_no_reports() -> None:
    link = Link().connect()
    link.run(10.0)
    assert list(link.client.rtcp) == []


# Forwarding


def test_media_reaches_the_subscriber_under_the_slots_ssrc(call: Call) -> None:
    call.send(video(3), video(4))
    received = call.received()
    assert [packet.ssrc for packet in received] == [SLOT_SSRC] * 4
    assert [packet.payload for packet in received] == [KEY_FRAME, *[DELTA_FRAME] * 3]
    first = received[0].sequence_number
    assert [packet.sequence_number for packet in received] == [first, first + 1, first + 2, first + 3]
    assert call.subscriber.client.drops == {}
    assert list(call.subscriber.transport.senders) == [call.slot]


def test_ssrc_of_a_slot_is_given_once(call: Call) -> None:
    with pytest.raises(ValueError, match="0x00002221"):
        call.subscriber.transport.add_sender(call.slot)


def test_a_slot_that_is_gone_leaves_its_counts_and_nothing_else(call: Call) -> None:
    call.send(video(3))
    call.subscriber.client.send_rtcp([GenericNack(1, SLOT_SSRC, (call.received()[1].sequence_number,))])
    call.run(0.05)
    call.subscriber.client.rtp.pop()  # its retransmission, which has made libsrtp know the SSRC of RTX
    sent = call.subscriber.transport.statistics().sent
    srtp = call.subscriber.transport.send_context.srtp
    assert srtp is not None
    call.subscriber.transport.remove_sender(call.slot, call.publisher.now)
    assert srtp._session is not None
    for ssrc in (SLOT_SSRC, SLOT_RTX_SSRC):
        with pytest.raises(pylibsrtp.Error, match="no appropriate context"):
            srtp._session.remove_stream(ssrc)
    assert list(call.subscriber.transport.senders) == []
    assert call.slot.source is None
    call.send(video(4))
    assert call.subscriber.transport.statistics().sent == sent
    assert sent.packets == len(call.received())


@pytest.mark.parametrize(
    "request_",
    [PictureLossIndication(1, SLOT_SSRC), FullIntraRequest(1, (FirEntry(SLOT_SSRC, 1),))],
    ids=["pli", "fir"],
)
def test_subscribers_key_frame_request_reaches_the_publisher(
    call: Call, request_: PictureLossIndication | FullIntraRequest
) -> None:
    # The first packets have satisfied an earlier request; the next may be made half a second after it.
    call.run(1.0)
    call.publisher.client.rtcp.clear()
    call.subscriber.client.send_rtcp([request_])
    call.subscriber.run(0.01)
    assert call.subscriber.events[-1] == KeyFrameRequested(*call.publisher.transport.streams)
    call.run(0.1)
    assert PictureLossIndication(call.publisher.transport.local_ssrc, SSRC) in call.publisher.client.rtcp


def test_many_key_frame_requests_in_one_datagram_are_one_event(call: Call) -> None:
    call.subscriber.events.clear()
    call.subscriber.client.send_rtcp([PictureLossIndication(1, SLOT_SSRC)] * 50)
    call.subscriber.run(0.01)
    requested = [event for event in call.subscriber.events if isinstance(event, KeyFrameRequested)]
    assert requested == [KeyFrameRequested(*call.publisher.transport.streams)]
    assert call.slot.statistics().key_frame_requests == 50


def test_key_frame_request_for_an_idle_slot_asks_no_publisher(call: Call) -> None:
    call.slot.bind(None, call.publisher.now)
    call.subscriber.events.clear()
    call.subscriber.client.send_rtcp([PictureLossIndication(1, SLOT_SSRC)])
    call.subscriber.run(0.1)
    assert call.subscriber.events == []


def test_nack_is_answered_by_rtx(call: Call) -> None:
    lost = call.received()[1].sequence_number
    call.subscriber.client.send_rtcp([GenericNack(1, SLOT_SSRC, (lost,))])
    call.run(0.05)
    repeated = call.received()[-1]
    assert (repeated.ssrc, repeated.payload_type) == (SLOT_RTX_SSRC, 97)
    assert repeated.payload == lost.to_bytes(2) + DELTA_FRAME


def test_feedback_about_unknown_streams_is_counted(call: Call) -> None:
    call.subscriber.client.send_rtcp([GenericNack(1, 0x9999, (1,)), PictureLossIndication(1, 0x9999)])
    call.run(0.05)
    assert dict(call.subscriber.transport.statistics().drops) == {"rtcp-unknown-ssrc": 2}


def test_retransmission_that_srtp_refuses_is_counted(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SendStream, "receive_nack", lambda *_: [bytes(1500)])
    call.subscriber.client.send_rtcp([GenericNack(1, SLOT_SSRC, (1,))])
    call.run(0.05)
    assert dict(call.subscriber.transport.statistics().drops) == {"srtp-too-long": 1}


def test_sender_reports_and_their_answers_give_the_round_trip(call: Call) -> None:
    call.publisher.client.send_rtcp([SenderReport(SSRC, 1000 << 32, 6000, 2, 20)])
    call.run(3.0)
    reports = [packet for packet in call.subscriber.client.rtcp if isinstance(packet, SenderReport)]
    assert reports
    assert {report.ssrc for report in reports} == {SLOT_SSRC}
    names = [packet for packet in call.subscriber.client.rtcp if isinstance(packet, SourceDescription)]
    assert b"alice" in [value for chunk in names[0].chunks for _, value in chunk.items]
    last = (reports[-1].ntp_time >> 16) & 0xFFFF_FFFF
    own = ReportBlock(SLOT_SSRC, 0, 0, 1, 0, last, 0)
    early = ReportBlock(SLOT_SSRC, 0, 0, 1, 0, 0, 0)
    call.subscriber.client.send_rtcp([ReceiverReport(1, (early,))])
    call.subscriber.run(0.01)
    assert call.slot.statistics().round_trip is None
    other = ReportBlock(0x9999, 0, 0, 1, 0, last, 0)
    call.subscriber.client.send_rtcp([ReceiverReport(1, (other, own))])
    call.subscriber.run(0.01)
    round_trip = call.slot.statistics().round_trip
    assert round_trip is not None
    assert round_trip < 1.6


def test_the_round_trip_time_of_a_peer_times_the_nacks_to_it(call: Call) -> None:
    call.publisher.client.send_rtcp([SenderReport(SSRC, 1000 << 32, 6000, 2, 20)])
    subscriber = call.subscriber
    subscriber.transport.set_receivers([VIDEO], subscriber.now)
    subscriber.client.send_rtp(video(1, KEY_FRAME))
    call.run(2.0)
    [stream] = subscriber.transport.streams
    report = [packet for packet in subscriber.client.rtcp if isinstance(packet, SenderReport)][-1]
    block = ReportBlock(SLOT_SSRC, 0, 0, 1, 0, (report.ntp_time >> 16) & 0xFFFF_FFFF, 0)
    subscriber.client.send_rtcp([SenderReport(SSRC, 1, 2, 3, 4, (block,)), SenderReport(0x9999, 1, 2, 3, 4)])
    subscriber.run(0.01)
    assert stream.sender_clock is not None
    assert stream._missing.retry_after == call.slot.statistics().round_trip


def test_a_new_subscriber_of_a_still_picture_gets_a_key_frame(publisher: Link) -> None:
    """Its slot is there before its transport is up, and no packet comes that would tell of it."""
    publisher.client.send_rtp(video(1, KEY_FRAME))
    publisher.run(1.0)
    [stream] = publisher.transport.streams
    subscriber = Link(seed=2, now=publisher.now)
    slot = SendStream(
        kind="video",
        ssrc=SLOT_SSRC,
        rtx_ssrc=None,
        cname="alice",
        send_context=subscriber.transport.send_context,
        random=subscriber.random.randbytes,
    )
    slot.negotiate([VP8], {}, "5")
    subscriber.transport.add_sender(slot)
    slot.bind(stream, subscriber.now)
    assert stream.next_timeout() is None
    subscriber.connect()
    assert KeyFrameRequested(stream) in subscriber.events
    assert stream.take_feedback(subscriber.now) == [PictureLossIndication(publisher.transport.local_ssrc, SSRC)]


def test_subscriber_that_moves_gets_media_at_its_new_address(call: Call) -> None:
    moved = IcePath(call.subscriber.path.local, call.subscriber.path.remote._replace(port=50999))
    call.subscriber.path = moved
    call.subscriber.run(3.0)
    assert call.slot.send_context.path == moved


def test_subscriber_that_moves_gets_a_key_frame_soon(call: Call) -> None:
    call.run(1.0)
    call.publisher.client.rtcp.clear()
    call.subscriber.path = IcePath(call.subscriber.path.local, call.subscriber.path.remote._replace(port=50999))
    call.subscriber.events.clear()
    call.run(3.0)
    assert KeyFrameRequested(*call.publisher.transport.streams) in call.subscriber.events
    assert PictureLossIndication(call.publisher.transport.local_ssrc, SSRC) in call.publisher.client.rtcp


def test_publisher_that_moves_is_asked_for_a_key_frame(call: Call) -> None:
    call.run(1.0)
    publisher = call.publisher
    publisher.client.rtcp.clear()
    publisher.path = IcePath(publisher.path.local, publisher.path.remote._replace(port=50999))
    call.run(3.0)
    assert PictureLossIndication(publisher.transport.local_ssrc, SSRC) in publisher.client.rtcp


# The end


def test_end_of_the_publisher_ends_its_streams_and_frees_its_subscribers(call: Call) -> None:
    publisher = call.publisher
    publisher.transport.close(publisher.now)
    publisher.pump()
    assert any(isinstance(event, StreamEnded) for event in publisher.events)
    assert list(publisher.transport.streams) == []
    assert call.slot.source is None


def test_end_of_the_subscriber_leaves_nothing_at_the_source(call: Call) -> None:
    [stream] = call.publisher.transport.streams
    call.subscriber.client.close(call.subscriber.now)
    call.subscriber.run(0.01)
    assert stream.senders == []
    call.send(video(3))
    assert call.subscriber.transport.ended
    sent = len(call.subscriber.sent)
    call.subscriber.transport.set_receivers([VIDEO], call.subscriber.now)
    call.subscriber.run(5.0)
    assert len(call.subscriber.sent) == sent


def test_goodbye_names_every_outgoing_stream(call: Call) -> None:
    call.subscriber.transport.close(call.subscriber.now)
    call.subscriber.run(0.01)
    [bye] = [packet for packet in call.subscriber.client.rtcp if isinstance(packet, Goodbye)]
    assert bye.ssrcs == (call.subscriber.transport.local_ssrc, SLOT_SSRC)
