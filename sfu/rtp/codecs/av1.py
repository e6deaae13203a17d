r"""AV1 in RTP: the aggregation header and the OBUs behind it (RTP Payload Format For AV1, AOMedia, v1.0).

::

      0 1 2 3 4 5 6 7
     +-+-+-+-+-+-+-+-+
     |Z|Y| W |N|-|-|-|   Z: the first OBU element continues one of the previous packet
     +-+-+-+-+-+-+-+-+   Y: the last OBU element goes on in the next packet
                         W: number of OBU elements, or 0 for "each has a length"
                         N: first packet of a coded video sequence

OBU elements follow, each after its length in LEB128, with W > 0 except for the last. An OBU begins with::

     +-+-+-+-+-+-+-+-+
     |F| type  |X|S|-|   X: the extension byte follows, S: a length field follows
     +-+-+-+-+-+-+-+-+
X:   | TID |SID|-|-|-|   temporal and spatial layer
     +-+-+-+-+-+-+-+-+
"""

from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from sfu.errors import BadPacket
from sfu.rtp.leb128 import read_leb128

SEQUENCE_HEADER: Final = 1
"""Type of the OBU that says how to decode what follows."""

_CONTINUES: Final = 0x80
_CONTINUED: Final = 0x40
_NEW_SEQUENCE: Final = 0x08


class ObuHeader(NamedTuple):
    """How an OBU begins."""

    obu_type: int
    """0 … 15."""
    temporal_id: int | None
    """0 … 7; `None` without an extension byte."""
    spatial_id: int | None
    """0 … 3; `None` without an extension byte."""


@dataclass(frozen=True, slots=True)
class Av1Payload:
    """One RTP payload, split into OBU elements."""

    continues_previous: bool
    """Z: the first element is not the start of an OBU."""
    continued_in_next: bool
    """Y: the last element is not the end of an OBU."""
    starts_sequence: bool
    """N: the first packet of a coded video sequence, hence of a key frame with its sequence header."""
    elements: tuple[bytes, ...]

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """Split a payload. Raises `BadPacket` when elements are cut off or missing, or Z and N are both set."""
        if len(payload) < 2:
            raise BadPacket("av1-truncated", f"{len(payload)} bytes")
        head = payload[0]
        if head & _CONTINUES and head & _NEW_SEQUENCE:
            raise BadPacket("av1-header", "a new sequence that continues the previous packet")
        count = head >> 4 & 0x03
        elements: list[bytes] = []
        offset = 1
        while offset < len(payload) and (not count or len(elements) < count):
            if len(elements) + 1 == count:
                size = len(payload) - offset
            else:
                size, offset = read_leb128(payload, offset)
            if offset + size > len(payload):
                raise BadPacket("av1-truncated", f"an element of {size} bytes at {offset} of {len(payload)}")
            elements.append(payload[offset : offset + size])
            offset += size
        if len(elements) < count:
            raise BadPacket("av1-truncated", f"{len(elements)} of {count} elements")
        return cls(
            bool(head & _CONTINUES), bool(head & _CONTINUED), bool(head & _NEW_SEQUENCE), tuple(elements)
        )

    def starting_obus(self) -> tuple[ObuHeader, ...]:
        """Headers of the OBUs that start in this payload. `BadPacket` for an element too short for one."""
        return tuple(map(_parse_obu_header, self.elements[1 if self.continues_previous else 0 :]))


def is_key_frame(payload: bytes) -> bool:
    """Whether this is the first packet of a coded video sequence, which starts with a key frame.

    The format says that N "MUST be set to 1 if the packet is the first packet of a coded video sequence, and
    MUST be set to 0 otherwise", and that Z is clear then. `False` for an empty payload.
    """
    return len(payload) > 1 and payload[0] & (_CONTINUES | _NEW_SEQUENCE) == _NEW_SEQUENCE


def _parse_obu_header(element: bytes) -> ObuHeader:
    if not element:
        raise BadPacket("av1-obu", "an empty element")
    obu_type = element[0] >> 3 & 0x0F
    if not element[0] & 0x04:
        return ObuHeader(obu_type, None, None)
    if len(element) < 2:
        raise BadPacket("av1-obu", "the extension byte is cut off")
    return ObuHeader(obu_type, element[1] >> 5, element[1] >> 3 & 0x03)
