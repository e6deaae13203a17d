r"""Goodbye: sources that stop (RFC 3550 section 6.6).

::

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |V=2|P|   SC    |    PT=203     |             length            |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                        SSRC/CSRC, SC times                    |
    +=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+
    |    length     |    reason for leaving, zeros to a boundary ...   optional
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

import struct
from dataclasses import dataclass
from typing import ClassVar, Self

from sfu.errors import BadPacket
from sfu.rtp.rtcp.header import join


@dataclass(frozen=True, slots=True)
class Goodbye:
    """BYE: these sources send no more."""

    PACKET_TYPE: ClassVar = 203

    ssrcs: tuple[int, ...]
    """At most 31."""
    reason: bytes = b""
    """UTF-8 text of at most 255 bytes, not checked; empty for none."""

    @classmethod
    def decode(cls, count: int, body: bytes) -> Self:
        """Parse a body with `count` sources. Raises `BadPacket` when sources or reason are cut off."""
        end = 4 * count
        if len(body) < end:
            raise BadPacket("rtcp-bye", f"{count} sources in {len(body)} bytes")
        ssrcs = struct.unpack_from(f">{count}I", body)
        if len(body) == end:
            return cls(ssrcs)
        stop = end + 1 + body[end]
        if stop > len(body):
            raise BadPacket("rtcp-bye", f"the reason ends {stop - len(body)} bytes after the packet")
        return cls(ssrcs, body[end + 1 : stop])

    def encode(self) -> bytes:
        """Return the whole packet. Raises `ValueError` for an SSRC out of range and a reason too long."""
        try:
            body = struct.pack(f">{len(self.ssrcs)}I", *self.ssrcs)
        except struct.error as error:
            raise ValueError(f"goodbye: {error}") from None
        if self.reason:
            if len(self.reason) > 255:
                raise ValueError(f"a reason of {len(self.reason)} bytes")
            text = bytes((len(self.reason),)) + self.reason
            body += text + bytes(-len(text) % 4)
        return join(self.PACKET_TYPE, len(self.ssrcs), body)
