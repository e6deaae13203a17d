"""How long the shell waits for others, and how often it tries again.

One object, so that a test can pass shorter times. Operators do not set these.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Times in seconds."""

    stop: float = 5.0
    """For the rooms to say goodbye when the server stops."""
    flush: float = 3.0
    """For the store to write what is still waiting when the server stops."""


DEFAULT_TIMEOUTS: Final = Timeouts()
