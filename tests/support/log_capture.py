"""The server's log in a test: each event as a dictionary, and nothing is printed."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sfu.shell.logs import FIELDS

LogEntry = dict[str, Any]
"""The fields of an event; ``event`` is what happened, ``log_level`` is ``debug``, ``info``, ``warning``, …"""


class _Collector(logging.Handler):
    """Keeps the events of our own modules."""

    def __init__(self, entries: list[LogEntry]) -> None:
        super().__init__()
        self._entries = entries

    def emit(self, record: logging.LogRecord) -> None:
        fields = getattr(record, FIELDS)
        entry = {**fields, "event": record.msg, "log_level": record.levelname.lower()}
        if record.exc_info:
            entry["exc_info"] = record.exc_info[1]
        self._entries.append(entry)


@contextmanager
def capture_logs() -> Iterator[list[LogEntry]]:
    """Collect the log of the block, of all levels."""
    ours = logging.getLogger("sfu")
    before = ours.handlers[:], ours.level, ours.propagate
    entries: list[LogEntry] = []
    ours.handlers[:], ours.propagate = [_Collector(entries)], False
    ours.setLevel(logging.DEBUG)
    try:
        yield entries
    finally:
        ours.handlers[:], ours.propagate = before[0], before[2]
        ours.setLevel(before[1])
