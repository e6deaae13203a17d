"""VP9 payload descriptors: fields in both modes, scalability structures, key frames."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.errors import BadPacket
from sfu.rtp.codecs.vp9 import PictureGroupEntry, ScalabilityStructure, Vp9Descriptor, is_key_frame

BODY = "8249"
FLEXIBLE = "fd 9234 35 05 03 04"  # I P L F B E Z, long id, TID 1 U SID 2 D, references 2, 1 and 2 back


def parse(payload: str) -> Vp9Descriptor:
    return Vp9Descriptor.parse(bytes.fromhex(payload))


def test_the_shortest_descriptor_is_one_byte() -> None:
    assert parse("08" + BODY) == Vp9Descriptor(
        inter_picture_predicted=False,
        flexible=False,
        starts_frame=True,
        ends_frame=False,
        not_reference_for_upper_layers=False,
        picture_id=None,
        picture_id_bits=0,
        temporal_id=None,
        spatial_id=None,
        switching_up_point=False,
        inter_layer_predicted=False,
        tl0_picture_index=None,
        references=(),
        scalability=None,
        size=1,
    )


def test_flexible_mode_writes_its_references() -> None:
    assert parse(FLEXIBLE + BODY) == Vp9Descriptor(
        inter_picture_predicted=True,
        flexible=True,
        starts_frame=True,
        ends_frame=True,
        not_reference_for_upper_layers=True,
        picture_id=0x1234,
        picture_id_bits=15,
        temporal_id=1,
        spatial_id=2,
        switching_up_point=True,
        inter_layer_predicted=True,
        tl0_picture_index=None,
        references=(2, 1, 2),
        scalability=None,
        size=7,
    )


def test_non_flexible_mode_has_a_base_layer_index() -> None:
    descriptor = parse("e4 05 42 77" + BODY)
    assert (descriptor.picture_id, descriptor.picture_id_bits) == (5, 7)
    assert (descriptor.temporal_id, descriptor.spatial_id) == (2, 1)
    assert descriptor.tl0_picture_index == 0x77
    assert not descriptor.starts_frame
    assert descriptor.size == 4


def test_flexible_frames_without_prediction_have_no_references() -> None:
    assert parse("18" + BODY).references == ()


def test_the_scalability_structure_says_sizes_and_picture_group() -> None:
    descriptor = parse("0a 38 0140 00b4 0280 0168 02 04 01 38 01 02" + BODY)
    assert descriptor.scalability == ScalabilityStructure(
        spatial_layers=2,
        sizes=((320, 180), (640, 360)),
        picture_group=(PictureGroupEntry(0, False, (1,)), PictureGroupEntry(1, True, (1, 2))),
    )
    assert descriptor.size == 16


def test_sizes_and_group_may_both_be_left_out() -> None:
    descriptor = parse("0a e0" + BODY)
    assert descriptor.scalability == ScalabilityStructure(8, (), ())
    assert descriptor.size == 2


@pytest.mark.parametrize("whole", [FLEXIBLE, "0a 38 0140 00b4 0280 0168 02 04 01 38 01 02", "e4 05 42 77"])
def test_a_descriptor_cut_anywhere_is_refused(whole: str) -> None:
    payload = bytes.fromhex(whole)
    for end in range(len(payload) + 1):
        with pytest.raises(BadPacket) as caught:
            Vp9Descriptor.parse(payload[:end])
        assert caught.value.reason == "vp9-truncated"
    assert Vp9Descriptor.parse(payload + b"\0").size == len(payload)


def test_a_fourth_reference_is_refused() -> None:
    with pytest.raises(BadPacket) as caught:
        parse("50 03 03 03 02" + BODY)
    assert caught.value.reason == "vp9-references"


@given(st.binary(max_size=40))
def test_any_bytes_parse_or_are_refused(payload: bytes) -> None:
    try:
        descriptor = Vp9Descriptor.parse(payload)
    except BadPacket:
        assert not is_key_frame(payload)
        return
    assert 0 < descriptor.size < len(payload)
    assert len(descriptor.references) <= 3


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ("08" + BODY, True),
        ("88 9234" + BODY, True),
        ("28 00 00" + BODY, True),
        ("28 02 00" + BODY, False),  # spatial layer 1
        ("00" + BODY, False),  # not the first packet
        ("48" + BODY, False),  # predicted
        ("08", False),
        ("", False),
    ],
)
def test_a_key_picture_starts_with_its_lowest_layer(payload: str, expected: bool) -> None:
    assert is_key_frame(bytes.fromhex(payload)) == expected
