"""LEB128 numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.errors import BadPacket
from sfu.rtp.leb128 import read_leb128, write_leb128


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0, "00"), (127, "7f"), (128, "8001"), (300, "ac02"), (2**56 - 1, "ffffffffffffff7f")],
)
def test_seven_bits_per_byte_the_lowest_first(value: int, encoded: str) -> None:
    assert write_leb128(value) == bytes.fromhex(encoded)
    assert read_leb128(bytes.fromhex(encoded), 0) == (value, len(encoded) // 2)


@given(st.integers(0, 2**56 - 1), st.binary(max_size=3), st.binary(max_size=3))
def test_numbers_are_read_in_place(value: int, before: bytes, after: bytes) -> None:
    data = before + write_leb128(value)
    assert read_leb128(data + after, len(before)) == (value, len(data))


def test_a_number_may_be_longer_than_need_be() -> None:
    assert read_leb128(b"\x85\x80\x00", 0) == (5, 3)


@pytest.mark.parametrize("data", ["", "80", "ffff", "80" * 8 + "01"])
def test_a_number_without_an_end_is_refused(data: str) -> None:
    with pytest.raises(BadPacket) as caught:
        read_leb128(bytes.fromhex(data), 0)
    assert caught.value.reason == "leb128"


@pytest.mark.parametrize("value", [-1, 2**56])
def test_numbers_that_do_not_fit_are_the_callers_error(value: int) -> None:
    with pytest.raises(ValueError, match="LEB128"):
        write_leb128(value)
