"""When RTCP reports are due (RFC 3550 section 6.2)."""

from collections.abc import Callable
from typing import Final

INTERVAL: Final = 1.0
"""Mean seconds between two reports. RFC 3550's minimum of 5 s is for large multicast groups, and AVPF drops it
(RFC 4585 section 3.4). Browsers report video every second; lip sync, round trip times and loss figures depend
on that rate."""


class ReportTimer:
    """The schedule of one transport's compound reports.

    The interval varies between 0.5 and 1.5 times its mean, so that sessions that began together do not all
    report at the same moment (RFC 3550 section 6.3.1).
    """

    __slots__ = ("_deadline", "_random")

    def __init__(self, random: Callable[[int], bytes]) -> None:
        """`random` gives that many unpredictable bytes. Nothing is due before `start`."""
        self._random = random
        self._deadline: float | None = None

    def start(self, now: float) -> None:
        """Media may flow from now on. The first interval is halved, as in RFC 3550."""
        self._deadline = now + self._interval() / 2

    def stop(self) -> None:
        """No more reports."""
        self._deadline = None

    def next_timeout(self) -> float | None:
        """When the next report is due."""
        return self._deadline

    def take_due(self, now: float) -> bool:
        """Return whether a report is due. If it is, the next deadline is set."""
        if self._deadline is None or now < self._deadline:
            return False
        self._deadline = now + self._interval()
        return True

    def _interval(self) -> float:
        return INTERVAL * (0.5 + int.from_bytes(self._random(2)) / 0x1_0000)
