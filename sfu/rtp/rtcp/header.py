r"""The header that all RTCP packets share (RFC 3550 section 6.4.1).

::

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |V=2|P|  count  |  packet type  |  length in 32-bit words - 1   |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |  body ...                     |  P: padding, its last byte    |
    |                               |     says how long it is       |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

`count` counts reports, chunks or sources; feedback messages (RFC 4585) keep their format there, APP its
subtype.
"""

from struct import Struct
from typing import Final, NamedTuple

from sfu.errors import BadPacket

HEADER: Final = Struct(">BBH")
MAX_COUNT: Final = 31

_VERSION_BITS: Final = 2 << 6
_PADDING: Final = 0x20
_MAX_WORDS: Final = 0xFFFF

TRANSPORT_FEEDBACK: Final = 205
"""RTPFB, the packet type of feedback on packets and transport (RFC 4585 section 6.2)."""
PAYLOAD_FEEDBACK: Final = 206
"""PSFB, the packet type of feedback on what packets carry (RFC 4585 section 6.3)."""


class RawPacket(NamedTuple):
    """One RTCP packet before its type is parsed."""

    packet_type: int
    five_bits: int
    """The five bits after the padding bit: a count, a feedback format or a subtype."""
    body: bytes
    """What follows the header, without padding; of any length, see `split`."""


def split(data: bytes) -> list[RawPacket]:
    """Return the packets of a compound packet, in order.

    Raises `BadPacket` unless every packet has version 2, a length within `data` and sound padding, and the
    packets fill `data` to its last byte.

    Two rules of RFC 3550 section 6.4.1 about padding are not checked: that its length is a multiple of four,
    and that only the last packet of a compound has it. Browsers break the first (their transport-wide feedback
    is padded by one to three bytes), and the length of the padding is clear without them.
    """
    packets = []
    offset = 0
    end = len(data)
    if not end:
        raise BadPacket("rtcp-truncated", "no bytes")
    while offset < end:
        if end - offset < 4:
            raise BadPacket("rtcp-truncated", f"{end - offset} bytes where a header should be")
        first, packet_type, words = HEADER.unpack_from(data, offset)
        if first & 0xC0 != _VERSION_BITS:
            raise BadPacket("rtcp-version", f"version {first >> 6}")
        start = offset + 4
        offset = start + 4 * words
        if offset > end:
            raise BadPacket("rtcp-truncated", f"packet type {packet_type} ends {offset - end} bytes too late")
        stop = offset
        if first & _PADDING:
            # The last octet counts the padding octets including itself, so it is never 0.
            padding = data[offset - 1]
            stop -= padding
            if not padding or stop < start:
                raise BadPacket("rtcp-padding", f"{padding} bytes of padding")
        packets.append(RawPacket(packet_type, first & MAX_COUNT, data[start:stop]))
    return packets


def join(packet_type: int, five_bits: int, body: bytes) -> bytes:
    """Return one packet, padded to a 32-bit boundary. Raises `ValueError` when a part does not fit the header.

    libwebrtc sends and accepts padding of one to three bytes. Only bodies whose format has no fixed length need
    it.
    """
    if not 0 <= five_bits <= MAX_COUNT:
        raise ValueError(f"an RTCP packet counts to {MAX_COUNT}, not {five_bits}")
    first = _VERSION_BITS | five_bits
    padding = -len(body) % 4
    if padding:
        first |= _PADDING
        body += bytes(padding - 1) + bytes((padding,))
    words = len(body) // 4
    if words > _MAX_WORDS:
        raise ValueError(f"an RTCP body of {len(body)} bytes")
    return HEADER.pack(first, packet_type, words) + body
