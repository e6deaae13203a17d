"""RTCP of one transport (RFC 3550 section 6, RFC 4585): what comes in goes to the stream that it is about, what
the streams have to say goes out as datagrams.

    in    sender report ──────────> ReceiveStream      out   ReceiveStream ─ NACK, PLI ─┐
          report block, NACK ─────> SendStream               arrivals ─ feedback ───────┼─> compounds
          PLI, FIR ──> SendStream ──> its source             both ─ reports, each second ┘
"""

from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable

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
from sfu.transport import rtcp_datagrams as compound
from sfu.transport.receive_stream import ReceiveStream
from sfu.transport.reported_quality import ReportedQuality
from sfu.transport.reports import ReportTimer
from sfu.transport.send_stream import SendStream
from sfu.transport.stream_table import StreamTable


class RtcpSession:
    """The RTCP side of a transport. Plain compounds go in and out: SRTCP and paths are the owner's."""

    def __init__(
        self, *, ssrc: int, streams: StreamTable, drops: Counter[str], random: Callable[[int], bytes]
    ) -> None:
        """`ssrc` is the one that reports and feedback come from; `drops` counts what is about no stream."""
        self.ssrc = ssrc
        self.arrivals = ArrivalRecorder()
        """Tell it of every packet with a transport-wide sequence number."""
        self.senders: dict[int, SendStream] = {}
        """The outgoing streams by SSRC."""
        self.quality = ReportedQuality()
        """What the peer says of how the outgoing streams arrive."""
        self.key_frame_requests: list[ReceiveStream] = []
        """Published streams of which the peer wants a key frame, as often as it said so; taken by the owner."""
        self.retransmissions: list[bytes] = []
        """Plain RTP packets that answer NACKs; taken by the owner."""
        self._streams = streams
        self._drops = drops
        self._timer = ReportTimer(random)
        # RFC 7022 section 4.2: at least 96 random bits, so that nobody is linked by it.
        self._cname = b64encode(random(12)).decode("ascii")

    # In

    def receive(self, data: bytes, now: float) -> None:
        """Take a compound. Raises `BadPacket` if it is malformed; then none of it has had an effect."""
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
                        self.retransmissions += sender.receive_nack(packet.lost, now)
                case PictureLossIndication():
                    self._receive_key_frame_request(packet.media_ssrc, now)
                case FullIntraRequest():
                    for entry in packet.entries:
                        self._receive_key_frame_request(entry.ssrc, now)
                case _:
                    # Goodbye too: browsers say it for a sender that is only paused and goes on with the same
                    # SSRC and numbers. Streams come and go with descriptions.
                    pass

    def _receive_blocks(self, blocks: Iterable[ReportBlock], now: float) -> None:
        for block in blocks:
            # Not `_sender`: browsers report on the RTX streams as well.
            sender = self.senders.get(block.ssrc)
            if sender is None:
                continue
            progress = sender.receive_report(block, now)
            self.quality.add(progress, sender.jitter)
            if progress.round_trip is not None:
                # The same way and back as for what the peer publishes.
                for stream in self._streams.streams():
                    stream.set_round_trip(progress.round_trip)

    def _receive_key_frame_request(self, ssrc: int, now: float) -> None:
        sender = self._sender(ssrc)
        if sender is not None:
            sender.receive_key_frame_request(now)
            if sender.source is not None:
                self.key_frame_requests.append(sender.source)

    def begin_anew(self, now: float) -> None:
        """The peer is there or has another path, and what went the old way may be lost: let pictures begin.

        Repeating all of that would take longer than a key frame, and show what nobody wants to see any more.
        Nor is there always a packet to ask at: of a picture that stands still the next is far.
        """
        for stream in self._streams.streams():
            stream.request_key_frame(now)
        for sender in self.senders.values():
            if sender.source is not None:
                sender.request_key_frame(now)
                self.key_frame_requests.append(sender.source)

    def _sender(self, ssrc: int) -> SendStream | None:
        sender = self.senders.get(ssrc)
        if sender is None:
            self._drops["rtcp-unknown-ssrc"] += 1
        return sender

    # Out

    def start(self, now: float) -> None:
        """Media may flow: reports begin."""
        self._timer.start(now)

    def stop(self, now: float) -> None:
        """The end: no more reports, and the outgoing streams let go of what they forward."""
        self._timer.stop()
        for sender in self.senders.values():
            sender.bind(None, now)

    def next_timeout(self) -> float | None:
        """When `due` has something to say; `None` if never."""
        earliest = self._timer.next_timeout()
        deadline = self.arrivals.next_timeout()
        if deadline is not None and (earliest is None or deadline < earliest):
            earliest = deadline
        for stream in self._streams.media.values():
            deadline = stream.next_timeout()
            if deadline is not None and (earliest is None or deadline < earliest):
                earliest = deadline
        return earliest

    def due(self, now: float) -> list[bytes]:
        """The compounds that are due: requests and feedback to the publisher, and every second reports."""
        packets = [packet for stream in self._streams.streams() for packet in stream.feedback(now)]
        media_ssrc = next(iter(self._streams.media), 0)
        packets += self.arrivals.feedback(now, sender_ssrc=self.ssrc, media_ssrc=media_ssrc)
        datagrams = compound.feedback(packets, self.ssrc, self._cname) if packets else []
        if self._timer.due(now):
            datagrams += self._reports(now)
        return datagrams

    def _reports(self, now: float) -> list[bytes]:
        reports = [(sender.make_sender_report(now), sender.cname) for sender in self.senders.values()]
        blocks = [stream.report_block(now) for stream in self._streams.streams()]
        return compound.reports(
            [(report, cname) for report, cname in reports if report is not None],
            [block for block in blocks if block is not None],
            self.ssrc,
            self._cname,
        )

    def goodbye(self) -> list[bytes]:
        """Compounds that take leave for every stream of ours."""
        ssrcs, most = [self.ssrc, *self.senders], compound.MAX_BLOCKS
        byes = [Goodbye(tuple(ssrcs[start : start + most])) for start in range(0, len(ssrcs), most)]
        return compound.feedback(byes, self.ssrc, self._cname)
