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

import dataclasses
import math
from collections import Counter, deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import trio

from sfu.conference.records import SessionRecord
from sfu.errors import BadPacket
from sfu.logs import get_logger
from sfu.redis_client import ErrorReply, Link, LinkFailed, converse, expect
from sfu.redis_recovery import adopt
from sfu.state.address import RedisAddress
from sfu.state.backlog import CLAIM_LEASE, REFRESH_INTERVAL, Action, Backlog, Change, Outcome
from sfu.state.codec import Stored, decode
from sfu.state.keys import Keys
from sfu.state.scripts import ABSENT, DONE, HELD_BY_ANOTHER, Command, Commands
from sfu.state.session_id import is_session_id
from sfu.state.statistics import LATENCY_BOUNDS, RECOVERY_BOUNDS, StoreStatistics, StoreUnavailable
from sfu.transport.histogram import Histogram

MAX_SESSIONS: Final = 200_000
"""Sessions that are kept track of; far more than a server has peers, and some 200 MB of memory."""

MAX_QUESTIONS: Final = 1000
"""Claims that wait at a time; more are refused, so that clients who come back all at once hear something."""

BATCH: Final = 50
"""Changes that are sent together: 3 ms of this process's time, since packets wait meanwhile."""

GATHER: Final = 0.01
"""Seconds that a change waits for others: joining makes several within a moment."""

HEARTBEAT: Final = 2.0
"""Seconds of silence after which Redis is asked whether it is there."""

CLAIM_TIMEOUT: Final = 2.0
"""Seconds for a claim: two round trips and the one that is out, at half a second each, and a little."""

CLAIM_ATTEMPTS: Final = 5
"""Races that a claim may lose before it gives up. One is likely when a client comes twice, more are not."""

RETRY_MIN: Final = 0.1
RETRY_MAX: Final = 5.0
"""Seconds between two tries: doubled each time, and varied so that servers do not come all at once."""

REPORT_INTERVAL: Final = 60.0
"""Seconds between two lines of the log while Redis does not do what it should."""

_OUTCOMES: Final = {DONE: Outcome.DONE, HELD_BY_ANOTHER: Outcome.LOST, ABSENT: Outcome.ABSENT}

log = get_logger(__name__)


class _Question:
    """Commands of a claim, on their way; `replies` stays None when nobody knows what came of them."""

    def __init__(self, commands: Sequence[Command]) -> None:
        self.commands = commands
        self.replies: list[Any] | None = None
        self.answered = trio.Event()


