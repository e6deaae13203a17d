"""One published stream: the state of one SSRC that a peer sends, and of its RTX.

`receive` takes a packet of the stream, `receive_rtx` one of its retransmissions. Both return the `MediaPacket`
to forward, or nothing for duplicates and padding. `take_feedback` (NACK, PLI, FIR) and `report_block` return
what has to be sent to the publisher.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from weakref import WeakValueDictionary

from sfu.deadlines import earliest
from sfu.rtp.history import DEPTH, PacketHistory
from sfu.rtp.key_frame import is_key_frame
from sfu.rtp.nack import MAX_MISSING, MissingPackets
from sfu.rtp.ntp import compact_ntp
from sfu.rtp.packet import RtpPacket
from sfu.rtp.rewrite import SequenceMap
from sfu.rtp.rtcp import (
    FirEntry,
    FullIntraRequest,
    GenericNack,
    PictureLossIndication,
    ReportBlock,
    RtcpPacket,
    SenderReport,
)
from sfu.rtp.rtx import unwrap_rtx
from sfu.rtp.statistics import ReceptionStatistics
from sfu.sdp.codecs import Codec
from sfu.sdp.mline import MediaKind
from sfu.transport.egress import Egress
from sfu.transport.key_frame_requests import KeyFrameRequests
from sfu.transport.send_context import SendContext
from sfu.transport.stream_statistics import ReceiveStatistics
from sfu.transport.translation import Translation, TranslationKey, translation_key


class SenderClock(NamedTuple):
    """The newest sender report of a stream: one instant in wall clock time and in the stream's RTP clock."""

    ntp_time: int
    """64-bit NTP time of the publisher's clock."""
    rtp_timestamp: int
    """The same instant in the stream's RTP clock."""
    arrival: float
    """When the report came, in the server's clock."""

    def at(self, now: float, clock_rate: int) -> tuple[int, int]:
        """Return NTP time and RTP timestamp advanced by the time since the report came."""
        elapsed = now - self.arrival
        ntp_time = (self.ntp_time + round(elapsed * 2**32)) & 0xFFFF_FFFF_FFFF_FFFF
        return ntp_time, self.rtp_timestamp + round(elapsed * clock_rate)


@dataclass(slots=True, eq=False)
class MediaPacket:
    """One packet of a published stream, received, checked and numbered."""

    stream: "ReceiveStream"
    """The stream that it belongs to. `stream.senders` forward it."""
    rtp: RtpPacket
    """The packet as the publisher numbered it (payload type, header-extension ids, timestamp)."""
    sequence: int
    """Its number for forwarding: extended, and without gaps where the publisher sent only padding."""
    in_order: bool
    """Whether it is newer than every packet before it; false for a late or recovered one."""
    key_frame: bool
    """Whether a decoder can start with it; always true for audio."""


class Forwarder(ABC):
    """A stream that forwards a published stream to one receiver: a `SendStream`, as its source sees it.

    The forwarding loop (`sfu.transport.fan_out`) reads and counts in these attributes for each packet. Those
    without a docstring are the loop's alone.
    """

    __slots__ = (
        "fast_path",
        "octets",
        "packets",
        "send_context",
        "sequence_offset",
        "ssrc",
        "timestamp_offset",
        "translation",
    )

    ssrc: int
    send_context: SendContext
    fast_path: bool
    """Whether the loop may send packets that are in order by itself."""
    translation: Translation | None
    sequence_offset: int
    timestamp_offset: int
    packets: int
    octets: int

    @abstractmethod
    def forward(self, media: MediaPacket, egress: Egress, now: float) -> None:
        """Send one packet of the source, if it can and should be sent."""

    @abstractmethod
    def refused(self, reason: str) -> None:
        """Count a packet that libsrtp refused in the forwarding loop. The receiver sees a gap."""

    @abstractmethod
    def bind(self, source: "ReceiveStream | None", now: float) -> None:
        """Send this published stream from now on, or nothing. Binding the same one again changes nothing."""

    @abstractmethod
    def source_negotiated(self) -> None:
        """The source has other codecs or extension ids from now on."""

    @abstractmethod
    def source_restarted(self) -> None:
        """The source's sequence numbers and timestamps begin again."""


