"""The paths that a peer has validated by checks, and which of them to send on.

The controlling side chooses the path (RFC 8445 section 8) with USE-CANDIDATE. This module decides what to do
for clients that nominate every path, that nominate only once, or whose address has changed since.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass

from sfu.ice.events import IceEvent, PathRetired, PathSelected, PathValidated
from sfu.ice.path import IcePath

STALE_AFTER = 7.0
"""Seconds without a check after which another path that is being checked replaces the selected one."""

OVERDUE_AFTER = 3.5
"""The same if the other path is new. Then the reason is probably a new NAT mapping and not a lost check, and
the next check of Firefox, which checks every 4 to 6 s, would come late."""

FORGET_AFTER = 60.0
"""Seconds without a check after which a path is forgotten. Chromium checks its spare paths every 25 s."""

MAX_PATHS = 16
"""Validated paths that are kept; each has a route. A laptop with Wi-Fi, cable and VPN, IPv4 and IPv6, has six.
"""


@dataclass(slots=True)
class _Validated:
    """A validated path and its latest checks."""

    path: IcePath
    checked_at: float
    priority: int = 0
    """PRIORITY of the last nominating check. Firefox's consent checks have another one, which is ignored."""
    checked_plainly: bool = False
    """There was a check without USE-CANDIDATE, so a later nomination was a decision."""


class ValidatedPaths:
    """The validated paths of one agent. Changes are appended to the agent's events."""

    def __init__(self, events: list[IceEvent]) -> None:
        self.selected: IcePath | None = None
        """The path to send on: the first validated one until one is nominated; `None` without any."""
        self.nominated = False
        """Whether the peer has nominated a path since the paths were last cleared."""
        self.changes = 0
        """How often the selected path has been replaced."""
        self._events = events
        # Least recently checked first, so that the oldest is found without a search.
        self._paths: OrderedDict[IcePath, _Validated] = OrderedDict()

    def __len__(self) -> int:
        return len(self._paths)

    def __contains__(self, path: IcePath) -> bool:
        return path in self._paths

    def checked_at(self, path: IcePath) -> float:
        """Return when the latest check arrived on `path`; minus infinity if the path is not known."""
        known = self._paths.get(path)
        return -math.inf if known is None else known.checked_at

    def checked(self, path: IcePath, now: float, *, nomination: int | None, decisive: bool) -> None:
        """An authenticated check arrived on `path`.

        `nomination` is its PRIORITY if it has USE-CANDIDATE, else `None`. A `decisive` nomination always moves
        sending to this path, as the first one after an ICE restart does.
        """
        known = self._paths.get(path)
        silence_allowed = OVERDUE_AFTER if known is None and self._may_be_rebound(path) else STALE_AFTER
        if known is None:
            known = self._paths[path] = _Validated(path, now)
            self._events.append(PathValidated(path))
        known.checked_at = now
        self._paths.move_to_end(path)
        takes_over = self._is_selected_silent(now - silence_allowed)
        if nomination is None:
            known.checked_plainly = True
            if takes_over:
                self._select(path)
        else:
            known.priority = nomination
            if takes_over or decisive or self._is_preferred(known):
                self.nominated = True
                self._select(path)
        # After the selection, so that the path in use is not dropped.
        while len(self._paths) > MAX_PATHS:
            self._forget(next(old for old in self._paths if old not in (self.selected, path)))

    def next_timeout(self) -> float:
        """Return when `forget_old` has something to do; infinity if never."""
        eldest = next((old for old in self._paths.values() if old.path != self.selected), None)
        return math.inf if eldest is None else eldest.checked_at + FORGET_AFTER

    def forget_old(self, now: float) -> None:
        """Drop paths without a check for `FORGET_AFTER` seconds, except the one in use.

        The path in use can be that old if it has replaced a lost one. The next path that is checked replaces
        it; without a check the agent fails.
        """
        due = [old.path for old in self._paths.values() if now >= old.checked_at + FORGET_AFTER]
        for path in due:
            if path != self.selected:
                self._forget(path)

    def lose(self, path: IcePath) -> None:
        """The connection of `path`, which is known, has ended.

        If it was in use, the most recently checked path replaces it until the peer nominates: it is the most
        likely to work. Without another path nothing is selected.
        """
        if path == self.selected:
            self.selected, self.nominated = None, False
            other = next((other for other in reversed(self._paths) if other != path), None)
            if other is not None:
                self.changes += 1
                self._select(other)
        self._forget(path)

    def clear(self) -> None:
        """Drop all paths."""
        self.selected = None
        self.nominated = False
        for path in list(self._paths):
            self._forget(path)

    def _may_be_rebound(self, path: IcePath) -> bool:
        """Return whether `path` may be the one in use with a new address. A NAT never turns UDP into TCP."""
        return self.selected is None or self.selected.transport == path.transport

    def _is_selected_silent(self, since: float) -> bool:
        """Return whether sending may move without a nomination: nothing is selected, or that path went silent.

        In RFC 8445 only the controlling side chooses. But if only its address has changed (a NAT dropped the
        mapping), a client that nominates once, as Firefox does, has no reason to nominate again.
        """
        return self.selected is None or self._paths[self.selected].checked_at <= since

    def _is_preferred(self, known: _Validated) -> bool:
        """Return whether a nomination moves sending away from the path in use, although that is alive.

        The latest decision wins. A path that is nominated by its first check was not chosen deliberately:
        aggressive nomination (RFC 5245 section 8.1.1.2) nominates every path, and means the one of highest
        priority.
        """
        if not self.nominated or known.checked_plainly:
            return True
        assert self.selected is not None, "there is a path in use, or the first check takes over"
        return known.priority >= self._paths[self.selected].priority

    def _select(self, path: IcePath) -> None:
        if path != self.selected:
            self.changes += self.selected is not None
            self.selected = path
            self._events.append(PathSelected(path))

    def _forget(self, path: IcePath) -> None:
        del self._paths[path]
        self._events.append(PathRetired(path))
