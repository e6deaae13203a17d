"""Which published stream a packet belongs to (RFC 9143 section 9.2).

A description names m-lines, payload types and perhaps SSRCs; packets have SSRCs. An SSRC that no description
has named is associated with an m-line by the first packet that names the m-line in the MID header extension, or
whose payload type only one m-line uses. With simulcast, the RID names the encoding, and the repaired RID of an
RTX packet names the encoding that it repairs. The association is kept, since browsers do not repeat these
extensions after a pause. Packets of an unknown stream are dropped and counted: guessing would mix two people's
media.
"""

from collections import Counter
from collections.abc import Iterable

from sfu.errors import BadPacket
from sfu.rtp import extensions
from sfu.rtp.extensions import HeaderExtension
from sfu.rtp.history import DEPTH
from sfu.rtp.packet import RtpPacket
from sfu.sdp.mline import Receiver
from sfu.transport.events import SsrcReleased, StreamEnded, StreamStarted
from sfu.transport.receive_stream import ReceiveStream
from sfu.transport.stream_statistics import ReceiveTotals

REPLACE_AFTER = 1.0
"""Seconds that a stream must be silent before another SSRC may take its place on an m-line unannounced. A
sender that lost an SSRC collision (RFC 3550 section 8.2) stops using the old one. Only an attacker uses
both."""

MAX_IDLE = 8
"""Unused SSRCs of an m-line that stay associated: three encodings with RTX, sent again after a pause."""

MAX_RETIRED = 512
"""Retired SSRCs remembered. One that is forgotten could be associated again by replayed packets, nothing
else."""


