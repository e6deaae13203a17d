r"""Application-defined packets, kept opaque (RFC 3550 section 6.7).

::

    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |V=2|P| subtype |    PT=204     |             length            |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                           SSRC/CSRC                           |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                          name (ASCII)                         |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                   application-dependent data                ...
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

import struct
from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Final, Self

from sfu.errors import BadPacket
from sfu.rtp.rtcp.header import join

_HEAD: Final = Struct(">I4s")


@dataclass(frozen=True, slots=True)
class Application:
    """APP: a message between two programs that both know its name."""

    PACKET_TYPE: ClassVar = 204

    subtype: int
    """0 … 31, the application's."""
    ssrc: int
    name: bytes
    """Four bytes, upper and lower case being distinct."""
    data: bytes = b""

    @classmethod
    def decode(cls, subtype: int, body: bytes) -> Self:
        """From subtype and body. Raises `BadPacket` when SSRC and name are cut off."""
        if len(body) < 8:
            raise BadPacket("rtcp-app", f"{len(body)} bytes")
        ssrc, name = _HEAD.unpack_from(body)
        return cls(subtype, ssrc, name, body[8:])

    def encode(self) -> bytes:
        """Return the whole packet. Raises `ValueError` for a field out of range."""
        if len(self.name) != 4:
            raise ValueError(f"APP name {self.name!r}")
        try:
            head = _HEAD.pack(self.ssrc, self.name)
        except struct.error as error:
            raise ValueError(f"APP: {error}") from None
        return join(self.PACKET_TYPE, self.subtype, head + self.data)
