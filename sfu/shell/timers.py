"""When which peer's machines want to be looked at again: one task for the timers of all peers.

A task of its own for each peer would be easier to draw, but costs every idle peer 4 KiB, and a cancel scope
whose deadline moves with every packet costs more than anything else that the packet causes here. So deadlines
that move into the future, as most do, are only noted: the alarm that was set before goes off, finds that
nothing is due yet, and is set again.
"""

import heapq
import itertools
import math
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

import trio

Key = TypeVar("Key", bound=Hashable)

STALE: Final = 1000
"""Alarms that are not needed any more which may lie in the queue, beside one for each that is."""


class _Timer(Generic[Key]):
    """The timer of one key."""

    __slots__ = ("alarm", "key", "wanted")

    def __init__(self, key: Key) -> None:
        self.key: Key | None = key
        self.wanted = math.inf
        """When to wake."""
        self.alarm = math.inf
        """The time of the alarm that is set for it, never later than `wanted`; infinite: none is set."""


class Timers(Generic[Key]):
    """A deadline for each key, and the task that waits for the earliest."""

    def __init__(self) -> None:
        self._timers: dict[Key, _Timer[Key]] = {}
        self._alarms: list[tuple[float, int, _Timer[Key]]] = []
        self._numbers = itertools.count()  # so that equal times are no reason to compare timers
        self._sleep = trio.CancelScope()

    def __len__(self) -> int:
        return len(self._timers)

    def set(self, key: Key, time: float | None) -> None:
        """Wake `key` at `time` (seconds of `trio.current_time()`), or not at all for `None`; once."""
        timer = self._timers.get(key)
        if timer is None:
            timer = self._timers[key] = _Timer(key)
        timer.wanted = math.inf if time is None else time
        if timer.wanted < timer.alarm:
            self._set_alarm(timer)

    def discard(self, key: Key) -> None:
        """Forget `key`; unknown ones are no error."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.key = None  # its alarm may lie in the queue for a while

    async def run(self, wake: Callable[[Key], None]) -> None:
        """Call `wake` for each key at its time, until cancelled. It must not raise."""
        while True:
            key = self._take(trio.current_time())
            if key is not None:
                wake(key)
                # One at a time: when many are due at once, packets go in between.
                await trio.lowlevel.checkpoint()
                continue
            with trio.CancelScope(deadline=self._next()) as self._sleep:
                await trio.sleep_forever()

    def _take(self, now: float) -> Key | None:
        """Return a key whose time has come."""
        while self._alarms and self._alarms[0][0] <= now:
            time, _, timer = heapq.heappop(self._alarms)
            if timer.key is None or time != timer.alarm:
                continue  # forgotten, or replaced by an earlier one
            timer.alarm = math.inf
            if timer.wanted <= now:
                timer.wanted = math.inf
                return timer.key
            if timer.wanted < math.inf:
                self._set_alarm(timer)
        return None

    def _next(self) -> float:
        return self._alarms[0][0] if self._alarms else math.inf

    def _set_alarm(self, timer: _Timer[Key]) -> None:
        timer.alarm = timer.wanted
        if len(self._alarms) < len(self._timers) + STALE:
            heapq.heappush(self._alarms, (timer.alarm, next(self._numbers), timer))
        else:
            self._alarms = [
                (other.alarm, next(self._numbers), other)
                for other in self._timers.values()
                if other.alarm < math.inf
            ]
            heapq.heapify(self._alarms)
        if timer.alarm < self._sleep.deadline:
            self._sleep.deadline = timer.alarm
