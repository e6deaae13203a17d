r"""Source description: names for an SSRC (RFC 3550 section 6.5).

::

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |V=2|P|   SC    |    PT=202     |             length            |
    +=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+
    |                             SSRC                              |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |     item      |    length     |  value ...                    |  any number of items,
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+  then 1 … 4 zeros to the
    |  ...          |   0 (end)     |  0            |  0            |  next 32-bit boundary
    +=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+
    SC such chunks
"""

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import ClassVar, Final, NamedTuple, Self

from sfu.errors import BadPacket
from sfu.rtp.rtcp.header import join

_SSRC: Final = Struct(">I")


class SdesItem(IntEnum):
    """Item types (RFC 3550 section 12.2, RFC 7941, RFC 8852). Unknown ones are kept too, as plain numbers."""

    CNAME = 1
    """Canonical name: the same for all streams that share a clock and are to be played in sync."""
    NAME = 2
    EMAIL = 3
    PHONE = 4
    LOC = 5
    TOOL = 6
    NOTE = 7
    PRIV = 8
    """A private item: one length byte, that many bytes of prefix, the value."""
    RTP_STREAM_ID = 12
    REPAIRED_RTP_STREAM_ID = 13
    MID = 15


class SdesChunk(NamedTuple):
    """The items about one source."""

    ssrc: int
    items: tuple[tuple[int, bytes], ...]
    """(item type, value), in wire order; values are UTF-8 text of at most 255 bytes, not checked."""

    def item(self, item_type: int) -> bytes | None:
        """Return the first value of this type; `None` when there is none."""
        for kind, value in self.items:
            if kind == item_type:
                return value
        return None


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """SDES: descriptions of up to 31 sources."""

    PACKET_TYPE: ClassVar = 202

    chunks: tuple[SdesChunk, ...]

    @classmethod
    def of_cname(cls, ssrc: int, cname: str) -> Self:
        """Return the description that every compound packet has: one source and its CNAME."""
        return cls((SdesChunk(ssrc, ((SdesItem.CNAME, cname.encode()),)),))

    @classmethod
    def decode(cls, count: int, body: bytes) -> Self:
        """Parse a body of `count` chunks. Raises `BadPacket` for a chunk cut off or bytes after the last."""
        chunks = []
        offset = 0
        for _ in range(count):
            chunk, offset = _decode_chunk(body, offset)
            chunks.append(chunk)
        if offset != len(body):
            raise BadPacket("rtcp-sdes", f"{len(body) - offset} bytes after {count} chunks")
        return cls(tuple(chunks))

    def encode(self) -> bytes:
        """Return the whole packet. Raises `ValueError` for a field out of range and for item type 0."""
        body = b"".join(map(_encode_chunk, self.chunks))
        return join(self.PACKET_TYPE, len(self.chunks), body)


def _decode_chunk(body: bytes, offset: int) -> tuple[SdesChunk, int]:
    if len(body) - offset < 8:  # an SSRC and at least one zero, padded
        raise BadPacket("rtcp-sdes", f"{len(body) - offset} bytes where a chunk should be")
    (ssrc,) = _SSRC.unpack_from(body, offset)
    offset += 4
    items = []
    while body[offset]:
        stop = offset + 2 + body[offset + 1] if offset + 1 < len(body) else len(body)
        if stop >= len(body):  # an item that reaches the end leaves no zero to end the chunk
            raise BadPacket("rtcp-sdes", f"item {body[offset]} is cut off")
        items.append((body[offset], body[offset + 2 : stop]))
        offset = stop
    return SdesChunk(ssrc, tuple(items)), offset // 4 * 4 + 4


def _encode_chunk(chunk: SdesChunk) -> bytes:
    if not 0 <= chunk.ssrc <= 0xFFFF_FFFF:
        raise ValueError(f"SSRC {chunk.ssrc}")
    encoded = bytearray(_SSRC.pack(chunk.ssrc))
    for item_type, value in chunk.items:
        if not 0 < item_type <= 255 or len(value) > 255:
            raise ValueError(f"SDES item {item_type} of {len(value)} bytes")
        encoded += bytes((item_type, len(value))) + value
    return bytes(encoded) + bytes(4 - len(encoded) % 4)
