"""When to ask a publisher for a key frame: many subscribers ask the server, and it asks the publisher once.

A subscriber may need a key frame at any time, and each key frame is a burst for the publisher and for all other
subscribers. So requests are merged: one covers all until a key frame comes. It is sent again while none comes,
since request or answer may be lost, but at growing intervals, since a publisher may also be unable to answer.

Each outgoing stream has a budget besides, since a receiver may go on requesting although key frames come:
because it is broken, or to make the publisher and all other receivers pay.
"""

from typing import Final

MIN_INTERVAL: Final = 0.5
"""Seconds between two requests. Encoders make at most one key frame in about 300 ms."""

MAX_INTERVAL: Final = 4.0
"""Most seconds between two requests that remain unanswered: the interval doubles until then."""

BUDGET: Final = 5
"""Requests of one receiver that may follow each other at `MIN_INTERVAL`. A receiver whose picture key frames
repair needs one or two."""

SLOWEST: Final = 10.0
"""Most seconds between two requests of a receiver that are passed on: beyond `BUDGET` the interval doubles."""

CURED: Final = 3.0
"""Seconds without a request after which the last key frame has evidently helped: the receiver has lost packets
again. It gets one request back, so that steady loss alone slows nobody down."""

QUIET: Final = 10.0
"""Seconds without a request after which a receiver has its whole budget again."""


class KeyFrameBudget:
    """Which requests of one receiver for one outgoing stream are passed on."""

    __slots__ = ("_asked_at", "_interval", "_left", "_passed_at")

    def __init__(self) -> None:
        self._left = BUDGET
        self._interval = MIN_INTERVAL
        self._passed_at = self._asked_at = float("-inf")

    def take(self, now: float) -> bool:
        """Return whether a request at `now` (seconds) is passed on, and count it.

        Several within `MIN_INTERVAL` count as one, since `KeyFrameRequests` merges them.
        """
        if now >= self._asked_at + CURED:
            self._left = BUDGET if now >= self._asked_at + QUIET else min(self._left + 1, BUDGET)
            self._interval = MIN_INTERVAL
        self._asked_at = now
        if self._left and now < self._passed_at + MIN_INTERVAL:
            return True
        if now < self._passed_at + self._interval:
            return False
        self._passed_at = now
        if self._left:
            self._left -= 1
        if not self._left:
            self._interval = min(2 * self._interval, SLOWEST)
        return True


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
