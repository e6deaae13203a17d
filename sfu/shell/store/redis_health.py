"""What to do while Redis fails: count the failures, log them once in a while, and delay the next try."""

from collections import Counter
from collections.abc import Callable

import trio

from sfu.shell.backoff import ReportTimes, retry_delay
from sfu.shell.config.timeouts import Timeouts
from sfu.shell.logs import get_logger

log = get_logger(__name__)


class RedisHealth:
    """The failures of one Redis."""

    def __init__(self, redis: str, random: Callable[[int], bytes], timeouts: Timeouts) -> None:
        """`redis` is its address as the log shows it."""
        self.errors: Counter[str] = Counter()
        """All failures by kind."""
        self.failures = 0
        """Failed tries since the last successful one."""
        self._redis = redis
        self._random = random
        self._timeouts = timeouts
        self._since: float | None = None
        """When the present trouble began; None if there is none."""
        self._reports = ReportTimes(timeouts.report_interval)

    def report(self, kind: str, detail: str, waiting: int) -> None:
        """Count a failure, and log it if that is due. `waiting` is the number of changes that wait."""
        self.errors[kind] += 1
        now = trio.current_time()
        if self._since is None:
            self._since = now
        if self._reports.is_due(kind, now):
            log.warning(
                "session changes cannot be written to Redis",
                redis=self._redis,
                kind=kind,
                reason=detail,
                waiting=waiting,
                since_s=round(now - self._since, 1),
            )

    def recover(self) -> None:
        """Take note that Redis works; log it if it did not before."""
        self.failures = 0
        if self._since is not None:
            away = round(trio.current_time() - self._since, 1)
            log.info("session changes are written to Redis again", redis=self._redis, away_s=away)
            self._since = None
            self._reports.clear()

    def retry_soon(self) -> None:
        """Let the delays start again with the shortest."""
        self.failures = min(self.failures, 1)

    def delay(self) -> float:
        """Return the seconds to wait before the next try."""
        times = self._timeouts
        return retry_delay(self.failures, times.redis_retry_min, times.redis_retry_max, self._random)
