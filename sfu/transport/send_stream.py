"""One outgoing stream: a slot in a subscriber's session through which one published stream at a time goes.

A slot keeps its SSRC for its whole life, because libwebrtc ties what it plays to the SSRC in SDP; so what goes
through it changes while sequence numbers and timestamps run on. For video it begins at a key frame::

            bind(source)              key frame                  bind(other)
    idle ----------------> waiting ----------------> forwarding ---------------> waiting ...
                              ^    resume     pause  |
                              +--------- paused <----+

`sfu.transport.fan_out` writes the packets of a stream that is *steady* by itself, straight into the outgoing
batch. `SendStream.forward` is the complete way, which every stream's first packets take, and late ones.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from sfu.errors import BadPacket
from sfu.rtp import extensions
from sfu.rtp.extension_block import Elements
from sfu.rtp.packet import RtpPacket
from sfu.rtp.rewrite import SequenceMap, TimestampMap
from sfu.rtp.rtcp import ReportBlock, SenderReport
from sfu.sdp.codecs import Codec
from sfu.sdp.mline import MediaKind
from sfu.transport.egress import Egress
from sfu.transport.receive_stream import MediaPacket, ReceiveStream
from sfu.transport.reception_reports import Progress, ReceptionReports
from sfu.transport.retransmission import RetransmissionLimit, Retransmitter
from sfu.transport.send_context import SendContext
from sfu.transport.stream_statistics import SendStatistics
from sfu.transport.translation import Translation

MID_PACKETS: Final = 50
"""Packets at the start of a slot that carry its MID, unless a receiver report comes first. The SSRC stands in
SDP as well, so this is for receivers that get media before they have applied the description. RTX packets
always carry it: Firefox drops them otherwise."""


class SendStream:
    """One outgoing stream of one subscriber's transport.

    The attributes without a docstring of their own are the forwarding loop's and change with every event here.
    """

    __slots__ = (
        "_asked",
        "_changed_source",
        "_clock_rate",
        "_codecs",
        "_dropped",
        "_extension_ids",
        "_frame",
        "_key_frame_requests",
        "_limit",
        "_mid_element",
        "_mid_packets",
        "_nacked",
        "_new_source",
        "_paused",
        "_reports",
        "_retransmitter",
        "_sequences",
        "_timestamps",
        "cname",
        "kind",
        "mid",
        "octets",
        "outlet",
        "packets",
        "rtx_ssrc",
        "sequence_offset",
        "source",
        "ssrc",
        "steady",
        "timestamp_offset",
        "translation",
    )

    steady: bool
    """Whether the forwarding loop may send packets that are in order by itself."""
    source: ReceiveStream | None
    """The stream that goes through this slot. Change it with `bind`."""
    translation: Translation | None
    sequence_offset: int
    timestamp_offset: int
    packets: int
    octets: int

    def __init__(
        self,
        *,
        kind: MediaKind,
        ssrc: int,
        rtx_ssrc: int | None,
        cname: str,
        outlet: SendContext,
        random: Callable[[int], bytes],
    ) -> None:
        """`random` gives that many unpredictable bytes; the first sequence numbers come from it."""
        self.kind: MediaKind = kind
        self.ssrc = ssrc
        self.rtx_ssrc = rtx_ssrc
        self.cname = cname
        self.outlet = outlet
        self.mid: str | None = None
        self.source = None
        self.translation = None
        self.steady = False
        self._paused = False
        self._asked = False
        self._frame = 0  # RTP timestamp of the frame that is sent to its end while the outlet is full
        self._new_source = True
        self._changed_source = False
        self._codecs: tuple[Codec, ...] = ()
        self._extension_ids: dict[str, int] = {}
        self._clock_rate = 0
        # Below 2**15, so that the rollover counter cannot be guessed wrong around the first packets
        # (RFC 3711 section 3.3.1).
        self._sequences = SequenceMap(int.from_bytes(random(2)) & 0x7FFF)
        self._timestamps = TimestampMap()
        self.sequence_offset = self.timestamp_offset = 0
        self._mid_element: Elements = ()
        self._mid_packets = MID_PACKETS
        self._limit = RetransmissionLimit()
        self._retransmitter = Retransmitter(rtx_ssrc, random)
        self._reports = ReceptionReports()
        self.packets = self.octets = self._nacked = self._key_frame_requests = 0
        self._dropped: Counter[str] = Counter()

    # What the session decides.

    def negotiate(self, codecs: Sequence[Codec], extension_ids: Mapping[str, int], mid: str | None) -> None:
        """What the subscriber negotiated for this slot: codecs, {URI: id} of extensions, the m-line's mid.

        Of extensions those with an id from 1 to 14 are used: others fit no one-byte header (RFC 8285).
        """
        self._codecs = tuple(codecs)
        self._retransmitter.negotiate(codecs)
        self._extension_ids = {
            uri: identifier for uri, identifier in extension_ids.items() if 0 < identifier < 15
        }
        self._leave_out_descriptors()
        self.mid = mid
        identifier = self._extension_ids.get(extensions.MID.uri)
        self._mid_element = ()
        # A mid comes from the peer's description and may be any token, of any length; where it does not fit a
        # one-byte element, the SSRC has to do.
        if identifier is not None and mid is not None and len(mid) <= 16:
            self._mid_element = ((identifier, extensions.MID.encode(mid)),)
        self.source_negotiated()

    def bind(self, source: ReceiveStream | None, now: float) -> None:
        """Send this stream from now on, or nothing. The same one again changes nothing."""
        if source is self.source:
            return
        if self.source is not None:
            self.source_restarted()
            self.source.senders.remove(self)
        self.source = source
        if source is not None:
            self._clock_rate = source.clock_rate
            source.senders.append(self)
            self._ask(now)
        self.source_negotiated()

    def pause(self) -> None:
        """Send nothing until `resume`. The receiver will see no gap."""
        self._paused = True
        self._close_gate()

    def resume(self, now: float) -> None:
        """Go on, with video from the next key frame, which is asked for."""
        if self._paused:
            self._paused = False
            self._ask(now)

    # What the outlet tells.

    def hold(self) -> None:
        """The outlet is full. Of a video the frame that has begun goes on to its end, and no other begins.

        Half a frame is of no use, and those after it are of none without it; audio is little, and goes on.
        """
        if self.source is not None and self._is_held:
            self._frame = self.source.newest_timestamp
            self.steady = False

    def release(self, now: float) -> None:
        """The outlet is no longer full. A video of which frames were left out goes on from a key frame."""
        if not self._sequences.is_open:
            self._ask(now)

    # What the source tells.

    def source_negotiated(self) -> None:
        """Codecs or extensions of either side have changed: find the translation anew."""
        before = self.translation
        self.translation = (
            None if self.source is None else self.source.translation(self._codecs, self._extension_ids)
        )
        if self.translation is not before:
            self._looks_different()
        self._settle()

    def source_restarted(self) -> None:
        """The source's numbers and timestamps begin anew; for us it is another source."""
        assert self.source is not None
        if not self._new_source:
            self._timestamps.end(self.source.newest_timestamp, self.source.newest_arrival)
            self._changed_source = True
            self._leave_out_descriptors()
        self._close_gate()
        self._sequences.forget_source()
        self._new_source = True
        self.source_negotiated()

    # Packets.

    def forward(self, media: MediaPacket, egress: Egress, now: float) -> None:
        """Send one packet of the source, if it is to be sent: the complete way."""
        translation, srtp, path = self.translation, self.outlet.srtp, self.outlet.path
        if translation is None or self._paused:
            return
        if srtp is None or path is None:
            # Nor is the gate opened: the key frame would be lost. Left open, the gap would be as long as the
            # silence; from 2**15 numbers on SRTP guesses the rollover counter wrong (RFC 3711 section 3.3.1).
            self._dropped["not-connected"] += 1
            self._close_gate()
            self._asked = False
            return
        if self._is_held and not self._goes_on(media):
            self._dropped["outlet-full"] += 1
            self._sequences.end(media.sequence - 1)
            self._asked = False
            return
        translated = translation.translate(media.rtp)
        if translated is None:
            self._leave_out(media, "codec")
            return
        if not self._sequences.is_open:
            if not media.key_frame:
                self._dropped["before-key-frame"] += 1
                if not self._asked:
                    self._ask(now)
                return
            self._open_gate(media, now)
        sequence = self._sequences.map(media.sequence)
        if sequence is None:
            self._dropped["late"] += 1
            return
        self._label(translated, sequence)
        if self._mid_packets:
            translated.extensions += self._mid_element
            self._mid_packets -= 1
            # This one carried the MID and a repetition would not.
            self._looks_different()
        try:
            egress.put(srtp.protect(translated.serialize()), path)
        except BadPacket as error:
            self._leave_out(media, error.reason)
            return
        self.packets += 1
        self.octets += len(translated.payload)
        self._settle()

    def refused(self, reason: str) -> None:
        """The forwarding loop could not send a packet."""
        self._dropped[reason] += 1

    # RTCP.

    def receive_nack(self, lost: Sequence[int], now: float) -> list[bytes]:
        """The receiver misses these sequence numbers. Returns plain RTP packets to protect and send."""
        answers: list[bytes] = []
        allowed = self._limit.lookups(len(lost), self.packets)
        self._nacked += len(lost)
        if allowed < len(lost):
            self._dropped["nack-limit"] += len(lost) - allowed
        for number in lost[:allowed]:
            answer = self._repeat(number, now)
            if isinstance(answer, bytes):
                answers.append(answer)
            else:
                self._dropped[answer] += 1
        return answers

    def receive_key_frame_request(self, now: float) -> None:
        """The receiver sent a PLI or FIR."""
        self._key_frame_requests += 1
        self.request_key_frame(now)

    def request_key_frame(self, now: float) -> None:
        """Ask the publisher for a key frame, if one would be sent on."""
        if self.source is not None and not self._paused and not self._is_held:
            self.source.request_key_frame(now)

    def receive_report(self, block: ReportBlock, now: float) -> Progress:
        """A report block of the receiver about this stream's SSRC. Returns what is new in it."""
        self._mid_packets = min(self._mid_packets, 1)  # it has found its m-line; one more ends the phase
        progress = self._reports.receive(block, now)
        if self.round_trip is not None:
            self._limit.set_round_trip(self.round_trip)
        return progress

    @property
    def jitter(self) -> float:
        """Interarrival jitter in seconds, as the receiver's latest report says."""
        return self._reports.jitter / self._clock_rate if self._clock_rate else 0.0

    @property
    def round_trip(self) -> float | None:
        """Seconds to the receiver and back, from its reports; `None` before it is known."""
        return self._reports.round_trip

    def sender_report(self, now: float) -> SenderReport | None:
        """The report that lets the receiver play this stream in sync; `None` while nothing goes out.

        It is the publisher's own report carried on: same wall clock, so that all streams of one publisher
        agree, with the RTP timestamp as this slot counts, both advanced by the time since it came.
        """
        clock = None if self.source is None else self.source.sender_clock
        if clock is None or not self._sequences.is_open:
            return None
        elapsed = now - clock.arrival
        ntp_time = (clock.ntp_time + round(elapsed * 2**32)) & 0xFFFF_FFFF_FFFF_FFFF
        timestamp = self._timestamps.map(clock.rtp_timestamp + round(elapsed * self._clock_rate))
        self._reports.sent(ntp_time, now)
        return SenderReport(
            self.ssrc, ntp_time, timestamp, self.packets & 0xFFFF_FFFF, self.octets & 0xFFFF_FFFF
        )

    def statistics(self) -> SendStatistics:
        """Counters since the stream began."""
        reports = self._reports
        return SendStatistics(
            packets=self.packets,
            octets=self.octets,
            repeated=self._retransmitter.packets,
            repeated_octets=self._retransmitter.octets,
            nacked=self._nacked,
            key_frame_requests=self._key_frame_requests,
            fraction_lost=reports.fraction_lost,
            lost=reports.lost,
            jitter_seconds=self.jitter,
            round_trip=reports.round_trip,
            dropped=dict(self._dropped),
        )

    # Inside.

    def _ask(self, now: float) -> None:
        """Ask for a key frame if it could be sent on; otherwise `forward` asks when it could."""
        self._asked = self.outlet.srtp is not None and not self._is_held
        if self._asked and self.source is not None and not self._paused:
            self.source.request_key_frame(now)

    def _leave_out_descriptors(self) -> None:
        """Pass on no dependency descriptors but those of the first source.

        The next one numbers its frames anew. libwebrtc would take its key frames for older ones and drop them
        until the numbers have caught up; without descriptors it goes by the payload, and starts anew.
        """
        if self._changed_source:
            self._extension_ids.pop(extensions.DEPENDENCY_DESCRIPTOR.uri, None)

    def _open_gate(self, media: MediaPacket, now: float) -> None:
        if self._new_source:
            self._timestamps.begin(media.rtp.timestamp, self._clock_rate, now)
            self._new_source = False
        self._sequences.begin(media.sequence)
        self.sequence_offset = self._sequences.offset
        self.timestamp_offset = self._timestamps.offset

    def _close_gate(self) -> None:
        if self.source is not None:
            self._sequences.end(self.source.newest)
        self.steady = False

    def _settle(self) -> None:
        open_ = self._sequences.is_open and self.translation is not None
        self.steady = open_ and not self._mid_packets and not self._is_held

    @property
    def _is_held(self) -> bool:
        return self.outlet.full and self.kind == "video"

    def _goes_on(self, media: MediaPacket) -> bool:
        """Whether a packet is of a frame that has been sent in part: that has begun, or is repaired late."""
        known = not media.in_order or media.rtp.timestamp == self._frame
        return known and self._sequences.is_open

    def _leave_out(self, media: MediaPacket, reason: str) -> None:
        """Not this packet; the next one closes up, so that the receiver does not ask for it."""
        self._dropped[reason] += 1
        if media.in_order and self._sequences.is_open:
            self._sequences.skip(media.sequence)
            self.sequence_offset = self._sequences.offset

    def _label(self, packet: RtpPacket, sequence: int) -> None:
        packet.ssrc = self.ssrc
        packet.sequence_number = sequence & 0xFFFF
        packet.timestamp = self._timestamps.map(packet.timestamp)

    def _looks_different(self) -> None:
        """Packets look different from the next one on."""
        if self.source is not None:
            self._retransmitter.looks_different(self._sequences.next_out(self.source.newest))

    def _repeat(self, number: int, now: float) -> bytes | str:
        """The packet that the receiver knows by this number once more, or the reason why not."""
        source, translation = self.source, self.translation
        if source is None or translation is None or source.history is None:
            return "nack-no-history"
        newest = self._sequences.next_out(source.newest) - 1
        sequence = newest - ((newest - number) & 0xFFFF)
        original = self._sequences.inverse(sequence)
        data = None if original is None else source.history.get(original, now)
        if data is None:
            return "nack-unknown"
        if not self._limit.allow(sequence, len(data), self.octets, now):
            return "nack-limit"
        packet = translation.translate(RtpPacket.parse(data))
        if packet is None:
            return "nack-codec"
        self._label(packet, sequence)
        return self._retransmitter.repeat(packet, sequence, self._mid_element) or "nack-changed"
