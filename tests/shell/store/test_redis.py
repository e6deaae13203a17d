"""The store when Redis is away, slow, full, wrong, or somebody else's."""

import gc
import json
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import trio
import trio.testing
from redis import ResponseError
from support.log_capture import LogEntry, capture_logs
from support.records import next_generation, record
from support.redis import RedisServer, TcpProxy, free_port, needs_redis, redis_server, until

from sfu.conference.records import SessionRecord
from sfu.shell.config.redis_url import RedisAddress, parse_address
from sfu.shell.config.settings import Settings
from sfu.shell.config.values import HostPort
from sfu.shell.store import redis as redis_store
from sfu.shell.store import redis_claims
from sfu.shell.store import redis_health as redis_trouble
from sfu.shell.store import redis_link as redis_client
from sfu.shell.store.interface import open_store
from sfu.shell.store.redis import RedisStore
from sfu.shell.store.redis_recovery import adopt
from sfu.state import backlog
from sfu.state.keys import Keys
from sfu.state.scripts import Command, Commands
from sfu.state.statistics import StoreUnavailable

GRACE = 20.0

pytestmark = needs_redis


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """Return a running redis-server."""
    async with redis_server(tmp_path) as server:
        yield server


@pytest.fixture
def log() -> Iterator[list[LogEntry]]:
    """Collect the log."""
    with capture_logs() as captured:
        yield captured


@asynccontextmanager
async def running(
    address: RedisAddress, server_id: str = "a", lost: list[str] | None = None, **options: Any
) -> AsyncIterator[RedisStore]:
    """Run a store for the block. It is not waited for until Redis answers."""
    store = RedisStore(address, server_id, os.urandom, **options)

    def recovered(sessions: list[tuple[SessionRecord, float]]) -> None:
        for session, ttl in sessions:
            store.put(session, ttl)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.run, recovered, ([] if lost is None else lost).append)
        yield store
        nursery.cancel_scope.cancel("the test is over")


@asynccontextmanager
async def between(folder: Path, redis: RedisServer) -> AsyncIterator[TcpProxy]:
    """Put a TCP proxy before Redis."""
    proxy = TcpProxy(folder, redis.address)
    async with trio.open_nursery() as nursery:
        await nursery.start(proxy.serve)
        yield proxy
        nursery.cancel_scope.cancel("the test is over")


async def written(store: RedisStore) -> None:
    """Wait until everything is in Redis."""
    with trio.fail_after(30):
        await store.flush()


def warnings(log: list[LogEntry]) -> list[str]:
    """Return the kinds of the warnings."""
    return [line["kind"] for line in log if line["log_level"] == "warning"]


def stored(redis: RedisServer, number: int, prefix: str = "") -> Any:
    """Return what Redis has of a session."""
    value: Any = redis.client.get(f"{prefix}session:{record(number).session_id}")
    return json.loads(value) if value else None


# --- what is written ---


async def test_the_keys_are_those_of_the_specification_and_none_stays(redis: RedisServer) -> None:
    async with running(redis.address) as store:
        store.put(record(1), GRACE)
        store.put(record(2, tracks=(), suspended=True), GRACE)
        await written(store)
        one, two = record(1).session_id, record(2).session_id
        names = {f"session:{one}", f"session:{two}", "peer:peer1:tracks", "room:room:meta", "room:room:peers"}
        assert redis.names() == names | {"server:a:sessions"}
        ttls = redis.ttls()
        assert all(0 < ttl <= (GRACE + 30) * 1000 for ttl in ttls.values())
        assert ttls[f"session:{one}"] > (GRACE + 25) * 1000
        assert GRACE * 900 < ttls[f"session:{two}"] <= GRACE * 1000
        assert stored(redis, 1)["peer_id"] == "peer1"
        assert redis.client.zrange("room:room:peers", 0, -1) == ["peer2", "peer1"]
        assert json.loads(str(redis.client.get("peer:peer1:tracks")))[0]["track_id"] == "t1"
        assert "created_ms" in redis.client.hgetall("room:room:meta")

        store.put(record(1, tracks=()), GRACE)
        await written(store)
        assert "peer:peer1:tracks" not in redis.names()
        store.drop(one)
        await written(store)
        assert redis.client.zrange("room:room:peers", 0, -1) == ["peer2"]
        store.drop(two)
        await written(store)
        assert redis.names() == set()


