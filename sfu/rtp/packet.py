r"""One RTP packet: parse and serialize (RFC 3550 section 5.1, header extensions RFC 8285).

::

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |V=2|P|X|  CC   |M|     PT      |       sequence number         |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                           timestamp                           |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                             SSRC                              |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                     CSRCs, CC times 32 bits                   |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |       X: header extension block, see extension_block.py       |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |  payload                      |  P: padding, its last byte    |
    |                               |     says how long it is       |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

import struct
from dataclasses import dataclass, field
from struct import Struct
from typing import Final, Self

from sfu.errors import BadPacket
from sfu.rtp.extension_block import (
    BLOCK_HEADER,
    MAX_BLOCK_DATA,
    ONE_BYTE_PROFILE,
    Elements,
    is_element_profile,
    parse_elements,
    parse_one_byte,
    serialize_elements,
)

_FIXED_HEADER: Final = Struct(">BBHII")
_FIXED_AND_BLOCK_HEADER: Final = Struct(">BBHIIHH")
"""The header of a packet without CSRCs, and that of its extension block: profile, length in words."""
_VERSION_BITS: Final = 2 << 6
_PADDING: Final = 0x20
_EXTENSION: Final = 0x10
_CSRC_COUNT: Final = 0x0F
_MARKER: Final = 0x80


def is_rtcp(data: bytes) -> bool:
    """Return whether a datagram on a port that is used for RTP and RTCP is RTCP (RFC 5761 section 4).

    RTCP packet types 192 … 223 are where RTP has its marker bit and payload types 64 … 95, which may not be
    assigned to media on such a port.
    """
    return len(data) > 1 and 192 <= data[1] <= 223


@dataclass(slots=True)
class RtpPacket:
    """One RTP packet, taken apart. Only the code that made the object may change it: others may hold it too.

    `RtpPacket.parse(packet.serialize()) == packet` holds for every packet that can be serialized. A parsed
    packet serializes to the same bytes too, except for an extension block without elements and for padding that
    is not zero. After `extensions` has been assigned, they are packed again, in the one-byte form if that fits.

    >>> data = bytes.fromhex("906f 0007 000003c0 0000002a bede 0001 10300000") + b"opus"
    >>> packet = RtpPacket.parse(data)
    >>> packet.payload_type, packet.sequence_number, packet.timestamp, packet.ssrc
    (111, 7, 960, 42)
    >>> packet.extension(1), packet.payload
    (b'0', b'opus')
    >>> packet.serialize() == data
    True
    """

    payload_type: int
    """0 … 127; the codec, as negotiated in SDP."""
    marker: bool
    """For video, set on the last packet of a frame; for audio, on the first packet after a silence."""
    sequence_number: int
    """0 … 65535; increases by one with each packet of this SSRC, and wraps."""
    timestamp: int
    """Sampling instant of the payload in ticks of the codec's RTP clock, 32 bits; wraps."""
    ssrc: int
    """The stream that this packet belongs to, 32 bits."""
    csrcs: tuple[int, ...] = ()
    """The sources that a mixer made this packet from, at most 15."""
    extensions: Elements = ()
    """Header extension elements (id, data) in wire order, of either form of RFC 8285."""
    payload: bytes = b""
    """The codec's data, without padding. Empty in a packet of padding only, which senders use for probing."""
    padding_size: int = 0
    """Bytes of padding after the payload including the count byte, 0 … 255; 0 means no padding."""
    opaque_extension: tuple[int, bytes] | None = None
    """(profile, data) of a header extension that is not RFC 8285's; then `extensions` is empty."""
    _parsed_block: tuple[Elements, bytes] | None = field(default=None, repr=False, compare=False)
    """`extensions` as parsed, and the bytes of their block: used again while `extensions` is that object."""

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Take a datagram apart. Raises `BadPacket`: too short, wrong version, bad extension, bad padding."""
        end = len(data)
        if end < 12:
            raise BadPacket("rtp-truncated", f"{end} bytes")
        # Fast path: most packets have no CSRCs, so that one call reads the extension header too. In a packet
        # without an extension these four bytes are payload, and they are not used.
        if end >= 16:
            first, second, sequence_number, timestamp, ssrc, profile, words = (
                _FIXED_AND_BLOCK_HEADER.unpack_from(data)
            )
        else:
            first, second, sequence_number, timestamp, ssrc = _FIXED_HEADER.unpack_from(data)
            profile = words = 0
        if first & 0xC0 != _VERSION_BITS:
            raise BadPacket("rtp-version", f"version {first >> 6}")
        offset = 12
        csrcs: tuple[int, ...] = ()
        if first & _CSRC_COUNT:
            csrcs = _parse_csrcs(data, first & _CSRC_COUNT)
            offset += 4 * len(csrcs)
            if end >= offset + 4:
                profile, words = BLOCK_HEADER.unpack_from(data, offset)
        extensions: Elements = ()
        opaque_extension = parsed_block = None
        if first & _EXTENSION:
            header, start = offset, offset + 4
            offset = start + 4 * words
            if end < offset:
                raise BadPacket("rtp-truncated", f"extension block ends {offset - end} bytes after the packet")
            if profile == ONE_BYTE_PROFILE:
                extensions = parse_one_byte(data, start, offset)
                parsed_block = (extensions, data[header:offset])
            elif (elements := parse_elements(profile, data[start:offset])) is not None:
                extensions = elements
                parsed_block = (extensions, data[header:offset])
            else:
                opaque_extension = (profile, data[start:offset])
        padding_size = _parse_padding_size(data, offset) if first & _PADDING else 0
        return cls(
            second & 0x7F,
            second >= _MARKER,
            sequence_number,
            timestamp,
            ssrc,
            csrcs,
            extensions,
            data[offset : end - padding_size],
            padding_size,
            opaque_extension,
            parsed_block,
        )

    def serialize(self) -> bytes:
        """Return the packet's bytes. Raises `ValueError` when a field does not fit the format."""
        first = _VERSION_BITS
        if not 0 <= self.payload_type <= 127:
            raise ValueError(f"payload type {self.payload_type}")
        behind = self.payload
        if self.padding_size:
            if not 0 < self.padding_size <= 255:
                raise ValueError(f"{self.padding_size} bytes of padding")
            first |= _PADDING
            behind += bytes(self.padding_size - 1) + bytes((self.padding_size,))
        if self.opaque_extension is not None:
            first |= _EXTENSION
            behind = self._opaque_block(*self.opaque_extension) + behind
        elif self.extensions:
            first |= _EXTENSION
            parsed = self._parsed_block
            if parsed is not None and parsed[0] is self.extensions:
                behind = parsed[1] + behind
            else:
                behind = serialize_elements(self.extensions) + behind
        try:
            if self.csrcs:
                if len(self.csrcs) > 15:
                    raise ValueError(f"{len(self.csrcs)} CSRCs")
                first |= len(self.csrcs)
                behind = struct.pack(f">{len(self.csrcs)}I", *self.csrcs) + behind
            second = self.payload_type | (_MARKER if self.marker else 0)
            return _FIXED_HEADER.pack(first, second, self.sequence_number, self.timestamp, self.ssrc) + behind
        except struct.error as error:
            raise ValueError(f"RTP header field out of range: {error}") from None

    def _opaque_block(self, profile: int, data: bytes) -> bytes:
        if self.extensions:
            raise ValueError("a packet has one header extension block, not two")
        if is_element_profile(profile):
            raise ValueError(f"profile {profile:#06x} holds elements; put them into `extensions`")
        if len(data) % 4 or len(data) > MAX_BLOCK_DATA:
            raise ValueError(f"{len(data)} bytes of opaque header extension")
        return BLOCK_HEADER.pack(profile, len(data) // 4) + data

    def extension(self, identifier: int) -> bytes | None:
        """Return the data of the first header extension element with this id; `None` when there is none."""
        for element, data in self.extensions:
            if element == identifier:
                return data
        return None


def _parse_csrcs(data: bytes, count: int) -> tuple[int, ...]:
    if len(data) < _FIXED_HEADER.size + 4 * count:
        raise BadPacket("rtp-truncated", f"{count} CSRCs announced in {len(data)} bytes")
    return struct.unpack_from(f">{count}I", data, _FIXED_HEADER.size)


def _parse_padding_size(data: bytes, payload_start: int) -> int:
    # RFC 3550 section 5.1: the last octet counts the padding octets including itself, so it is never 0.
    size = data[-1]
    if not size or len(data) - size < payload_start:
        raise BadPacket("rtp-padding", f"{size} bytes of padding")
    return size
