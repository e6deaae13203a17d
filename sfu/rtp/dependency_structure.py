"""The template dependency structure: how the frames of a scalable stream depend on each other.

RTP Payload Format For AV1 (AOMedia, version 1.0) appendix A; it serves VP8 and VP9 as well. A key frame's
dependency descriptor brings the structure, later descriptors refer to its templates.

* A *decode target* is a subset of the stream that a receiver can decode: a spatial and temporal layer and all
  layers that it needs. Targets are numbered; a frame has an indication for each.
* A *template* has what many frames have in common: layer ids, indications, which frames they refer to.
* A *chain* is a sequence of frames that must all arrive for the targets that it protects; each frame says how
  far back the previous one of each chain is, so a receiver knows at once whether it missed one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Final, NamedTuple, Self

from sfu.errors import BadPacket
from sfu.rtp.bits import BitReader, BitWriter

REASON: Final = "rtp-ext-dependency-descriptor"
"""The reason in every `BadPacket` for a malformed descriptor."""

MAX_TEMPLATES: Final = 64
MAX_SPATIAL_ID: Final = 3
MAX_TEMPORAL_ID: Final = 7

_SAME_LAYER: Final = 0
_NEXT_TEMPORAL: Final = 1
_NEXT_SPATIAL: Final = 2
_NO_MORE: Final = 3


class DecodeTargetIndication(IntEnum):
    """What a frame is to a decode target."""

    NOT_PRESENT = 0
    """The target does not contain it."""
    DISCARDABLE = 1
    """The target contains it, no other frame of the target needs it."""
    SWITCH = 2
    """A receiver that decoded what this frame refers to may switch to the target here."""
    REQUIRED = 3
    """The target contains it, and neither of the above is true."""


_INDICATIONS: Final = tuple(DecodeTargetIndication)


class FrameDependencies(NamedTuple):
    """Where a frame stands among the layers, and what it needs; also one template of a structure."""

    spatial_id: int
    """0 … 3."""
    temporal_id: int
    """0 … 7."""
    indications: tuple[DecodeTargetIndication, ...]
    """One for each decode target."""
    frame_diffs: tuple[int, ...]
    """How many frames back each frame is that this one refers to: 1 … 4096, in templates 1 … 16."""
    chain_diffs: tuple[int, ...]
    """How many frames back the previous frame of each chain is, 0 when none is needed; in templates 0 … 15."""


@dataclass(frozen=True, slots=True)
class DependencyStructure:
    """The templates of one coded video sequence."""

    template_id_offset: int
    """The id of the first template, 0 … 63; ids wrap after 63. A new structure takes other ids."""
    decode_target_count: int
    """1 … 32."""
    protected_by: tuple[int, ...]
    """The chain that protects each decode target; empty without chains."""
    chain_count: int
    """0 … `decode_target_count`."""
    templates: tuple[FrameDependencies, ...]
    """At most 64, in ascending order of layers."""
    resolutions: tuple[tuple[int, int], ...]
    """(width, height) in pixels of each spatial layer at most; empty when not said."""

    def template(self, template_id: int) -> FrameDependencies | None:
        """Return the template with this id; `None` if it belongs to another structure."""
        index = (template_id - self.template_id_offset) % MAX_TEMPLATES
        return self.templates[index] if index < len(self.templates) else None

    def decode_target_layers(self) -> tuple[tuple[int, int], ...]:
        """(spatial id, temporal id) of the highest layers that each decode target contains."""
        return tuple(
            (
                max((template.spatial_id for template in containing), default=0),
                max((template.temporal_id for template in containing), default=0),
            )
            for containing in (
                [template for template in self.templates if template.indications[target]]
                for target in range(self.decode_target_count)
            )
        )

    @classmethod
    def read(cls, bits: BitReader) -> Self:
        """Take a structure from `bits`. Raises `BadPacket` when it is cut off or has impossible layers."""
        template_id_offset = bits.read(6)
        targets = bits.read(5) + 1
        layers = _read_layers(bits)
        indications = [read_indications(bits, targets) for _ in layers]
        frame_diffs = [_read_template_diffs(bits) for _ in layers]
        chains = bits.read_below(targets + 1)
        protected_by = tuple(bits.read_below(chains) for _ in range(targets)) if chains else ()
        chain_diffs = [tuple(bits.read(4) for _ in range(chains)) for _ in layers]
        resolutions: tuple[tuple[int, int], ...] = ()
        if bits.flag():
            resolutions = tuple((bits.read(16) + 1, bits.read(16) + 1) for _ in range(layers[-1][0] + 1))
        templates = tuple(
            FrameDependencies(*layer, targeted, referring, chained)
            for layer, targeted, referring, chained in zip(
                layers, indications, frame_diffs, chain_diffs, strict=True
            )
        )
        return cls(template_id_offset, targets, protected_by, chains, templates, resolutions)

    def write(self, bits: BitWriter) -> None:
        """Put the structure behind `bits`. `ValueError` when it does not fit its format."""
        bits.write(self.template_id_offset, 6)
        bits.write(self.decode_target_count - 1, 5)
        _write_layers(bits, self.templates)
        for template in self.templates:
            write_indications(bits, template.indications, self.decode_target_count)
        for template in self.templates:
            for diff in template.frame_diffs:
                bits.write(1, 1)
                bits.write(diff - 1, 4)
            bits.write(0, 1)
        bits.write_below(self.chain_count, self.decode_target_count + 1)
        if len(self.protected_by) != (self.decode_target_count if self.chain_count else 0):
            raise ValueError(f"{self.chain_count} chains protect {len(self.protected_by)} targets")
        for chain in self.protected_by:
            bits.write_below(chain, self.chain_count)
        for template in self.templates:
            if len(template.chain_diffs) != self.chain_count:
                raise ValueError(f"{len(template.chain_diffs)} differences for {self.chain_count} chains")
            for diff in template.chain_diffs:
                bits.write(diff, 4)
        self._write_resolutions(bits)

    def _write_resolutions(self, bits: BitWriter) -> None:
        bits.write(1 if self.resolutions else 0, 1)
        if self.resolutions and len(self.resolutions) != self.templates[-1].spatial_id + 1:
            raise ValueError(f"{len(self.resolutions)} resolutions")
        for width, height in self.resolutions:
            bits.write(width - 1, 16)
            bits.write(height - 1, 16)


def read_indications(bits: BitReader, count: int) -> tuple[DecodeTargetIndication, ...]:
    """One indication for each of `count` decode targets."""
    packed = bits.read(2 * count)
    return tuple(_INDICATIONS[packed >> shift & 3] for shift in range(2 * count - 2, -1, -2))


def write_indications(bits: BitWriter, indications: Sequence[int], count: int) -> None:
    """The counterpart of `read_indications`. `ValueError` when they are not `count`."""
    if len(indications) != count:
        raise ValueError(f"{len(indications)} indications for {count} decode targets")
    for indication in indications:
        bits.write(indication, 2)


def _read_layers(bits: BitReader) -> list[tuple[int, int]]:
    """(spatial id, temporal id) of each template, at least one."""
    spatial_id = temporal_id = 0
    layers = [(0, 0)]
    while (step := bits.read(2)) != _NO_MORE:
        if step == _NEXT_TEMPORAL:
            temporal_id += 1
        elif step == _NEXT_SPATIAL:
            temporal_id = 0
            spatial_id += 1
        layers.append((spatial_id, temporal_id))
        if spatial_id > MAX_SPATIAL_ID or temporal_id > MAX_TEMPORAL_ID or len(layers) > MAX_TEMPLATES:
            raise BadPacket(REASON, f"template {len(layers)} in layer {spatial_id}, {temporal_id}")
    return layers


def _write_layers(bits: BitWriter, templates: Sequence[FrameDependencies]) -> None:
    if not 0 < len(templates) <= MAX_TEMPLATES or templates[0][:2] != (0, 0):
        raise ValueError(f"{len(templates)} templates")
    for previous, following in pairwise(templates):
        spatial_id, temporal_id = previous[:2]
        steps = {
            (spatial_id, temporal_id): _SAME_LAYER,
            (spatial_id, temporal_id + 1): _NEXT_TEMPORAL,
            (spatial_id + 1, 0): _NEXT_SPATIAL,
        }
        step = steps.get(following[:2])
        if step is None or following.spatial_id > MAX_SPATIAL_ID or following.temporal_id > MAX_TEMPORAL_ID:
            raise ValueError(f"a template in layer {following[:2]} after one in {previous[:2]}")
        bits.write(step, 2)
    bits.write(_NO_MORE, 2)


def _read_template_diffs(bits: BitReader) -> tuple[int, ...]:
    diffs = []
    while bits.flag():
        diffs.append(bits.read(4) + 1)
    return tuple(diffs)
