"""The store while Redis is away, slow, full, locked, busy or loading: nothing is lost, and it recovers."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import trio
import trio.testing
from redis import ResponseError
from support.log_capture import LogEntry
from support.records import next_generation, record
from support.redis import RedisServer, needs_redis, proxied, redis_server
from support.redis_store import GRACE, running_store, stored, warnings, written
from support.waiting import until

from sfu.conference.records import SessionRecord
from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS
from sfu.shell.store.redis_connection import ErrorReply, RedisConnection, RedisConnectionFailed
from sfu.shell.store.redis_recovery import recover_sessions
from sfu.shell.store.redis_values import ValueReader
from sfu.state.backlog import Backlog
from sfu.state.keys import KeyNames
from sfu.state.scripts import Command, Commands
from sfu.state.statistics import StoreUnavailable

pytestmark = needs_redis


async def test_redis_is_away_at_the_start(tmp_path: Path, log: list[LogEntry]) -> None:
    server = RedisServer(tmp_path)
    async with running_store(server.address) as store:
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


async def test_a_flush_does_not_wait_for_the_next_try(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    rarely = replace(DEFAULT_TIMEOUTS, redis_retry_min=3600.0, redis_retry_max=3600.0)
    async with running_store(server.address, timeouts=rarely) as store:
        store.put(record(1), GRACE)
        await until(lambda: store.statistics().errors)
        await trio.testing.wait_all_tasks_blocked()
        async with redis_server(tmp_path) as redis:
            await written(store)
            assert stored(redis, 1)


async def test_a_flush_tries_often(tmp_path: Path) -> None:
    """However long Redis has been away: it may have been restarted together with the server."""
    server = RedisServer(tmp_path)
    up_to_an_hour = replace(DEFAULT_TIMEOUTS, redis_retry_max=3600.0)
    async with (
        running_store(server.address, timeouts=up_to_an_hour) as store,
        trio.open_nursery() as nursery,
    ):
        store.put(record(1), GRACE)
        await until(lambda: store.statistics().errors)
        store._health.failures = 100  # so the next try is a minute away
        nursery.start_soon(store.flush)
        before = sum(store.statistics().errors.values())
        await until(lambda: sum(store.statistics().errors.values()) >= before + 4)
        nursery.cancel_scope.cancel("seen")


async def test_each_kind_of_failure_is_logged_once(redis: RedisServer, log: list[LogEntry]) -> None:
    often = replace(DEFAULT_TIMEOUTS, redis_retry_max=0.1)
    async with running_store(redis.address, timeouts=often) as store:
        await until(lambda: store.healthy)
        redis.client.config_set("requirepass", "open sesame")
        redis.client.client_kill_filter(_type="normal", skipme=True)
        store.put(record(1), GRACE)
        await until(lambda: store.statistics().errors.get("auth", 0) >= 3)
        assert warnings(log) == ["connection", "auth"]
        redis.client.config_set("requirepass", "")
        await written(store)
        assert log[-1]["event"] == "session changes are written to Redis again"


async def test_a_claim_waits_for_the_recovery_but_not_forever(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    async with (
        running_store(server.address, timeouts=replace(DEFAULT_TIMEOUTS, redis_claim=0.05)) as impatient,
        running_store(server.address, timeouts=replace(DEFAULT_TIMEOUTS, redis_claim=20.0)) as patient,
    ):
        with pytest.raises(StoreUnavailable):
            await impatient.claim(record(1).session_id, next_generation)
        async with redis_server(tmp_path):
            assert await patient.claim(record(1).session_id, next_generation) is None


async def test_redis_is_busy_with_a_script(redis: RedisServer) -> None:
    """A claim is then answered with an error: it is unknown whether the session exists."""
    async with running_store(redis.address, "b") as other, running_store(redis.address) as store:
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
        redis.client.config_set("busy-reply-threshold", "5000")  # the default
        assert await store.claim(record(1).session_id, next_generation) is not None


def is_busy(redis: RedisServer) -> bool:
    """Return whether Redis answers that it is busy."""
    try:
        redis.client.get("x")
    except ResponseError as error:
        return str(error).startswith("BUSY")
    return False


class BusyConnection:
    """A connection to a Redis that returns the server's index and is then busy."""

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """Answer as Redis does."""
        await trio.lowlevel.checkpoint()
        if commands[0][0] == "ZSCAN":
            return [[b"0", [record(1).session_id.encode(), b"1"]]]
        return [ErrorReply("reply", "BUSY Redis is busy running a script.")] * len(commands)


async def test_a_session_that_cannot_be_read_fails_the_recovery() -> None:
    """The store then connects and recovers again, instead of going on without the session."""
    commands = Commands(KeyNames(), "a", "instance")
    connection = cast(RedisConnection, BusyConnection())
    with pytest.raises(RedisConnectionFailed, match="BUSY"):
        await recover_sessions(connection, commands, ValueReader(), Backlog(10, 15.0))


async def test_redis_is_restarted_empty(redis: RedisServer) -> None:
    timeouts = replace(DEFAULT_TIMEOUTS, redis_heartbeat=0.02)
    async with running_store(redis.address, timeouts=timeouts) as store:
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


