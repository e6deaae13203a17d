"""Counters that wrap: who is ahead of whom, and by how much."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.rtp.serial import (
    Unwrapper,
    is_newer_sequence,
    is_newer_timestamp,
    sequence_difference,
    timestamp_difference,
)


@pytest.mark.parametrize(
    ("a", "b", "difference"),
    [
        (5, 3, 2),
        (3, 5, -2),
        (0, 0xFFFF, 1),
        (0xFFFF, 0, -1),
        (0x7FFF, 0, 0x7FFF),
        (0x8000, 0, -0x8000),
        (7, 7, 0),
    ],
)
def test_sequence_numbers_are_compared_around_the_wrap(a: int, b: int, difference: int) -> None:
    assert sequence_difference(a, b) == difference
    assert is_newer_sequence(a, b) == (difference > 0)


@pytest.mark.parametrize(
    ("a", "b", "difference"),
    [(0, 0xFFFF_FFFF, 1), (0xFFFF_FFFF, 0, -1), (0x8000_0000, 0, -0x8000_0000), (900, 0, 900), (9, 9, 0)],
)
def test_timestamps_are_compared_around_the_wrap(a: int, b: int, difference: int) -> None:
    assert timestamp_difference(a, b) == difference
    assert is_newer_timestamp(a, b) == (difference > 0)


def test_half_the_space_away_neither_is_newer() -> None:
    assert not is_newer_sequence(0x8000, 0)
    assert not is_newer_sequence(0, 0x8000)


@given(st.integers(0, 2**40), st.lists(st.integers(-0x7FFF, 0x7FFF), max_size=50))
def test_unwrapping_recovers_any_walk_of_small_steps(start: int, steps: list[int]) -> None:
    unwrapper = Unwrapper(16)
    origin = start - unwrapper.unwrap(start & 0xFFFF)
    newest = start
    for step in steps:
        value = newest + step
        assert unwrapper.peek(value & 0xFFFF) + origin == value
        assert unwrapper.newest == newest - origin
        assert unwrapper.unwrap(value & 0xFFFF) + origin == value
        newest = max(newest, value)
        assert unwrapper.newest == newest - origin


def test_a_peek_before_the_first_value_remembers_nothing() -> None:
    unwrapper = Unwrapper(32)
    assert unwrapper.peek(5) == 5
    assert unwrapper.newest is None


def test_values_older_than_the_first_are_negative() -> None:
    unwrapper = Unwrapper(32)
    assert unwrapper.unwrap(2) == 2
    assert unwrapper.unwrap(0xFFFF_FFFF) == -1
    assert unwrapper.unwrap(3) == 3
