"""What the scenarios with a real Redis share."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.log_capture import LogEntry, capture_logs
from support.redis import RedisServer, redis_server


@pytest.fixture
async def redis() -> AsyncIterator[RedisServer]:
    """Return a running redis-server."""
    # The names of Unix sockets may not be as long as those of pytest's folders.
    with tempfile.TemporaryDirectory(prefix="sfu-redis-") as folder:
        async with redis_server(Path(folder)) as server:
            yield server


@pytest.fixture
def log() -> Iterator[list[LogEntry]]:
    """Collect the log of all servers; in it nothing may be worse than a warning."""
    with capture_logs() as captured:
        yield captured
    assert [entry for entry in captured if entry["log_level"] in ("error", "critical")] == []
