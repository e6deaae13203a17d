r"""Receiver estimated maximum bitrate (draft-alvestrand-rmcat-remb-03).

An application layer feedback message (RFC 4585 section 6.4) with the FCI::

    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |  Unique identifier 'R' 'E' 'M' 'B'                            |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |  Num SSRC     | BR Exp    |  BR Mantissa                      |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |   SSRC, Num SSRC times                                        |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

import struct
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from sfu.errors import BadPacket
from sfu.rtp.rtcp.feedback import join_feedback, split_feedback
from sfu.rtp.rtcp.header import PAYLOAD_FEEDBACK

IDENTIFIER: Final = b"REMB"

_MANTISSA_BITS: Final = 18
_MAX_EXPONENT: Final = 63


@dataclass(frozen=True, slots=True)
class Remb:
    """REMB. The media SSRC of its header is unused: 0 when sent, ignored on receipt."""

    PACKET_TYPE: ClassVar = PAYLOAD_FEEDBACK
    FORMAT: ClassVar = 15
    """Application layer feedback, which other messages use too: see `is_remb`."""

    sender_ssrc: int
    """The SSRC of the estimator."""
    bitrate: int
    """Total of the streams in bit/s. The wire has 18 significant bits: what does not fit is rounded down."""
    ssrcs: tuple[int, ...]
    """The streams that share the bitrate, at most 255."""

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Parse the packet's body. Raises `BadPacket` unless it is a REMB of exactly its length."""
        sender_ssrc, _, fci = split_feedback(body, "rtcp-remb")
        if len(fci) < 8 or len(fci) != 8 + 4 * fci[4] or not fci.startswith(IDENTIFIER):
            raise BadPacket("rtcp-remb", f"{len(fci)} bytes of FCI")
        exponent = fci[5] >> 2
        mantissa = int.from_bytes(fci[5:8]) & ((1 << _MANTISSA_BITS) - 1)
        return cls(sender_ssrc, mantissa << exponent, struct.unpack_from(f">{fci[4]}I", fci, 8))

    def encode(self) -> bytes:
        """Return the whole packet. Raises `ValueError` for a field out of range."""
        exponent = max(0, self.bitrate.bit_length() - _MANTISSA_BITS)
        if self.bitrate < 0 or exponent > _MAX_EXPONENT:
            raise ValueError(f"bitrate {self.bitrate}")
        if len(self.ssrcs) > 255:
            raise ValueError(f"{len(self.ssrcs)} SSRCs in a REMB")
        rate = exponent << _MANTISSA_BITS | self.bitrate >> exponent
        try:
            ssrcs = struct.pack(f">{len(self.ssrcs)}I", *self.ssrcs)
        except struct.error as error:
            raise ValueError(f"REMB: {error}") from None
        fci = IDENTIFIER + bytes((len(self.ssrcs),)) + rate.to_bytes(3) + ssrcs
        return join_feedback(self.PACKET_TYPE, self.FORMAT, self.sender_ssrc, 0, fci)


def is_remb(body: bytes) -> bool:
    """Whether the body of an application layer feedback message is a REMB."""
    return body[8:12] == IDENTIFIER
