"""One outgoing stream of a subscriber: one published stream at a time goes through it.

It keeps its SSRC as long as its m-line exists, because libwebrtc ties what it plays to the SSRC in SDP. So the
published stream may change while sequence numbers and timestamps run on. `send_state` has the states.

`fan_out` itself writes the packets of a stream that is on the fast path. `SendStream.forward` handles all
others: the first packets of a stream, late ones, and those that cannot be sent (`SendStream._overload`).
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from sfu.errors import BadPacket
from sfu.rtp import extensions
from sfu.rtp.extension_block import Elements
from sfu.rtp.packet import RtpPacket
from sfu.rtp.rewrite import SequenceMap, TimestampMap
from sfu.rtp.rtcp import ReportBlock, SenderReport
from sfu.sdp.codecs import Codec
from sfu.sdp.mline import MediaKind
from sfu.transport.egress import Egress
from sfu.transport.key_frame_requests import KeyFrameBudget
from sfu.transport.receive_stream import Forwarder, MediaPacket, ReceiveStream
from sfu.transport.reception_reports import Progress, ReceptionReports
from sfu.transport.retransmission import NackRefusal, Retransmitter
from sfu.transport.send_context import SendContext
from sfu.transport.send_state import TRANSITIONS, SendEvent, SendState
from sfu.transport.stream_statistics import SendStatistics
from sfu.transport.translation import MID_PACKETS, Translation, mid_element


class SendStream(Forwarder):
    """One outgoing stream of one subscriber's transport."""

    __slots__ = (
        "_budget",
        "_clock_rate",
        "_codecs",
        "_dropped",
        "_extension_ids",
        "_frame",
        "_key_frame_requests",
        "_mid_element",
        "_mid_packets",
        "_nacked",
        "_reports",
        "_retransmitter",
        "_sequences",
        "_timestamps",
        "cname",
        "kind",
        "mid",
        "rtx_ssrc",
        "source",
        "state",
    )

    state: SendState
    """Changes only by `_enter`."""
    source: ReceiveStream | None
    """The published stream that is sent. Change it with `bind`."""

    def __init__(
        self,
        *,
        kind: MediaKind,
        ssrc: int,
        rtx_ssrc: int | None,
        cname: str,
        send_context: SendContext,
        random: Callable[[int], bytes],
    ) -> None:
        """`random` gives that many unpredictable bytes; the first sequence numbers come from it."""
        self.kind: MediaKind = kind
        self.ssrc = ssrc
        self.rtx_ssrc = rtx_ssrc
        self.cname = cname
        self.send_context = send_context
        self.mid: str | None = None
        self.source = None
        self.translation: Translation | None = None
        self.state = SendState.IDLE
        self.fast_path = False
        self._frame = 0  # RTP timestamp of the frame that is completed while the path is full
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
        self._retransmitter = Retransmitter(rtx_ssrc, random)
        self._reports = ReceptionReports()
        self._budget = KeyFrameBudget()
        self.packets = self.octets = self._nacked = self._key_frame_requests = 0
        self._dropped: Counter[str] = Counter()

    # What the session decides

    def negotiate(self, codecs: Sequence[Codec], extension_ids: Mapping[str, int], mid: str | None) -> None:
        """Use what the subscriber negotiated: codecs, {URI: id} of extensions, the m-line's mid."""
        self._codecs = tuple(codecs)
        self._retransmitter.negotiate(codecs)
        # Others do not fit a one-byte header (RFC 8285 section 4.2).
        self._extension_ids = {uri: id_ for uri, id_ in extension_ids.items() if 0 < id_ < 15}
        self._leave_out_descriptors()
        self.mid = mid
        self._mid_element = mid_element(mid, self._extension_ids)
        self.source_negotiated()

    def bind(self, source: ReceiveStream | None, now: float) -> None:
        if source is self.source:
            return
        if self.source is not None:
            self._leave_source(self.source)
            self.source.senders.remove(self)
        self.source = source
        if source is None:
            self._enter(SendEvent.UNBOUND)
        else:
            source.senders.append(self)
            self._clock_rate = source.clock_rate
            self._enter(SendEvent.BOUND)
            self._request_if_useful(now)
        self.source_negotiated()

    def pause(self) -> None:
        """Send nothing until `resume`. The receiver sees no gap."""
        if self.state not in (SendState.PAUSED, SendState.IDLE_PAUSED):
            if self.source is not None:
                self._sequences.end(self.source.newest)
            self._enter(SendEvent.PAUSED)

    def resume(self, now: float) -> None:
        """Send again: a video from the next key frame on, which is requested."""
        if self.state in (SendState.PAUSED, SendState.IDLE_PAUSED):
            self._enter(SendEvent.RESUMED)
            self._request_if_useful(now)

    # What the transport tells

    def path_full_changed(self, now: float) -> None:
        """`send_context.full` is another: see `_overload` for what is dropped while it is true."""
        if self.source is not None:
            self._frame = self.source.newest_timestamp
        self._derive_fast_path()
        self._request_if_useful(now, limited=False)  # what the path takes is limit enough

    # What the source tells

    def source_negotiated(self) -> None:
        """Choose the translation again, since codecs or extensions of either side have changed."""
        before, source = self.translation, self.source
        self.translation = None if source is None else source.translation(self._codecs, self._extension_ids)
        if self.translation is not before:
            self._looks_different()
        self._derive_fast_path()

    def source_restarted(self) -> None:
        """For this stream it is another source."""
        assert self.source is not None, "a source restarts those that are bound to it"
        self._leave_source(self.source)
        self._enter(SendEvent.RESTARTED)
        self.source_negotiated()

    # Packets

    def forward(self, media: MediaPacket, egress: Egress, now: float) -> None:
        translation, srtp, path = self.translation, self.send_context.srtp, self.send_context.path
        if translation is None or self.state is SendState.PAUSED:
            return
        if self._overload(media) or srtp is None or path is None:
            return
        translated = translation.translate(media.rtp)
        if translated is None:
            self._overload(media, "codec")
            return
        if self.state is not SendState.FORWARDING:
            if not media.key_frame:
                self._dropped["before-key-frame"] += 1
                if self.state is SendState.WAITING:
                    self._request_if_useful(now)
                return
            self._begin(media, now)
        sequence = self._sequences.map(media.sequence)
        if sequence is None:
            self._dropped["late"] += 1
            return
        self._label(translated, sequence)
        if self._mid_packets:
            translated.extensions += self._mid_element
            self._mid_packets -= 1
            # This packet carried the MID, and its retransmission would not.
            self._looks_different()
        try:
            egress.put(srtp.protect(translated.serialize()), path)
        except BadPacket as error:
            self._overload(media, error.reason)
            return
        self.packets += 1
        self.octets += len(translated.payload)
        self._derive_fast_path()

    def refused(self, reason: str) -> None:
        self._dropped[reason] += 1

    def _overload(self, media: MediaPacket, refusal: str = "") -> bool:
        """The overload policy: return whether a packet is dropped, after changing the stream accordingly.

        Nothing is queued and nothing waits. A dropped packet is counted by its reason.

        * `refusal` is given: the receiver has not negotiated the codec, or the packet is too long for SRTP. It
          alone is left out. The next one takes its number, so that the receiver does not ask for it.
        * There is no SRTP context and no path: the stream is blocked. A key frame is not sent on either, and
          is requested when there is a connection. If the stream went on, the gap would be as long as the
          silence; from 2**15 numbers on SRTP guesses the rollover counter wrong (RFC 3711 section 3.3.1).
        * The path is full: audio is little, and goes on. Of a video the frame that has begun is completed, and
          earlier losses are repaired, since half a frame is of no use. Then the stream is blocked. It goes on
          from a key frame when the path has drained, since later frames are of no use without the dropped ones.
        """
        if refusal:
            self._dropped[refusal] += 1
            if media.in_order and self.state is SendState.FORWARDING:
                self._sequences.skip(media.sequence)
                self.sequence_offset = self._sequences.offset
        elif self.send_context.srtp is None:
            self._dropped["not-connected"] += 1
            self._block(media.stream.newest)
        elif self._is_held and not self._completes(media):
            self._dropped["outlet-full"] += 1
            self._block(media.sequence - 1)
        else:
            return False
        return True

    def _completes(self, media: MediaPacket) -> bool:
        """Whether a packet belongs to a frame that was sent in part: one that has begun, or is repaired."""
        known = not media.in_order or media.rtp.timestamp == self._frame
        return known and self.state is SendState.FORWARDING

    def _block(self, last: int) -> None:
        """Send nothing after source number `last` before a key frame, which is yet to be requested."""
        if self.state is not SendState.WAITING:
            self._sequences.end(last)
            self._enter(SendEvent.BLOCKED)

    @property
    def _is_held(self) -> bool:
        return self.send_context.full and self.kind == "video"

    # RTCP

    def receive_nack(self, lost: Sequence[int], now: float) -> list[bytes]:
        """The receiver misses these sequence numbers. Returns plain RTP packets to protect and send."""
        answers: list[bytes] = []
        allowed = self._retransmitter.limit.take_lookups(len(lost), self.packets)
        self._nacked += len(lost)
        if allowed < len(lost):
            self._dropped[NackRefusal.LIMIT.value] += len(lost) - allowed
        for number in lost[:allowed]:
            answer = self._retransmit(number, now)
            if isinstance(answer, NackRefusal):
                self._dropped[answer.value] += 1
            else:
                answers.append(answer)
        return answers

    def receive_key_frame_request(self, now: float) -> None:
        """The receiver sent a PLI or FIR."""
        self._key_frame_requests += 1
        self.request_key_frame(now)

    def request_key_frame(self, now: float) -> None:
        """Ask the publisher for a key frame, unless the stream is paused, the path full or the budget spent."""
        if self.source is not None and self.state is not SendState.PAUSED and not self._is_held:
            if self._budget.take(now):
                self.source.request_key_frame(now)
            else:
                self._dropped["key-frame-budget"] += 1

    def receive_report(self, block: ReportBlock, now: float) -> Progress:
        """Take a report block of the receiver about this stream's SSRC. Returns what is new in it."""
        self._mid_packets = min(self._mid_packets, 1)  # it has found its m-line; one more ends the phase
        progress = self._reports.receive(block, now)
        if progress.round_trip is not None:
            self._retransmitter.limit.set_round_trip(progress.round_trip)
        return progress

    @property
    def jitter(self) -> float:
        """Interarrival jitter in seconds, as the receiver's latest report says."""
        return self._reports.jitter / self._clock_rate if self._clock_rate else 0.0

    def make_sender_report(self, now: float) -> SenderReport | None:
        """Return the report that lets the receiver play this stream in sync; `None` while nothing is sent.

        It is the publisher's latest report, advanced by the time since it came: the wall clock is the
        publisher's, so that all streams of one publisher agree; the RTP timestamp is this stream's. The report
        is remembered as sent, for the round trip time.
        """
        clock = None if self.source is None else self.source.sender_clock
        if clock is None or self.state is not SendState.FORWARDING:
            return None
        ntp_time, source_timestamp = clock.at(now, self._clock_rate)
        timestamp = self._timestamps.map(source_timestamp)
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
            retransmitted=self._retransmitter.packets,
            retransmitted_octets=self._retransmitter.octets,
            nacked=self._nacked,
            key_frame_requests=self._key_frame_requests,
            fraction_lost=reports.fraction_lost,
            lost=reports.lost,
            jitter_seconds=self.jitter,
            round_trip=reports.round_trip,
            dropped=dict(self._dropped),
        )

    # Inside

    def _enter(self, event: SendEvent) -> None:
        """Go where `TRANSITIONS` leads. Raises `KeyError` for an event that cannot happen in this state."""
        self.state = TRANSITIONS[self.state, event]
        self._derive_fast_path()

    def _derive_fast_path(self) -> None:
        forwards = self.state is SendState.FORWARDING and self.translation is not None
        self.fast_path = forwards and not self._mid_packets and not self._is_held

    def _request_if_useful(self, now: float, *, limited: bool = True) -> None:
        """If the stream waits for a key frame that could be sent on, request it; else `forward` does later."""
        waits = self.state in (SendState.WAITING, SendState.REQUESTED) and not self._is_held
        if waits and self.source and self.send_context.srtp and (not limited or self._budget.take(now)):
            self._enter(SendEvent.KEY_FRAME_REQUESTED)
            self.source.request_key_frame(now)

    def _begin(self, media: MediaPacket, now: float) -> None:
        """Forward from this packet on."""
        self._timestamps.begin(media.rtp.timestamp, self._clock_rate, now)
        self._sequences.begin(media.sequence)
        self.sequence_offset = self._sequences.offset
        self.timestamp_offset = self._timestamps.offset
        self._enter(SendEvent.KEY_FRAME)

    def _leave_source(self, source: ReceiveStream) -> None:
        """From now on, sequence numbers and timestamps have another meaning."""
        if self._timestamps.is_open:
            self._timestamps.end(source.newest_timestamp, source.newest_arrival)
            self._leave_out_descriptors()
        self._sequences.end(source.newest)
        self._sequences.forget_source()

    def _leave_out_descriptors(self) -> None:
        """Pass on no dependency descriptors except those of the first source.

        The next source numbers its frames from a new beginning. libwebrtc would take its key frames for older
        ones, and drop them until the numbers have caught up. Without descriptors it reads the payload instead.
        """
        if self._timestamps.has_ended_before:
            self._extension_ids.pop(extensions.DEPENDENCY_DESCRIPTOR.uri, None)

    def _label(self, packet: RtpPacket, sequence: int) -> None:
        packet.ssrc = self.ssrc
        packet.sequence_number = sequence & 0xFFFF
        packet.timestamp = self._timestamps.map(packet.timestamp)

    def _looks_different(self) -> None:
        """Packets look different from the next one on."""
        if self.source is not None:
            self._retransmitter.looks_different(self._sequences.next_out(self.source.newest))

    def _retransmit(self, number: int, now: float) -> bytes | NackRefusal:
        """Return the packet that the receiver knows by this number, or why it is not sent again."""
        source, translation = self.source, self.translation
        if source is None or translation is None or source.history is None:
            return NackRefusal.NO_HISTORY
        sequence, original = self._sequences.find(number, source.newest)
        data = None if original is None else source.history.get(original, now)
        if data is None:
            return NackRefusal.UNKNOWN
        if not self._retransmitter.limit.take(sequence, len(data), self.octets, now):
            return NackRefusal.LIMIT
        packet = translation.translate(RtpPacket.parse(data))
        if packet is None:
            return NackRefusal.CODEC
        self._label(packet, sequence)
        return self._retransmitter.retransmit(packet, sequence, self._mid_element)
