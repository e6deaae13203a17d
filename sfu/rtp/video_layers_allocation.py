r"""Video layers allocation: which layers a sender sends at present, and at which rates (version 00).

Defined with libwebrtc (docs/native-code/rtp-hdrext/video-layers-allocation00). Sent with key frames and on
changes, on every RTP stream of a simulcast::

     0 1 2 3 4 5 6 7
    +-+-+-+-+-+-+-+-+
    |RID| NS| sl_bm |   this stream's index, number of streams - 1, active spatial layers (a bit each)
    +-+-+-+-+-+-+-+-+   if the same in all streams, else 0 and then
    |sl0_bm |sl1_bm |   those of each stream, padded to a byte
    +-+-+-+-+-+-+-+-+
    |#tl|#tl|#tl|#tl|   temporal layers - 1 of each active spatial layer, padded to a byte
    +-+-+-+-+-+-+-+-+
    :               :   bitrate of each temporal layer in kbit/s, LEB128
    +-+-+-+-+-+-+-+-+
    | width - 1     |   optional: for each active spatial layer 16 bits each of width and height
    | height - 1    |   and 8 bits of frame rate
    | frame rate    |
    +-+-+-+-+-+-+-+-+

A single zero byte means that the sender sends nothing on this stream.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from sfu.errors import BadPacket
from sfu.rtp.leb128 import read_leb128, write_leb128

MAX_STREAMS: Final = 4
MAX_SPATIAL_LAYERS: Final = 4
MAX_TEMPORAL_LAYERS: Final = 4

_REASON: Final = "rtp-ext-layers-allocation"


class LayerResolution(NamedTuple):
    """The size and frame rate of one spatial layer."""

    width: int
    height: int
    """In pixels, 1 … 65536."""
    frame_rate: int
    """Maximum frames/s, 0 … 255."""


class AllocatedLayer(NamedTuple):
    """One active spatial layer."""

    stream_index: int
    """The RTP stream that carries it, 0 … 3: its place in the ``a=simulcast`` line."""
    spatial_id: int
    """0 … 3, within its stream."""
    bitrates: tuple[int, ...]
    """kbit/s for each temporal layer, together with all lower layers that it needs."""
    resolution: LayerResolution | None
    """`None` when not given; then it is not given for any layer."""


@dataclass(frozen=True, slots=True)
class VideoLayersAllocation:
    """What a sender sends on all RTP streams of one track."""

    stream_index: int
    """The stream that this was sent on, 0 … 3."""
    stream_count: int
    """How many streams the track has, 1 … 4."""
    layers: tuple[AllocatedLayer, ...]
    """The active layers in ascending order of stream index and spatial id."""

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Parse the extension's data. Raises `BadPacket` when its parts do not fit together."""
        if not data:
            raise BadPacket(_REASON, "no bytes")
        stream_index, stream_count = data[0] >> 6, (data[0] >> 4 & 3) + 1
        if data == b"\0":
            return cls(stream_index, stream_count, ())
        masks, offset = _read_masks(data, stream_count)
        places = [
            (stream, spatial)
            for stream, mask in enumerate(masks)
            for spatial in range(MAX_SPATIAL_LAYERS)
            if mask >> spatial & 1
        ]
        counts_end = offset + (len(places) + 3) // 4
        if counts_end > len(data):
            raise BadPacket(_REASON, f"{len(places)} layers in {len(data)} bytes")
        counts = [(data[offset + at // 4] >> 6 - 2 * (at % 4) & 3) + 1 for at in range(len(places))]
        offset = counts_end
        bitrates = []
        for count in counts:
            rates = []
            for _ in range(count):
                rate, offset = read_leb128(data, offset)
                rates.append(rate)
            bitrates.append(tuple(rates))
        resolutions = _read_resolutions(data[offset:], len(places))
        layers = [
            AllocatedLayer(*place, rates, resolution)
            for place, rates, resolution in zip(places, bitrates, resolutions, strict=True)
        ]
        return cls(stream_index, stream_count, tuple(layers))

    def encode(self) -> bytes:
        """Return the extension's data. Raises `ValueError` for fields out of range and layers out of order."""
        if not 1 <= self.stream_count <= MAX_STREAMS or not 0 <= self.stream_index < MAX_STREAMS:
            raise ValueError(f"stream {self.stream_index} of {self.stream_count}")
        head = self.stream_index << 6 | self.stream_count - 1 << 4
        if not self.layers and not head:
            return b"\0"
        masks = [0] * self.stream_count
        previous = (-1, 0)
        for layer in self.layers:
            place = (layer.stream_index, layer.spatial_id)
            if place <= previous or layer.stream_index >= self.stream_count:
                raise ValueError(f"layer {place} after {previous}")
            if not 0 <= layer.spatial_id < MAX_SPATIAL_LAYERS:
                raise ValueError(f"spatial layer {layer.spatial_id}")
            masks[layer.stream_index] |= 1 << layer.spatial_id
            previous = place
        return b"".join(
            (
                _write_masks(head, masks),
                _write_counts([len(layer.bitrates) for layer in self.layers]),
                *(write_leb128(rate) for layer in self.layers for rate in layer.bitrates),
                _write_resolutions([layer.resolution for layer in self.layers]),
            )
        )


def _read_masks(data: bytes, stream_count: int) -> tuple[list[int], int]:
    shared = data[0] & 0x0F
    if shared:
        return [shared] * stream_count, 1
    end = 1 + (stream_count + 1) // 2
    if end > len(data):
        raise BadPacket(_REASON, f"bit masks of {stream_count} streams in {len(data)} bytes")
    nibbles = [nibble for byte in data[1:end] for nibble in (byte >> 4, byte & 0x0F)]
    return nibbles[:stream_count], end


def _write_masks(head: int, masks: list[int]) -> bytes:
    if masks[0] and len(set(masks)) == 1:
        return bytes((head | masks[0],))
    nibbles = [*masks, 0]
    return bytes((head, *(nibbles[at] << 4 | nibbles[at + 1] for at in range(0, len(masks), 2))))


def _write_counts(counts: list[int]) -> bytes:
    packed = bytearray((len(counts) + 3) // 4)
    for at, count in enumerate(counts):
        if not 1 <= count <= MAX_TEMPORAL_LAYERS:
            raise ValueError(f"{count} temporal layers")
        packed[at // 4] |= count - 1 << 6 - 2 * (at % 4)
    return bytes(packed)


def _read_resolutions(data: bytes, count: int) -> list[LayerResolution | None]:
    if not data:
        return [None] * count
    if len(data) != 5 * count:
        raise BadPacket(_REASON, f"{len(data)} bytes of resolutions of {count} layers")
    return [
        LayerResolution(
            int.from_bytes(data[at : at + 2]) + 1, int.from_bytes(data[at + 2 : at + 4]) + 1, data[at + 4]
        )
        for at in range(0, len(data), 5)
    ]


def _write_resolutions(resolutions: list[LayerResolution | None]) -> bytes:
    given = [resolution for resolution in resolutions if resolution is not None]
    if given and len(given) != len(resolutions):
        raise ValueError("the resolution of some layers but not of all")
    encoded = bytearray()
    for width, height, frame_rate in given:
        if not (1 <= width <= 0x10000 and 1 <= height <= 0x10000 and 0 <= frame_rate <= 255):
            raise ValueError(f"resolution {width} x {height} at {frame_rate}")
        encoded += (width - 1).to_bytes(2) + (height - 1).to_bytes(2) + bytes((frame_rate,))
    return bytes(encoded)
