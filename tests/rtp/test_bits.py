"""Bit fields across byte boundaries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.errors import BadPacket
from sfu.rtp.bits import BitReader, BitWriter


def test_fields_are_read_from_the_most_significant_bit() -> None:
    bits = BitReader(bytes((0b1010_0110, 0b1100_0001)), "test")
    assert [bits.read(1), bits.read(3), bits.read(0), bits.read(7), bits.read(5)] == [1, 0b010, 0, 0b0110110, 1]


def test_reading_past_the_end_is_refused() -> None:
    bits = BitReader(b"\xff", "test")
    assert bits.read(7) == 127
    assert bits.flag()
    with pytest.raises(BadPacket) as caught:
        bits.flag()
    assert caught.value.reason == "test"


@given(
    st.lists(st.integers(1, 40).flatmap(lambda width: st.tuples(st.integers(0, 2**width - 1), st.just(width))))
)
def test_what_is_written_is_read(fields: list[tuple[int, int]]) -> None:
    writer = BitWriter()
    for value, width in fields:
        writer.write(value, width)
    data = writer.to_bytes()
    assert len(data) == (sum(width for _, width in fields) + 7) // 8
    reader = BitReader(data, "test")
    assert [(reader.read(width), width) for _, width in fields] == fields


@pytest.mark.parametrize(("value", "bits"), [(0, "00"), (1, "01"), (2, "10"), (3, "110"), (4, "111")])
def test_numbers_under_five_have_the_codes_of_the_specification(value: int, bits: str) -> None:
    writer = BitWriter()
    writer.write_below(value, 5)
    data = int(bits.ljust(8, "0"), 2).to_bytes()
    assert writer.to_bytes() == data
    assert BitReader(data, "test").read_below(5) == value


@given(st.integers(1, 100).flatmap(lambda limit: st.tuples(st.integers(0, limit - 1), st.just(limit))))
def test_numbers_under_any_limit_come_back(case: tuple[int, int]) -> None:
    value, limit = case
    writer = BitWriter()
    writer.write_below(value, limit)
    writer.write(5, 3)
    reader = BitReader(writer.to_bytes(), "test")
    assert (reader.read_below(limit), reader.read(3)) == (value, 5)


@pytest.mark.parametrize(("value", "width"), [(2, 1), (-1, 4), (1, 0)])
def test_values_too_wide_are_the_callers_error(value: int, width: int) -> None:
    with pytest.raises(ValueError, match="bits"):
        BitWriter().write(value, width)


@pytest.mark.parametrize("value", [-1, 5])
def test_values_not_under_the_limit_are_the_callers_error(value: int) -> None:
    with pytest.raises(ValueError, match="not under"):
        BitWriter().write_below(value, 5)
