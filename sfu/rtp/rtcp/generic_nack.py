r"""Generic NACK: which packets did not arrive (RFC 4585 section 6.2.1).

FCI, any number of::

    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |            PID                |             BLP               |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

PID is a lost packet; bit i of BLP (0 the least significant) says that packet PID + i + 1 is lost too.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Final, Self

from sfu.errors import BadPacket
from sfu.rtp.rtcp.feedback import join_feedback, split_feedback
from sfu.rtp.rtcp.header import TRANSPORT_FEEDBACK

_PAIR: Final = Struct(">HH")


@dataclass(frozen=True, slots=True)
class GenericNack:
    """NACK: a request to send these packets again."""

    PACKET_TYPE: ClassVar = TRANSPORT_FEEDBACK
    FORMAT: ClassVar = 1

    sender_ssrc: int
    """The SSRC of the requester."""
    media_ssrc: int
    """The stream whose packets are missing."""
    lost: tuple[int, ...]
    """Sequence numbers, at least one, in any order. Ascending order (modulo 2**16) takes the fewest bytes."""

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Parse the packet's body. Raises `BadPacket` unless it holds whole PID/BLP pairs, at least one."""
        sender_ssrc, media_ssrc, fci = split_feedback(body, "rtcp-nack")
        if not fci or len(fci) % 4:
            raise BadPacket("rtcp-nack", f"{len(fci)} bytes of pairs")
        lost = []
        for first, bitmask in _PAIR.iter_unpack(fci):
            lost.append(first)
            number = first
            while bitmask:
                number = (number + 1) & 0xFFFF
                if bitmask & 1:
                    lost.append(number)
                bitmask >>= 1
        return cls(sender_ssrc, media_ssrc, tuple(lost))

    def encode(self) -> bytes:
        """Return the whole packet. Raises `ValueError` for a field out of range and for an empty `lost`."""
        if not self.lost:
            raise ValueError("a NACK of nothing")
        fci = b"".join(_PAIR.pack(first, bitmask) for first, bitmask in _pairs(self.lost))
        return join_feedback(self.PACKET_TYPE, self.FORMAT, self.sender_ssrc, self.media_ssrc, fci)


def _pairs(lost: Iterable[int]) -> list[tuple[int, int]]:
    """Return `lost` as pairs of PID and BLP that keep its order.

    A number begins a new pair unless it is within the 16 after the pair's PID and after the pair's other
    numbers.
    """
    pairs: list[tuple[int, int]] = []
    for number in lost:
        if not 0 <= number <= 0xFFFF:
            raise ValueError(f"sequence number {number}")
        if pairs:
            first, bitmask = pairs[-1]
            ahead = (number - first) & 0xFFFF
            if 1 <= ahead <= 16 and not bitmask >> (ahead - 1):
                pairs[-1] = (first, bitmask | 1 << (ahead - 1))
                continue
        pairs.append((number, 0))
    return pairs
