r"""Full intra request: "send a key frame", as a command with a number (RFC 5104 section 4.3.1).

FCI, once per stream asked::

    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                              SSRC                             |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |    Seq nr.    |    reserved                                   |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

import struct
from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Final, NamedTuple, Self

from sfu.errors import BadPacket
from sfu.rtp.rtcp.feedback import join_feedback, split_feedback
from sfu.rtp.rtcp.header import PAYLOAD_FEEDBACK

_ENTRY: Final = Struct(">IB3x")


class FirEntry(NamedTuple):
    """One stream asked for a key frame."""

    ssrc: int
    command_number: int
    """0 … 255; increases by one with each new request to that stream. A request sent again keeps its number."""


@dataclass(frozen=True, slots=True)
class FullIntraRequest:
    """FIR. Its header's media SSRC is not used (RFC 5104 section 4.3.1.2): sent as 0, ignored on receipt."""

    PACKET_TYPE: ClassVar = PAYLOAD_FEEDBACK
    FORMAT: ClassVar = 4

    sender_ssrc: int
    """The SSRC of the requester. Command numbers count for each requester and stream."""
    entries: tuple[FirEntry, ...]
    """At least one."""

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Parse the packet's body. Raises `BadPacket` unless it holds whole entries, at least one."""
        sender_ssrc, _, fci = split_feedback(body, "rtcp-fir")
        if not fci or len(fci) % 8:
            raise BadPacket("rtcp-fir", f"{len(fci)} bytes of entries")
        return cls(sender_ssrc, tuple(map(FirEntry._make, _ENTRY.iter_unpack(fci))))

    def encode(self) -> bytes:
        """Return the whole packet. Raises `ValueError` for a field out of range and for no entry at all."""
        if not self.entries:
            raise ValueError("a full intra request needs at least one entry")
        try:
            fci = b"".join(_ENTRY.pack(*entry) for entry in self.entries)
        except struct.error as error:
            raise ValueError(f"full intra request: {error}") from None
        return join_feedback(self.PACKET_TYPE, self.FORMAT, self.sender_ssrc, 0, fci)
