"""What both stores do: several servers share sessions, and each is held by one of them."""

import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from support.records import next_generation, record
from support.redis import needs_redis, redis_server
from support.waiting import until
from trio.testing import MockClock

from sfu.conference.records import SessionRecord
from sfu.shell.config.settings import Settings
from sfu.shell.store.from_settings import open_store
from sfu.shell.store.interface import Store
from sfu.shell.store.memory import Memory, MemoryStore

GRACE = 20.0


class Server:
    """A store, and what it has reported to its server."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.recovered: list[tuple[SessionRecord, float]] | None = None
        self.lost: list[str] = []
        self._scope = trio.CancelScope()

    def note_recovered(self, sessions: list[tuple[SessionRecord, float]]) -> None:
        """Take the recovered sessions, as a server does."""
        assert self.recovered is None
        self.recovered = sessions

    async def run(self) -> None:
        """Run until killed."""
        with self._scope:
            await self.store.run(self.note_recovered, self.lost.append)

    def kill(self) -> None:
        """End without writing anything else."""
        self._scope.cancel("killed")


class Cluster:
    """Servers that share their sessions."""

    def __init__(self, nursery: trio.Nursery, make: Callable[[str], Store]) -> None:
        self._nursery = nursery
        self._make = make
        self._servers: list[Server] = []

    async def start(self, server_id: str) -> Server:
        """Start a server; return when it has recovered its sessions."""
        server = Server(self._make(server_id))
        self._servers.append(server)
        self._nursery.start_soon(server.run)
        await until(lambda: server.recovered is not None)
        return server

    def kill(self) -> None:
        """Kill all servers."""
        for server in self._servers:
            server.kill()


class MemoryCluster:
    """Makes stores that share a memory."""

    def __init__(self) -> None:
        self.memory = Memory()

    def __call__(self, server_id: str) -> Store:
        return MemoryStore(server_id, self.memory)


@asynccontextmanager
async def over_memory(_folder: Path) -> AsyncIterator[Cluster]:
    """Run servers in one process."""
    async with trio.open_nursery() as nursery:
        yield Cluster(nursery, MemoryCluster())
        nursery.cancel_scope.cancel("the test is over")


@asynccontextmanager
async def over_redis(folder: Path) -> AsyncIterator[Cluster]:
    """Run servers that share a Redis; at the end each of its keys must have a time to live."""
    from sfu.shell.store.redis import RedisStore  # only here: the rest runs without trio-asyncio

    async with redis_server(folder) as redis:
        async with trio.open_nursery() as nursery:
            yield Cluster(nursery, lambda server_id: RedisStore(redis.address, server_id, os.urandom))
            nursery.cancel_scope.cancel("the test is over")
        assert all(ttl > 0 for ttl in redis.ttls().values())


@pytest.fixture(params=[over_memory, pytest.param(over_redis, marks=needs_redis)])
async def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cluster]:
    """Return servers over each kind of store."""
    async with request.param(tmp_path) as servers:
        yield servers


async def put(server: Server, *records: SessionRecord) -> None:
    """Put sessions, and wait until they are kept."""
    for session in records:
        server.store.put(session, GRACE)
    await server.store.flush()


async def test_a_session_is_claimed_with_all_that_was_put_last(cluster: Cluster) -> None:
    a, b = await cluster.start("a"), await cluster.start("b")
    await put(a, record(1), record(1, name="Alicia", generation=5))
    claimed = await b.store.claim(record(1).session_id, next_generation)
    assert claimed == record(1, name="Alicia", generation=6)


async def test_a_server_that_lost_a_session_is_told_and_cannot_overwrite_it(cluster: Cluster) -> None:
    a, b = await cluster.start("a"), await cluster.start("b")
    await put(a, record(1), record(2))
    assert await b.store.claim(record(1).session_id, next_generation)
    await put(b, record(1, name="at b"))
    a.store.put(record(1, name="at a"), GRACE)
    await until(lambda: a.lost)
    assert a.lost == [record(1).session_id]
    assert a.store.statistics().lost == 1
    assert a.store.statistics().sessions == 1
    found = await a.store.claim(record(1).session_id, next_generation)
    assert found is not None
    assert found.name == "at b"


async def test_a_late_drop_does_not_end_what_another_server_holds(cluster: Cluster) -> None:
    a, b = await cluster.start("a"), await cluster.start("b")
    await put(a, record(1))
    await b.store.claim(record(1).session_id, next_generation)
    a.store.drop(record(1).session_id)
    await a.store.flush()
    assert a.lost == []
    assert await a.store.claim(record(1).session_id, next_generation) is not None


async def test_a_session_that_does_not_exist_or_is_not_proven_is_not_claimed(cluster: Cluster) -> None:
    a, b = await cluster.start("a"), await cluster.start("b")
    await put(a, record(1))
    asked: list[SessionRecord] = []

    def refuse(found: SessionRecord) -> None:
        asked.append(found)

    for unknown in (record(2).session_id, "", "../etc", "f" * 31, "F" * 32, "f" * 33, "\n" + "f" * 31):
        assert await b.store.claim(unknown, refuse) is None
    assert asked == []
    assert await b.store.claim(record(1).session_id, refuse) is None
    assert asked == [record(1)]
    a.store.put(record(1, name="still mine"), GRACE)
    await a.store.flush()
    assert a.lost == []


async def test_a_session_that_the_server_holds_is_not_claimed_again(cluster: Cluster) -> None:
    a, b = await cluster.start("a"), await cluster.start("b")
    await put(a, record(1))
    assert await a.store.claim(record(1).session_id, next_generation) is None
    assert await b.store.claim(record(1).session_id, next_generation) is not None
    assert await b.store.claim(record(1).session_id, next_generation) is None


async def test_a_session_that_went_unnoticed_is_lost_first_and_then_claimed_back(cluster: Cluster) -> None:
    a, b = await cluster.start("a"), await cluster.start("b")
    await put(a, record(1))
    assert await b.store.claim(record(1).session_id, next_generation) is not None
    await put(b, record(1, generation=7))
    lost_before: list[list[str]] = []

    def resume(found: SessionRecord) -> SessionRecord:
        lost_before.append(a.lost.copy())
        return next_generation(found)

    assert await a.store.claim(record(1).session_id, resume) == record(1, generation=8)
    assert lost_before == [[record(1).session_id]]
    assert a.store.statistics().lost == 1
    await put(a, record(1, name="back at a"))
    b.store.put(record(1, name="at b"), GRACE)
    await until(lambda: b.lost)
    assert a.lost == [record(1).session_id]


async def test_a_dropped_session_is_gone(cluster: Cluster) -> None:
    a, b = await cluster.start("a"), await cluster.start("b")
    await put(a, record(1), record(2))
    a.store.drop(record(1).session_id)
    a.store.drop(record(9).session_id)
    await a.store.flush()
    assert await b.store.claim(record(1).session_id, next_generation) is None
    assert await b.store.claim(record(2).session_id, next_generation) is not None


async def test_a_restarted_server_recovers_its_sessions(cluster: Cluster) -> None:
    a, b = await cluster.start("a"), await cluster.start("b")
    await put(a, record(1), record(2), record(3), record(4))
    a.store.put(record(2, suspended=True), 5.0)
    a.store.drop(record(3).session_id)
    await a.store.flush()
    await put(b, record(5))
    await b.store.claim(record(4).session_id, next_generation)
    a.kill()
    again = await cluster.start("a")
    assert again.recovered is not None
    times = dict(again.recovered)
    assert set(times) == {record(1, suspended=True), record(2, suspended=True)}
    assert times[record(1, suspended=True)] == GRACE
    assert 3.0 < times[record(2, suspended=True)] <= 5.0
    again.store.put(record(1, name="back"), GRACE)
    await again.store.flush()
    found = await b.store.claim(record(1).session_id, next_generation)
    assert found is not None
    assert found.name == "back"


async def test_of_two_processes_with_one_id_the_newer_holds_the_sessions(cluster: Cluster) -> None:
    old = await cluster.start("a")
    await put(old, record(1))
    new = await cluster.start("a")
    assert new.recovered == [(record(1, suspended=True), GRACE)]
    await put(old, record(1, name="old"), record(2))
    await until(lambda: old.lost)
    assert old.lost == [record(1).session_id]
    await put(new, record(1, name="new"))
    assert new.lost == []


async def test_a_drop_by_the_older_of_two_processes_does_not_end_the_session(cluster: Cluster) -> None:
    old = await cluster.start("a")
    await put(old, record(1))
    new = await cluster.start("a")
    await put(new, record(1, name="new"))
    old.store.drop(record(1).session_id)
    await old.store.flush()
    new.kill()
    again = await cluster.start("a")
    assert again.recovered == [(record(1, name="new", suspended=True), GRACE)]


async def test_a_suspended_session_expires(cluster: Cluster) -> None:
    a, b = await cluster.start("a"), await cluster.start("b")
    a.store.put(record(1, suspended=True), 0.05)
    await a.store.flush()
    await trio.sleep(0.06)
    assert await b.store.claim(record(1).session_id, next_generation) is None


@pytest.mark.parametrize("round_", range(3))
async def test_of_several_claims_of_a_session_one_gets_it(cluster: Cluster, round_: int) -> None:
    servers = [await cluster.start(name) for name in "abc"]
    sessions = [record(number) for number in range(10)]
    await put(servers[round_], *sessions)
    won: list[tuple[str, str, int]] = []

    async def race(index: int, session_id: str) -> None:
        claimed = await servers[index].store.claim(session_id, proven_once)
        if claimed is not None:
            won.append((session_id, "abc"[index], claimed.generation))

    def proven_once(found: SessionRecord) -> SessionRecord | None:
        return next_generation(found) if found.generation == 1 else None

    async with trio.open_nursery() as nursery:
        for session in sessions:
            for index in (0, 1, 2, 0, 1, 2):
                if index != round_:
                    nursery.start_soon(race, index, session.session_id)
    assert sorted(session_id for session_id, _, _ in won) == [session.session_id for session in sessions]
    assert {generation for _, _, generation in won} == {2}


@pytest.mark.parametrize("moment", [0.0, 0.0005, 0.001, 0.002, 0.005])
async def test_a_cancelled_claim_loses_no_session(cluster: Cluster, moment: float) -> None:
    a, b = await cluster.start("a"), await cluster.start("b")
    await put(a, record(1))
    claimed = None
    with trio.move_on_after(moment):
        claimed = await b.store.claim(record(1).session_id, next_generation)
    if claimed is None:
        with trio.fail_after(5):
            claimed = await b.store.claim(record(1).session_id, next_generation)
    assert claimed is not None
    assert claimed.generation in {2, 3}  # it is unknown whether the first claim was done


@pytest.mark.parametrize("moment", [0.0, 0.001, 0.002, 0.005, 0.01, 0.02])
async def test_a_store_that_is_cancelled_leaves_nothing(cluster: Cluster, moment: float) -> None:
    def remains() -> tuple[int, int]:
        return trio.lowlevel.current_statistics().tasks_living, len(os.listdir("/proc/self/fd"))

    before = remains()
    with trio.move_on_after(moment):
        a = await cluster.start("a")
        await put(a, *(record(number) for number in range(100)))
        await trio.sleep_forever()
    cluster.kill()
    await until(lambda: remains() == before)


# --- time, which in memory is Trio's ---


async def test_a_lease_outlives_its_server_by_the_grace_period(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    cluster = Cluster(nursery, MemoryCluster())
    a, b = await cluster.start("a"), await cluster.start("b")
    await put(a, record(1), record(2), record(3))
    await trio.sleep(1000)
    assert a.store.statistics().sessions == 3
    a.kill()
    await trio.sleep(GRACE)
    assert await b.store.claim(record(1).session_id, next_generation) is not None
    again = await cluster.start("a")
    assert again.recovered is not None
    assert len(again.recovered) == 2
    again.kill()
    await trio.sleep(GRACE)
    assert await b.store.claim(record(2).session_id, next_generation) is None


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1)), max_size=12))
async def test_after_any_claims_each_session_has_one_holder(claims: list[tuple[int, int]]) -> None:
    memory = Memory()
    stores = [MemoryStore(name, memory) for name in "abc"]
    for number in (0, 1):
        stores[0].put(record(number), GRACE)
    won: list[tuple[int, SessionRecord]] = []

    async def claim(index: int, number: int) -> None:
        claimed = await stores[index].claim(record(number).session_id, next_generation)
        if claimed is not None:
            won.append((index, claimed))

    async with trio.open_nursery() as nursery:
        for index, number in claims:
            nursery.start_soon(claim, index, number)
    for number in (0, 1):
        mine = [(index, session) for index, session in won if session.session_id == record(number).session_id]
        assert sorted(session.generation for _, session in mine) == list(range(2, 2 + len(mine)))
        if mine:
            holder, last = max(mine, key=lambda win: win[1].generation)
            kept = memory.find(last.session_id)
            assert kept is not None
            assert (kept.record, kept.instance) == (last, stores[holder])


async def test_a_session_that_is_claimed_and_never_put_expires(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    memory = MemoryCluster()
    cluster = Cluster(nursery, memory)
    a, b = await cluster.start("a"), await cluster.start("b")
    await put(a, record(1))
    assert await b.store.claim(record(1).session_id, next_generation) is not None
    await trio.sleep(1000)
    assert b.store.statistics().sessions == 0
    assert memory.memory.sessions == {}


async def test_refreshing_many_sessions_in_memory_is_quick() -> None:
    store = MemoryStore("a")
    for number in range(5000):
        store.put(record(number), GRACE)
    await store.flush()
    begin = time.process_time()
    store._refresh()
    assert time.process_time() - begin < 0.2  # some 10 ms; it would be a second if the time were quadratic


def test_without_redis_in_the_settings_sessions_are_kept_in_memory() -> None:
    assert isinstance(open_store(Settings()), MemoryStore)
