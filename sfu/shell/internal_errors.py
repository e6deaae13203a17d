"""Failures that are faults of this program: counted, and logged with their stack."""

from collections import Counter
from typing import Final

import trio

from sfu.shell.backoff import ReportTimes
from sfu.shell.logs import get_logger

LOG_INTERVAL: Final = 60.0
"""Seconds between two stacks of one kind in the log. A fault on the packet path may show with every packet."""

log = get_logger(__name__)


class InternalErrors:
    """Notes each failure that was contained: the server goes on after it."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        """Failures by where they happened, as in the metric ``sfu_internal_errors_total``."""
        self._report_times = ReportTimes(LOG_INTERVAL)

    def note(self, where: str, error: BaseException) -> None:
        """Count a failure that belongs to no peer. Log it, unless one of its kind was logged just now."""
        self.counts[where] += 1
        if self._report_times.is_due(f"{where} {type(error).__name__}", trio.current_time()):
            log.error("internal error", where=where, exc_info=error)

    def note_peer(self, peer: str, room: str, error: BaseException) -> None:
        """Count and log a failure that ends a peer."""
        self.counts["peer"] += 1
        log.error("peer failed", peer=peer, room=room, exc_info=error)
