"""Sessions in the memory of the process: the store of a server without Redis.

Tests of several servers let them share one memory. A value is written at once, so there is no backlog. Leases
and holders work as in Redis.
"""

import math
from collections import deque
from dataclasses import dataclass, replace

import trio

from sfu.conference.records import SessionRecord
from sfu.histogram import Histogram
from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS, Timeouts
from sfu.shell.store.interface import CLAIM_ATTEMPTS, OnLost, OnRecovered, ResumeRecord
from sfu.state.backlog import CLAIM_LEASE
from sfu.state.statistics import LATENCY_BOUNDS, RECOVERY_BOUNDS, StoreStatistics


@dataclass(frozen=True, slots=True)
class _Kept:
    record: SessionRecord
    grace: float
    expires: float
    owner: str
    instance: object
    """The store that holds it and may write it."""
    leased: bool
    """Whether the lease is extended: a client is connected."""


class Memory:
    """The sessions of one or more stores; several stores share one as servers share a Redis."""

    def __init__(self) -> None:
        self.sessions: dict[str, _Kept] = {}

    def find(self, session_id: str) -> _Kept | None:
        """Return a session, if it has not expired."""
        kept = self.sessions.get(session_id)
        return kept if kept is not None and kept.expires > trio.current_time() else None

    def purge(self) -> None:
        """Remove the expired sessions."""
        now = trio.current_time()
        for session_id in [name for name, kept in self.sessions.items() if kept.expires <= now]:
            del self.sessions[session_id]


class MemoryStore:
    """See `sfu.shell.store.interface.Store`."""

    healthy = True

    def __init__(
        self, server_id: str, memory: Memory | None = None, timeouts: Timeouts = DEFAULT_TIMEOUTS
    ) -> None:
        """`server_id` stays the same across restarts. Only a `memory` that is passed in survives a restart."""
        self._server_id = server_id
        self._lease_refresh = timeouts.lease_refresh
        self._memory = memory or Memory()
        self._held: set[str] = set()
        self._lost: deque[str] = deque()
        self._lost_count = 0
        self._on_lost: OnLost | None = None
        self._wake = trio.Event()

    def put(self, record: SessionRecord, ttl: float) -> None:
        """See `sfu.shell.store.interface.Store.put`."""
        session_id = record.session_id
        old = self._memory.find(session_id)
        if old is not None and old.instance is not self:
            self._lose(session_id)
            return
        self._held.add(session_id)
        if record.suspended:
            self._keep(record, old.grace if old else ttl, ttl)
        else:
            self._lease(record, ttl)

    def drop(self, session_id: str) -> None:
        """See `sfu.shell.store.interface.Store.drop`."""
        self._held.discard(session_id)
        kept = self._memory.sessions.get(session_id)
        if kept is not None and kept.instance is self:
            del self._memory.sessions[session_id]

    async def claim(self, session_id: str, resume: ResumeRecord) -> SessionRecord | None:
        """See `sfu.shell.store.interface.Store.claim`."""
        for _ in range(CLAIM_ATTEMPTS):
            await trio.lowlevel.checkpoint()
            found = self._memory.find(session_id)
            if found is None:
                return None
            if session_id in self._held:
                if found.instance is self:
                    return None
                # The client has been at another server, which this one has not noticed yet.
                self._held.remove(session_id)
                self._lost_count += 1
                if self._on_lost is not None:
                    self._on_lost(session_id)
            resumed = resume(found.record)
            if resumed is None:
                return None
            # As with Redis, another claim may come between reading and writing.
            await trio.lowlevel.checkpoint()
            if self._memory.find(session_id) is found:
                self._held.add(session_id)
                self._keep(resumed, found.grace, max(found.grace, CLAIM_LEASE))
                return resumed
        return None

    async def flush(self) -> None:
        """See `sfu.shell.store.interface.Store.flush`."""
        await trio.lowlevel.checkpoint()

    async def run(self, on_recovered: OnRecovered, on_lost: OnLost) -> None:
        """See `sfu.shell.store.interface.Store.run`."""
        self._on_lost = on_lost
        on_recovered(self._recover())
        while True:
            while self._lost:
                on_lost(self._lost.popleft())
            self._wake = trio.Event()
            with trio.move_on_after(self._lease_refresh if self._held else math.inf):
                await self._wake.wait()
            self._refresh()

    def statistics(self) -> StoreStatistics:
        """See `sfu.shell.store.interface.Store.statistics`."""
        return StoreStatistics(
            healthy=True,
            sessions=len(self._held),
            backlog=0,
            refused=0,
            lost=self._lost_count,
            unreadable={},
            errors={},
            latency=Histogram(LATENCY_BOUNDS).statistics(),
            recovery=Histogram(RECOVERY_BOUNDS).statistics(),
        )

    def _lease(self, record: SessionRecord, grace: float) -> None:
        self._keep(record, grace, grace + 2 * self._lease_refresh, leased=True)

    def _keep(self, record: SessionRecord, grace: float, ttl: float, *, leased: bool = False) -> None:
        if len(self._held) == 1:
            self._wake.set()  # from now on there is a lease to extend
        expires = trio.current_time() + ttl
        self._memory.sessions[record.session_id] = _Kept(record, grace, expires, self._server_id, self, leased)

    def _lose(self, session_id: str) -> None:
        if session_id in self._held:
            self._held.remove(session_id)
            self._lost_count += 1
            self._lost.append(session_id)
            self._wake.set()

    def _recover(self) -> list[tuple[SessionRecord, float]]:
        now = trio.current_time()
        sessions = []
        for session_id, kept in tuple(self._memory.sessions.items()):
            ttl = min(kept.expires - now, kept.grace)
            if kept.owner == self._server_id and kept.instance is not self and ttl > 0:
                record = replace(kept.record, suspended=True)
                self._held.add(session_id)
                self._keep(record, kept.grace, ttl)
                sessions.append((record, ttl))
        return sessions

    def _refresh(self) -> None:
        self._memory.purge()
        for session_id in tuple(self._held):
            kept = self._memory.find(session_id)
            if kept is None:
                self._held.remove(session_id)  # it has expired
            elif kept.instance is not self:
                self._lose(session_id)
            elif kept.leased:
                self._lease(kept.record, kept.grace)
