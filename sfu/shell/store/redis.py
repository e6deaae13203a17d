"""Sessions in Redis: the task that owns the connection, and claims that wait for it.

    put, drop ──> Backlog ──┐
                            ├─> one batch of commands ──> Redis ──> replies: settled, lost, or due again
    claim ──> questions ────┘

One task does everything in turn. So there is nothing to lock, a claim never overtakes the recovery, and
changes that come while a batch is out become part of the next. The first connection brings back the sessions
of this server's last life; each later one writes everything anew, since the Redis behind it may have been
restarted empty.

When a connection fails nobody knows what was done of what was sent last. Writing twice does no harm: a script
only asks who holds the session, and that is still this server.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import trio

from sfu.conference.records import SessionRecord
from sfu.histogram import Histogram
from sfu.shell.config.redis_url import RedisAddress
from sfu.shell.logs import get_logger
from sfu.shell.store.redis_claims import Question, SessionClaims
from sfu.shell.store.redis_health import RedisHealth
from sfu.shell.store.redis_link import ErrorReply, Link, LinkFailed, converse, expect
from sfu.shell.store.redis_recovery import adopt
from sfu.state.backlog import REFRESH_INTERVAL, Action, Backlog, Change, Outcome
from sfu.state.codec import Stored
from sfu.state.keys import Keys
from sfu.state.scripts import ABSENT, DONE, HELD_BY_ANOTHER, Command, Commands
from sfu.state.session_id import is_session_id
from sfu.state.statistics import LATENCY_BOUNDS, RECOVERY_BOUNDS, StoreStatistics, StoreUnavailable

MAX_SESSIONS: Final = 200_000
"""Sessions that are kept track of; far more than a server has peers, and some 200 MB of memory."""

BATCH: Final = 50
"""Changes that are sent together: 3 ms of this process's time, since packets wait meanwhile."""

GATHER: Final = 0.01
"""Seconds that a change waits for others: joining makes several within a moment."""

HEARTBEAT: Final = 2.0
"""Seconds of silence after which Redis is asked whether it is there."""

