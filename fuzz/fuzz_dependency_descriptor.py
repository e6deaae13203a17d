"""Dependency descriptors of one stream: only BadPacket escapes, and what parses serializes to the same meaning.

The input is a sequence of extensions as they would come in packets, each after a byte with its length.
"""

from sfu.errors import BadPacket
from sfu.rtp.dependency_descriptor import DependencyDescriptor, DependencyReader


def one_input(data: bytes) -> None:
    """Check the invariants on one stream of descriptors."""
    reader = DependencyReader()
    while data:
        size = data[0]
        element, data = data[1 : 1 + size], data[1 + size :]
        before = (reader.structure, reader.active_decode_targets)
        try:
            descriptor = reader.read(element)
        except BadPacket:
            assert (reader.structure, reader.active_decode_targets) == before
            continue
        if descriptor.frame is not None:
            again = descriptor.serialize(reader.structure)
            assert DependencyDescriptor.parse(again, reader.structure) == descriptor
        if reader.structure is not None:
            assert len(reader.structure.decode_target_layers()) == reader.structure.decode_target_count
