"""What to do while something keeps failing: when to try again, and when to log it again."""

from collections.abc import Callable
from typing import Final

MAX_DOUBLINGS: Final = 10
"""How often a delay is doubled. Ten reach the longest delay from any shortest one that is used here."""


def retry_delay(failures: int, shortest: float, longest: float, random: Callable[[int], bytes]) -> float:
    """Return the seconds to wait before the next try.

    The delay is `shortest` if nothing has failed before, and doubles with each of the earlier `failures`, up to
    `longest`. A random share of up to one half is taken off, so that many servers do not try at the same time.
    `random` returns as many random bytes as it is asked for.
    """
    whole = min(longest, shortest * (1 << min(failures, MAX_DOUBLINGS)))
    return whole * (0.5 + random(1)[0] / 512)


class ReportTimes:
    """Decides when a failure that goes on is logged: the first time, and then once per interval and kind."""

    __slots__ = ("_interval", "_next")

    def __init__(self, interval: float) -> None:
        """`interval` is in seconds."""
        self._interval = interval
        self._next: dict[str, float] = {}

    def is_due(self, kind: str, now: float) -> bool:
        """Return whether to log a failure of this kind now. If so, the interval begins again."""
        if now < self._next.get(kind, now):
            return False
        self._next[kind] = now + self._interval
        return True

    def clear(self) -> None:
        """Note that the failures have ended: the next one is logged at once."""
        self._next.clear()
