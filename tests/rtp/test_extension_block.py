"""The header extension block: both forms, padding, and where parsing ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.errors import BadPacket
from sfu.rtp.extension_block import is_element_profile, parse_elements, serialize_elements

ONE_BYTE = 0xBEDE
TWO_BYTE = 0x1000


@pytest.mark.parametrize(
    ("data", "elements"),
    [
        ("", ()),
        ("00000000", ()),
        ("10aa", ((1, b"\xaa"),)),
        ("00 10aa 0000 21bbcc 00", ((1, b"\xaa"), (2, b"\xbb\xcc"))),
        ("ef000102030405060708090a0b0c0d0e0f", ((14, bytes(range(16))),)),
        ("10aa f1bbcc 10dd", ((1, b"\xaa"),)),  # id 15 ends it, even where its data would fit
        ("10aa f0", ((1, b"\xaa"),)),
        ("10aa 03 20bb", ((1, b"\xaa"),)),  # so does id 0 with a length
    ],
)
def test_one_byte_form(data: str, elements: tuple[tuple[int, bytes], ...]) -> None:
    assert parse_elements(ONE_BYTE, bytes.fromhex(data)) == elements


@pytest.mark.parametrize(
    ("data", "elements"),
    [
        ("", ()),
        ("00000000", ()),
        ("0100", ((1, b""),)),
        ("00 0101aa 00 ff02bbcc", ((1, b"\xaa"), (255, b"\xbb\xcc"))),
        ("0f01aa", ((15, b"\xaa"),)),  # 15 is an id like any other here
    ],
)
@pytest.mark.parametrize("profile", [TWO_BYTE, 0x100F])
def test_two_byte_form(profile: int, data: str, elements: tuple[tuple[int, bytes], ...]) -> None:
    assert parse_elements(profile, bytes.fromhex(data)) == elements


@pytest.mark.parametrize(
    ("profile", "data"),
    [
        (ONE_BYTE, "10"),
        (ONE_BYTE, "10aa 21bb"),
        (TWO_BYTE, "01"),
        (TWO_BYTE, "0102aa"),
        (TWO_BYTE, "0001aa0002"),
    ],
)
def test_an_element_beyond_the_block_is_refused(profile: int, data: str) -> None:
    with pytest.raises(BadPacket) as caught:
        parse_elements(profile, bytes.fromhex(data))
    assert caught.value.reason == "rtp-extension"


@pytest.mark.parametrize("profile", [0, 0xBEDF, 0x0FFF, 0x1010, 0x2000])
def test_other_profiles_hold_no_elements(profile: int) -> None:
    assert parse_elements(profile, b"\x10a\0\0") is None
    assert not is_element_profile(profile)


@pytest.mark.parametrize(
    ("elements", "block"),
    [
        ((), "bede0000"),
        (((1, b"\xaa"),), "bede0001 10aa0000"),
        (((14, bytes(16)),), "bede0005 ef" + "00" * 16 + "000000"),
        (((15, b"\xaa"),), "10000001 0f01aa00"),
        (((1, b""),), "10000001 01000000"),
        (((1, bytes(17)),), "10000005 0111" + "00" * 17 + "00"),
        (((1, b"\xaa"), (16, b"\xbb")), "10000002 0101aa 1001bb 0000"),
    ],
)
def test_the_one_byte_form_is_written_wherever_it_can_be(
    elements: tuple[tuple[int, bytes], ...], block: str
) -> None:
    assert serialize_elements(elements) == bytes.fromhex(block)


@given(
    st.lists(st.tuples(st.integers(1, 255), st.binary(max_size=255)), max_size=8),
)
def test_parse_undoes_serialize(elements: list[tuple[int, bytes]]) -> None:
    block = serialize_elements(elements)
    profile, words = int.from_bytes(block[:2]), int.from_bytes(block[2:4])
    assert is_element_profile(profile)
    assert len(block) == 4 + 4 * words
    assert parse_elements(profile, block[4:]) == tuple(elements)


@given(st.sampled_from([ONE_BYTE, TWO_BYTE]), st.binary(max_size=64))
def test_any_bytes_parse_or_are_refused(profile: int, data: bytes) -> None:
    try:
        elements = parse_elements(profile, data)
    except BadPacket:
        return
    assert elements is not None
    block = serialize_elements(elements)
    assert parse_elements(int.from_bytes(block[:2]), block[4:]) == elements