class RedisStore:
    """See `sfu.store.Store`."""

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
        self._random = random
        self._room_ttl = room_ttl
        self._backlog = Backlog(max_sessions)
        self._commands = Commands(Keys(prefix), server_id, random(8).hex())
        self._questions: deque[_Question] = deque()
        self._wake = trio.Event()
        self._settled = trio.Event()
        self._recovered = trio.Event()
        self._connected = False
        self._flushing = 0
        self._gather_until = 0.0
        """When changes have waited long enough for others."""
        self._tidy_at = 0.0
        self._failures = 0
        """In a row."""
        self._pause_until = 0.0
        """No change is sent before, since the last ones were refused."""
        self._down_since: float | None = None
        self._report_at = 0.0
        self._lost = 0
        self._unreadable: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._latency = Histogram(LATENCY_BOUNDS)
        self._recovery = Histogram(RECOVERY_BOUNDS)

    # --- for everybody ---

    def put(self, record: SessionRecord, ttl: float) -> None:
        """See `sfu.store.Store.put`."""
        self._gather()
        self._backlog.put(record, ttl, trio.current_time())

    def drop(self, session_id: str) -> None:
        """See `sfu.store.Store.drop`."""
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
        """See `sfu.store.Store.claim`."""
        if not is_session_id(session_id):
            return None
        with trio.move_on_after(CLAIM_TIMEOUT):
            await self._recovered.wait()
            return await self._claim(session_id, step)
        raise StoreUnavailable("Redis did not answer in time")

    async def flush(self) -> None:
        """See `sfu.store.Store.flush`."""
        self._flushing += 1
        self._wake.set()
        try:
            while self._backlog:
                await self._settled.wait()
        finally:
            self._flushing -= 1

    @property
    def healthy(self) -> bool:
        """See `sfu.store.Store.healthy`."""
        return self._connected and not self._failures

    def statistics(self) -> StoreStatistics:
        """See `sfu.store.Store.statistics`."""
        return StoreStatistics(
            healthy=self.healthy,
            sessions=self._backlog.sessions,
            backlog=len(self._backlog),
            refused=self._backlog.refused,
            lost=self._lost,
            unreadable=dict(self._unreadable),
            errors=dict(self._errors),
            latency=self._latency.statistics(),
            recovery=self._recovery.statistics(),
        )

    # --- claims, in the tasks of those who claim ---

    async def _claim(
        self, session_id: str, step: Callable[[SessionRecord], SessionRecord | None]
    ) -> SessionRecord | None:
        wanted: Stored | None = None
        for _ in range(CLAIM_ATTEMPTS):
            value = await self._value(session_id)
            found = self._read(session_id, value)
            if found is None or session_id in self._backlog:
                return None
            if found != wanted:  # else it is our own, and the reply that said so was lost
                successor = step(found.record)
                if successor is None:
                    return None
                wanted = self._as_own(found, successor)
                if not await self._replace(value, found, wanted):
                    continue
            ttl = max(wanted.grace, CLAIM_LEASE)
            self._backlog.hold(wanted.record, wanted.grace, ttl, wanted.unknown, trio.current_time())
            return wanted.record
        return None

    async def _value(self, session_id: str) -> Any:
        """Read a session's value, again and again while connections fail."""
        while True:
            replies = await self._ask([("GET", self._commands.keys.session(session_id))])
            if replies is not None:
                return replies[0]

    async def _replace(self, value: bytes, found: Stored, wanted: Stored) -> bool:
        """Compare and set; return whether that is known to have been done."""
        ttl = max(wanted.grace, CLAIM_LEASE)
        replies = await self._ask([self._commands.claim(value, found.owner, wanted, ttl)])
        if replies is not None and isinstance(replies[0], ErrorReply):
            self._errors[replies[0].kind] += 1
            raise StoreUnavailable(replies[0].detail)
        return replies is not None and replies[0] == DONE

    async def _ask(self, commands: Sequence[Command]) -> list[Any] | None:
        """Let the task that owns Redis ask something; return None when nobody knows whether it was done."""
        if len(self._questions) >= MAX_QUESTIONS:
            raise StoreUnavailable("too many claims at a time")
        question = _Question(commands)
        self._questions.append(question)
        self._wake.set()
        try:
            await question.answered.wait()
        finally:
            if question in self._questions:  # cancelled before it was sent
                self._questions.remove(question)
        return question.replies

    def _read(self, session_id: str, value: Any) -> Stored | None:
        """Return what a session's value holds; what cannot be read is counted and left alone."""
        if value is None:
            return None
        try:
            if not isinstance(value, bytes):
                raise BadPacket("state-type", "not a string")
            found = decode(value)
            if found.record.session_id != session_id:
                raise BadPacket("state-id", "another session's")
        except BadPacket as error:
            self._unreadable[error.reason] += 1
            return None
        return found

    def _as_own(self, found: Stored, record: SessionRecord) -> Stored:
        return dataclasses.replace(
            found, record=record, owner=self._commands.owner, instance=self._commands.instance
        )

    # --- the task that owns Redis ---

    async def run(
        self,
        recovered: Callable[[list[tuple[SessionRecord, float]]], None],
        lost: Callable[[str], None],
    ) -> None:
        """See `sfu.store.Store.run`."""
        while True:
            try:
                await converse(self._address, partial(self._serve, recovered, lost))
            except LinkFailed as failure:
                self._failures += 1
                self._report(failure.kind, failure.detail)
            self._connected = False
            await trio.sleep(self._delay())

    async def _serve(
        self,
        recovered: Callable[[list[tuple[SessionRecord, float]]], None],
        lost: Callable[[str], None],
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
                self._lost += 1
                log.info("session claimed by another server", session=session_id)
                lost(session_id)

    async def _work(self) -> tuple[list[_Question], list[Change]]:
        """Wait until there is something to do; return what. Nothing at all is a reason for a heartbeat."""
        heartbeat = trio.current_time() + HEARTBEAT
        while not self._questions:
            time = min(self._due_at(), heartbeat)
            if time <= trio.current_time():
                break
            self._wake = trio.Event()
            with trio.move_on_at(time):
                await self._wake.wait()
        questions = [self._questions.popleft() for _ in range(min(len(self._questions), BATCH))]
        now = trio.current_time()
        return questions, self._backlog.take(BATCH, now) if self._due_at() <= now else []

    def _due_at(self) -> float:
        """Return when changes should be sent."""
        due = self._backlog.next_refresh()
        if self._backlog:
            due = min(due, -math.inf if self._flushing else self._gather_until)
        return max(due, self._pause_until)

    async def _send(
        self, link: Link, questions: list[_Question], changes: list[Change]
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
            self._failures += 1
            self._pause_until = now + self._delay()
        elif outcomes or not self._backlog:
            self._note_success()
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
            self._report(reply.kind, reply.detail)
            return Outcome.FAILED
        outcome = _OUTCOMES.get(expect(reply, int))
        if outcome is None:
            raise LinkFailed("protocol", f"{reply} is no answer of a script")
        return outcome

    async def _recover(self, link: Link) -> list[tuple[SessionRecord, float]]:
        """Bring back the sessions of this server's last life."""
        begin = trio.current_time()
        sessions = []
        for found, ttl in await adopt(link, self._commands, self._read, self._backlog):
            self._backlog.hold(found.record, found.grace, ttl, found.unknown, trio.current_time())
            sessions.append((found.record, ttl))
        took = (trio.current_time() - begin) * 1000
        self._recovery.observe(took)
        log.info("state recovered", redis=str(self._address), sessions=len(sessions), ms=round(took, 1))
        return sessions

    # --- when something is wrong ---

    def _report(self, kind: str, detail: str) -> None:
        """Count a failure; log the first of a row, and then one in a while."""
        self._errors[kind] += 1
        now = trio.current_time()
        if self._down_since is None:
            self._down_since, self._report_at = now, now
        if now >= self._report_at:
            self._report_at = now + REPORT_INTERVAL
            log.warning(
                "redis: changes of sessions wait in memory",
                redis=str(self._address),
                kind=kind,
                reason=detail,
                waiting=len(self._backlog),
                since_s=round(now - self._down_since, 1),
            )

    def _note_success(self) -> None:
        self._failures = 0
        if self._down_since is not None:
            away = round(trio.current_time() - self._down_since, 1)
            log.info("redis: changes are written again", redis=str(self._address), away_s=away)
            self._down_since = None

    def _delay(self) -> float:
        """Return how long to wait for the next try: half to all of a time that doubles with each failure."""
        whole = min(RETRY_MAX, RETRY_MIN * (1 << min(self._failures, 10)))
        return whole * (0.5 + self._random(1)[0] / 512)
