"""When Redis does not do what it should: count it, say so once in a while, and wait for the next try."""

from collections import Counter
from collections.abc import Callable
from typing import Final

import trio

from sfu.shell.logs import get_logger

RETRY_MIN: Final = 0.1
RETRY_MAX: Final = 5.0
"""Seconds between two tries: doubled each time, and varied so that servers do not come all at once."""

REPORT_INTERVAL: Final = 60.0
"""Seconds between two lines of the log while Redis does not do what it should."""

log = get_logger(__name__)


class RedisHealth:
    """What is wrong with one Redis, and since when."""

    def __init__(self, redis: str, random: Callable[[int], bytes]) -> None:
        """`redis` is what the log calls it."""
        self.errors: Counter[str] = Counter()
        """Failures by kind."""
        self.failures = 0
        """Tries that failed since the last that did not."""
        self._redis = redis
        self._random = random
        self._since: float | None = None
        self._report_at: dict[str, float] = {}
        """When each kind that has come since then is worth a line again."""

    def report(self, kind: str, detail: str, waiting: int) -> None:
        """Count a failure, while `waiting` changes wait; log the first of its kind, and then one in a while."""
        self.errors[kind] += 1
        now = trio.current_time()
        if self._since is None:
            self._since = now
        if now >= self._report_at.get(kind, now):
            self._report_at[kind] = now + REPORT_INTERVAL
            log.warning(
                "session changes cannot be written to Redis",
                redis=self._redis,
                kind=kind,
                reason=detail,
                waiting=waiting,
                since_s=round(now - self._since, 1),
            )

    def end(self) -> None:
        """Take note that something was done that had failed before, if it had."""
        self.failures = 0
        if self._since is not None:
            away = round(trio.current_time() - self._since, 1)
            log.info("session changes are written to Redis again", redis=self._redis, away_s=away)
            self._since = None
            self._report_at.clear()

    def hurry(self) -> None:
        """Let the waits begin anew with the shortest: somebody has little time."""
        self.failures = min(self.failures, 1)

    def delay(self) -> float:
        """Return how long to wait for the next try: half to all of a time that doubles with each failure."""
        whole = min(RETRY_MAX, RETRY_MIN * (1 << min(self.failures, 10)))
        return whole * (0.5 + self._random(1)[0] / 512)
