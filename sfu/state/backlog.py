"""What Redis should hold, and how that differs from what it is known to hold: write-behind, newest value wins.

Per session there is one entry with its newest record, however often it changes, so a Redis that is away costs
no more memory than the sessions that there are. `take` gives the changes that are due, `settle` tells how one
ended; what was not settled stays due.

A session whose client is connected has a lease, longer than the grace period by two intervals: whenever the
server dies, the session is there for the whole grace period, and not much longer. Leases are extended once
per interval. A suspended session's key runs out with its grace period.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice, takewhile
from typing import Any, Final

from sfu.conference.records import SessionRecord

REFRESH_INTERVAL: Final = 15.0
"""Seconds after which a lease is extended. One small command per session then: nothing beside its media."""

LINGER: Final = 60.0
"""Seconds for which sets may still have a session that has run out: ending it has something to do there."""

CLAIM_LEASE: Final = 10.0
"""Least seconds that a session lives which was just claimed, until its new server first puts it."""


class Action(Enum):
    """What a change does."""

    SAVE = "save"
    REFRESH = "refresh"
    DROP = "drop"


class Outcome(Enum):
    """How a change ended."""

    DONE = "done"
    LOST = "lost"
    """Another server holds the session."""
    ABSENT = "absent"
    """A lease was to be extended, and Redis has no such session."""
    FAILED = "failed"
    """It was not done, or nobody knows."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something that has to be done in Redis."""

    action: Action
    session_id: str
    revision: int
    record: SessionRecord
    grace: float
    """Seconds."""
    ttl: float
    """Seconds that the session's keys shall live from now; 0 for a drop."""
    unknown: dict[str, Any]
    """Fields of newer versions, see `sfu.state.codec`."""


@dataclass(slots=True)
class _Entry:
    record: SessionRecord
    grace: float
    revision: int
    deadline: float | None
    """When the session ends; None while it has a lease."""
    unknown: dict[str, Any] = field(default_factory=dict)
    dropped: bool = False
    gone_at: float = -math.inf
    """When Redis has forgotten all of it by itself; in the past if it never was there."""

    def ttl(self, now: float) -> float:
        """Seconds that its keys shall live from now."""
        if self.dropped:
            return 0.0
        return self.grace + 2 * REFRESH_INTERVAL if self.deadline is None else self.deadline - now


class Backlog:
    """The sessions that this server holds, and which of them have to be written."""

    def __init__(self, limit: int) -> None:
        """`limit` is how many sessions are kept track of; what comes beyond is refused and counted."""
        self.refused = 0
        """Sessions that were not taken since there were too many."""
        self._limit = limit
        self._entries: dict[str, _Entry] = {}
        self._due: OrderedDict[str, None] = OrderedDict()
        self._leases: OrderedDict[str, float] = OrderedDict()
        """When to extend which lease. All have the same interval, so the oldest stands first."""
        self._revisions = 0

    def __len__(self) -> int:
        """Return how many sessions have changes that are not in Redis."""
        return len(self._due)

    def __contains__(self, session_id: str) -> bool:
        """Return whether this server holds the session, or has ended it and Redis does not know yet."""
        return session_id in self._entries

    @property
    def sessions(self) -> int:
        """Sessions that are kept track of."""
        return len(self._entries)

    # --- what the server does ---

    def put(self, record: SessionRecord, ttl: float, now: float) -> None:
        """Note a session's newest record; `ttl` is its grace period, or what is left of it while suspended."""
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
        """Note that a session has ended. One that is not held is no error."""
        entry = self._entries.get(session_id)
        if entry is None:
            return
        entry.dropped = True
        self._leases.pop(session_id, None)
        if entry.gone_at == -math.inf:
            self._forget(session_id)  # Redis has never heard of it
        else:
            self._change(entry)

    def lose(self, session_id: str) -> bool:
        """Forget a session that is another server's; return whether this one held it."""
        entry = self._entries.get(session_id)
        self._forget(session_id)
        return entry is not None and not entry.dropped

    def hold(
        self, record: SessionRecord, grace: float, ttl: float, unknown: dict[str, Any], now: float
    ) -> None:
        """Note a session that Redis has as given, for `ttl` seconds, and that is this server's from now on.

        It has no lease before it is put; when it never is, it is forgotten.
        """
        self._forget(record.session_id)
        self._revisions += 1
        self._entries[record.session_id] = _Entry(
            record, grace, self._revisions, now + ttl, unknown, gone_at=now + ttl + LINGER
        )

    # --- what the task that owns Redis does ---

    def take(self, limit: int, now: float) -> list[Change]:
        """Return up to `limit` changes that are due. Each must be settled before the next call."""
        changes: list[Change] = []
        for session_id in self._candidates(limit, now):
            entry = self._entries[session_id]
            ttl = entry.ttl(now)
            if ttl > 0:
                action = Action.SAVE if session_id in self._due else Action.REFRESH
                # From here on it may be there, whatever is heard of it.
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

    def settle(self, change: Change, outcome: Outcome, now: float) -> bool:
        """Take note of how a change ended; return whether a session that this server held is lost."""
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
                self._due.move_to_end(session_id)  # so that it does not stand in the way of the others
        elif outcome is Outcome.ABSENT:
            self._due[session_id] = None
        elif unchanged and change.action is Action.DROP:
            self._forget(session_id)
        else:
            if unchanged:
                self._due.pop(session_id, None)
            if entry.deadline is None and not entry.dropped:
                self._leases[session_id] = now + REFRESH_INTERVAL
                self._leases.move_to_end(session_id)
        return False

    def renew(self) -> None:
        """Let everything be written again: the Redis that answers now may have none of it."""
        for session_id in self._entries:
            self._due[session_id] = None

    def tidy(self, now: float) -> None:
        """Forget sessions that ended long ago and were not dropped: claimed, and then put by nobody."""
        for session_id, entry in list(self._entries.items()):
            if entry.deadline is not None and entry.deadline + REFRESH_INTERVAL <= now:
                self._forget(session_id)

    def next_refresh(self) -> float:
        """Return when a lease has to be extended next; infinite if there is none."""
        return next(iter(self._leases.values()), math.inf)

    def _candidates(self, limit: int, now: float) -> list[str]:
        """Return up to `limit` sessions that may have to be written, without looking at those that need not."""
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