async def test_redis_is_flushed_while_connected(redis: RedisServer) -> None:
    async with running_store(redis.address, timeouts=replace(DEFAULT_TIMEOUTS, lease_refresh=0.05)) as store:
        store.put(record(1), GRACE)
        await written(store)
        redis.client.flushall()
        await until(lambda: stored(redis, 1) is not None)
        redis.client.script_flush()
        store.put(record(2), GRACE)
        await written(store)
        assert store.statistics().errors == {"script": 1}


async def test_redis_is_halted_for_a_while(redis: RedisServer, log: list[LogEntry]) -> None:
    impatient = replace(DEFAULT_TIMEOUTS, redis_connect=0.2, redis_reply=0.2)
    lost: list[str] = []
    async with running_store(redis.address, lost=lost, timeouts=impatient) as store:
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


async def test_redis_is_slow(redis: RedisServer) -> None:
    async with running_store(redis.address, "b") as other:
        other.put(record(1), GRACE)
        await written(other)
        async with proxied(redis) as proxy, running_store(proxy.address) as store:
            await until(lambda: store.healthy)
            proxy.delay = 0.2
            for number in range(2, 10):
                store.put(record(number), GRACE)
            begin = trio.current_time()
            assert await store.claim(record(1).session_id, next_generation) is not None
            assert trio.current_time() - begin < DEFAULT_TIMEOUTS.redis_claim
            await written(store)
            assert store.healthy
            assert store.statistics().latency.counts[-1] > 0


async def test_redis_is_full(redis: RedisServer, log: list[LogEntry]) -> None:
    async with running_store(redis.address) as store:
        for number in (1, 2):
            store.put(record(number), GRACE)
        await written(store)
        redis.client.config_set("maxmemory-policy", "noeviction")
        redis.client.config_set("maxmemory", "1")
        store.put(record(1, name="later"), GRACE)
        store.drop(record(2).session_id)
        await until(lambda: stored(redis, 2) is None)  # a delete needs no memory
        await until(lambda: store.statistics().errors.get("full", 0) >= 3)
        assert not store.healthy
        assert warnings(log) == ["full"]
        async with running_store(redis.address, "b") as other:
            with pytest.raises(StoreUnavailable):
                await other.claim(record(1).session_id, next_generation)
        redis.client.config_set("maxmemory", "0")
        await written(store)
        assert stored(redis, 1)["name"] == "later"
        assert store.healthy


async def test_redis_is_full_at_the_start(redis: RedisServer) -> None:
    async with running_store(redis.address) as store:
        store.put(record(1), GRACE)
        await written(store)
    redis.client.config_set("maxmemory", "1")
    async with running_store(redis.address) as store:
        await until(lambda: store.statistics().errors.get("full", 0) >= 2)
        assert store.statistics().sessions == 0
        redis.client.config_set("maxmemory", "0")
        await until(lambda: store.statistics().sessions == 1)


async def test_the_password_is_wrong(redis: RedisServer, log: list[LogEntry]) -> None:
    redis.client.config_set("requirepass", "open sesame")
    for password in (None, "guess what"):
        log.clear()
        async with running_store(replace(redis.address, password=password)) as store:
            store.put(record(1), GRACE)
            await until(lambda store=store: store.statistics().errors.get("auth", 0) >= 2)  # type: ignore[misc]
            assert not store.healthy
            assert warnings(log) == ["auth"]
            assert "guess what" not in repr(log)
    async with running_store(replace(redis.address, password="open sesame")) as store:
        store.put(record(1), GRACE)
        await written(store)
    redis.client.config_set("requirepass", "")


async def test_redis_becomes_a_read_only_replica(redis: RedisServer, log: list[LogEntry]) -> None:
    async with running_store(redis.address) as store:
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


async def test_redis_is_loading_its_data(tmp_path: Path) -> None:
    async with redis_server(tmp_path) as redis:
        for number in range(200):
            redis.client.set(f"other:{number}", f"{number}" * 2000)
        redis.client.save()
        await redis.kill()
        # It loads for a second, and answers meanwhile that it is loading.
        await redis.start("--key-load-delay", "5000", "--loading-process-events-interval-bytes", "1024")
        async with running_store(redis.address) as store:
            store.put(record(1), GRACE)
            await until(lambda: store.statistics().errors)
            assert set(store.statistics().errors) == {"loading"}
            await written(store)
            assert stored(redis, 1)


async def test_a_lost_reply_to_a_write_loses_no_session(redis: RedisServer) -> None:
    lost: list[str] = []
    async with proxied(redis) as proxy, running_store(proxy.address, lost=lost) as store:
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


async def test_a_claim_whose_reply_got_lost_is_still_a_claim(redis: RedisServer) -> None:
    async with running_store(redis.address, "b") as other:
        other.put(record(1), GRACE)
        await written(other)
    calls: list[int] = []

    def resume(found: SessionRecord) -> SessionRecord:
        calls.append(found.generation)
        return next_generation(found)

    async with proxied(redis) as proxy, running_store(proxy.address) as store:
        await until(lambda: store.healthy)
        proxy.cut_before = b"server:b:sessions"
        assert await store.claim(record(1).session_id, resume) == record(1, generation=2)
        assert proxy.cut_before is None
        assert calls == [1]