class ReceiveStream:
    """One published stream. Owned by the publisher's transport; subscribers' `SendStream`s bind to it."""

    def __init__(
        self,
        *,
        ssrc: int,
        kind: MediaKind,
        codecs: Sequence[Codec],
        extensions: Mapping[int, str],
        local_ssrc: int,
        rtx_ssrc: int | None = None,
        mid: str | None = None,
        rid: str | None = None,
        history_depth: int = DEPTH,
    ) -> None:
        """`codecs` (at least one) and `extensions` ({id: URI}) are the m-line's, as negotiated with the
        publisher.

        `local_ssrc` is the one that feedback is sent from.
        """
        self.ssrc = ssrc
        self.rtx_ssrc = rtx_ssrc
        """May be set later, when an RTX packet names this stream."""
        self.kind: MediaKind = kind
        self.mid = mid
        self.rid = rid
        self.local_ssrc = local_ssrc
        self.senders: list[Forwarder] = []
        """The streams that forward this one. `SendStream.bind` maintains the list; `fan_out` takes it."""
        self.newest = -1
        """Highest `MediaPacket.sequence` so far."""
        self.newest_timestamp = 0
        """RTP timestamp of that packet …"""
        self.newest_arrival = 0.0
        """… and when it came."""
        self.sender_clock: SenderClock | None = None
        self._translations: WeakValueDictionary[TranslationKey, Translation] = WeakValueDictionary()
        self._requests = KeyFrameRequests()
        self._command_number = 0
        self._key_frame_timestamp: int | None = None
        self._key_frame_start = 0  # the newest key frame's first packet so far
        self._packets = self._octets = self._key_frames = 0
        self._dropped: Counter[str] = Counter()
        self.negotiate(codecs, extensions)
        self._statistics = ReceptionStatistics(self.clock_rate)
        asks = any("nack" in codec.feedback for codec in codecs)
        self._missing = MissingPackets(asks=asks)
        # Most of a stream's memory. For audio, receivers ask for packets only if NACK was negotiated.
        self.history = PacketHistory(history_depth) if asks or kind == "video" else None
        # Closes up the sequence numbers of padding-only packets, once for all subscribers.
        self._numbering: SequenceMap | None = None

    def negotiate(self, codecs: Sequence[Codec], extensions: Mapping[int, str]) -> None:
        """Use these codecs and extension ids from now on, since the m-line has been renegotiated.

        Whether NACK is used does not change after the start. Raises `ValueError` without a codec.
        """
        if not codecs:
            raise ValueError("a stream needs a codec")
        self.codecs = tuple(codecs)
        self.extensions = dict(extensions)
        self.clock_rate = self.codecs[0].clock_rate
        self._by_payload_type = {codec.payload_type: codec for codec in self.codecs}
        self._by_rtx = {
            codec.rtx_payload_type: codec.payload_type
            for codec in self.codecs
            if codec.rtx_payload_type is not None
        }
        self._red = frozenset(codec.payload_type for codec in self.codecs if codec.name.lower() == "red")
        feedback = frozenset[str]().union(*(codec.feedback for codec in self.codecs))
        self._pli = "nack pli" in feedback
        self._fir = "ccm fir" in feedback and not self._pli
        self._translations.clear()
        for sender in self.senders:
            sender.source_negotiated()

    def translation(self, codecs: Iterable[Codec], extension_ids: Mapping[str, int]) -> Translation:
        """Return how a receiver with these codecs and extension ids ({URI: id}) gets this stream.

        Receivers with equal negotiations get the same object.
        """
        key = translation_key(self.codecs, self.extensions, codecs, extension_ids)
        translation = self._translations.get(key)
        if translation is None:
            translation = self._translations[key] = Translation(key, self._red)
        return translation

    # Packets

    def receive(self, packet: RtpPacket, data: bytes, now: float) -> MediaPacket | None:
        """Take a packet of this SSRC, parsed from `data`. Returns what to forward, if anything."""
        codec = self._by_payload_type.get(packet.payload_type)
        if codec is None:
            self._dropped["payload-type"] += 1
            return None
        restarts = self._statistics.restarts
        sequence = self._statistics.receive(packet.sequence_number, packet.timestamp, now)
        if sequence is None:
            self._dropped["sequence-jump"] += 1
            return None
        if self._statistics.restarts != restarts:
            self._restart(sequence, now)
        self._packets += 1
        self._octets += len(packet.payload)
        return self._accept(packet, data, codec, sequence, now)

    def receive_rtx(self, packet: RtpPacket, now: float) -> MediaPacket | None:
        """Take a packet of this stream's RTX SSRC (RFC 4588). Returns what to forward, if it repaired a loss.

        Raises `BadPacket` when it is not an RTX packet. Bandwidth probes, which browsers send here, repair
        nothing.
        """
        payload_type = self._by_rtx.get(packet.payload_type)
        if payload_type is None:
            self._dropped["payload-type"] += 1
            return None
        original = unwrap_rtx(packet, payload_type=payload_type, ssrc=self.ssrc)
        if original is None:
            return None
        sequence = self._statistics.extend(original.sequence_number)
        newest = self._missing.highest
        if sequence is None or newest is None:
            self._dropped["rtx-first"] += 1
            return None
        if sequence > newest + MAX_MISSING:
            # A retransmission is older than the newest packet, or overtakes it by little. This one belongs to a
            # numbering that has ended. Accepting it would make all following packets look old.
            self._dropped["rtx-ahead"] += 1
            return None
        return self._accept(original, original.serialize(), self._by_payload_type[payload_type], sequence, now)

    def _accept(
        self, packet: RtpPacket, data: bytes, codec: Codec, sequence: int, now: float
    ) -> MediaPacket | None:
        """Do what both kinds of packets need: drop duplicates, renumber, remember."""
        missing = self._missing
        if not missing.receive(sequence, now):
            self._dropped["duplicate"] += 1
            return None
        if missing.key_frame_needed:
            missing.key_frame_needed = False
            self.request_key_frame(now)
        numbering = self._numbering
        if numbering is None:
            numbering = self._numbering = SequenceMap(sequence)
            numbering.begin(sequence)
        in_order = sequence == missing.highest
        if not packet.payload and in_order:
            numbering.skip(sequence)
            return None
        # Padding that comes late is forwarded: later packets were sent with a gap in its place, and a receiver
        # that needs an unbroken sequence (H.264 in libwebrtc) would wait for it.
        forwarded = numbering.map(sequence)
        if forwarded is None:
            self._dropped["late"] += 1
            return None
        starts = bool(packet.payload) and (self.kind == "audio" or is_key_frame(codec.name, packet.payload))
        known = packet.timestamp == self._key_frame_timestamp
        if starts and known and self.kind == "video":
            # H.264 has several such packets in one frame, and a receiver can only start with the first.
            starts = forwarded < self._key_frame_start
        if starts:
            self._requests.arrived()
            self._key_frames += not known
            self._key_frame_timestamp, self._key_frame_start = packet.timestamp, forwarded
        # Not the same as `in_order`: a late packet is the newest to forward if only padding came after it.
        if forwarded > self.newest:
            self.newest = forwarded
            self.newest_timestamp = packet.timestamp
            self.newest_arrival = now
        if self.history is not None:
            self.history.add(forwarded, data, now)
        return MediaPacket(self, packet, forwarded, in_order, starts)

    def _restart(self, sequence: int, now: float) -> None:
        """The publisher's numbers begin again. For subscribers this is another source; nothing is missing."""
        for sender in self.senders:
            sender.source_restarted()
        highest = self._missing.highest
        assert self._numbering is not None, "a restart has a packet before it"
        assert highest is not None
        self._numbering.end(highest)
        self._numbering.begin(sequence)
        self._missing.restart()
        self.sender_clock = None
        self.request_key_frame(now)

    # RTCP

    def receive_sender_report(self, report: SenderReport, now: float) -> None:
        """Take the publisher's sender report about this stream."""
        self.sender_clock = SenderClock(report.ntp_time, report.rtp_timestamp, now)

    def set_round_trip(self, seconds: float) -> None:
        """Send NACKs again after this round trip time between server and publisher."""
        self._missing.set_round_trip(seconds)

    def request_key_frame(self, now: float) -> None:
        """A subscriber needs a key frame. Requests are merged and throttled; for audio there are none."""
        if self.kind == "video" and (self._pli or self._fir):
            self._requests.request(now)

    def take_feedback(self, now: float) -> list[RtcpPacket]:
        """Return what the publisher has to be asked for now: NACK, PLI or FIR. It counts as sent."""
        packets: list[RtcpPacket] = []
        lost = self._missing.take_due(now)
        if lost:
            packets.append(GenericNack(self.local_ssrc, self.ssrc, tuple([number & 0xFFFF for number in lost])))
        is_new = self._requests.is_new
        if self._requests.take_due(now):
            if self._pli:
                packets.append(PictureLossIndication(self.local_ssrc, self.ssrc))
            else:
                # RFC 5104 section 4.3.1.2: a request that is sent again keeps its number.
                self._command_number = (self._command_number + is_new) & 0xFF
                entry = FirEntry(self.ssrc, self._command_number)
                packets.append(FullIntraRequest(self.local_ssrc, (entry,)))
        return packets

    def report_block(self, now: float) -> ReportBlock | None:
        """Return the block about this stream for the next receiver report; `None` before its first packet."""
        if self._statistics.highest is None:
            return None
        last, delay = 0, 0
        if self.sender_clock is not None:
            last = compact_ntp(self.sender_clock.ntp_time)
            delay = min(round((now - self.sender_clock.arrival) * 65536), 0xFFFF_FFFF)
        return self._statistics.report_block(self.ssrc, last, delay)

    def next_timeout(self) -> float | None:
        """Return when `take_feedback` has something to return; reports have their own schedule."""
        return earliest(self._missing.next_timeout(), self._requests.next_timeout())

    def close(self, now: float) -> None:
        """End the stream: unbind its subscribers and free its history."""
        for sender in list(self.senders):
            sender.bind(None, now)
        if self.history is not None:
            self.history.clear()

    def statistics(self) -> ReceiveStatistics:
        """Counters since the stream began."""
        statistics, missing = self._statistics, self._missing
        return ReceiveStatistics(
            packets=self._packets,
            octets=self._octets,
            lost=statistics.lost,
            jitter_ticks=statistics.jitter,
            jitter_seconds=statistics.jitter_seconds,
            repaired=missing.recovered,
            given_up=missing.given_up,
            nacked=missing.requested,
            key_frames=self._key_frames,
            key_frame_requests=self._requests.sent,
            dropped=dict(self._dropped),
        )
