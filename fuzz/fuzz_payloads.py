"""Codecs' payload descriptors: only BadPacket escapes, fields lie in their ranges, key frames are seen as such.

Every reader gets the same bytes. A key frame is never seen in a payload that its codec's parser refuses;
VP8's numbers, once rewritten, are read back, and nothing else in the payload has changed.
"""

from sfu.errors import BadPacket
from sfu.rtp.codecs import av1, h264, vp8, vp9
from sfu.rtp.key_frame import is_key_frame


def one_input(data: bytes) -> None:
    """Check the invariants on one payload."""
    check_vp8(data)
    check_vp9(data)
    check_h264(data)
    check_av1(data)
    assert is_key_frame("opus", data)


def check_vp8(payload: bytes) -> None:
    """RFC 7741."""
    key_frame = is_key_frame("VP8", payload)
    size = vp8.key_frame_size(payload)
    assert key_frame or size is None
    assert size is None or max(size) < 2**14
    try:
        descriptor = vp8.Vp8Descriptor.parse(payload)
    except BadPacket:
        assert not key_frame
        return
    assert 0 < descriptor.size < len(payload)
    assert descriptor.starts_frame or not key_frame
    picture_id, index = descriptor.picture_id, descriptor.tl0_picture_index
    assert picture_id is None or picture_id < 1 << descriptor.picture_id_bits
    assert descriptor.rewrite(payload, picture_id=picture_id or 0, tl0_picture_index=index or 0) == payload
    rewritten = descriptor.rewrite(payload, picture_id=0x1_2345, tl0_picture_index=0x123)
    assert len(rewritten) == len(payload)
    again = vp8.Vp8Descriptor.parse(rewritten)
    assert again.picture_id == (None if picture_id is None else 0x1_2345 % (1 << descriptor.picture_id_bits))
    assert again.tl0_picture_index == (None if index is None else 0x23)
    assert again.rewrite(rewritten, picture_id=picture_id or 0, tl0_picture_index=index or 0) == payload


def check_vp9(payload: bytes) -> None:
    """RFC 9628."""
    key_frame = is_key_frame("VP9", payload)
    try:
        descriptor = vp9.Vp9Descriptor.parse(payload)
    except BadPacket:
        assert not key_frame
        return
    assert 0 < descriptor.size < len(payload)
    if key_frame:
        assert descriptor.starts_frame
        assert not descriptor.inter_picture_predicted
        assert not descriptor.spatial_id
    assert descriptor.picture_id is None or descriptor.picture_id < 1 << descriptor.picture_id_bits
    assert len(descriptor.references) <= 3
    structure = descriptor.scalability
    if structure is not None:
        assert len(structure.sizes) in (0, structure.spatial_layers)
        assert len(structure.picture_group) < descriptor.size


def check_h264(payload: bytes) -> None:
    """RFC 6184."""
    key_frame = is_key_frame("H264", payload)
    try:
        units = h264.starting_units(payload)
    except BadPacket:
        assert not key_frame
        return
    assert key_frame == any(unit in (h264.IDR_SLICE, h264.SEQUENCE_PARAMETER_SET) for unit in units)
    assert len(units) <= len(payload)


def check_av1(payload: bytes) -> None:
    """AOMedia's payload format. A key frame is told by one byte, whatever comes after it."""
    key_frame = is_key_frame("AV1", payload)
    try:
        parsed = av1.Av1Payload.parse(payload)
    except BadPacket:
        return
    assert key_frame == parsed.starts_sequence
    assert sum(map(len, parsed.elements)) < len(payload)
    try:
        headers = parsed.starting_obus()
    except BadPacket:
        return
    assert len(headers) == max(0, len(parsed.elements) - parsed.continues_previous)
    assert all(header.obu_type < 16 for header in headers)
