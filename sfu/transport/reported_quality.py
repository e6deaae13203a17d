"""What a peer's reports say of the way to it, over all of its streams: loss, jitter and round trip time.

Each value is counted when the report arrives that brings it, so that how often metrics are read changes
nothing about what they say.
"""

from dataclasses import dataclass
from typing import Final

from sfu.histogram import Distribution, Histogram
from sfu.transport.reception_reports import Progress

JITTER_BOUNDS: Final = (1.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0)
"""Milliseconds."""

ROUND_TRIP_BOUNDS: Final = (10.0, 25.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
"""Milliseconds."""


@dataclass(frozen=True, slots=True)
class QualityStatistics:
    """What the reports of one peer said so far."""

    expected: int
    """Packets that should have come, by the sequence numbers in the reports."""
    lost: int
    """Those of them that did not; negative when duplicates outnumber losses."""
    jitter: Distribution
    """Interarrival jitter in milliseconds, once per report about a stream from which something came."""
    round_trip: Distribution
    """Round trip times in milliseconds."""


class ReportedQuality:
    """Takes in the reports of one peer."""

    __slots__ = ("_expected", "_jitter", "_lost", "_round_trip")

    def __init__(self) -> None:
        self._expected = self._lost = 0
        self._jitter = Histogram(JITTER_BOUNDS)
        self._round_trip = Histogram(ROUND_TRIP_BOUNDS)

    def add(self, progress: Progress, jitter: float) -> None:
        """Take in what a report says that the one before did not; `jitter` in seconds."""
        if progress.expected:
            self._expected += progress.expected
            self._lost += progress.lost
            self._jitter.observe(jitter * 1000)
        if progress.round_trip is not None:
            self._round_trip.observe(progress.round_trip * 1000)

    def statistics(self) -> QualityStatistics:
        """Return what was said so far."""
        return QualityStatistics(
            self._expected, self._lost, self._jitter.statistics(), self._round_trip.statistics()
        )
