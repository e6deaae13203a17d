"""What the scenarios with a real Redis share."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.log_capture import LogEntry, capture_logs
from support.redis import RedisServer, redis_server
from support.redis_backed_server import REFRESH

from sfu.shell.store import redis as redis_store
from sfu.shell.store import redis_health as redis_trouble
from sfu.state import backlog


@pytest.fixture
def short_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let servers look at Redis more often than in real life, so that tests need not wait."""
    monkeypatch.setattr(backlog, "REFRESH_INTERVAL", REFRESH)
    monkeypatch.setattr(redis_store, "HEARTBEAT", 0.05)
    monkeypatch.setattr(redis_trouble, "RETRY_MAX", 0.2)


@pytest.fixture
async def redis() -> AsyncIterator[RedisServer]:
    """Return a running redis-server."""
    # The names of Unix sockets may not be as long as those of pytest's folders.
    with tempfile.TemporaryDirectory(prefix="sfu-redis-") as folder:
        async with redis_server(Path(folder)) as server:
            yield server


@pytest.fixture
def log() -> Iterator[list[LogEntry]]:
    """Collect the log of all servers, in which nothing may be worse than a warning."""
    with capture_logs() as captured:
        yield captured
    assert [entry for entry in captured if entry["log_level"] in ("error", "critical")] == []