async def test_an_empty_room_is_remembered_for_its_time(redis: RedisServer) -> None:
    async with running(redis.address, room_ttl=300.0, prefix="my:") as store:
        store.put(record(1), GRACE)
        await written(store)
        assert all(name.startswith("my:") for name in redis.names())
        store.drop(record(1).session_id)
        await written(store)
        assert redis.names() == {"my:room:room:meta"}
        assert 299_000 < redis.ttls()["my:room:room:meta"] <= 300_000


async def test_changes_of_a_moment_are_one_write(redis: RedisServer) -> None:
    async with running(redis.address) as store:
        store.put(record(1), GRACE)
        await written(store)
        before = calls(redis)
        for generation in range(100):
            store.put(record(1, generation=generation), GRACE)
        await written(store)
        assert calls(redis) == before + 1
        assert stored(redis, 1)["generation"] == 99
        store.put(record(2), GRACE)
        store.drop(record(2).session_id)
        await written(store)
        assert calls(redis) == before + 1


def calls(redis: RedisServer) -> int:
    """Return how many scripts Redis has run."""
    statistics: Any = redis.client.info("commandstats")
    return int(statistics["cmdstat_evalsha"]["calls"])


async def test_leases_are_extended(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "REFRESH_INTERVAL", 0.3)
    async with running(redis.address) as store:
        for number in range(100):
            store.put(record(number), 0.1)
        store.put(record(100, suspended=True), 0.1)
        await written(store)
        await trio.sleep(1.0)  # longer than a lease, which is 0.7 s
        assert sum(name.startswith("session:") for name in redis.names()) == 100
        assert redis.client.zcard("room:room:peers") == 100
    await until(lambda: redis.names() == set())


async def test_fields_of_a_newer_version_are_kept_and_a_newer_schema_is_left_alone(redis: RedisServer) -> None:
    async with running(redis.address, "old") as store:
        store.put(record(1), GRACE)
        store.put(record(2), GRACE)
        await written(store)
    for number, change in ((1, {"color": "red"}), (2, {"schema": 2})):
        document = stored(redis, number) | change
        document["grants"]["sing"] = True
        redis.client.set(f"session:{record(number).session_id}", json.dumps(document), ex=20)
    async with running(redis.address, "new") as store:
        assert await store.claim(record(1).session_id, next_generation) == record(1, generation=2)
        store.put(record(1, name="Alicia"), GRACE)
        await written(store)
        document = stored(redis, 1)
        assert (document["color"], document["grants"]["sing"], document["name"]) == ("red", True, "Alicia")
        assert await store.claim(record(2).session_id, next_generation) is None
        assert store.statistics().unreadable == {"state-schema": 1}
        assert stored(redis, 2)["owner"] == "old"


@pytest.mark.parametrize("value", ["", "{", "[" * 100_000, "{}", '{"schema": true}', "7", '"\\ud800"'])
async def test_values_of_others_harm_nobody(redis: RedisServer, value: str) -> None:
    async with running(redis.address) as store:
        store.put(record(1), GRACE)
        store.put(record(2), GRACE)
        await written(store)
    redis.client.set(f"session:{record(1).session_id}", value, ex=20)
    async with running(redis.address) as store:
        assert await store.claim(record(1).session_id, next_generation) is None
        assert sum(store.statistics().unreadable.values()) == 2  # at the recovery, too
        assert store.statistics().sessions == 1
        store.put(record(1, name="mine"), GRACE)
        await written(store)
        assert stored(redis, 1)["name"] == "mine"


async def test_a_key_of_another_type_harms_nobody_else(redis: RedisServer) -> None:
    redis.client.lpush(f"session:{record(1).session_id}", "what")
    redis.client.lpush("server:a:sessions", "what")
    async with running(redis.address) as store:
        await until(lambda: store.statistics().errors)
        redis.client.delete("server:a:sessions")
        assert await store.claim(record(1).session_id, next_generation) is None
        store.put(record(1), GRACE)
        store.put(record(2), GRACE)
        await until(lambda: stored(redis, 2) is not None)
        await until(lambda: not store.healthy)
        redis.client.delete(f"session:{record(1).session_id}")
        await written(store)
        await until(lambda: store.healthy)


