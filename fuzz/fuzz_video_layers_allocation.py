"""Video layers allocations: only BadPacket escapes, and what decodes encodes to what decodes the same."""

from sfu.errors import BadPacket
from sfu.rtp.video_layers_allocation import (
    MAX_SPATIAL_LAYERS,
    MAX_STREAMS,
    MAX_TEMPORAL_LAYERS,
    VideoLayersAllocation,
)


def one_input(data: bytes) -> None:
    """Check the invariants on one extension element."""
    try:
        allocation = VideoLayersAllocation.decode(data)
    except BadPacket:
        return
    assert len(allocation.layers) <= MAX_STREAMS * MAX_SPATIAL_LAYERS
    places = [(layer.stream_index, layer.spatial_id) for layer in allocation.layers]
    assert places == sorted(set(places))
    assert all(stream < allocation.stream_count for stream, _ in places)
    assert all(1 <= len(layer.bitrates) <= MAX_TEMPORAL_LAYERS for layer in allocation.layers)
    assert len({layer.resolution is None for layer in allocation.layers}) <= 1
    encoded = allocation.encode()
    # A sender may pad numbers and spell out what could be said once; never is ours longer.
    assert len(encoded) <= len(data)
    assert VideoLayersAllocation.decode(encoded) == allocation
