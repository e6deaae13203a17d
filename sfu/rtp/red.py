r"""RED: earlier audio frames, sent again together with the current one (RFC 2198).

A header of four bytes for each redundant block, one byte for the primary, then the data of all blocks::

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |1|  block PT   |     timestamp offset      |   block length    |   any number
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |0|  block PT   |                                                   the primary, whose
    +-+-+-+-+-+-+-+-+                                                   data fill the rest
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from sfu.errors import BadPacket

_FOLLOWED: Final = 0x80
_MAX_OFFSET: Final = 0x3FFF
_MAX_LENGTH: Final = 0x3FF


class RedBlock(NamedTuple):
    """One frame inside a RED payload."""

    payload_type: int
    """0 … 127; the codec of this block."""
    timestamp_offset: int
    """RTP clock ticks by which the frame is older than the packet's timestamp, 0 … 16383; 0 for the primary."""
    data: bytes
    """At most 1023 bytes in a redundant block. Browsers leave a block empty when its frame is unknown."""


def parse_red(payload: bytes) -> tuple[RedBlock, ...]:
    """Return the blocks of a payload, the primary last. Raises `BadPacket` when headers or data are cut off.

    >>> for block in parse_red(bytes.fromhex("ef0f0003 6f") + b"oldnew"):
    ...     print(block)
    RedBlock(payload_type=111, timestamp_offset=960, data=b'old')
    RedBlock(payload_type=111, timestamp_offset=0, data=b'new')
    """
    headers = []
    offset = 0
    while offset < len(payload) and payload[offset] & _FOLLOWED:
        header = int.from_bytes(payload[offset : offset + 4])
        offset += 4
        headers.append((header >> 24 & 0x7F, header >> 10 & _MAX_OFFSET, header & _MAX_LENGTH))
    if offset >= len(payload):
        raise BadPacket("red-truncated", f"no primary block in {len(payload)} bytes")
    primary = payload[offset] & 0x7F
    offset += 1
    blocks = []
    for payload_type, timestamp_offset, length in headers:
        blocks.append(RedBlock(payload_type, timestamp_offset, payload[offset : offset + length]))
        offset += length
    if offset > len(payload):
        raise BadPacket("red-truncated", f"blocks end {offset - len(payload)} bytes after the payload")
    blocks.append(RedBlock(primary, 0, payload[offset:]))
    return tuple(blocks)


def serialize_red(blocks: Sequence[RedBlock]) -> bytes:
    """Return a payload of these blocks; the last is the primary. Raises `ValueError` for bad fields."""
    if not blocks or blocks[-1].timestamp_offset:
        raise ValueError("RED needs a primary block, which has no timestamp offset")
    headers = bytearray()
    for payload_type, timestamp_offset, data in blocks[:-1]:
        if not 0 <= timestamp_offset <= _MAX_OFFSET or len(data) > _MAX_LENGTH:
            raise ValueError(f"a redundant block of {len(data)} bytes, {timestamp_offset} ticks old")
        headers.append(_FOLLOWED | _payload_type(payload_type))
        headers += (timestamp_offset << 10 | len(data)).to_bytes(3)
    headers.append(_payload_type(blocks[-1].payload_type))
    return bytes(headers) + b"".join(block.data for block in blocks)


def _payload_type(payload_type: int) -> int:
    if not 0 <= payload_type <= 127:
        raise ValueError(f"payload type {payload_type}")
    return payload_type
