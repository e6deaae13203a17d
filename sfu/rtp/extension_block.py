r"""The RTP header extension block: how elements of (id, bytes) are packed (RFC 8285).

::

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |        profile: 0xBEDE        |  length in 32-bit words: 1    |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |  id=3 | len-1 |     data      |   0 (pad)     |   0 (pad)     |   one-byte header
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |  profile: 0x100 | app bits    |  length in 32-bit words: 1    |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |     id=3      |    len=1      |     data      |   0 (pad)     |   two-byte header
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

The meaning of an id is negotiated in SDP (``a=extmap``). `sfu.rtp.extensions` has the meaning of the data.
"""

from collections.abc import Sequence
from struct import Struct
from typing import Final

from sfu.errors import BadPacket

Elements = tuple[tuple[int, bytes], ...]
"""Extension elements in wire order: (id, data)."""

ONE_BYTE_PROFILE: Final = 0xBEDE
TWO_BYTE_PROFILE: Final = 0x1000
APPLICATION_BITS: Final = 0x000F
"""The low bits of a two-byte profile. Nothing in WebRTC defines them: ignored on receipt, zero when sent."""

BLOCK_HEADER: Final = Struct(">HH")
"""Profile, and the length of what follows in 32-bit words."""

MAX_BLOCK_DATA: Final = 4 * 0xFFFF

# Constants rather than new objects: this may run for each packet of each receiver.
_BYTES: Final = tuple(bytes((value,)) for value in range(256))
_PADDING: Final = (b"", bytes(3), bytes(2), bytes(1))
"""By the length modulo 4."""


def is_element_profile(profile: int) -> bool:
    """Return whether a block of this profile has elements of RFC 8285, in either form."""
    return profile == ONE_BYTE_PROFILE or profile & ~APPLICATION_BITS == TWO_BYTE_PROFILE


def parse_elements(profile: int, data: bytes) -> Elements | None:
    """Return the elements inside one extension block; `data` is what follows the block's four-byte header.

    Returns `None` when `profile` is neither of RFC 8285's two forms. Raises `BadPacket` when an element
    reaches past the end of the block.
    """
    if profile == ONE_BYTE_PROFILE:
        return parse_one_byte(data, 0, len(data))
    if profile & ~APPLICATION_BITS == TWO_BYTE_PROFILE:
        return _parse_two_byte(data)
    return None


def serialize_elements(elements: Sequence[tuple[int, bytes]]) -> bytes:
    """Return a whole extension block, header included, in the one-byte form if the elements fit it.

    Raises `ValueError` for an id outside 1 … 255, for data longer than 255 bytes, and for a block longer than
    its length field can say.
    """
    parts = []
    for identifier, data in elements:
        size = len(data)
        if not (0 < identifier < 15 and 0 < size <= 16):
            return _with_header(TWO_BYTE_PROFILE, _two_byte_block(elements))
        parts.append(_BYTES[identifier << 4 | size - 1])
        parts.append(data)
    return _with_header(ONE_BYTE_PROFILE, b"".join(parts))


def _with_header(profile: int, block: bytes) -> bytes:
    words = len(block) + 3 >> 2
    if words > 0xFFFF:
        raise ValueError(f"{4 * words} bytes of header extensions")
    return BLOCK_HEADER.pack(profile, words) + block + _PADDING[len(block) & 3]


def _two_byte_block(elements: Sequence[tuple[int, bytes]]) -> bytes:
    block = bytearray()
    for identifier, data in elements:
        if not 0 < identifier <= 255 or len(data) > 255:
            raise ValueError(f"extension {identifier} of {len(data)} bytes fits no form of RFC 8285")
        block.append(identifier)
        block.append(len(data))
        block += data
    return bytes(block)


def parse_one_byte(data: bytes, offset: int, end: int) -> Elements:
    """Return the elements of a block in the one-byte form, whose data is from `offset` to `end` in a packet.

    Raises `BadPacket` as `parse_elements` does.
    """
    elements = []
    while offset < end:
        head = data[offset]
        if 0x10 <= head < 0xF0:
            start = offset + 1
            offset = start + (head & 0x0F) + 1
            if offset > end:
                raise BadPacket(
                    "rtp-extension", f"element {head >> 4} ends {offset - end} bytes after its block"
                )
            elements.append((head >> 4, data[start:offset]))
        elif head == 0:
            offset += 1  # padding, which may also be between elements
        else:
            # RFC 8285 section 4.2: id 15 is reserved and ends processing. So does id 0 with a length, whose end
            # is undefined. The elements before it are kept.
            break
    return tuple(elements)


def _parse_two_byte(data: bytes) -> Elements:
    elements = []
    offset = 0
    end = len(data)
    while offset < end:
        identifier = data[offset]
        offset += 1
        if identifier == 0:
            continue  # padding has no length byte (RFC 8285 section 4.3)
        if offset == end:
            raise BadPacket("rtp-extension", f"element {identifier} has no length")
        stop = offset + 1 + data[offset]
        if stop > end:
            raise BadPacket("rtp-extension", f"element {identifier} ends {stop - end} bytes after its block")
        elements.append((identifier, data[offset + 1 : stop]))
        offset = stop
    return tuple(elements)
