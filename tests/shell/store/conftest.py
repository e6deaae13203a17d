"""What the tests of the store share."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.log_capture import LogEntry, capture_logs
from support.redis import RedisServer, redis_server


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """Return a running redis-server."""
    async with redis_server(tmp_path) as server:
        yield server


@pytest.fixture
def log() -> Iterator[list[LogEntry]]:
    """Collect the log."""
    with capture_logs() as captured:
        yield captured
