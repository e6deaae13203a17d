r"""VP9 in RTP: the payload descriptor before every piece of a frame (RFC 9628 section 4.2).

::

      0 1 2 3 4 5 6 7
     +-+-+-+-+-+-+-+-+
     |I|P|L|F|B|E|V|Z|   always
     +-+-+-+-+-+-+-+-+
I:   |M| PICTURE ID  |   7 bits, with M another byte: 15 bits
     +-+-+-+-+-+-+-+-+
     |   PICTURE ID  |
     +-+-+-+-+-+-+-+-+
L:   | TID |U| SID |D|
     +-+-+-+-+-+-+-+-+
     |   TL0PICIDX   |   with L, in non-flexible mode (F clear)
     +-+-+-+-+-+-+-+-+
P,F: | P_DIFF      |N|   up to three times, while N is set
     +-+-+-+-+-+-+-+-+
V:   | N_S |Y|G|-|-|-|   scalability structure
     +-+-+-+-+-+-+-+-+
Y:   | WIDTH, HEIGHT |   16 bits each, for each of N_S + 1 spatial layers
     +-+-+-+-+-+-+-+-+
G:   |      N_G      |   pictures in a picture group, then for each of them:
     +-+-+-+-+-+-+-+-+
     | TID |U| R |-|-|
     +-+-+-+-+-+-+-+-+
     |    P_DIFF     |   R times
     +-+-+-+-+-+-+-+-+

A *frame* here is one spatial layer; the frames of one instant (one RTP timestamp) make a *picture*.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from sfu.errors import BadPacket

_MAX_REFERENCES: Final = 3


class PictureGroupEntry(NamedTuple):
    """How one picture of the repeating group depends on earlier ones."""

    temporal_id: int
    switching_up_point: bool
    references: tuple[int, ...]
    """How many pictures back each reference is."""


@dataclass(frozen=True, slots=True)
class ScalabilityStructure:
    """What layers the stream has; sent with key frames."""

    spatial_layers: int
    """1 … 8."""
    sizes: tuple[tuple[int, int], ...]
    """(width, height) in pixels of each spatial layer, the smallest first; empty when not said."""
    picture_group: tuple[PictureGroupEntry, ...]
    """Empty when not said."""


@dataclass(frozen=True, slots=True)
class Vp9Descriptor:
    """One packet's payload descriptor."""

    inter_picture_predicted: bool
    """P: the frame needs an earlier picture."""
    flexible: bool
    """F: references are written in each frame rather than implied by the picture group."""
    starts_frame: bool
    """B: first packet of a frame, that is of one spatial layer."""
    ends_frame: bool
    """E: last packet of a frame."""
    not_reference_for_upper_layers: bool
    """Z: no frame of a higher spatial layer needs this one within its picture."""
    picture_id: int | None
    """One more with each picture, modulo 2**`picture_id_bits`."""
    picture_id_bits: int
    """7 or 15; 0 without a picture id."""
    temporal_id: int | None
    """Temporal layer, 0 … 7; `None` without layer indices."""
    spatial_id: int | None
    """Spatial layer, 0 … 7; `None` without layer indices."""
    switching_up_point: bool
    """U: from here a receiver may go up to this temporal layer."""
    inter_layer_predicted: bool
    """D: the frame needs the next lower spatial layer of the same picture."""
    tl0_picture_index: int | None
    """8-bit running number of temporal base layer pictures; non-flexible mode only."""
    references: tuple[int, ...]
    """Flexible mode: how many pictures back each reference is, at most three."""
    scalability: ScalabilityStructure | None
    """V: the structure of the stream from here on."""
    size: int
    """Length of the descriptor: the VP9 bitstream starts here."""

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """From an RTP payload.

        Raises `BadPacket` when the descriptor is cut off, nothing follows it, or it has a fourth reference.
        """
        try:
            return cls._parse(payload)
        except IndexError:
            raise BadPacket("vp9-truncated", f"a descriptor in {len(payload)} bytes") from None

    @classmethod
    def _parse(cls, payload: bytes) -> Self:
        first = payload[0]
        offset = 1
        picture_id = temporal_id = spatial_id = tl0_picture_index = None
        picture_id_bits = 0
        switching_up_point = inter_layer_predicted = False
        if first & 0x80:
            picture_id = payload[offset] & 0x7F
            picture_id_bits = 7
            if payload[offset] & 0x80:
                offset += 1
                picture_id = picture_id << 8 | payload[offset]
                picture_id_bits = 15
            offset += 1
        if first & 0x20:
            layers = payload[offset]
            offset += 1
            temporal_id = layers >> 5
            switching_up_point = bool(layers & 0x10)
            spatial_id = layers >> 1 & 0x07
            inter_layer_predicted = bool(layers & 0x01)
            if not first & 0x10:
                tl0_picture_index = payload[offset]
                offset += 1
        references: list[int] = []
        if first & 0x50 == 0x50:
            more = 1
            while more:
                if len(references) == _MAX_REFERENCES:
                    raise BadPacket("vp9-references", "more than three reference indices")
                references.append(payload[offset] >> 1)
                more = payload[offset] & 0x01
                offset += 1
        scalability = None
        if first & 0x02:
            scalability, offset = _parse_scalability(payload, offset)
        if offset >= len(payload):
            raise IndexError
        return cls(
            bool(first & 0x40),
            bool(first & 0x10),
            bool(first & 0x08),
            bool(first & 0x04),
            bool(first & 0x01),
            picture_id,
            picture_id_bits,
            temporal_id,
            spatial_id,
            switching_up_point,
            inter_layer_predicted,
            tl0_picture_index,
            tuple(references),
            scalability,
            offset,
        )


def is_key_frame(payload: bytes) -> bool:
    """Whether this is the first packet of a key picture, that is of its lowest spatial layer.

    Higher spatial layers of the same picture depend on it or may be left out; a receiver cannot start there.
    `False` for a payload that is not VP9.
    """
    if not payload or payload[0] & 0x48 != 0x08:  # P clear, B set
        return False
    try:
        descriptor = Vp9Descriptor.parse(payload)
    except BadPacket:
        return False
    return not descriptor.spatial_id


def _parse_scalability(payload: bytes, offset: int) -> tuple[ScalabilityStructure, int]:
    """(structure, where it ends). `IndexError` when it is cut off."""
    head = payload[offset]
    offset += 1
    spatial_layers = (head >> 5) + 1
    sizes = []
    if head & 0x10:
        for _ in range(spatial_layers):
            width = payload[offset] << 8 | payload[offset + 1]
            height = payload[offset + 2] << 8 | payload[offset + 3]
            sizes.append((width, height))
            offset += 4
    group = []
    if head & 0x08:
        count = payload[offset]
        offset += 1
        for _ in range(count):
            entry = payload[offset]
            start = offset + 1
            offset = start + (entry >> 2 & 0x03)
            if offset > len(payload):
                raise IndexError
            group.append(PictureGroupEntry(entry >> 5, bool(entry & 0x10), tuple(payload[start:offset])))
    return ScalabilityStructure(spatial_layers, tuple(sizes), tuple(group)), offset
