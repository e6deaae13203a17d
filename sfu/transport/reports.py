"""When RTCP reports are due (RFC 3550 section 6.2)."""

from collections.abc import Callable
from typing import Final

INTERVAL: Final = 1.0
"""Seconds between two reports on average. RFC 3550's 5 s minimum is for large multicast groups and halved or
less by AVPF (RFC 4585 section 3.4); browsers report video every second, which lip sync, round trip time and
loss figures live on."""


class ReportTimer:
    """The schedule of one transport's compound reports.

    RFC 3550 section 6.3.1: the interval varies between 0.5 and 1.5 times its mean, so that the reports of many
    sessions that began together do not stay together.
    """

    __slots__ = ("_deadline", "_random")

    def __init__(self, random: Callable[[int], bytes]) -> None:
        """`random` gives that many unpredictable bytes. Nothing is due before `start`."""
        self._random = random
        self._deadline: float | None = None

    def start(self, now: float) -> None:
        """Media may flow from now on. The first report comes early (RFC 3550 halves the first interval)."""
        self._deadline = now + self._interval() / 2

    def stop(self) -> None:
        """No more reports."""
        self._deadline = None

    def next_timeout(self) -> float | None:
        """When the next report is due."""
        return self._deadline

    def due(self, now: float) -> bool:
        """Whether to report now. True sets the next deadline."""
        if self._deadline is None or now < self._deadline:
            return False
        self._deadline = now + self._interval()
        return True

    def _interval(self) -> float:
        return INTERVAL * (0.5 + int.from_bytes(self._random(2)) / 0x1_0000)