async def test_who_expired_leaves_nothing(redis: RedisServer) -> None:
    async with running(redis.address) as store:
        for number in (1, 2):
            store.put(record(number), GRACE)
        store.put(record(1, suspended=True), 0.1)
        await written(store)
        await until(lambda: stored(redis, 1) is None)
        store.drop(record(1).session_id)
        await written(store)
        assert redis.client.zrange("server:a:sessions", 0, -1) == [record(2).session_id]
        assert redis.client.zrange("room:room:peers", 0, -1) == ["peer2"]
        store.drop(record(2).session_id)
        await written(store)
        assert redis.names() == set()


async def test_another_sessions_value_is_not_claimed(redis: RedisServer) -> None:
    async with running(redis.address, "b") as other:
        other.put(record(1), GRACE)
        await written(other)
    redis.client.copy(f"session:{record(1).session_id}", f"session:{record(2).session_id}")
    async with running(redis.address) as store:
        assert await store.claim(record(2).session_id, next_generation) is None
        assert store.statistics().unreadable == {"state-id": 1}


async def test_too_many_claims_are_refused(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_claims, "MAX_QUESTIONS", 0)
    async with running(redis.address) as store:
        with pytest.raises(StoreUnavailable):
            await store.claim(record(1).session_id, next_generation)


async def test_what_is_one_too_many_is_refused_and_counted(redis: RedisServer) -> None:
    async with running(redis.address, max_sessions=2) as store:
        for number in range(3):
            store.put(record(number), GRACE)
        await written(store)
        assert stored(redis, 2) is None
        assert store.statistics().refused == 1


# --- Redis in trouble ---


async def test_away_at_the_start(tmp_path: Path, log: list[LogEntry]) -> None:
    server = RedisServer(tmp_path)
    async with running(server.address) as store:
        store.put(record(1), GRACE)
        await until(lambda: store.statistics().errors.get("connection", 0) >= 2)
        assert not store.healthy
        assert store.statistics().backlog == 1
        assert warnings(log) == ["connection"]
        async with redis_server(tmp_path) as redis:
            await written(store)
            assert stored(redis, 1)
            assert store.healthy
            assert log[-1]["event"] == "session changes are written to Redis again"


async def test_who_flushes_does_not_wait_for_the_next_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_trouble, "RETRY_MIN", 3600.0)
    monkeypatch.setattr(redis_trouble, "RETRY_MAX", 3600.0)
    server = RedisServer(tmp_path)
    async with running(server.address) as store:
        store.put(record(1), GRACE)
        await until(lambda: store.statistics().errors)
        await trio.testing.wait_all_tasks_blocked()
        async with redis_server(tmp_path) as redis:
            await written(store)
            assert stored(redis, 1)


