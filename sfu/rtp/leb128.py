"""LEB128: unsigned integers in as many bytes as they need (AV1 specification section 4.10.5).

Seven bits per byte, the lowest first; the top bit says that another byte follows. AV1 allows eight bytes.
"""

from typing import Final

from sfu.errors import BadPacket

MAX_BYTES: Final = 8


def read_leb128(data: bytes, offset: int) -> tuple[int, int]:
    """Return (value, offset of its end). Raises `BadPacket` if it does not end within `data` and the limit."""
    value = 0
    for position in range(MAX_BYTES):
        if offset == len(data):
            break
        byte = data[offset]
        offset += 1
        value |= (byte & 0x7F) << 7 * position
        if byte < 0x80:
            return value, offset
    raise BadPacket("leb128", "a number without an end")


def write_leb128(value: int) -> bytes:
    """Return the shortest form of `value`. Raises `ValueError` if it is negative or takes over eight bytes."""
    if not 0 <= value < 1 << 7 * MAX_BYTES:
        raise ValueError(f"{value} as LEB128")
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