CLAIM_TIMEOUT: Final = 2.0
"""Seconds for a claim: two round trips and the one that is out, at half a second each, and a little."""

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
    ) -> None:
        """`server_id` stays the same across restarts; `room_ttl` is how long empty rooms are remembered (s)."""
        self._address = address
        self._room_ttl = room_ttl
        self._backlog = Backlog(max_sessions)
        self._commands = Commands(Keys(prefix), server_id, random(8).hex())
        self._wake = trio.Event()
        self._settled = trio.Event()
        self._recovered = trio.Event()
        self._connected = False
        self._flushing = 0
        self._gather_until = 0.0
        """When changes have waited long enough for others."""
        self._tidy_at = 0.0
        self._trouble = RedisHealth(str(address), random)
        self._claims = SessionClaims(
            self._commands,
            self._backlog,
            self._trouble.errors,
            wake=lambda: self._wake.set(),
            lose=self._lose,
        )
        self._rest = trio.CancelScope()
        """Holds the wait for the next connection."""
        self._pause_until = 0.0
        """No change is sent before, since the last ones were refused."""
        self._tell_lost: Callable[[str], None] = lambda session_id: None
        self._lost = 0
        self._latency = Histogram(LATENCY_BOUNDS)
        self._recovery = Histogram(RECOVERY_BOUNDS)

    # --- for everybody ---

    def put(self, record: SessionRecord, ttl: float) -> None:
        """See `sfu.shell.store.interface.Store.put`."""
        self._gather()
        self._backlog.put(record, ttl, trio.current_time())

    def drop(self, session_id: str) -> None:
        """See `sfu.shell.store.interface.Store.drop`."""
        self._gather()
        self._backlog.drop(session_id)

    def _gather(self) -> None:
        """Let the first of some changes wake the task a moment later."""
        if not self._backlog:
            self._gather_until = trio.current_time() + GATHER
            self._wake.set()

    async def claim(
        self, session_id: str, step: Callable[[SessionRecord], SessionRecord | None]
    ) -> SessionRecord | None:
        """See `sfu.shell.store.interface.Store.claim`."""
        if not is_session_id(session_id):
            return None
        with trio.move_on_after(CLAIM_TIMEOUT):
            await self._recovered.wait()
            return await self._claims.claim(session_id, step)
        raise StoreUnavailable("Redis did not answer in time")

    async def flush(self) -> None:
        """See `sfu.shell.store.interface.Store.flush`."""
        self._flushing += 1
        self._trouble.hurry()
        self._pause_until = 0.0
        self._rest.cancel("whoever flushes has little time")
        self._wake.set()
        try:
            while self._backlog:
                await self._settled.wait()
        finally:
            self._flushing -= 1

    @property
    def healthy(self) -> bool:
        """See `sfu.shell.store.interface.Store.healthy`."""
        return self._connected and not self._trouble.failures

    def statistics(self) -> StoreStatistics:
        """See `sfu.shell.store.interface.Store.statistics`."""
        return StoreStatistics(
            healthy=self.healthy,
            sessions=self._backlog.sessions,
            backlog=len(self._backlog),
            refused=self._backlog.refused,
            lost=self._lost,
            unreadable=dict(self._claims.unreadable),
            errors=dict(self._trouble.errors),
            latency=self._latency.statistics(),
            recovery=self._recovery.statistics(),
        )

    # --- the task that owns Redis ---

    async def run(
        self,
        recovered: Callable[[list[tuple[SessionRecord, float]]], None],
        lost: Callable[[str], None],
    ) -> None:
        """See `sfu.shell.store.interface.Store.run`."""
        self._tell_lost = lost
        while True:
            try:
                await converse(self._address, partial(self._serve, recovered))
            except LinkFailed as failure:
                self._trouble.failures += 1
                self._trouble.report(failure.kind, failure.detail, len(self._backlog))
            self._connected = False
            with trio.move_on_after(self._trouble.delay()) as self._rest:
                await trio.sleep_forever()

    async def _serve(
        self,
        recovered: Callable[[list[tuple[SessionRecord, float]]], None],
        link: Link,
    ) -> None:
        """Use a connection until it fails."""
        digests = await link.ask(self._commands.load())
        self._commands.loaded([expect(digest, bytes) for digest in digests])
        if self._recovered.is_set():
            self._backlog.renew()
        else:
            recovered(await self._recover(link))
            self._recovered.set()
        self._connected = True
        self._pause_until = 0.0
        while True:
            questions, changes = await self._work()
            outcomes = await self._send(link, questions, changes)
            for session_id in self._settle(outcomes):
                self._note_loss(session_id)

    def _lose(self, session_id: str) -> None:
        if self._backlog.lose(session_id):
            self._note_loss(session_id)

    def _note_loss(self, session_id: str) -> None:
        self._lost += 1
        log.info("session claimed by another server", session=session_id)
        self._tell_lost(session_id)

    async def _work(self) -> tuple[list[Question], list[Change]]:
        """Wait until there is something to do; return what. Nothing at all is a reason for a heartbeat."""
        heartbeat = trio.current_time() + HEARTBEAT
        while not self._claims:
            time = min(self._due_at(), heartbeat)
            if time <= trio.current_time():
                break
            self._wake = trio.Event()
            with trio.move_on_at(time):
                await self._wake.wait()
        questions = self._claims.take(BATCH)
        now = trio.current_time()
        return questions, self._backlog.take(BATCH, now) if self._due_at() <= now else []

    def _due_at(self) -> float:
        """Return when changes should be sent."""
        due = self._backlog.next_refresh()
        if self._backlog:
            due = min(due, -math.inf if self._flushing else self._gather_until)
        return max(due, self._pause_until)

    async def _send(
        self, link: Link, questions: list[Question], changes: list[Change]
    ) -> list[tuple[Change, Outcome]]:
        """Send what there is together; answer the questions, and return what became of the changes."""
        commands = [command for question in questions for command in question.commands]
        commands += [self._command(change) for change in changes]
        begin = trio.current_time()
        try:
            replies = await link.ask(commands or [("PING",)])
            self._latency.observe((trio.current_time() - begin) * 1000)
            rest = iter(replies)
            for question in questions:
                question.replies = [next(rest) for _ in question.commands]
        except LinkFailed:
            for change in changes:
                self._backlog.settle(change, Outcome.FAILED, trio.current_time())
            raise
        finally:
            for question in questions:
                question.answered.set()
        return [(change, self._outcome(reply)) for change, reply in zip(changes, rest, strict=False)]

    def _settle(self, outcomes: list[tuple[Change, Outcome]]) -> list[str]:
        """Take note of what became of changes; return the sessions that are another server's now."""
        now = trio.current_time()
        lost = [change.session_id for change, outcome in outcomes if self._backlog.settle(change, outcome, now)]
        if any(outcome is Outcome.FAILED for _, outcome in outcomes):
            self._trouble.failures += 1
            self._pause_until = now + self._trouble.delay()
        elif outcomes or not self._backlog:
            self._trouble.end()
        self._settled.set()
        self._settled = trio.Event()
        if now >= self._tidy_at:
            self._backlog.tidy(now)
            self._tidy_at = now + REFRESH_INTERVAL
        return lost

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
            self._trouble.report(reply.kind, reply.detail, len(self._backlog))
            return Outcome.FAILED
        outcome = _OUTCOMES.get(expect(reply, int))
        if outcome is None:
            raise LinkFailed("protocol", f"{reply} is no answer of a script")
        return outcome

    async def _recover(self, link: Link) -> list[tuple[SessionRecord, float]]:
        """Bring back the sessions of this server's last life."""
        begin = trio.current_time()
        sessions = []
        for found, ttl in await adopt(link, self._commands, self._claims.read, self._backlog):
            self._backlog.hold(found.record, found.grace, ttl, found.unknown, trio.current_time())
            sessions.append((found.record, ttl))
        took = (trio.current_time() - begin) * 1000
        self._recovery.observe(took)
        log.info("state recovered", redis=str(self._address), sessions=len(sessions), ms=round(took, 1))
        return sessions
