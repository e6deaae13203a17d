"""A `RedisStore` over a real Redis, without a server around it."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
from support.log_capture import LogEntry
from support.records import record
from support.redis import RedisServer
from support.waiting import PATIENCE

from sfu.conference.records import SessionRecord
from sfu.shell.config.redis_url import RedisAddress
from sfu.shell.store.redis import RedisStore

GRACE = 20.0
"""Grace period of sessions in seconds."""


@asynccontextmanager
async def running_store(
    address: RedisAddress, server_id: str = "a", lost: list[str] | None = None, **options: Any
) -> AsyncIterator[RedisStore]:
    """Run a store for the block, which begins before Redis has answered. `lost` collects the lost sessions."""
    store = RedisStore(address, server_id, os.urandom, **options)

    def on_recovered(sessions: list[tuple[SessionRecord, float]]) -> None:
        for session, ttl in sessions:
            store.put(session, ttl)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.run, on_recovered, ([] if lost is None else lost).append)
        yield store
        nursery.cancel_scope.cancel("the test is over")


async def written(store: RedisStore) -> None:
    """Wait until everything is in Redis."""
    with trio.fail_after(PATIENCE):
        await store.flush()


def warnings(log: list[LogEntry]) -> list[str]:
    """Return the kinds of the warnings about Redis."""
    return [line["kind"] for line in log if line["log_level"] == "warning"]


def stored(redis: RedisServer, number: int) -> Any:
    """Return the content of a session's key."""
    value: Any = redis.client.get(f"session:{record(number).session_id}")
    return json.loads(value) if value else None
