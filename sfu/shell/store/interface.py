"""Where sessions are kept so that they outlive a connection, and with Redis the server.

Two stores do the same: `sfu.shell.store.redis.RedisStore`, and `sfu.shell.store.memory.MemoryStore` for a
server without Redis, whose sessions end with the process. docs/state.md is the operators' view.

A session is *held* by the server that has put it, recovered it or claimed it last. The others cannot write it.
"""

import os
import socket
from collections.abc import Callable
from typing import Protocol

from sfu.conference.records import SessionRecord
from sfu.shell.config.settings import Settings
from sfu.shell.store.memory import MemoryStore
from sfu.state.statistics import StoreStatistics

Recovered = Callable[[list[tuple[SessionRecord, float]]], None]
"""Is given the sessions of the server's last life, suspended, and the seconds for which each can be resumed."""

Lost = Callable[[str], None]
"""Is given the id of a session that another server holds from now on: its client is there."""

Step = Callable[[SessionRecord], SessionRecord | None]
"""Is given a session as it is stored; returns its successor, or None if the client did not prove it.

It may be called more than once, and has no effect of its own. Session, peer and room stay the same."""


class Store(Protocol):
    """Keeps sessions. Only `claim` and `flush` wait for anything."""

    @property
    def healthy(self) -> bool:
        """Whether changes are written as they come."""

    def put(self, record: SessionRecord, ttl: float) -> None:
        """Keep a session as it is now; the newest record wins.

        `ttl` is the grace period in seconds, and of a suspended session what is left of it. As long as a
        session is not suspended its lease is extended by the store.
        """

    def drop(self, session_id: str) -> None:
        """Forget a session that has ended. One that this server does not hold is no error."""

    async def claim(self, session_id: str, step: Step) -> SessionRecord | None:
        """Make a session of another server, or of an earlier life, this server's own; return its successor.

        None if there is no such session, if it is not proven, if others were faster again and again, or if
        this server holds it already: it may have come back while the caller waited, so look there again. Of
        several that claim a session at the same time one gets it. Where this server only believes to hold it,
        since another has claimed it meanwhile, `lost` is called first, and then it is claimed back.

        Who claims has to put or drop the session soon; what is forgotten runs out by itself.

        Raises:
            StoreUnavailable: nobody can tell, for a bounded time. Later the same may succeed.
        """

    async def flush(self) -> None:
        """Wait until everything is written. Without Redis that takes for ever, so the caller bounds it."""

    async def run(self, recovered: Recovered, lost: Lost) -> None:
        """Write what is put and dropped, until cancelled.

        `recovered` is called once, when the store first answers and before any claim is; `lost` whenever a
        session turns out to be another server's. Both must not raise.
        """

    def statistics(self) -> StoreStatistics:
        """Return the counts so far."""


def open_store(settings: Settings) -> Store:
    """Return the store that the settings ask for; `Store.run` is its life."""
    server_id = settings.server_id or f"{socket.gethostname()}/{settings.http_addr}"
    address = settings.redis_address
    if address is None:
        return MemoryStore(server_id)
    # Imported here, so that a server without Redis does without asyncio.
    from sfu.shell.store.redis import RedisStore

    return RedisStore(
        address, server_id, os.urandom, prefix=settings.redis_prefix, room_ttl=settings.room_ttl_sec
    )
