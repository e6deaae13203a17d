"""Claiming sessions, in the tasks of those who claim: read, step, compare and set.

What they have to ask waits here for the task that owns Redis (`sfu.shell.store.redis`).
"""

import dataclasses
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import trio

from sfu.conference.records import SessionRecord
from sfu.errors import BadPacket
from sfu.shell.store.redis_link import ErrorReply
from sfu.state.backlog import CLAIM_LEASE, Backlog
from sfu.state.codec import Stored, decode
from sfu.state.scripts import DONE, Command, Commands
from sfu.state.statistics import StoreUnavailable

MAX_QUESTIONS: Final = 1000
"""Claims that wait at a time; more are refused, so that clients who come back all at once hear something."""

CLAIM_ATTEMPTS: Final = 5
"""Races that a claim may lose before it gives up. One is likely when a client comes twice, more are not."""


class Question:
    """Commands of a claim, on their way; `replies` stays None when nobody knows what came of them."""

    def __init__(self, commands: Sequence[Command]) -> None:
        self.commands = commands
        self.replies: list[Any] | None = None
        self.answered = trio.Event()


class SessionClaims:
    """The claims of one store, and its reader of values."""

    def __init__(
        self,
        commands: Commands,
        backlog: Backlog,
        errors: Counter[str],
        *,
        wake: Callable[[], None],
        lose: Callable[[str], None],
    ) -> None:
        """`errors` counts what Redis refuses, by kind.

        `wake` wakes the task that owns Redis; `lose` lets go of a session of this server that turns out to be
        another's.
        """
        self.unreadable: Counter[str] = Counter()
        """Values that were left alone, by reason."""
        self._commands = commands
        self._backlog = backlog
        self._errors = errors
        self._wake = wake
        self._lose = lose
        self._questions: deque[Question] = deque()

    def __len__(self) -> int:
        """Return how many questions wait."""
        return len(self._questions)

    def take(self, limit: int) -> list[Question]:
        """Return up to `limit` questions, oldest first. Each must be answered."""
        return [self._questions.popleft() for _ in range(min(len(self._questions), limit))]

    async def claim(
        self, session_id: str, step: Callable[[SessionRecord], SessionRecord | None]
    ) -> SessionRecord | None:
        """Claim a session; see `sfu.shell.store.interface.Store.claim`. The caller bounds the time."""
        wanted: Stored | None = None
        for _ in range(CLAIM_ATTEMPTS):
            value = await self._value(session_id)
            found = self.read(session_id, value)
            if found is None:
                return None
            if session_id in self._backlog:
                if found.instance == self._commands.instance:
                    return None
                self._lose(session_id)  # its client has been elsewhere, which no write has found out yet
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
                if not (isinstance(replies[0], ErrorReply) and replies[0].is_about_type):
                    self._check(replies[0])
                return replies[0]

    async def _replace(self, value: bytes, found: Stored, wanted: Stored) -> bool:
        """Compare and set; return whether that is known to have been done."""
        ttl = max(wanted.grace, CLAIM_LEASE)
        replies = await self._ask([self._commands.claim(value, found.owner, wanted, ttl)])
        if replies is None:
            return False
        self._check(replies[0])
        return bool(replies[0] == DONE)

    def _check(self, reply: Any) -> None:
        """Raise `StoreUnavailable` if Redis has refused to do what it was asked."""
        if isinstance(reply, ErrorReply):
            self._errors[reply.kind] += 1
            raise StoreUnavailable(reply.detail)

    async def _ask(self, commands: Sequence[Command]) -> list[Any] | None:
        """Let the task that owns Redis ask something; return None when nobody knows whether it was done."""
        if len(self._questions) >= MAX_QUESTIONS:
            raise StoreUnavailable("too many claims at a time")
        question = Question(commands)
        self._questions.append(question)
        self._wake()
        try:
            await question.answered.wait()
        finally:
            if question in self._questions:  # cancelled before it was sent
                self._questions.remove(question)
        return question.replies

    def read(self, session_id: str, value: Any) -> Stored | None:
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
            self.unreadable[error.reason] += 1
            return None
        return found

    def _as_own(self, found: Stored, record: SessionRecord) -> Stored:
        return dataclasses.replace(
            found, record=record, owner=self._commands.owner, instance=self._commands.instance
        )
