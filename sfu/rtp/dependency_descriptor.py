r"""The dependency descriptor header extension: what a packet's frame depends on, for any codec.

RTP Payload Format For AV1 (AOMedia, version 1.0) appendix A. A bit field (`f(n)` are n bits)::

    f(1)  start of frame, f(1) end of frame, f(6) template id, f(16) frame number
    if the extension is longer than these three bytes:
      f(1) structure present, f(1) active decode targets present,
      f(1) custom indications, f(1) custom frame differences, f(1) custom chain differences
      the structure, see `sfu.rtp.dependency_structure`
      f(number of decode targets) active decode targets
    f(2) each        custom indications
    f(2) size, f(4 * size) difference - 1, … until size is 0:   custom frame differences
    f(8) each        custom chain differences
    zeros to the byte boundary

A forwarder reads layers and switch points from it without knowing the codec, also where the payload is
encrypted end to end; libwebrtc then leaves them out of the VP8 payload descriptor.
"""

from dataclasses import dataclass
from typing import Final, Self

from sfu.errors import BadPacket
from sfu.rtp.bits import BitReader, BitWriter
from sfu.rtp.dependency_structure import (
    REASON,
    DependencyStructure,
    FrameDependencies,
    read_indications,
    write_indications,
)

_MANDATORY_SIZE: Final = 3


@dataclass(frozen=True, slots=True)
class DependencyDescriptor:
    """One packet's descriptor."""

    start_of_frame: bool
    """The payload begins a frame; a frame is one spatial layer of a picture."""
    end_of_frame: bool
    template_id: int
    """0 … 63."""
    frame_number: int
    """0 … 65535, one more with each frame in decoding order; wraps."""
    structure: DependencyStructure | None
    """The structure that this and the following frames refer to; in the first packet of a sequence only."""
    active_decode_targets: int | None
    """Bit i is set when decode target i is being sent; `None` when this descriptor does not say."""
    frame: FrameDependencies | None
    """What the frame depends on; `None` when the structure of its template is not known."""

    @classmethod
    def parse(cls, data: bytes, structure: DependencyStructure | None = None) -> Self:
        """Parse the extension's data; `structure` is the newest that came before on this stream.

        Raises `BadPacket` for data that is cut off or has an impossible structure. A template that the
        structure does not have is no error: it belongs to a structure that was lost.
        """
        if len(data) < _MANDATORY_SIZE:
            raise BadPacket(REASON, f"{len(data)} bytes")
        start, end, template_id = data[0] >= 0x80, bool(data[0] & 0x40), data[0] & 0x3F
        frame_number = data[1] << 8 | data[2]
        if len(data) == _MANDATORY_SIZE:
            template = structure.template(template_id) if structure is not None else None
            return cls(start, end, template_id, frame_number, None, None, template)
        bits = BitReader(data[_MANDATORY_SIZE:], REASON)
        has_structure, has_active = bits.flag(), bits.flag()
        custom = (bits.flag(), bits.flag(), bits.flag())
        attached = active = None
        if has_structure:
            attached = structure = DependencyStructure.read(bits)
        if structure is None:
            return cls(start, end, template_id, frame_number, None, None, None)
        if has_active:
            active = bits.read(structure.decode_target_count)
        frame = structure.template(template_id)
        if frame is not None:
            frame = _read_overrides(bits, custom, frame, structure)
        return cls(start, end, template_id, frame_number, attached, active, frame)

    def serialize(self, structure: DependencyStructure | None = None) -> bytes:
        """Return the extension's data; `structure` is the one to refer to if this descriptor has none.

        Raises `ValueError` when a field does not fit, the structure has no such template, or `frame` is not
        known. A frame can differ from its template only where the format allows it.
        """
        structure = self.structure or structure
        template = structure.template(self.template_id) if structure else None
        if structure is None or template is None or self.frame is None:
            raise ValueError(f"no template {self.template_id} to describe a frame by")
        if self.frame[:2] != template[:2]:
            raise ValueError(f"a frame of layer {self.frame[:2]} by a template of {template[:2]}")
        bits = BitWriter()
        bits.write(self.start_of_frame, 1)
        bits.write(self.end_of_frame, 1)
        bits.write(self.template_id, 6)
        bits.write(self.frame_number, 16)
        if self.structure is None and self.active_decode_targets is None and self.frame == template:
            return bits.to_bytes()
        bits.write(self.structure is not None, 1)
        bits.write(self.active_decode_targets is not None, 1)
        bits.write(self.frame.indications != template.indications, 1)
        bits.write(self.frame.frame_diffs != template.frame_diffs, 1)
        bits.write(self.frame.chain_diffs != template.chain_diffs, 1)
        if self.structure is not None:
            self.structure.write(bits)
        if self.active_decode_targets is not None:
            bits.write(self.active_decode_targets, structure.decode_target_count)
        if self.frame.indications != template.indications:
            write_indications(bits, self.frame.indications, structure.decode_target_count)
        if self.frame.frame_diffs != template.frame_diffs:
            _write_frame_diffs(bits, self.frame.frame_diffs)
        if self.frame.chain_diffs != template.chain_diffs:
            if len(self.frame.chain_diffs) != structure.chain_count:
                raise ValueError(
                    f"{len(self.frame.chain_diffs)} differences for {structure.chain_count} chains"
                )
            for diff in self.frame.chain_diffs:
                bits.write(diff, 8)
        return bits.to_bytes()


class DependencyReader:
    """Reads the descriptors of one stream in order of arrival, and remembers what they refer to."""

    __slots__ = ("active_decode_targets", "structure")

    structure: DependencyStructure | None
    """The newest structure; `None` before the first."""
    active_decode_targets: int
    """The decode targets being sent, as a bit mask; all of them unless the sender said otherwise."""

    def __init__(self) -> None:
        self.structure = None
        self.active_decode_targets = 0

    def read(self, data: bytes) -> DependencyDescriptor:
        """Parse the next packet's extension. If it raises `BadPacket`, nothing of it is remembered."""
        descriptor = DependencyDescriptor.parse(data, self.structure)
        if descriptor.structure is not None:
            self.structure = descriptor.structure
            self.active_decode_targets = (1 << descriptor.structure.decode_target_count) - 1
        if descriptor.active_decode_targets is not None:
            self.active_decode_targets = descriptor.active_decode_targets
        return descriptor


def _read_overrides(
    bits: BitReader, custom: tuple[bool, bool, bool], frame: FrameDependencies, structure: DependencyStructure
) -> FrameDependencies:
    """What the frame says instead of its template."""
    custom_indications, custom_frame_diffs, custom_chain_diffs = custom
    if custom_indications:
        frame = frame._replace(indications=read_indications(bits, structure.decode_target_count))
    if custom_frame_diffs:
        frame = frame._replace(frame_diffs=_read_frame_diffs(bits))
    if custom_chain_diffs:
        frame = frame._replace(chain_diffs=tuple(bits.read(8) for _ in range(structure.chain_count)))
    return frame


def _read_frame_diffs(bits: BitReader) -> tuple[int, ...]:
    diffs = []
    while size := bits.read(2):
        diffs.append(bits.read(4 * size) + 1)
    return tuple(diffs)


def _write_frame_diffs(bits: BitWriter, diffs: tuple[int, ...]) -> None:
    for diff in diffs:
        size = max(1, ((diff - 1).bit_length() + 3) // 4)
        bits.write(size, 2)
        bits.write(diff - 1, 4 * size)
    bits.write(0, 2)