async def test_who_flushes_tries_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long Redis has been away: it may have been restarted together with the server."""
    monkeypatch.setattr(redis_trouble, "RETRY_MAX", 3600.0)
    server = RedisServer(tmp_path)
    async with running(server.address) as store, trio.open_nursery() as nursery:
        store.put(record(1), GRACE)
        await until(lambda: store.statistics().errors)
        store._trouble.failures = 100  # so the next try is a minute away
        nursery.start_soon(store.flush)
        before = sum(store.statistics().errors.values())
        await until(lambda: sum(store.statistics().errors.values()) >= before + 4)
        nursery.cancel_scope.cancel("seen")


async def test_each_kind_of_trouble_is_told_once(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch, log: list[LogEntry]
) -> None:
    monkeypatch.setattr(redis_trouble, "RETRY_MAX", 0.1)
    async with running(redis.address) as store:
        await until(lambda: store.healthy)
        redis.client.config_set("requirepass", "open sesame")
        redis.client.client_kill_filter(_type="normal", skipme=True)
        store.put(record(1), GRACE)
        await until(lambda: store.statistics().errors.get("auth", 0) >= 3)
        assert warnings(log) == ["connection", "auth"]
        redis.client.config_set("requirepass", "")
        await written(store)
        assert log[-1]["event"] == "session changes are written to Redis again"


async def test_a_claim_waits_for_the_recovery_and_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_store, "CLAIM_TIMEOUT", 0.05)
    server = RedisServer(tmp_path)
    async with running(server.address) as store:
        with pytest.raises(StoreUnavailable):
            await store.claim(record(1).session_id, next_generation)
        monkeypatch.setattr(redis_store, "CLAIM_TIMEOUT", 20.0)
        async with redis_server(tmp_path):
            assert await store.claim(record(1).session_id, next_generation) is None


async def test_busy_with_somebody_elses_script(redis: RedisServer) -> None:
    """That Redis does not look for a session says nothing about the session."""
    async with running(redis.address, "b") as other, running(redis.address) as store:
        other.put(record(1), GRACE)
        await written(other)
        await until(lambda: store.healthy)
        redis.client.config_set("busy-reply-threshold", "1")
        async with await trio.open_unix_socket(redis.address.path) as busy:
            await busy.send_all(b"EVAL 'while true do end' 0\r\n")
            await until(lambda: is_busy(redis))
            with pytest.raises(StoreUnavailable, match="BUSY"):
                await store.claim(record(1).session_id, next_generation)
            assert store.statistics().unreadable == {}
            redis.client.script_kill()
            await until(lambda: not is_busy(redis))
        redis.client.config_set("busy-reply-threshold", "5000")  # as it was, lest our own scripts take too long
        assert await store.claim(record(1).session_id, next_generation) is not None


def is_busy(redis: RedisServer) -> bool:
    """Whether Redis answers that it is."""
    try:
        redis.client.get("x")
    except ResponseError as error:
        return str(error).startswith("BUSY")
    return False


class BusyLink:
    """A connection to a Redis that has an index, and then is busy."""

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """Answer as Redis does."""
        await trio.lowlevel.checkpoint()
        if commands[0][0] == "ZSCAN":
            return [[b"0", [record(1).session_id.encode(), b"1"]]]
        return [redis_client.ErrorReply("reply", "BUSY Redis is busy running a script.")] * len(commands)


async def test_what_cannot_be_read_at_the_start_is_asked_for_again() -> None:
    commands = Commands(Keys(), "a", "life")
    with pytest.raises(redis_client.LinkFailed, match="BUSY"):
        await adopt(cast(redis_client.Link, BusyLink()), commands, lambda *_: None, backlog.Backlog(10))


async def test_restarted_empty(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_store, "HEARTBEAT", 0.02)
    async with running(redis.address) as store:
        for number in range(120):
            store.put(record(number), GRACE)
        await written(store)
        await redis.kill()
        store.put(record(0, name="meanwhile"), GRACE)
        store.drop(record(1).session_id)
        await until(lambda: not store.healthy)
        assert store.statistics().backlog >= 2
        await redis.start()
        await written(store)
        assert sum(name.startswith("session:") for name in redis.names()) == 119
        assert stored(redis, 0)["name"] == "meanwhile"


async def test_flushed_while_connected(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "REFRESH_INTERVAL", 0.05)
    async with running(redis.address) as store:
        store.put(record(1), GRACE)
        await written(store)
        redis.client.flushall()
        await until(lambda: stored(redis, 1) is not None)
        redis.client.script_flush()
        store.put(record(2), GRACE)
        await written(store)
        assert store.statistics().errors == {"script": 1}


async def test_halted_for_a_while(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch, log: list[LogEntry]
) -> None:
    monkeypatch.setattr(redis_client, "REPLY_TIMEOUT", 0.2)
    monkeypatch.setattr(redis_client, "CONNECT_TIMEOUT", 0.2)
    lost: list[str] = []
    async with running(redis.address, lost=lost) as store:
        store.put(record(1), GRACE)
        await written(store)
        redis.halt()
        store.put(record(1, name="meanwhile"), GRACE)
        await until(lambda: store.statistics().errors.get("timeout", 0) >= 2)
        assert not store.healthy
        assert warnings(log) == ["timeout"]
        redis.go_on()
        await written(store)
        await until(lambda: store.healthy)
        assert stored(redis, 1)["name"] == "meanwhile"
        assert lost == []


async def test_slow(tmp_path: Path, redis: RedisServer) -> None:
    async with running(redis.address, "b") as other:
        other.put(record(1), GRACE)
        await written(other)
        async with between(tmp_path, redis) as proxy, running(proxy.address) as store:
            await until(lambda: store.healthy)
            proxy.delay = 0.2
            for number in range(2, 10):
                store.put(record(number), GRACE)
            begin = trio.current_time()
            assert await store.claim(record(1).session_id, next_generation) is not None
            assert trio.current_time() - begin < redis_store.CLAIM_TIMEOUT
            await written(store)
            assert store.healthy
            assert store.statistics().latency.counts[-1] > 0


async def test_full(redis: RedisServer, log: list[LogEntry]) -> None:
    async with running(redis.address) as store:
        for number in (1, 2):
            store.put(record(number), GRACE)
        await written(store)
        redis.client.config_set("maxmemory-policy", "noeviction")
        redis.client.config_set("maxmemory", "1")
        store.put(record(1, name="later"), GRACE)
        store.drop(record(2).session_id)
        await until(lambda: stored(redis, 2) is None)  # there is always room for less
        await until(lambda: store.statistics().errors.get("full", 0) >= 3)
        assert not store.healthy
        assert warnings(log) == ["full"]
        async with running(redis.address, "b") as other:
            with pytest.raises(StoreUnavailable):
                await other.claim(record(1).session_id, next_generation)
        redis.client.config_set("maxmemory", "0")
        await written(store)
        assert stored(redis, 1)["name"] == "later"
        assert store.healthy


async def test_full_at_the_start(redis: RedisServer) -> None:
    async with running(redis.address) as store:
        store.put(record(1), GRACE)
        await written(store)
    redis.client.config_set("maxmemory", "1")
    async with running(redis.address) as store:
        await until(lambda: store.statistics().errors.get("full", 0) >= 2)
        assert store.statistics().sessions == 0
        redis.client.config_set("maxmemory", "0")
        await until(lambda: store.statistics().sessions == 1)


async def test_wrong_password(redis: RedisServer, log: list[LogEntry]) -> None:
    redis.client.config_set("requirepass", "open sesame")
    for password in (None, "guess what"):
        log.clear()
        async with running(replace(redis.address, password=password)) as store:
            store.put(record(1), GRACE)
            await until(lambda store=store: store.statistics().errors.get("auth", 0) >= 2)  # type: ignore[misc]
            assert not store.healthy
            assert warnings(log) == ["auth"]
            assert "guess what" not in repr(log)
    async with running(replace(redis.address, password="open sesame")) as store:
        store.put(record(1), GRACE)
        await written(store)
    redis.client.config_set("requirepass", "")


async def test_a_read_only_replica(redis: RedisServer, log: list[LogEntry]) -> None:
    async with running(redis.address) as store:
        store.put(record(1), GRACE)
        await written(store)
        redis.client.replicaof("127.0.0.1", "1")
        store.put(record(1, name="later"), GRACE)
        await until(lambda: store.statistics().errors.get("readonly", 0) >= 2)
        assert not store.healthy
        assert warnings(log) == ["readonly"]
        redis.client.replicaof("NO", "ONE")
        await written(store)
        assert stored(redis, 1)["name"] == "later"


async def test_loading(tmp_path: Path) -> None:
    async with redis_server(tmp_path) as redis:
        for number in range(200):
            redis.client.set(f"other:{number}", f"{number}" * 2000)
        redis.client.save()
        await redis.kill()
        # Loads for a second, and answers meanwhile that it does.
        await redis.start("--key-load-delay", "5000", "--loading-process-events-interval-bytes", "1024")
        async with running(redis.address) as store:
            store.put(record(1), GRACE)
            await until(lambda: store.statistics().errors)
            assert set(store.statistics().errors) == {"loading"}
            await written(store)
            assert stored(redis, 1)


async def test_a_reply_that_got_lost_is_no_loss(tmp_path: Path, redis: RedisServer) -> None:
    lost: list[str] = []
    async with between(tmp_path, redis) as proxy, running(proxy.address, lost=lost) as store:
        for number in range(60):
            store.put(record(number), GRACE)
        await written(store)
        proxy.cut_before = b"much later"
        for number in range(60):
            store.put(record(number, name="much later"), GRACE)
        await written(store)
        assert proxy.cut_before is None
        assert proxy.connections == 2
        assert lost == []
        assert all(stored(redis, number)["name"] == "much later" for number in range(60))


async def test_a_claim_whose_reply_got_lost_is_still_a_claim(tmp_path: Path, redis: RedisServer) -> None:
    async with running(redis.address, "b") as other:
        other.put(record(1), GRACE)
        await written(other)
    steps: list[int] = []

    def step(found: SessionRecord) -> SessionRecord:
        steps.append(found.generation)
        return next_generation(found)

    async with between(tmp_path, redis) as proxy, running(proxy.address) as store:
        await until(lambda: store.healthy)
        proxy.cut_before = b"server:b:sessions"
        assert await store.claim(record(1).session_id, step) == record(1, generation=2)
        assert proxy.cut_before is None
        assert steps == [1]


NO_REPLIES = [
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"$x\r\n",
    b"*1\r\n" * 5000,
    b":7\r\n",
    b"+OK\r\n",
    b"*0\r\n",
    b"*2\r\n:0\r\n*1\r\n:1\r\n" * 8,
    b"\xff" * 100_000,
]


@pytest.mark.parametrize("answer", NO_REPLIES, ids=range(len(NO_REPLIES)))
async def test_what_is_no_reply_ends_the_connection_alone(
    tmp_path: Path, redis: RedisServer, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_client, "REPLY_TIMEOUT", 0.2)
    monkeypatch.setattr(redis_client, "CONNECT_TIMEOUT", 0.2)
    monkeypatch.setattr(redis_store, "HEARTBEAT", 0.02)
    async with between(tmp_path, redis) as proxy, running(proxy.address) as store:
        proxy.answer = answer
        await until(lambda: store.statistics().errors)
        proxy.answer = None
        await until(lambda: store.healthy)
        proxy.answer = answer
        store.put(record(1), GRACE)
        await until(lambda: not store.healthy)
        proxy.answer = None
        await written(store)
        assert stored(redis, 1)
        assert set(store.statistics().errors) <= {"protocol", "connection", "timeout"}


async def test_what_fails_in_the_loop_ends_the_connection_alone(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    links: list[redis_client.Link] = []
    ask = redis_client.Link.ask

    async def spy(link: redis_client.Link, commands: Any) -> list[Any]:
        links.append(link)
        return await ask(link, commands)

    monkeypatch.setattr(redis_client.Link, "ask", spy)
    async with running(redis.address) as store:
        await until(lambda: store.healthy)
        links[-1]._loop.asyncio.call_soon(lambda: 1 // 0)
        store.put(record(1), GRACE)
        await written(store)
        assert store.statistics().errors == {"loop": 1}


# --- ways to Redis ---


async def test_tcp_with_database_user_and_password(tmp_path: Path) -> None:
    port = free_port()
    async with redis_server(tmp_path, "--bind", "127.0.0.1", "::1", "--port", str(port)) as redis:
        redis.client.acl_setuser("sfu", enabled=True, passwords=["+p@ss/word"], commands=["+@all"], keys=["*"])
        for host in ("127.0.0.1", "localhost", "[::1]"):
            async with running(parse_address(f"redis://sfu:p%40ss%2Fword@{host}:{port}/3")) as store:
                store.put(record(1), GRACE)
                await written(store)
        databases: Any = redis.client.info("keyspace")
        assert set(databases) == {"db3"}


async def test_tls_and_a_certificate_that_must_be_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: list[LogEntry]
) -> None:
    cert, key, port = tmp_path / "cert.pem", tmp_path / "key.pem", free_port()
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=redis"
    )
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    await trio.run_process(
        [*command.split(), *names, "-keyout", key, "-out", cert], capture_stdout=True, capture_stderr=True
    )
    options = ["--tls-port", str(port), "--tls-cert-file", str(cert), "--tls-key-file", str(key)]
    address = parse_address(f"rediss://127.0.0.1:{port}")
    async with redis_server(tmp_path, *options, "--tls-auth-clients", "no") as redis:
        async with running(address) as store:
            await until(lambda: store.statistics().errors)
            assert warnings(log) == ["connection"]
            assert "CERTIFICATE_VERIFY_FAILED" in str(log)
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        async with running(address) as store:
            store.put(record(1), GRACE)
            await written(store)
            assert stored(redis, 1)
    gc.collect()  # what was not closed warns now, and not in some other test


def test_with_redis_in_the_settings_sessions_are_kept_there() -> None:
    assert isinstance(open_store(Settings(redis_addr=HostPort("localhost", 6379))), RedisStore)
