"""Claims of sessions: read the value, make the resumed session, compare and set.

A claim runs in the task of the join that makes it. Its commands wait in a queue here until the task that talks
to Redis sends them (`sfu.shell.store.redis`).
"""

import dataclasses
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import trio

from sfu.conference.records import SessionRecord
from sfu.shell.store.interface import CLAIM_ATTEMPTS, ResumeRecord
from sfu.shell.store.redis_connection import ErrorReply
from sfu.shell.store.redis_values import ValueReader
from sfu.state.backlog import CLAIM_LEASE, Backlog
from sfu.state.codec import Stored
from sfu.state.scripts import DONE, Command, Commands
from sfu.state.statistics import StoreUnavailable

MAX_REQUESTS: Final = 1000
"""Requests that can wait. More are refused, so that clients that all come back at once get an answer."""


class ClaimRequest:
    """The commands of a claim that wait for Redis."""

    def __init__(self, commands: Sequence[Command]) -> None:
        self.commands = commands
        self.replies: list[Any] | None = None
        """None until there are replies, and also when the outcome is unknown."""
        self.answered = trio.Event()


class SessionClaims:
    """The claims of one store."""

    def __init__(
        self,
        commands: Commands,
        backlog: Backlog,
        reader: ValueReader,
        errors: Counter[str],
        *,
        wake: Callable[[], None],
        lose: Callable[[str], None],
        max_requests: int = MAX_REQUESTS,
    ) -> None:
        """`errors` counts the refusals of Redis by kind.

        `wake` wakes the task that talks to Redis. `lose` gives up a session that another server has claimed.
        """
        self._commands = commands
        self._backlog = backlog
        self._reader = reader
        self._errors = errors
        self._wake = wake
        self._lose = lose
        self._max_requests = max_requests
        self._requests: deque[ClaimRequest] = deque()

    def __len__(self) -> int:
        """Return the number of requests that wait."""
        return len(self._requests)

    def take(self, limit: int) -> list[ClaimRequest]:
        """Remove and return up to `limit` requests, oldest first. The caller sets `answered` of each."""
        return [self._requests.popleft() for _ in range(min(len(self._requests), limit))]

    async def claim(self, session_id: str, resume: ResumeRecord) -> SessionRecord | None:
        """Claim a session; see `sfu.shell.store.interface.Store.claim`. The caller limits the time."""
        wanted: Stored | None = None
        for _ in range(CLAIM_ATTEMPTS):
            value = await self._value(session_id)
            found = self._reader.read(session_id, value)
            if found is None:
                return None
            if session_id in self._backlog:
                if found.instance == self._commands.instance:
                    return None
                self._lose(session_id)  # another server has it, which no write has found out yet
            if found != wanted:  # else the last attempt was done, and its reply got lost
                resumed = resume(found.record)
                if resumed is None:
                    return None
                wanted = self._as_own(found, resumed)
                if not await self._replace(value, found, wanted):
                    continue
            ttl = max(wanted.grace, CLAIM_LEASE)
            self._backlog.hold(wanted.record, wanted.grace, ttl, wanted.unknown, trio.current_time())
            return wanted.record
        return None

    async def _value(self, session_id: str) -> Any:
        """Read a session's value. Tries again whenever a connection fails."""
        while True:
            replies = await self._ask([("GET", self._commands.keys.session(session_id))])
            if replies is not None:
                if not (isinstance(replies[0], ErrorReply) and replies[0].is_about_type):
                    self._check(replies[0])
                return replies[0]

    async def _replace(self, value: bytes, found: Stored, wanted: Stored) -> bool:
        """Compare and set; return whether it is known to be done."""
        ttl = max(wanted.grace, CLAIM_LEASE)
        replies = await self._ask([self._commands.claim(value, found.owner, wanted, ttl)])
        if replies is None:
            return False
        self._check(replies[0])
        return bool(replies[0] == DONE)

    def _check(self, reply: Any) -> None:
        """Raise `StoreUnavailable` if Redis has refused the command."""
        if isinstance(reply, ErrorReply):
            self._errors[reply.kind] += 1
            raise StoreUnavailable(reply.detail)

    async def _ask(self, commands: Sequence[Command]) -> list[Any] | None:
        """Let the other task send commands; return the replies, or None if the outcome is unknown."""
        if len(self._requests) >= self._max_requests:
            raise StoreUnavailable("too many claims at a time")
        request = ClaimRequest(commands)
        self._requests.append(request)
        self._wake()
        try:
            await request.answered.wait()
        finally:
            if request in self._requests:  # cancelled before it was sent
                self._requests.remove(request)
        return request.replies

    def _as_own(self, found: Stored, record: SessionRecord) -> Stored:
        return dataclasses.replace(
            found, record=record, owner=self._commands.owner, instance=self._commands.instance
        )
