"""The changes that Redis still lacks: write-behind, and the newest value wins.

Each session has one entry with its newest record, however often it changes. So a Redis that is away costs no
more memory than the sessions themselves. `take` returns the changes that are due, and `finish` takes the
outcome of one. A change without an outcome stays due.

The session of a connected client has a lease that is two refresh intervals longer than its grace period, and
the server extends it once per interval. So the session outlives the server by its whole grace period, and not
by much more. The key of a suspended session expires with the grace period.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice, takewhile
from typing import Any, Final

from sfu.conference.records import SessionRecord

LINGER: Final = 60.0
"""Seconds that an expired session may remain in the sets of its room and server. An end within that time is
still written, to remove it there."""

CLAIM_LEASE: Final = 10.0
"""Shortest life in seconds of a session that was just claimed, until its new server first puts it."""


class Action(Enum):
    """What a change does in Redis."""

    SAVE = "save"
    REFRESH = "refresh"
    DROP = "drop"


class Outcome(Enum):
    """How a change ended."""

    DONE = "done"
    LOST = "lost"
    """Not done: another server holds the session."""
    ABSENT = "absent"
    """The lease was not extended: Redis has no such session."""
    FAILED = "failed"
    """It was not done, or the outcome is unknown."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change that is to be made in Redis."""

    action: Action
    session_id: str
    revision: int
    record: SessionRecord
    grace: float
    """Seconds."""
    ttl: float
    """Time to live of the session's keys in seconds; 0 for a drop."""
    unknown: dict[str, Any]
    """Fields that only a newer version knows, see `sfu.state.codec`."""


@dataclass(slots=True)
class _Entry:
    record: SessionRecord
    grace: float
    revision: int
    deadline: float | None
    """When the session expires; None while it has a lease."""
    unknown: dict[str, Any] = field(default_factory=dict)
    dropped: bool = False
    gone_at: float = -math.inf
    """When all its keys in Redis have expired; in the past if Redis never had it."""


