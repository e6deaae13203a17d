"""Counts of measured values by bucket, from which Prometheus histograms are made."""

from bisect import bisect_left
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Distribution:
    """The counts of a `Histogram` at one moment."""

    bounds: tuple[float, ...]
    """Upper bounds of the buckets, inclusive, ascending."""
    counts: tuple[int, ...]
    """Values in each bucket alone; one more than `bounds`, for values above the last."""
    total: float
    """Sum of all values."""


class Histogram:
    """Counts values by bucket; its size never changes."""

    __slots__ = ("_bounds", "_counts", "_total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        """`bounds` are the upper bounds of the buckets, ascending, in the unit of the values."""
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0

    def observe(self, value: float) -> None:
        """Count a value. One that equals a bound is in the bucket below it, as Prometheus's ``le`` says."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def statistics(self) -> Distribution:
        """Return the counts so far."""
        return Distribution(self._bounds, tuple(self._counts), self._total)
