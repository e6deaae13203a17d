"""The counts of the store, and the error of a claim that cannot be answered."""

from dataclasses import dataclass
from typing import Final

from sfu.histogram import Distribution

LATENCY_BOUNDS: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 25.0, 50.0)
"""Upper bounds of the buckets for round trips, in milliseconds."""

RECOVERY_BOUNDS: Final = (10.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2000.0)
"""Upper bounds of the buckets for recoveries, in milliseconds."""


class StoreUnavailable(Exception):
    """The store does not answer now, so it is unknown whether the session exists."""


@dataclass(frozen=True, slots=True)
class StoreStatistics:
    """Counts since the store was made, and the present state."""

    healthy: bool
    """Whether changes are written as they come."""
    sessions: int
    """Sessions that this server holds."""
    backlog: int
    """Sessions, ended ones included, with changes that are not in Redis yet."""
    refused: int
    """Sessions that the store does not keep because there were too many."""
    lost: int
    """Sessions that another server has claimed."""
    unreadable: dict[str, int]
    """Values that could not be read and were left as they are, by reason."""
    errors: dict[str, int]
    """Failures by kind: connection, timeout, auth, …"""
    latency: Distribution
    """Milliseconds from sending a batch of commands until its last reply."""
    recovery: Distribution
    """Milliseconds from the first answer of Redis until this server had its earlier sessions back."""
