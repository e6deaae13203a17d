"""The timers of all peers: each goes off once, at the time that was set last, and never early."""

from random import Random

import trio
from trio.testing import MockClock

from sfu.shell.timers import STALE, Timers


async def test_each_key_wakes_once_at_its_time(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    timers: Timers[str] = Timers()
    woken: list[tuple[str, float]] = []
    start = trio.current_time()
    nursery.start_soon(timers.run, lambda key: woken.append((key, round(trio.current_time() - start, 3))))
    timers.set("late", start + 3)
    await trio.sleep(1)
    timers.set("early", start + 2)
    timers.set("never", start + 2)
    timers.set("never", None)
    timers.set("past", start)
    await trio.sleep(10)
    assert woken == [("past", 1.0), ("early", 2.0), ("late", 3.0)]


async def test_a_deadline_may_move_both_ways(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    timers: Timers[str] = Timers()
    woken: list[float] = []
    start = trio.current_time()
    nursery.start_soon(timers.run, lambda _key: woken.append(round(trio.current_time() - start, 3)))
    for time in (5, 9, 4, 6):
        timers.set("peer", start + time)
        await trio.sleep(0.5)
    await trio.sleep(20)
    assert woken == [6.0]


async def test_a_discarded_key_is_forgotten(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    timers: Timers[str] = Timers()
    woken: list[str] = []
    nursery.start_soon(timers.run, woken.append)
    timers.set("peer", trio.current_time() + 1)
    timers.discard("peer")
    timers.discard("stranger")
    await trio.sleep(2)
    assert not woken
    assert not len(timers)
    timers.set("peer", trio.current_time() + 1)
    await trio.sleep(2)
    assert woken == ["peer"]


async def test_wake_may_set_again(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    timers: Timers[str] = Timers()
    woken: list[float] = []
    start = trio.current_time()

    def wake(key: str) -> None:
        woken.append(round(trio.current_time() - start, 3))
        timers.set(key, trio.current_time() + 1)

    nursery.start_soon(timers.run, wake)
    timers.set("peer", start + 1)
    await trio.sleep(3.5)
    assert woken == [1.0, 2.0, 3.0]


async def test_random_moves(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """Compared with a model: the time that was set last counts, and obsolete alarms do not pile up."""
    random = Random(7)
    timers: Timers[int] = Timers()
    wanted: dict[int, float] = {}
    start = trio.current_time()

    def wake(key: int) -> None:
        assert wanted.pop(key) <= trio.current_time() < start + 10_000

    nursery.start_soon(timers.run, wake)
    for _ in range(3 * STALE):
        key = random.randrange(20)
        time = wanted[key] = trio.current_time() + random.uniform(0, 500)
        timers.set(key, time)
        if random.random() < 0.2:
            await trio.sleep(random.uniform(0, 1))
        assert all(time > trio.current_time() - 1e-6 for time in wanted.values())
        assert len(timers._alarms) <= 20 + STALE
    await trio.sleep(600)
    assert not wanted
