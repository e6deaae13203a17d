"""How many connectivity checks are looked at: authenticating one costs a hash, and anybody can send them."""

from typing import Final

from sfu.ice.path import IcePath

RATE: Final = 20.0
"""Checks per second of one client on one path. Browsers send at most one in 48 ms on all paths together while
they connect, and one in 2.5 s afterwards."""

BURST: Final = 50
"""Checks at once: what a browser sends in 2.4 s without an answer."""

PATHS: Final = 4096
"""Paths per generation of the table: more than a server has peers."""


class CheckBudgets:
    """A token bucket for each pair of user-name fragment and path, full when the first check arrives.

    A bucket is one number: the time at which it is full again. Anybody can send from any number of addresses,
    so the table is bounded: it has two generations of at most `capacity` buckets. When the young generation is
    full, it becomes the old one, and the old one is dropped. A bucket that is dropped is full again.
    """

    __slots__ = ("_capacity", "_old", "_young")

    def __init__(self, capacity: int = PATHS) -> None:
        self._capacity = capacity
        self._young: dict[tuple[str, IcePath], float] = {}
        self._old: dict[tuple[str, IcePath], float] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def take(self, ufrag: str, path: IcePath, now: float) -> bool:
        """Count one check for this fragment on this path if it is allowed; return whether it is."""
        key = (ufrag, path)
        full_at = self._young.get(key)
        if full_at is None:
            full_at = self._old.pop(key, now)
            if len(self._young) >= self._capacity:
                self._old, self._young = self._young, {}
        full_at = max(full_at, now)
        allowed = full_at - now <= (BURST - 1) / RATE
        self._young[key] = full_at + 1 / RATE if allowed else full_at
        return allowed
