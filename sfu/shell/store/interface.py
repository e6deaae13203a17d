"""The store: where sessions are kept, so that they outlive a connection and, with Redis, the server process.

`sfu.shell.store.redis.RedisStore` keeps them in Redis. `sfu.shell.store.memory.MemoryStore` keeps them in the
process and loses them when it ends. docs/state.md explains the store to operators.

A server *holds* the sessions that it was the last to put, recover or claim. Other servers cannot write them.
"""

from collections.abc import Callable
from typing import Final, Protocol

from sfu.conference.records import SessionRecord
from sfu.state.statistics import StoreStatistics

CLAIM_ATTEMPTS: Final = 5
"""How many races a claim may lose before it gives up. A client that comes twice causes one; more are
unlikely."""

OnRecovered = Callable[[list[tuple[SessionRecord, float]]], None]
"""Takes the sessions that this server held before its restart, suspended, and the seconds left to resume
each."""

OnLost = Callable[[str], None]
"""Takes the id of a session that another server holds from now on: the client has gone there."""

ResumeRecord = Callable[[SessionRecord], SessionRecord | None]
"""Takes a session as it is stored; returns the resumed session, or None if the client did not prove it.

It may be called more than once and must not have side effects. Session id, peer and room stay the same."""


class Store(Protocol):
    """Keeps sessions. Only `claim` and `flush` wait for anything."""

    @property
    def healthy(self) -> bool:
        """Whether changes are written as they come."""

    def put(self, record: SessionRecord, ttl: float) -> None:
        """Keep a session as it is now. The newest record wins.

        `ttl` is the grace period in seconds; for a suspended session it is the rest of that. While a session is
        not suspended, the store extends its lease.
        """

    def drop(self, session_id: str) -> None:
        """Remove a session that has ended. Does nothing if this server does not hold it."""

    async def claim(self, session_id: str, resume: ResumeRecord) -> SessionRecord | None:
        """Take a session over from another server, or from before a restart; return it as `resume` made it.

        Returns None if there is no such session, if `resume` returned None, if `CLAIM_ATTEMPTS` races were
        lost, or if this server holds the session already. In the last case it may have come back while the
        caller waited, so look again. If several claim a session at the same time, one gets it.

        Another server may have claimed a session that this one still believes to hold. Then `on_lost` is called
        first, and the session is claimed back.

        Put or drop a claimed session soon; otherwise it expires.

        Raises:
            StoreUnavailable: the store did not answer in time, so whether the session exists is unknown. The
                same claim may succeed later.
        """

    async def flush(self) -> None:
        """Wait until everything is written. This never ends while Redis is away, so the caller sets a limit."""

    async def run(self, on_recovered: OnRecovered, on_lost: OnLost) -> None:
        """Write what is put and dropped, until cancelled.

        `on_recovered` is called once, when the store first answers and before the first claim. `on_lost` is
        called whenever another server turns out to hold a session. Neither may raise.
        """

    def statistics(self) -> StoreStatistics:
        """Return the counts so far."""
