"""The timers of all peers, in one task.

A task for each peer would be simpler, but it costs each idle peer 4 KiB. A cancel scope whose deadline moves
with every packet costs more than everything else that the packet causes here. So a deadline that moves to a
later time, as most do, is only noted: the earlier alarm goes off, finds that nothing is due, and is set again.
"""

import heapq
import itertools
import math
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

import trio

Key = TypeVar("Key", bound=Hashable)

STALE: Final = 1000
"""Obsolete alarms that may lie in the queue, in addition to one for each timer."""


class _Timer(Generic[Key]):
    """The timer of one key."""

    __slots__ = ("alarm", "key", "wanted")

    def __init__(self, key: Key) -> None:
        self.key: Key | None = key
        self.wanted = math.inf
        """When to wake the key."""
        self.alarm = math.inf
        """When the alarm that is set for it goes off, never later than `wanted`; infinite if none is set."""


class Timers(Generic[Key]):
    """A deadline for each key, and a task that waits for the earliest."""

    def __init__(self) -> None:
        self._timers: dict[Key, _Timer[Key]] = {}
        self._alarms: list[tuple[float, int, _Timer[Key]]] = []
        self._numbers = itertools.count()  # so that timers with equal times are not compared
        self._sleep = trio.CancelScope()

    def __len__(self) -> int:
        return len(self._timers)

    def set(self, key: Key, time: float | None) -> None:
        """Wake `key` once at `time`, in seconds of `trio.current_time()`; None: not at all."""
        timer = self._timers.get(key)
        if timer is None:
            timer = self._timers[key] = _Timer(key)
        timer.wanted = math.inf if time is None else time
        if timer.wanted < timer.alarm:
            self._set_alarm(timer)

    def discard(self, key: Key) -> None:
        """Drop the timer of `key`, if there is one."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.key = None  # its alarm stays in the queue until it goes off

    async def run(self, wake: Callable[[Key], None]) -> None:
        """Call `wake` for each key at its time, until cancelled. It must not raise.

        After a failure, `run` can be called again.
        """
        while True:
            key = self._take(trio.current_time())
            if key is not None:
                wake(key)
                # One at a time, so that packets are not delayed when many are due at once.
                await trio.lowlevel.checkpoint()
                continue
            with trio.CancelScope(deadline=self._next()) as self._sleep:
                await trio.sleep_forever()

    def _take(self, now: float) -> Key | None:
        """Return a key that is due, or None."""
        while self._alarms and self._alarms[0][0] <= now:
            time, _, timer = heapq.heappop(self._alarms)
            if timer.key is None or time != timer.alarm:
                continue  # discarded, or replaced by an earlier alarm
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
