"""When to ask a publisher for a key frame: many ask us, the publisher is asked once.

Every subscriber may want a key frame at any time, and each costs the publisher and all others a burst. So
wishes are merged: one request covers all until a key frame comes. It is repeated while none comes, since
request or answer may be lost, and less and less often, since a publisher may also be unable.
"""

from typing import Final

MIN_INTERVAL: Final = 0.5
"""Seconds between two requests. Encoders make no key frames faster than about every 300 ms anyway."""

MAX_INTERVAL: Final = 4.0
"""Seconds between repetitions when nothing helps: the interval doubles until then."""


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

    def want(self, now: float) -> None:
        """Somebody needs a key frame that has not begun yet."""
        soonest = max(now, self._last + MIN_INTERVAL)
        if self._at is None:
            self._interval = MIN_INTERVAL
            self._asked = False
        self._at = soonest if self._at is None else min(self._at, soonest)

    def arrived(self) -> None:
        """A key frame began: everybody is served."""
        self._at = None

    @property
    def fresh(self) -> bool:
        """Whether what is wanted has not been asked for yet, so that the next request is no repetition."""
        return self._at is not None and not self._asked

    def next_timeout(self) -> float | None:
        """When to ask (again)."""
        return self._at

    def due(self, now: float) -> bool:
        """Whether to ask now. True counts as asked."""
        if self._at is None or now < self._at:
            return False
        self._asked = True
        self._last = now
        self._at = now + self._interval
        self._interval = min(2 * self._interval, MAX_INTERVAL)
        self.sent += 1
        return True