class Backlog:
    """The sessions that this server holds, and the changes of them that are not in Redis."""

    def __init__(self, limit: int, refresh_interval: float) -> None:
        """`limit` is the largest number of sessions; more are refused and counted.

        `refresh_interval` is the time in seconds after which a lease is extended.
        """
        self.refused = 0
        """Sessions that were refused because there were too many."""
        self._limit = limit
        self._refresh_interval = refresh_interval
        self._entries: dict[str, _Entry] = {}
        self._due: OrderedDict[str, None] = OrderedDict()
        self._leases: OrderedDict[str, float] = OrderedDict()
        """When to extend each lease. All have the same interval, so the oldest comes first."""
        self._revisions = 0

    def __len__(self) -> int:
        """Return the number of sessions with changes that are not in Redis."""
        return len(self._due)

    def __contains__(self, session_id: str) -> bool:
        """Return whether this server holds the session, or has ended it but not yet in Redis."""
        return session_id in self._entries

    @property
    def sessions(self) -> int:
        """The number of sessions."""
        return len(self._entries)

    # --- for the server ---

    def put(self, record: SessionRecord, ttl: float, now: float) -> None:
        """Take a session's newest record; `ttl` (s) is its grace period or, when suspended, the rest of it."""
        session_id = record.session_id
        entry = self._entries.get(session_id)
        if entry is None:
            if len(self._entries) >= self._limit:
                self.refused += 1
                return
            entry = self._entries[session_id] = _Entry(record, ttl, 0, None)
        entry.record = record
        entry.dropped = False
        if record.suspended:
            entry.deadline = now + ttl
            self._leases.pop(session_id, None)
        else:
            entry.grace, entry.deadline = ttl, None
        self._change(entry)

    def drop(self, session_id: str) -> None:
        """Take note that a session has ended. Does nothing if this server does not hold it."""
        entry = self._entries.get(session_id)
        if entry is None:
            return
        entry.dropped = True
        self._leases.pop(session_id, None)
        if entry.gone_at == -math.inf:
            self._forget(session_id)  # Redis never had it
        else:
            self._change(entry)

    def lose(self, session_id: str) -> bool:
        """Forget a session that another server has claimed; return whether this one held it."""
        entry = self._entries.get(session_id)
        self._forget(session_id)
        return entry is not None and not entry.dropped

    def hold(
        self, record: SessionRecord, grace: float, ttl: float, unknown: dict[str, Any], now: float
    ) -> None:
        """Take a session that this server holds from now on, and that Redis has as given, for `ttl` seconds.

        It has no lease until it is put. If it is never put, `tidy` forgets it.
        """
        self._forget(record.session_id)
        self._revisions += 1
        self._entries[record.session_id] = _Entry(
            record, grace, self._revisions, now + ttl, unknown, gone_at=now + ttl + LINGER
        )

    # --- for the task that talks to Redis ---

    def take(self, limit: int, now: float) -> list[Change]:
        """Return up to `limit` changes that are due. Pass each outcome to `finish` before the next call."""
        changes: list[Change] = []
        for session_id in self._candidates(limit, now):
            entry = self._entries[session_id]
            ttl = self._ttl(entry, now)
            if ttl > 0:
                action = Action.SAVE if session_id in self._due else Action.REFRESH
                # From now on Redis may have it, whatever the reply says.
                entry.gone_at = max(entry.gone_at, now + ttl + LINGER)
            elif entry.gone_at > now:
                action, ttl = Action.DROP, 0.0
            else:
                self._forget(session_id)
                continue
            changes.append(
                Change(action, session_id, entry.revision, entry.record, entry.grace, ttl, entry.unknown)
            )
        return changes

    def finish(self, change: Change, outcome: Outcome, now: float) -> bool:
        """Take the outcome of a change; return whether this server has lost the session to another one."""
        session_id = change.session_id
        entry = self._entries.get(session_id)
        if entry is None:
            return False
        if outcome is Outcome.LOST:
            return self.lose(session_id)
        if change.ttl > 0:
            entry.gone_at = max(entry.gone_at, now + change.ttl + LINGER)
        unchanged = entry.revision == change.revision
        if outcome is Outcome.FAILED:
            if session_id in self._due:
                self._due.move_to_end(session_id)  # the others come first
        elif outcome is Outcome.ABSENT:
            self._due[session_id] = None
        elif unchanged and change.action is Action.DROP:
            self._forget(session_id)
        else:
            if unchanged:
                self._due.pop(session_id, None)
            if entry.deadline is None and not entry.dropped:
                self._leases[session_id] = now + self._refresh_interval
                self._leases.move_to_end(session_id)
        return False

    def write_all_again(self) -> None:
        """Make every session due: the Redis that answers now may have none of them."""
        for session_id in self._entries:
            self._due[session_id] = None

    def tidy(self, now: float) -> None:
        """Forget sessions that expired long ago and were not dropped: they were claimed and never put."""
        for session_id, entry in list(self._entries.items()):
            if entry.deadline is not None and entry.deadline + self._refresh_interval <= now:
                self._forget(session_id)

    def next_refresh(self) -> float:
        """Return when to extend the next lease; infinity if there is none."""
        return next(iter(self._leases.values()), math.inf)

    def _ttl(self, entry: _Entry, now: float) -> float:
        """Return the time to live of the session's keys in seconds; not positive if they should not exist."""
        if entry.dropped:
            return 0.0
        return entry.grace + 2 * self._refresh_interval if entry.deadline is None else entry.deadline - now

    def _candidates(self, limit: int, now: float) -> list[str]:
        """Return up to `limit` sessions that may need a write. The others are not even looked at."""
        due = list(islice(self._due, limit))
        leases = takewhile(lambda lease: lease[1] <= now, self._leases.items())
        others = (session_id for session_id, _ in leases if session_id not in self._due)
        return due + list(islice(others, limit - len(due)))

    def _change(self, entry: _Entry) -> None:
        self._revisions += 1
        entry.revision = self._revisions
        self._due[entry.record.session_id] = None

    def _forget(self, session_id: str) -> None:
        self._entries.pop(session_id, None)
        self._due.pop(session_id, None)
        self._leases.pop(session_id, None)
