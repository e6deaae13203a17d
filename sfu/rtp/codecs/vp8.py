r"""VP8 in RTP: the payload descriptor before every piece of a frame (RFC 7741 section 4.2).

::

      0 1 2 3 4 5 6 7
     +-+-+-+-+-+-+-+-+
     |X|R|N|S|R| PID |   always
     +-+-+-+-+-+-+-+-+
X:   |I|L|T|K| RSV   |
     +-+-+-+-+-+-+-+-+
I:   |M| PictureID   |   7 bits, with M another byte: 15 bits
     +-+-+-+-+-+-+-+-+
     |   PictureID   |
     +-+-+-+-+-+-+-+-+
L:   |   TL0PICIDX   |
     +-+-+-+-+-+-+-+-+
T/K: |TID|Y| KEYIDX  |
     +-+-+-+-+-+-+-+-+

At the start of a frame (S set, PID 0) the VP8 payload header follows (section 4.3)::

     |Size0|H| VER |P|   P clear: key frame, which goes on with (RFC 6386 section 9.1)
     |     Size1     |
     |     Size2     |
     | 0x9D 0x01 0x2A|   start code
     | width, height |   14 bits each, little endian, under 2 bits of scaling
"""

from dataclasses import dataclass
from typing import Final, Self

from sfu.errors import BadPacket

_START_CODE: Final = b"\x9d\x01\x2a"


@dataclass(frozen=True, slots=True)
class Vp8Descriptor:
    """One packet's payload descriptor, with the places of what a forwarder has to rewrite."""

    non_reference: bool
    """The frame may be dropped without harm to any other."""
    start: bool
    """The packet starts a partition; with `partition` 0, the frame."""
    partition: int
    """0 … 7."""
    picture_id: int | None
    """One more with each frame, modulo 2**`picture_id_bits`."""
    picture_id_bits: int
    """7 or 15; 0 without a picture id."""
    picture_id_offset: int
    """Where in the payload the picture id starts; 0 without one."""
    tl0_picture_index: int | None
    """8-bit running number of the temporal base layer frames, modulo 256."""
    tl0_picture_index_offset: int
    """Where in the payload it stands; 0 without one."""
    temporal_id: int | None
    """Temporal layer, 0 … 3; 0 is the base."""
    layer_sync: bool
    """The frame depends on the base layer only: a receiver may start with this layer here."""
    key_index: int | None
    """0 … 31, the key frame that temporal layers hang on."""
    size: int
    """Length of the descriptor: the VP8 bitstream starts here."""

    @property
    def starts_frame(self) -> bool:
        """Whether this is the first packet of a frame."""
        return self.start and self.partition == 0

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """From an RTP payload. Raises `BadPacket` when the descriptor is cut off or nothing follows it."""
        try:
            return cls._parse(payload)
        except IndexError:
            raise BadPacket("vp8-truncated", f"a descriptor in {len(payload)} bytes") from None

    @classmethod
    def _parse(cls, payload: bytes) -> Self:
        first = payload[0]
        flags = payload[1] if first & 0x80 else 0
        offset = 2 if first & 0x80 else 1
        picture_id = tl0_picture_index = temporal_id = key_index = None
        picture_id_bits = picture_id_offset = tl0_offset = 0
        layer_sync = False
        if flags & 0x80:
            picture_id_offset = offset
            picture_id = payload[offset] & 0x7F
            picture_id_bits = 7
            if payload[offset] & 0x80:
                offset += 1
                picture_id = picture_id << 8 | payload[offset]
                picture_id_bits = 15
            offset += 1
        if flags & 0x40:
            tl0_offset = offset
            tl0_picture_index = payload[offset]
            offset += 1
        if flags & 0x30:
            layers = payload[offset]
            offset += 1
            if flags & 0x20:
                temporal_id = layers >> 6
                # RFC 7741: Y is to be ignored when T is not set
                layer_sync = bool(layers & 0x20)
            if flags & 0x10:
                key_index = layers & 0x1F
        if offset >= len(payload):
            raise IndexError
        return cls(
            bool(first & 0x20),
            bool(first & 0x10),
            first & 0x07,
            picture_id,
            picture_id_bits,
            picture_id_offset,
            tl0_picture_index,
            tl0_offset,
            temporal_id,
            layer_sync,
            key_index,
            offset,
        )

    def rewrite(self, payload: bytes, *, picture_id: int, tl0_picture_index: int) -> bytes:
        """`payload` with other numbers where this descriptor, parsed from it, has them; the same length.

        Numbers are taken modulo their width. `picture_id` is written in as many bits as the original had.
        """
        rewritten = bytearray(payload)
        at = self.picture_id_offset
        if self.picture_id_bits == 15:
            rewritten[at] = 0x80 | picture_id >> 8 & 0x7F
            rewritten[at + 1] = picture_id & 0xFF
        elif self.picture_id_bits == 7:
            rewritten[at] = picture_id & 0x7F
        if self.tl0_picture_index is not None:
            rewritten[self.tl0_picture_index_offset] = tl0_picture_index & 0xFF
        return bytes(rewritten)


def is_key_frame(payload: bytes) -> bool:
    """Whether this is the first packet of a key frame; `False` for a payload that is not VP8."""
    if not payload or payload[0] & 0x17 != 0x10:  # S set, PID 0
        return False
    try:
        return not payload[Vp8Descriptor.parse(payload).size] & 0x01
    except BadPacket:
        return False


def key_frame_size(payload: bytes) -> tuple[int, int] | None:
    """(width, height) in pixels from the first packet of a key frame; `None` for any other packet."""
    if not is_key_frame(payload):
        return None
    start = Vp8Descriptor.parse(payload).size
    if payload[start + 3 : start + 6] != _START_CODE or len(payload) < start + 10:
        return None
    width = int.from_bytes(payload[start + 6 : start + 8], "little")
    height = int.from_bytes(payload[start + 8 : start + 10], "little")
    return width & 0x3FFF, height & 0x3FFF
