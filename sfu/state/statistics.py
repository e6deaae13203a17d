"""What is counted about the store, and how a claim can fail."""

from dataclasses import dataclass
from typing import Final

from sfu.histogram import Distribution

LATENCY_BOUNDS: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 25.0, 50.0)
"""Milliseconds of a round trip."""

RECOVERY_BOUNDS: Final = (10.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2000.0)
"""Milliseconds of a recovery."""


class StoreUnavailable(Exception):
    """The store cannot be asked now: nobody knows whether there is such a session."""


@dataclass(frozen=True, slots=True)
class StoreStatistics:
    """Counts since the store was made, and what there is now."""

    healthy: bool
    """Whether changes are written as they come."""
    sessions: int
    """Sessions that this server holds."""
    backlog: int
    """Of them, and of those that have ended, how many are yet to be written."""
    refused: int
    """Sessions that are not kept, since there were too many."""
    lost: int
    """Sessions that another server has claimed."""
    unreadable: dict[str, int]
    """Values that were left alone, by reason."""
    errors: dict[str, int]
    """Failures by kind: connection, timeout, auth, …"""
    latency: Distribution
    """Milliseconds from sending commands together until the last reply."""
    recovery: Distribution
    """Milliseconds from the first answer until the sessions of the last life were there."""
