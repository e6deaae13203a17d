"""Histograms: each value in exactly one bucket, a bound in the bucket below it."""

from hypothesis import given
from hypothesis import strategies as st

from sfu.histogram import Histogram

BOUNDS = (1.0, 5.0, 10.0)


def test_a_bound_is_inclusive() -> None:
    histogram = Histogram(BOUNDS)
    for value in (0.0, 1.0, 1.1, 5.0, 10.0, 10.5, 1e9):
        histogram.observe(value)
    statistics = histogram.statistics()
    assert statistics.bounds == BOUNDS
    assert statistics.counts == (2, 2, 1, 2)
    assert statistics.total == sum((0.0, 1.0, 1.1, 5.0, 10.0, 10.5, 1e9))


@given(st.lists(st.integers(0, 20)))
def test_cumulated_counts_are_what_is_not_above_a_bound(values: list[int]) -> None:
    histogram = Histogram(BOUNDS)
    for value in values:
        histogram.observe(value)
    counts = histogram.statistics().counts
    assert sum(counts) == len(values)
    for index, bound in enumerate(BOUNDS):
        assert sum(counts[: index + 1]) == sum(value <= bound for value in values)


def test_statistics_do_not_change_afterwards() -> None:
    histogram = Histogram(BOUNDS)
    before = histogram.statistics()
    histogram.observe(3.0)
    assert before.counts == (0, 0, 0, 0)
