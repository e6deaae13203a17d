r"""Extended reports, kept opaque (RFC 3611 section 2).

Browsers that negotiated ``a=rtcp-xr:rcvr-rtt`` send receiver reference times in them. A receiver may
skip unknown block types; this class keeps the bytes.

::

    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |V=2|P|reserved |    PT=207     |             length            |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                              SSRC                             |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    :                         report blocks                         :
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

import struct
from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Final, Self

from sfu.errors import BadPacket
from sfu.rtp.rtcp.header import join

_SSRC: Final = Struct(">I")


@dataclass(frozen=True, slots=True)
class ExtendedReport:
    """XR."""

    PACKET_TYPE: ClassVar = 207

    ssrc: int
    """The SSRC of the reporter."""
    blocks: bytes = b""
    """The report blocks as they are on the wire."""

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Parse the packet's body. Raises `BadPacket` when the SSRC is cut off."""
        if len(body) < 4:
            raise BadPacket("rtcp-xr", f"{len(body)} bytes")
        (ssrc,) = _SSRC.unpack_from(body)
        return cls(ssrc, body[4:])

    def encode(self) -> bytes:
        """Return the whole packet. Raises `ValueError` for an SSRC out of range."""
        try:
            ssrc = _SSRC.pack(self.ssrc)
        except struct.error as error:
            raise ValueError(f"XR: {error}") from None
        return join(self.PACKET_TYPE, 0, ssrc + self.blocks)
