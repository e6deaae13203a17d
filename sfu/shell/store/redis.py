"""Sessions in Redis: the task that talks to Redis, and the claims that wait for it.

    put, drop ──> Backlog ────────┐
                                  ├─> one batch of commands ──> Redis ──> replies: done, lost, or due again
    claim ──> requests of claims ─┘

One task does everything in turn. So nothing needs a lock, no claim comes before the recovery, and changes that
come while a batch is on its way become part of the next one. The first connection recovers the sessions that
this server held before its restart. Each later connection writes all sessions again, since Redis may have been
restarted empty.

When a connection fails, it is unknown which of the last commands Redis executed. The server sends them again,
which does no harm: a script only checks which instance holds the session, and that is still this one.
"""

import math
from collections.abc import Callable
from typing import Any, Final

import trio

from sfu.conference.records import SessionRecord
from sfu.histogram import Histogram
from sfu.shell.config.redis_url import RedisAddress
from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS, Timeouts
from sfu.shell.logs import get_logger
from sfu.shell.store.interface import OnLost, OnRecovered, ResumeRecord
from sfu.shell.store.redis_claims import MAX_REQUESTS, ClaimRequest, SessionClaims
from sfu.shell.store.redis_connection import (
    MAX_BATCH,
    ErrorReply,
    RedisConnection,
    RedisConnectionFailed,
    connect,
    expect,
)
from sfu.shell.store.redis_health import RedisHealth
from sfu.shell.store.redis_recovery import recover_sessions
from sfu.shell.store.redis_values import ValueReader
from sfu.state.backlog import Action, Backlog, Change, Outcome
from sfu.state.codec import Stored
from sfu.state.keys import KeyNames, is_session_id
from sfu.state.scripts import ABSENT, DONE, HELD_BY_ANOTHER, Command, Commands
from sfu.state.statistics import LATENCY_BOUNDS, RECOVERY_BOUNDS, StoreStatistics, StoreUnavailable

MAX_SESSIONS: Final = 200_000
"""Most sessions in the backlog: far more than a server has peers, and some 200 MB of memory."""

_OUTCOMES: Final = {DONE: Outcome.DONE, HELD_BY_ANOTHER: Outcome.LOST, ABSENT: Outcome.ABSENT}

log = get_logger(__name__)