class StreamTable:
    """The streams that one peer sends, by SSRC."""

    def __init__(self, *, local_ssrc: int, drops: Counter[str], history_depth: int = DEPTH) -> None:
        """`drops` counts packets of no stream. `local_ssrc` is the one that feedback is sent from."""
        self.media: dict[int, ReceiveStream] = {}
        """By the SSRC of the stream itself."""
        self.repairs: dict[int, ReceiveStream] = {}
        """By the SSRC of its retransmissions."""
        self._events: list[StreamStarted | StreamEnded | SsrcReleased] = []
        self._ended = ReceiveTotals()
        self._local_ssrc = local_ssrc
        self._drops = drops
        self._history_depth = history_depth
        self._receivers: dict[str, Receiver] = {}
        # Announced SSRCs: the m-line, and the stream's SSRC (a different one for RTX).
        self._announced: dict[int, tuple[Receiver, int]] = {}
        # Every associated SSRC, with its m-line and encoding: each holds decryption state.
        self._associated: dict[int, tuple[str, str | None]] = {}
        # A dict for its order: the first is the oldest.
        self._retired: dict[int, None] = {}
        self._ids: dict[str, int] = {}
        self._by_payload_type: dict[int, Receiver | None] = {}

    def events(self) -> list[StreamStarted | StreamEnded | SsrcReleased]:
        """Return what happened since the last call, in order."""
        if not self._events:
            return []
        events, self._events = self._events, []
        return events

    def streams(self) -> Iterable[ReceiveStream]:
        """Return all streams that have begun and not ended."""
        return self.media.values()

    def totals(self) -> ReceiveTotals:
        """Return the sum over all streams, including those that have ended."""
        totals = ReceiveTotals()
        totals.add(self._ended)
        for stream in self.media.values():
            totals.add(stream.statistics())
        return totals

    def set_receivers(self, receivers: Iterable[Receiver], now: float) -> None:
        """Use the result of a negotiation: close the streams that it ended, give the others their codecs."""
        self._receivers = {receiver.mid: receiver for receiver in receivers if receiver.codecs}
        active = [receiver for receiver in self._receivers.values() if receiver.active]
        self._announced.clear()
        self._ids.clear()
        self._by_payload_type.clear()
        for receiver in active:
            for ssrc in receiver.ssrcs:
                self._announced[ssrc] = (receiver, ssrc)
            for ssrc, rtx_ssrc in receiver.rtx_ssrcs.items():
                self._announced[rtx_ssrc] = (receiver, ssrc)
            for identifier, uri in receiver.extensions.items():
                self._ids[uri] = identifier
            for payload_type in _payload_types(receiver):
                unique = payload_type not in self._by_payload_type
                self._by_payload_type[payload_type] = receiver if unique else None
        for ssrc in self._announced:
            self._retired.pop(ssrc, None)
        for stream in list(self.media.values()):
            self._renegotiate(stream, now)
        for ssrc, (mid, _) in list(self._associated.items()):
            if self._is_gone(ssrc, mid):
                self._retire(ssrc)

    def associate(self, packet: RtpPacket, now: float) -> bool:
        """Associate the SSRC of a packet, which is in neither table, with an m-line.

        Returns whether that was possible; then the SSRC is in `media` or `repairs`. Otherwise the reason is
        counted, and the SSRC is released.
        """
        try:
            self._find_stream(packet, now)
        except BadPacket as error:
            self._drops[error.reason] += 1
            if packet.ssrc not in self._associated:
                self._events.append(SsrcReleased(packet.ssrc))
            return False
        return True

    def close(self, now: float) -> None:
        """End all streams."""
        for stream in list(self.media.values()):
            self._end(stream, now)

    # Association

    def _find_stream(self, packet: RtpPacket, now: float) -> None:
        ssrc = packet.ssrc
        announced = self._announced.get(ssrc)
        if announced is not None:
            receiver, primary = announced
            stream = self.media.get(primary) or self._start(receiver, primary, self._rid(packet, receiver))
            if ssrc != primary:
                self._add_repair(stream, ssrc)
            return
        if ssrc in self._retired:
            raise BadPacket("rtp-retired-ssrc")
        receiver = self._receiver_of(packet)
        if packet.payload_type in {codec.rtx_payload_type for codec in receiver.codecs}:
            self._add_repair(self._repaired(packet, receiver), ssrc)
            return
        rid = self._rid(packet, receiver)
        for stream in list(self.media.values()):
            if stream.mid == receiver.mid and stream.rid == rid:
                if now < stream.newest_arrival + REPLACE_AFTER:
                    raise BadPacket("rtp-second-ssrc")
                self._end(stream, now)
                for old in [old for old in (stream.ssrc, stream.rtx_ssrc) if old is not None]:
                    self._retire(old)
        self._start(receiver, ssrc, rid)

    def _receiver_of(self, packet: RtpPacket) -> Receiver:
        mid = self._text(packet, extensions.MID)
        if mid is None and packet.ssrc in self._associated:
            mid = self._associated[packet.ssrc][0]
        if mid is None:
            by_type = self._by_payload_type.get(packet.payload_type)
            if by_type is None:
                raise BadPacket("rtp-unknown-ssrc")
            return by_type
        receiver = self._receivers.get(mid)
        if receiver is None:
            raise BadPacket("rtp-unknown-mid")
        if not receiver.active:
            raise BadPacket("rtp-inactive-mid")
        return receiver

    def _rid(self, packet: RtpPacket, receiver: Receiver) -> str | None:
        """Return the encoding that a packet belongs to; `None` on an m-line without simulcast."""
        if not receiver.rids:
            return None
        rid = self._text(packet, extensions.RID) or self._known_rid(packet)
        if rid not in receiver.rids:
            raise BadPacket("rtp-unknown-rid")
        return rid

    def _repaired(self, packet: RtpPacket, receiver: Receiver) -> ReceiveStream:
        """Return the stream that an RTX packet with a new SSRC repairs."""
        rid = self._text(packet, extensions.REPAIRED_RID) or self._known_rid(packet)
        for stream in self.media.values():
            if stream.mid == receiver.mid and stream.rid == rid:
                return stream
        # It repairs a stream of which no packet has come; or, before any loss, it is a bandwidth probe.
        raise BadPacket("rtp-unknown-rtx")

    def _known_rid(self, packet: RtpPacket) -> str | None:
        return self._associated[packet.ssrc][1] if packet.ssrc in self._associated else None

    def _text(self, packet: RtpPacket, extension: HeaderExtension[str]) -> str | None:
        identifier = self._ids.get(extension.uri)
        data = None if identifier is None else packet.extension(identifier)
        return None if data is None else extension.decode(data)

    def _start(self, receiver: Receiver, ssrc: int, rid: str | None) -> ReceiveStream:
        stream = ReceiveStream(
            ssrc=ssrc,
            kind=receiver.kind,
            codecs=receiver.codecs,
            extensions=receiver.extensions,
            local_ssrc=self._local_ssrc,
            mid=receiver.mid,
            rid=rid,
            history_depth=self._history_depth,
        )
        idle = [
            known
            for known, (mid, _) in self._associated.items()
            if mid == receiver.mid and known not in self.media and known not in self.repairs and known != ssrc
        ]
        for known in idle[:-MAX_IDLE]:
            self._retire(known)
        self.media[ssrc] = stream
        self._associated[ssrc] = (receiver.mid, rid)
        rtx_ssrc = receiver.rtx_ssrcs.get(ssrc)
        if rtx_ssrc is not None:
            self._add_repair(stream, rtx_ssrc)
        self._events.append(StreamStarted(stream))
        return stream

    def _add_repair(self, stream: ReceiveStream, ssrc: int) -> None:
        if stream.rtx_ssrc is not None and stream.rtx_ssrc != ssrc:
            self._retire(stream.rtx_ssrc)
        before = self.repairs.get(ssrc)
        if before is not None:
            before.rtx_ssrc = None
        stream.rtx_ssrc = ssrc
        self.repairs[ssrc] = stream
        assert stream.mid is not None, "the table gives every stream its mid"
        self._associated[ssrc] = (stream.mid, stream.rid)

    # The end of an association

    def _renegotiate(self, stream: ReceiveStream, now: float) -> None:
        assert stream.mid is not None, "the table gives every stream its mid"
        receiver = self._receivers.get(stream.mid)
        if receiver is None or not receiver.active or self._is_gone(stream.ssrc, stream.mid):
            self._end(stream, now)
        elif (stream.rid is None) == bool(receiver.rids) or stream.rid not in (None, *receiver.rids):
            # The encodings have changed, and this one is gone.
            self._end(stream, now)
        elif stream.codecs != receiver.codecs or stream.extensions != receiver.extensions:
            stream.negotiate(receiver.codecs, receiver.extensions)

    def _is_gone(self, ssrc: int, mid: str) -> bool:
        """Return whether an SSRC will not be used again: its m-line is gone, or names other SSRCs now.

        On an inactive m-line it may be used again: a browser that sends there again continues with the same
        SSRC and its rollover counter, so the decryption state has to stay.
        """
        receiver = self._receivers.get(mid)
        if receiver is None:
            return True
        announced = self._announced.get(ssrc)
        if announced is not None:
            return announced[0].mid != mid
        if ssrc in self.repairs:
            # Descriptions may name a stream and not its RTX. Another RTX SSRC of the stream retires this one.
            return False
        return receiver.active and bool(receiver.ssrcs)

    def _end(self, stream: ReceiveStream, now: float) -> None:
        stream.close(now)
        self._ended.add(stream.statistics())
        del self.media[stream.ssrc]
        if stream.rtx_ssrc is not None:
            self.repairs.pop(stream.rtx_ssrc, None)
        self._events.append(StreamEnded(stream))

    def _retire(self, ssrc: int) -> None:
        if self._associated.pop(ssrc, None) is None:
            return  # a description may give one SSRC to a stream and to retransmissions
        repaired = self.repairs.pop(ssrc, None)
        if repaired is not None:
            repaired.rtx_ssrc = None
        self._events.append(SsrcReleased(ssrc))
        self._retired[ssrc] = None
        if len(self._retired) > MAX_RETIRED:
            del self._retired[next(iter(self._retired))]


def _payload_types(receiver: Receiver) -> set[int]:
    types = {codec.payload_type for codec in receiver.codecs}
    return types | {codec.rtx_payload_type for codec in receiver.codecs if codec.rtx_payload_type is not None}
