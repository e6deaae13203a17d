"""Which paths a peer has shown to be its own, and which of them to send on.

The choice is the controlling side's (RFC 8445 section 8), and it says so by USE-CANDIDATE. What is left to
decide here is what clients mean who say it too often, too seldom, or no more because their address has changed.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass

from sfu.ice.events import IceEvent, PathRetired, PathSelected, PathValidated
from sfu.ice.path import IcePath

STALE_AFTER = 7.0
"""Seconds without a check after which the selected path gives way to another that is being checked."""

OVERDUE_AFTER = 3.5
"""The same where the other was never seen before: then the reason is rather a new NAT mapping than a lost
check, and Firefox, which checks every 4 to 6 s, will not be back with the next one soon."""

FORGET_AFTER = 60.0
"""Seconds without a check after which a path is forgotten. Chromium keeps spare paths by a check every 25 s."""

MAX_PATHS = 16
"""Validated paths kept. A laptop with Wi-Fi, cable and VPN on IPv4 and IPv6 makes six; each costs a route."""


@dataclass(slots=True)
class _Validated:
    """What is remembered of a validated path."""

    path: IcePath
    checked_at: float
    priority: int = 0
    """Of the peer's candidate, as its last nominating check said; Firefox's consent checks say another one."""
    checked_plainly: bool = False
    """There was a check without USE-CANDIDATE: a nomination after it was a decision."""


class ValidatedPaths:
    """The validated paths of one agent. What changes is told by events, put where the agent puts its own."""

    def __init__(self, events: list[IceEvent]) -> None:
        self.selected: IcePath | None = None
        """Where to send: the first validated path until one is nominated; `None` while there is none."""
        self.nominated = False
        """Whether the peer has nominated a path since the paths were last cleared."""
        self.changes = 0
        """How often the selected path has been replaced."""
        self._events = events
        # Least recently checked first, so that the eldest is found without a search.
        self._paths: OrderedDict[IcePath, _Validated] = OrderedDict()

    def __len__(self) -> int:
        return len(self._paths)

    def __contains__(self, path: IcePath) -> bool:
        return path in self._paths

    def checked(self, path: IcePath, now: float, *, nomination: int | None, decisive: bool) -> None:
        """An authenticated check came along `path`.

        `nomination` is its PRIORITY if it has USE-CANDIDATE, else `None`. `decisive` makes a nomination count
        whatever it competes with, as the first one after an ICE restart does.
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
        # After the selection, so that the path in use is not the one to go.
        while len(self._paths) > MAX_PATHS:
            self._forget(next(old for old in self._paths if old not in (self.selected, path)))

    def next_timeout(self) -> float:
        """When `forget_old` has something to do; infinity if never."""
        eldest = next((old for old in self._paths.values() if old.path != self.selected), None)
        return math.inf if eldest is None else eldest.checked_at + FORGET_AFTER

    def forget_old(self, now: float) -> None:
        """Let go of paths that nobody has checked for long, but never of the one in use.

        That one may be as old where it has taken the place of one that was lost. It gives way to the next that
        is checked, and without any the agent fails.
        """
        due = [old.path for old in self._paths.values() if now >= old.checked_at + FORGET_AFTER]
        for path in due:
            if path != self.selected:
                self._forget(path)

    def lose(self, path: IcePath) -> None:
        """`path`, which is known, is no more: its connection has ended.

        If it was the one in use, the one checked last takes its place until the peer nominates: of what there
        is, that works most likely. Without any nothing is selected.
        """
        if path == self.selected:
            self.selected, self.nominated = None, False
            other = next((other for other in reversed(self._paths) if other != path), None)
            if other is not None:
                self.changes += 1
                self._select(other)
        self._forget(path)

    def clear(self) -> None:
        """Let go of all."""
        self.selected = None
        self.nominated = False
        for path in list(self._paths):
            self._forget(path)

    def _may_be_rebound(self, path: IcePath) -> bool:
        """Whether `path` may be the one in use under a new address; a NAT makes no TCP connection of UDP."""
        return self.selected is None or self.selected.transport == path.transport

    def _is_selected_silent(self, since: float) -> bool:
        """Whether sending may move though nobody decides so: nothing is selected, or that path went silent.

        RFC 8445 leaves the choice to the controlling side alone. But where only its address changed
        (a NAT forgot the mapping), a client that nominates once, as Firefox does, has no reason to do it again.
        """
        return self.selected is None or self._paths[self.selected].checked_at <= since

    def _is_preferred(self, known: _Validated) -> bool:
        """Whether a nomination moves sending away from the path in use, although that is alive.

        The latest decision wins. A path nominated from its first check on was not decided for: aggressive
        nomination (RFC 5245 section 8.1.1.2) does that with every path, and means the one of highest priority.
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
