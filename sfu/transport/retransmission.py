"""Retransmitting packets that a receiver has missed, and how much of that it may ask for.

If RTX was negotiated, a retransmission is sent in a stream of its own (RFC 4588), otherwise it is the same
packet once more.

Each pair in a NACK asks for up to seventeen packets in four bytes. So a hostile receiver could make the server
send many times what it forwards, through the uplink of all peers, or keep it busy with lookups. There are three
limits: how often and how fast one packet is retransmitted, the bytes of all retransmissions compared with what
the stream itself sends, and the number of lookups.
"""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final

from sfu.rtp.extension_block import Elements
from sfu.rtp.packet import RtpPacket
from sfu.rtp.rtx import wrap_rtx
from sfu.sdp.codecs import Codec

MIN_INTERVAL: Final = 0.02
"""Seconds between two retransmissions of one packet while the round trip time is unknown."""

MAX_RETRANSMISSIONS: Final = 10
"""Retransmissions of one packet; browsers do not ask more often."""

BURST: Final = 256 * 1024
"""Bytes that may be retransmitted ahead of what was sent: one second of a 2 Mbit/s stream that is lost as a
whole."""

MAX_LOOKUPS: Final = 512
"""Numbers that may be asked for ahead of what was sent: as many as a history has. One datagram of NACKs can
name 6000, known or not, and looking one up takes 2 µs."""

MAX_TRACKED: Final = 1024
"""Packets whose retransmissions are remembered: more than a history has, so none is forgotten too early."""


class NackRefusal(Enum):
    """Why a packet that was asked for is not sent again. The values are reasons in `SendStatistics.dropped`."""

    NO_HISTORY = "nack-no-history"
    """No source is bound, or its packets are not kept."""
    UNKNOWN = "nack-unknown"
    """The packet was never sent, or is no longer kept."""
    LIMIT = "nack-limit"
    """Asked for too often, too fast, or too much: see `RetransmissionLimit`."""
    CODEC = "nack-codec"
    """The receiver has not negotiated its codec any more."""
    CHANGED = "nack-changed"
    """Without RTX only, when the packet would not be the same to the last bit: see `Retransmitter`."""


class RetransmissionLimit:
    """The limits for one outgoing stream."""

    __slots__ = ("_allowance", "_lookups", "_packets_before", "_sent_again", "_sent_before", "interval")

    interval: float
    """Shortest time in seconds between two retransmissions of one packet."""

    def __init__(self) -> None:
        self.interval = MIN_INTERVAL
        self._allowance = BURST
        self._sent_before = 0
        self._lookups = MAX_LOOKUPS
        self._packets_before = 0
        self._sent_again: dict[int, tuple[float, int]] = {}

    def set_round_trip(self, seconds: float) -> None:
        """Allow one retransmission per half round trip, since measured times vary."""
        self.interval = max(MIN_INTERVAL, seconds / 2)

    def take_lookups(self, asked: int, packets_sent: int) -> int:
        """Return how many of `asked` numbers may be looked up now. They count as looked up.

        `packets_sent` is what the stream has sent so far without retransmissions. Each packet may be asked for
        as often as it may be retransmitted.
        """
        fresh = MAX_RETRANSMISSIONS * (packets_sent - self._packets_before)
        self._packets_before = packets_sent
        self._lookups = min(MAX_LOOKUPS, self._lookups + fresh)
        allowed = min(asked, self._lookups)
        self._lookups -= allowed
        return allowed

    def take(self, sequence: int, size: int, octets_sent: int, now: float) -> bool:
        """Return whether packet `sequence` of `size` bytes may be retransmitted now. If so, it counts as sent.

        `octets_sent` is what the stream has sent so far without retransmissions.
        """
        at, count = self._sent_again.get(sequence, (float("-inf"), 0))
        if count >= MAX_RETRANSMISSIONS or now < at + self.interval:
            return False
        self._allowance = min(BURST, self._allowance + octets_sent - self._sent_before)
        self._sent_before = octets_sent
        if size > self._allowance:
            return False
        self._allowance -= size
        self._sent_again.pop(sequence, None)  # to the end: the latest is the last
        self._sent_again[sequence] = (now, count + 1)
        if len(self._sent_again) > MAX_TRACKED:
            del self._sent_again[next(iter(self._sent_again))]
        return True


class Retransmitter:
    """Makes the retransmissions of one outgoing stream."""

    __slots__ = (
        "_first_alike",
        "_rtx_sequence_number",
        "_rtx_ssrc",
        "_rtx_types",
        "limit",
        "octets",
        "packets",
    )

    limit: RetransmissionLimit
    """To be asked before each lookup and each retransmission."""
    packets: int
    """Retransmissions made."""
    octets: int
    """Their bytes, headers included."""

    def __init__(self, rtx_ssrc: int | None, random: Callable[[int], bytes]) -> None:
        """`random` gives that many unpredictable bytes; the first RTX sequence number comes from it."""
        self.limit = RetransmissionLimit()
        self._rtx_ssrc = rtx_ssrc
        self._rtx_types: dict[int, int] = {}
        self._rtx_sequence_number = int.from_bytes(random(2)) & 0x7FFF
        self._first_alike = 0
        self.packets = self.octets = 0

    def negotiate(self, codecs: Sequence[Codec]) -> None:
        """Use the RTX payload types that the receiver negotiated."""
        self._rtx_types = {
            codec.payload_type: codec.rtx_payload_type for codec in codecs if codec.rtx_payload_type is not None
        }

    def looks_different(self, sequence: int) -> None:
        """From outgoing number `sequence` on, packets look different, and earlier ones cannot be made again.

        A retransmission with the same SSRC has the SRTP nonce of the original packet, so it must be the same to
        the last bit (RFC 7714 section 8.1). This does not concern RTX.
        """
        self._first_alike = sequence

    def retransmit(self, packet: RtpPacket, sequence: int, mid: Elements) -> bytes | NackRefusal:
        """Return a plain RTP packet that retransmits `packet`, or a refusal if it would look different.

        `packet` is as it was sent, `sequence` is its outgoing number, `mid` the extension element for RTX
        packets.
        """
        rtx_type = self._rtx_types.get(packet.payload_type)
        if rtx_type is not None and self._rtx_ssrc is not None:
            packet.extensions += mid
            number = self._rtx_sequence_number
            self._rtx_sequence_number = (number + 1) & 0xFFFF
            packet = wrap_rtx(packet, payload_type=rtx_type, ssrc=self._rtx_ssrc, sequence_number=number)
        elif sequence < self._first_alike:
            return NackRefusal.CHANGED
        data = packet.serialize()
        self.packets += 1
        self.octets += len(data)
        return data
