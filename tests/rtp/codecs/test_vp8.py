"""VP8 payload descriptors: fields, places, rewriting, key frames."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.errors import BadPacket
from sfu.rtp.codecs.vp8 import Vp8Descriptor, is_key_frame, key_frame_size

KEY = "50 0200 9d012a 8002 e001"  # payload header of a key frame, 640 x 480
DELTA = "51 0200"


def parse(payload: str) -> Vp8Descriptor:
    return Vp8Descriptor.parse(bytes.fromhex(payload))


def test_the_shortest_descriptor_is_one_byte() -> None:
    assert parse("10" + DELTA) == Vp8Descriptor(
        non_reference=False,
        start=True,
        partition=0,
        picture_id=None,
        picture_id_bits=0,
        picture_id_offset=0,
        tl0_picture_index=None,
        tl0_picture_index_offset=0,
        temporal_id=None,
        layer_sync=False,
        key_index=None,
        size=1,
    )


def test_the_longest_descriptor_is_six_bytes() -> None:
    assert parse("b3 f0 9234 56 af" + DELTA) == Vp8Descriptor(
        non_reference=True,
        start=True,
        partition=3,
        picture_id=0x1234,
        picture_id_bits=15,
        picture_id_offset=2,
        tl0_picture_index=0x56,
        tl0_picture_index_offset=4,
        temporal_id=2,
        layer_sync=True,
        key_index=15,
        size=6,
    )


def test_a_short_picture_id_has_seven_bits() -> None:
    descriptor = parse("90 80 7f" + DELTA)
    assert (descriptor.picture_id, descriptor.picture_id_bits, descriptor.size) == (127, 7, 3)


def test_temporal_layer_and_key_index_share_a_byte() -> None:
    with_layer = parse("90 20 7f" + DELTA)
    assert (with_layer.temporal_id, with_layer.layer_sync, with_layer.key_index) == (1, True, None)
    with_key = parse("90 10 7f" + DELTA)
    assert (with_key.temporal_id, with_key.layer_sync, with_key.key_index) == (None, False, 31)


def test_only_the_first_partition_starts_the_frame() -> None:
    assert parse("10" + DELTA).starts_frame
    assert not parse("11" + DELTA).starts_frame
    assert not parse("00" + DELTA).starts_frame


@pytest.mark.parametrize("payload", ["", "10", "90", "9080", "908092", "90f0923456", "b3f0923456af"])
def test_a_descriptor_cut_off_or_alone_is_refused(payload: str) -> None:
    with pytest.raises(BadPacket) as caught:
        parse(payload)
    assert caught.value.reason == "vp8-truncated"
    assert not is_key_frame(bytes.fromhex(payload))


@pytest.mark.parametrize(
    ("payload", "picture_id", "expected"),
    [
        ("90 80 05" + DELTA, 0x1FF, "90 80 7f" + DELTA),
        ("90 c0 8005 09" + DELTA, 0x1FF, "90 c0 81ff 42" + DELTA),
        ("90 e0 05 09 40" + DELTA, 3, "90 e0 03 42 40" + DELTA),
        ("90 80 8005" + DELTA, 0x8001, "90 80 8001" + DELTA),
        ("90 40 09" + DELTA, 3, "90 40 42" + DELTA),
        ("10" + DELTA, 3, "10" + DELTA),
    ],
)
def test_rewriting_changes_only_the_numbers_that_are_there(
    payload: str, picture_id: int, expected: str
) -> None:
    original = bytes.fromhex(payload)
    rewritten = Vp8Descriptor.parse(original).rewrite(original, picture_id=picture_id, tl0_picture_index=0x142)
    assert rewritten == bytes.fromhex(expected)


@given(st.binary(min_size=1, max_size=12), st.integers(0, 0x7FFF), st.integers(0, 0xFF))
def test_what_is_rewritten_is_read_back(payload: bytes, picture_id: int, tl0_picture_index: int) -> None:
    try:
        before = Vp8Descriptor.parse(payload)
    except BadPacket:
        return
    rewritten = before.rewrite(payload, picture_id=picture_id, tl0_picture_index=tl0_picture_index)
    after = Vp8Descriptor.parse(rewritten)
    assert len(rewritten) == len(payload)
    assert rewritten[after.size :] == payload[before.size :]
    assert (after.size, after.temporal_id, after.start) == (before.size, before.temporal_id, before.start)
    if before.picture_id is not None:
        assert after.picture_id == picture_id & (1 << before.picture_id_bits) - 1
    if before.tl0_picture_index is not None:
        assert after.tl0_picture_index == tl0_picture_index


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ("10" + KEY, True),
        ("90 c0 8005 09" + KEY, True),
        ("10" + DELTA, False),
        ("00" + KEY, False),
        ("11" + KEY, False),
        ("", False),
    ],
)
def test_a_key_frame_starts_with_a_clear_bit(payload: str, expected: bool) -> None:
    assert is_key_frame(bytes.fromhex(payload)) == expected


@pytest.mark.parametrize(
    ("payload", "size"),
    [
        ("10" + KEY, (640, 480)),
        ("10 50 0200 9d012a 80c2 e0c1", (640, 480)),  # the two high bits are scaling, not size
        ("10" + DELTA, None),
        ("10 50 0200 9d012b 8002 e001", None),
        ("10 50 0200 9d012a 8002 e0", None),
    ],
)
def test_a_key_frame_says_its_size(payload: str, size: tuple[int, int] | None) -> None:
    assert key_frame_size(bytes.fromhex(payload)) == size