class RedisStore:
    """See `sfu.shell.store.interface.Store`."""

    def __init__(
        self,
        address: RedisAddress,
        server_id: str,
        random: Callable[[int], bytes],
        *,
        prefix: str = "",
        room_ttl: float = 0.0,
        max_sessions: int = MAX_SESSIONS,
        max_requests: int = MAX_REQUESTS,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
    ) -> None:
        """`server_id` stays the same across restarts. `room_ttl`: seconds that an empty room's metadata is
        kept.

        `max_sessions` and `max_requests` bound the backlog and the requests of claims that wait.
        """
        self._address = address
        self._room_ttl = room_ttl
        self._timeouts = timeouts
        self._backlog = Backlog(max_sessions, timeouts.lease_refresh)
        self._commands = Commands(KeyNames(prefix), server_id, random(8).hex())
        self._health = RedisHealth(str(address), random, timeouts)
        self._reader = ValueReader()
        self._claims = SessionClaims(
            self._commands,
            self._backlog,
            self._reader,
            self._health.errors,
            wake=self._wake,
            lose=self._lose,
            max_requests=max_requests,
        )
        self._work = trio.Event()
        """Set when there may be something to send."""
        self._batch_done = trio.Event()
        """Set when a batch has been answered."""
        self._recovered = trio.Event()
        self._connected = False
        self._flushing = 0
        """Calls of `flush` that wait."""
        self._gather_until = 0.0
        """When changes have waited long enough for others."""
        self._tidy_at = 0.0
        self._retry_wait = trio.CancelScope()
        """Around the wait for the next connection."""
        self._retry_at = 0.0
        """No change is sent before this time, because Redis has refused the last ones."""
        self._on_lost: OnLost | None = None
        self._lost = 0
        self._latency = Histogram(LATENCY_BOUNDS)
        self._recovery = Histogram(RECOVERY_BOUNDS)

    # --- for the server ---

    def put(self, record: SessionRecord, ttl: float) -> None:
        """See `sfu.shell.store.interface.Store.put`."""
        self._gather()
        self._backlog.put(record, ttl, trio.current_time())

    def drop(self, session_id: str) -> None:
        """See `sfu.shell.store.interface.Store.drop`."""
        self._gather()
        self._backlog.drop(session_id)

    def _gather(self) -> None:
        """Begin to gather changes, if this is the first one, and wake the other task."""
        if not self._backlog:
            self._gather_until = trio.current_time() + self._timeouts.redis_gather
            self._wake()

    def _wake(self) -> None:
        """Wake the task that talks to Redis."""
        self._work.set()

    async def claim(self, session_id: str, resume: ResumeRecord) -> SessionRecord | None:
        """See `sfu.shell.store.interface.Store.claim`."""
        if not is_session_id(session_id):
            return None
        with trio.move_on_after(self._timeouts.redis_claim):
            await self._recovered.wait()
            return await self._claims.claim(session_id, resume)
        raise StoreUnavailable("Redis did not answer in time")

    async def flush(self) -> None:
        """See `sfu.shell.store.interface.Store.flush`."""
        self._flushing += 1
        self._health.retry_soon()
        self._retry_at = 0.0
        self._retry_wait.cancel("a flush has little time")
        self._wake()
        try:
            while self._backlog:
                await self._batch_done.wait()
        finally:
            self._flushing -= 1

    @property
    def healthy(self) -> bool:
        """See `sfu.shell.store.interface.Store.healthy`."""
        return self._connected and not self._health.failures

    def statistics(self) -> StoreStatistics:
        """See `sfu.shell.store.interface.Store.statistics`."""
        return StoreStatistics(
            healthy=self.healthy,
            sessions=self._backlog.sessions,
            backlog=len(self._backlog),
            refused=self._backlog.refused,
            lost=self._lost,
            unreadable=dict(self._reader.unreadable),
            errors=dict(self._health.errors),
            latency=self._latency.statistics(),
            recovery=self._recovery.statistics(),
        )

    # --- the task that talks to Redis ---

    async def run(self, on_recovered: OnRecovered, on_lost: OnLost) -> None:
        """See `sfu.shell.store.interface.Store.run`."""
        self._on_lost = on_lost
        while True:
            try:
                async with connect(self._address, self._timeouts) as connection:
                    await self._serve(connection, on_recovered)
            except RedisConnectionFailed as failure:
                self._health.failures += 1
                self._health.report(failure.kind, failure.detail, len(self._backlog))
            self._connected = False
            with trio.move_on_after(self._health.delay()) as self._retry_wait:
                await trio.sleep_forever()

    async def _serve(self, connection: RedisConnection, on_recovered: OnRecovered) -> None:
        """Use a connection until it fails."""
        digests = await connection.ask(self._commands.load())
        self._commands.loaded([expect(digest, bytes) for digest in digests])
        if self._recovered.is_set():
            self._backlog.write_all_again()
        else:
            on_recovered(await self._recover(connection))
            self._recovered.set()
        self._connected = True
        self._retry_at = 0.0
        while True:
            requests, changes = await self._next_batch()
            self._finish(await self._send(connection, requests, changes))

    async def _recover(self, connection: RedisConnection) -> list[tuple[SessionRecord, float]]:
        """Take back the sessions that this server held before its restart."""
        begin = trio.current_time()
        sessions = []
        for found, ttl in await recover_sessions(connection, self._commands, self._reader, self._backlog):
            self._backlog.hold(found.record, found.grace, ttl, found.unknown, trio.current_time())
            sessions.append((found.record, ttl))
        took = (trio.current_time() - begin) * 1000
        self._recovery.observe(took)
        log.info("state recovered", redis=str(self._address), sessions=len(sessions), ms=round(took, 1))
        return sessions

    async def _next_batch(self) -> tuple[list[ClaimRequest], list[Change]]:
        """Wait until there is something to send; return it. Returns nothing when a heartbeat is due."""
        heartbeat = trio.current_time() + self._timeouts.redis_heartbeat
        while not self._claims:
            time = min(self._due_at(), heartbeat)
            if time <= trio.current_time():
                break
            self._work = trio.Event()
            with trio.move_on_at(time):
                await self._work.wait()
        requests = self._claims.take(MAX_BATCH)
        now = trio.current_time()
        return requests, self._backlog.take(MAX_BATCH, now) if self._due_at() <= now else []

    def _due_at(self) -> float:
        """Return when to send changes."""
        due = self._backlog.next_refresh()
        if self._backlog:
            due = min(due, -math.inf if self._flushing else self._gather_until)
        return max(due, self._retry_at)

    async def _send(
        self, connection: RedisConnection, requests: list[ClaimRequest], changes: list[Change]
    ) -> list[tuple[Change, Outcome]]:
        """Send a batch; answer the requests, and return the outcome of each change."""
        commands = [command for request in requests for command in request.commands]
        commands += [self._command(change) for change in changes]
        begin = trio.current_time()
        try:
            replies = await connection.ask(commands or [("PING",)])
            self._latency.observe((trio.current_time() - begin) * 1000)
            rest = iter(replies)
            for request in requests:
                request.replies = [next(rest) for _ in request.commands]
        except RedisConnectionFailed:
            for change in changes:
                self._backlog.finish(change, Outcome.FAILED, trio.current_time())
            raise
        finally:
            for request in requests:
                request.answered.set()
        return [(change, self._outcome(reply)) for change, reply in zip(changes, rest, strict=False)]

    def _command(self, change: Change) -> Command:
        stored = Stored(
            change.record, self._commands.owner, self._commands.instance, change.grace, change.unknown
        )
        match change.action:
            case Action.SAVE:
                return self._commands.save(stored, change.ttl)
            case Action.REFRESH:
                return self._commands.refresh(stored, change.ttl)
            case Action.DROP:
                return self._commands.drop(stored, self._room_ttl)

    def _outcome(self, reply: Any) -> Outcome:
        if isinstance(reply, ErrorReply):
            self._health.report(reply.kind, reply.detail, len(self._backlog))
            return Outcome.FAILED
        outcome = _OUTCOMES.get(expect(reply, int))
        if outcome is None:
            raise RedisConnectionFailed("protocol", f"{reply} is no answer of a script")
        return outcome

    def _finish(self, outcomes: list[tuple[Change, Outcome]]) -> None:
        """Take the outcomes of a batch."""
        now = trio.current_time()
        lost = [change.session_id for change, outcome in outcomes if self._backlog.finish(change, outcome, now)]
        if any(outcome is Outcome.FAILED for _, outcome in outcomes):
            self._health.failures += 1
            self._retry_at = now + self._health.delay()
        elif outcomes or not self._backlog:
            self._health.recover()
        self._batch_done.set()
        self._batch_done = trio.Event()
        if now >= self._tidy_at:
            self._backlog.tidy(now)
            self._tidy_at = now + self._timeouts.lease_refresh
        for session_id in lost:
            self._report_lost(session_id)

    # --- sessions that another server has claimed ---

    def _lose(self, session_id: str) -> None:
        if self._backlog.lose(session_id):
            self._report_lost(session_id)

    def _report_lost(self, session_id: str) -> None:
        self._lost += 1
        log.info("session claimed by another server", session=session_id)
        if self._on_lost is not None:
            self._on_lost(session_id)
