"""Renumbering: gapless over what was left out, gaps where the network lost, one outgoing number per packet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.rtp.rewrite import SEGMENTS, SequenceMap, TimestampMap


def test_what_is_left_out_closes_up_and_what_is_lost_stays_a_gap() -> None:
    numbers = SequenceMap(20)
    numbers.begin(100)
    assert [numbers.map(n) for n in (100, 101, 102)] == [20, 21, 22]
    numbers.end(102)
    assert not numbers.is_open
    numbers.begin(105)
    assert [numbers.map(n) for n in (105, 106, 108)] == [23, 24, 26]
    assert numbers.map(107) == 25  # late
    assert numbers.map(102) == 22  # later still
    assert numbers.map(103) is None
    assert [numbers.inverse(out) for out in range(19, 27)] == [None, 100, 101, 102, 105, 106, 107, 108]


def test_skipping_one_packet() -> None:
    numbers = SequenceMap(0)
    numbers.begin(10)
    numbers.skip(10)  # the very first
    assert numbers.map(11) == 0
    numbers.skip(13)  # while 12 is still on its way
    assert numbers.map(12) == 1
    assert numbers.map(13) is None
    assert numbers.map(14) == 2
    assert [numbers.inverse(out) for out in range(3)] == [11, 12, 14]


def test_nothing_is_forwarded_before_the_beginning_and_between_segments() -> None:
    numbers = SequenceMap(7)
    assert not numbers.is_open
    assert numbers.map(1) is None
    assert numbers.inverse(7) is None
    assert numbers.next_out(0) == 7
    numbers.end(5)  # no effect
    numbers.begin(5)
    assert numbers.next_out(4) == 7
    assert numbers.next_out(6) == 9
    with pytest.raises(ValueError, match="not ended"):
        numbers.begin(6)
    numbers.end(6)
    assert numbers.next_out(6) == 9
    assert numbers.map(7) is None


def test_another_source_may_count_anywhere() -> None:
    numbers = SequenceMap(0)
    numbers.begin(1000)
    numbers.end(1009)
    numbers.forget_source()
    numbers.begin(5)
    assert numbers.map(5) == 10
    assert numbers.map(1005) == 1010  # a number of the new source
    assert numbers.inverse(9) is None
    assert numbers.inverse(10) == 5


def test_segments_are_bounded() -> None:
    numbers = SequenceMap(0)
    numbers.begin(0)
    for n in range(1, 1000, 2):
        numbers.skip(n)
    assert numbers.map(1000) == 500
    assert numbers.map(0) is None
    assert numbers.map(1000 - 2 * SEGMENTS) == 500 - SEGMENTS


@given(
    st.integers(0, 0x7FFF),
    st.lists(st.sampled_from(["send", "lose", "skip", "pause", "late"]), max_size=60),
)
def test_any_history_of_a_stream(first: int, steps: list[str]) -> None:
    numbers = SequenceMap(first)
    source, forwarded, lost, given_out = 5000, False, list[int](), dict[int, int]()
    for step in steps:
        if step == "pause":
            numbers.end(source)
            forwarded = False
            source += 3
            continue
        if step == "late":
            if lost:
                late = lost.pop()
                out = numbers.map(late)
                if out is not None:
                    assert out not in given_out
                    given_out[out] = late
            continue
        source += 1
        if not forwarded:
            numbers.begin(source)
            forwarded = True
        if step == "skip":
            numbers.skip(source)
        elif step == "lose":
            lost.append(source)
        else:
            out = numbers.map(source)
            assert out is not None
            assert out not in given_out
            given_out[out] = source
    # Both directions agree, order is kept, and every hole stands for a packet that was lost.
    for out, sent in given_out.items():
        assert numbers.inverse(out) == sent
        assert numbers.map(sent) == out
    in_order = sorted(given_out)
    assert [given_out[out] for out in in_order] == sorted(given_out.values())
    if in_order:
        for hole in set(range(first, in_order[-1])) - set(in_order):
            assert numbers.inverse(hole) in lost


def test_the_first_source_keeps_its_timestamps() -> None:
    timestamps = TimestampMap()
    timestamps.begin(4_000_000_000, 90000, 1.0)
    assert timestamps.map(4_000_000_000) == 4_000_000_000


def test_the_next_source_goes_on_by_the_time_that_passed() -> None:
    timestamps = TimestampMap()
    timestamps.begin(0xFFFF_FFF0, 90000, 1.0)
    timestamps.end(0xFFFF_FFF0, 2.0)
    timestamps.begin(77, 90000, 2.5)
    assert timestamps.map(77) == (0xFFFF_FFF0 + 45000) & 0xFFFF_FFFF
    timestamps.end(77, 2.5)
    timestamps.begin(5, 90000, 2.5)  # at once: one tick, never none
    assert timestamps.map(5) == (0xFFFF_FFF0 + 45001) & 0xFFFF_FFFF


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.floats(0, 1e5))
def test_timestamps_never_go_backwards_at_a_switch(before: int, after: int, gap: float) -> None:
    timestamps = TimestampMap()
    timestamps.end(before, 10.0)
    timestamps.begin(after, 48000, 10.0 + gap)
    assert (timestamps.map(after) - before) & 0xFFFF_FFFF == max(
        1, round((10.0 + gap - 10.0) * 48000)
    ) & 0xFFFF_FFFF
