"""When to ask a publisher for a key frame: many subscribers ask the server, and it asks the publisher once.

A subscriber may need a key frame at any time, and each key frame is a burst for the publisher and for all other
subscribers. So requests are merged: one covers all until a key frame comes. It is sent again while none comes,
since request or answer may be lost, but at growing intervals, since a publisher may also be unable to answer.
"""

from typing import Final

MIN_INTERVAL: Final = 0.5
"""Seconds between two requests. Encoders make at most one key frame in about 300 ms."""

MAX_INTERVAL: Final = 4.0
"""Most seconds between two requests that remain unanswered: the interval doubles until then."""


class KeyFrameRequests:
    """The requests for one published stream."""

    __slots__ = ("_asked", "_at", "_interval", "_last", "sent")

    sent: int
    """Requests made."""

    def __init__(self) -> None:
        self._at: float | None = None
        self._asked = False
        self._last = float("-inf")
        self._interval = MIN_INTERVAL
        self.sent = 0

    def request(self, now: float) -> None:
        """A subscriber needs a key frame that has not begun yet."""
        soonest = max(now, self._last + MIN_INTERVAL)
        if self._at is None:
            self._interval = MIN_INTERVAL
            self._asked = False
        self._at = soonest if self._at is None else min(self._at, soonest)

    def arrived(self) -> None:
        """A key frame has begun, so nothing is requested any more."""
        self._at = None

    @property
    def is_new(self) -> bool:
        """Whether the publisher has not been asked yet, so that the next request is not a retransmission."""
        return self._at is not None and not self._asked

    def next_timeout(self) -> float | None:
        """When to ask the publisher, or to ask again."""
        return self._at

    def take_due(self, now: float) -> bool:
        """Return whether to ask the publisher now. If so, this counts as asked."""
        if self._at is None or now < self._at:
            return False
        self._asked = True
        self._last = now
        self._at = now + self._interval
        self._interval = min(2 * self._interval, MAX_INTERVAL)
        self.sent += 1
        return True
