"""RTCP of one transport (RFC 3550 section 6, RFC 4585).

Each incoming packet goes to the stream that it is about. What the streams have to report goes out as
datagrams::

    in    sender report ──────────> ReceiveStream      out   ReceiveStream ─ NACK, PLI ─┐
          report block, NACK ─────> SendStream               arrivals ─ feedback ───────┼─> compounds
          PLI, FIR ──> SendStream ──> its source             both ─ reports, each second ┘
"""

from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable

from sfu.deadlines import earliest
from sfu.rtp.arrivals import ArrivalRecorder
from sfu.rtp.rtcp import (
    FullIntraRequest,
    GenericNack,
    Goodbye,
    PictureLossIndication,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    parse_compound,
)
from sfu.transport.events import KeyFrameRequested
from sfu.transport.receive_stream import ReceiveStream
from sfu.transport.reception_reports import ReportedQuality
from sfu.transport.report_timer import ReportTimer
from sfu.transport.rtcp_datagrams import MAX_BLOCKS, feedback_datagrams, report_datagrams
from sfu.transport.send_stream import SendStream
from sfu.transport.stream_table import StreamTable


class RtcpSession:
    """The RTCP of a transport. It takes and makes plain compounds: the owner does SRTCP and knows the path."""

    def __init__(
        self, *, ssrc: int, streams: StreamTable, drops: Counter[str], random: Callable[[int], bytes]
    ) -> None:
        """`ssrc` is the one that reports and feedback are sent from; `drops` counts packets about no stream."""
        self.ssrc = ssrc
        self.arrivals = ArrivalRecorder()
        """Record every packet with a transport-wide sequence number here."""
        self.senders: dict[int, SendStream] = {}
        """The outgoing streams by SSRC."""
        self.quality = ReportedQuality()
        """What the peer reports about the outgoing streams."""
        self._streams = streams
        self._drops = drops
        self._timer = ReportTimer(random)
        # RFC 7022 section 4.2: at least 96 random bits, so that a CNAME identifies no person.
        self._cname = b64encode(random(12)).decode("ascii")
        # A dict for its order: each source once, however many requests one datagram has.
        self._requested: dict[ReceiveStream, None] = {}

    # In

    def receive(self, data: bytes, now: float) -> list[bytes]:
        """Take a compound. Return plain RTP packets that answer its NACKs.

        Raises `BadPacket` if the compound is malformed; then none of it has had an effect.
        """
        retransmissions: list[bytes] = []
        for packet in parse_compound(data):
            match packet:
                case SenderReport():
                    stream = self._streams.media.get(packet.ssrc)
                    if stream is not None:
                        stream.receive_sender_report(packet, now)
                    self._receive_blocks(packet.reports, now)
                case ReceiverReport():
                    self._receive_blocks(packet.reports, now)
                case GenericNack():
                    sender = self._sender(packet.media_ssrc)
                    if sender is not None:
                        retransmissions += sender.receive_nack(packet.lost, now)
                case PictureLossIndication():
                    self._receive_key_frame_request(packet.media_ssrc, now)
                case FullIntraRequest():
                    for entry in packet.entries:
                        self._receive_key_frame_request(entry.ssrc, now)
                case _:
                    # Goodbye too: browsers send it for a sender that is only paused and continues with the same
                    # SSRC and numbers. Descriptions start and end streams.
                    pass
        return retransmissions

    def _receive_blocks(self, blocks: Iterable[ReportBlock], now: float) -> None:
        for block in blocks:
            # Not `_sender`, which counts unknown SSRCs: browsers report on the RTX streams as well.
            sender = self.senders.get(block.ssrc)
            if sender is None:
                continue
            progress = sender.receive_report(block, now)
            self.quality.add(progress, sender.jitter)
            if progress.round_trip is not None:
                # It is the same path as for what the peer publishes.
                for stream in self._streams.streams():
                    stream.set_round_trip(progress.round_trip)

    def _receive_key_frame_request(self, ssrc: int, now: float) -> None:
        sender = self._sender(ssrc)
        if sender is not None:
            sender.receive_key_frame_request(now)
            if sender.source is not None:
                self._requested[sender.source] = None

    def _sender(self, ssrc: int) -> SendStream | None:
        sender = self.senders.get(ssrc)
        if sender is None:
            self._drops["rtcp-unknown-ssrc"] += 1
        return sender

    def request_key_frames(self, now: float) -> None:
        """Request key frames of all streams in both directions, because the peer is new or has another path.

        What was sent on the old path may be lost. Retransmitting all of that would take longer than a key
        frame, and show what is out of date. Waiting for the next packet would not do: of a still picture it may
        come much later.
        """
        for stream in self._streams.streams():
            stream.request_key_frame(now)
        for sender in self.senders.values():
            if sender.source is not None:
                sender.request_key_frame(now)
                self._requested[sender.source] = None

    def events(self) -> list[KeyFrameRequested]:
        """Return what happened since the last call: of which streams the peer wants a key frame."""
        if not self._requested:
            return []
        events = [KeyFrameRequested(source) for source in self._requested]
        self._requested.clear()
        return events

    # Out

    def start(self, now: float) -> None:
        """Media may flow: reports begin."""
        self._timer.start(now)

    def stop(self, now: float) -> None:
        """The transport has ended: send no more reports, and unbind the outgoing streams from their sources."""
        self._timer.stop()
        for sender in self.senders.values():
            sender.bind(None, now)

    def next_timeout(self) -> float | None:
        """When `take_due` has something to return; `None` if never."""
        return earliest(
            self._timer.next_timeout(),
            self.arrivals.next_timeout(),
            *[stream.next_timeout() for stream in self._streams.streams()],
        )

    def take_due(self, now: float) -> list[bytes]:
        """Return the compounds that are due: requests and feedback to the publisher, reports each second."""
        packets = [packet for stream in self._streams.streams() for packet in stream.take_feedback(now)]
        media_ssrc = next(iter(self._streams.media), 0)
        packets += self.arrivals.take_feedback(now, sender_ssrc=self.ssrc, media_ssrc=media_ssrc)
        datagrams = feedback_datagrams(packets, self.ssrc, self._cname) if packets else []
        if self._timer.take_due(now):
            datagrams += self._make_reports(now)
        return datagrams

    def _make_reports(self, now: float) -> list[bytes]:
        reports = [(sender.make_sender_report(now), sender.cname) for sender in self.senders.values()]
        blocks = [stream.report_block(now) for stream in self._streams.streams()]
        return report_datagrams(
            [(report, cname) for report, cname in reports if report is not None],
            [block for block in blocks if block is not None],
            self.ssrc,
            self._cname,
        )

    def goodbye(self) -> list[bytes]:
        """Return compounds with a BYE for every outgoing stream."""
        ssrcs, most = [self.ssrc, *self.senders], MAX_BLOCKS
        byes = [Goodbye(tuple(ssrcs[start : start + most])) for start in range(0, len(ssrcs), most)]
        return feedback_datagrams(byes, self.ssrc, self._cname)
