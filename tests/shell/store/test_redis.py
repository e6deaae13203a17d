"""The store over Redis: which keys it writes, what it keeps in them, and what it reads back."""

import json
from dataclasses import replace
from typing import Any

import pytest
import trio
from support.records import next_generation, record
from support.redis import RedisServer, needs_redis
from support.redis_store import GRACE, running_store, stored, written
from support.waiting import until

from sfu.shell.config.settings import Settings
from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS
from sfu.shell.config.values import HostPort
from sfu.shell.store.from_settings import open_store
from sfu.shell.store.redis import RedisStore
from sfu.state.statistics import StoreUnavailable

pytestmark = needs_redis


async def test_the_keys_are_those_of_the_specification_and_all_are_removed(redis: RedisServer) -> None:
    async with running_store(redis.address) as store:
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


async def test_an_empty_rooms_metadata_is_kept_for_the_rooms_ttl(redis: RedisServer) -> None:
    async with running_store(redis.address, room_ttl=300.0, prefix="my:") as store:
        store.put(record(1), GRACE)
        await written(store)
        assert all(name.startswith("my:") for name in redis.names())
        store.drop(record(1).session_id)
        await written(store)
        assert redis.names() == {"my:room:room:meta"}
        assert 299_000 < redis.ttls()["my:room:room:meta"] <= 300_000


async def test_changes_within_a_moment_are_one_write(redis: RedisServer) -> None:
    async with running_store(redis.address) as store:
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


async def test_leases_are_extended(redis: RedisServer) -> None:
    async with running_store(redis.address, timeouts=replace(DEFAULT_TIMEOUTS, lease_refresh=0.3)) as store:
        for number in range(100):
            store.put(record(number), 0.1)
        store.put(record(100, suspended=True), 0.1)
        await written(store)
        await trio.sleep(1.0)  # longer than a lease, which is 0.7 s
        assert sum(name.startswith("session:") for name in redis.names()) == 100
        assert redis.client.zcard("room:room:peers") == 100
    await until(lambda: redis.names() == set())


async def test_fields_of_a_newer_version_are_kept_and_a_newer_schema_is_left_alone(redis: RedisServer) -> None:
    async with running_store(redis.address, "old") as store:
        store.put(record(1), GRACE)
        store.put(record(2), GRACE)
        await written(store)
    for number, change in ((1, {"color": "red"}), (2, {"schema": 2})):
        document = stored(redis, number) | change
        document["grants"]["sing"] = True
        redis.client.set(f"session:{record(number).session_id}", json.dumps(document), ex=20)
    async with running_store(redis.address, "new") as store:
        assert await store.claim(record(1).session_id, next_generation) == record(1, generation=2)
        store.put(record(1, name="Alicia"), GRACE)
        await written(store)
        document = stored(redis, 1)
        assert (document["color"], document["grants"]["sing"], document["name"]) == ("red", True, "Alicia")
        assert await store.claim(record(2).session_id, next_generation) is None
        assert store.statistics().unreadable == {"state-schema": 1}
        assert stored(redis, 2)["owner"] == "old"


@pytest.mark.parametrize("value", ["", "{", "[" * 100_000, "{}", '{"schema": true}', "7", '"\\ud800"'])
async def test_a_value_of_another_program_harms_no_session(redis: RedisServer, value: str) -> None:
    async with running_store(redis.address) as store:
        store.put(record(1), GRACE)
        store.put(record(2), GRACE)
        await written(store)
    redis.client.set(f"session:{record(1).session_id}", value, ex=20)
    async with running_store(redis.address) as store:
        assert await store.claim(record(1).session_id, next_generation) is None
        assert sum(store.statistics().unreadable.values()) == 2  # the recovery has read it too
        assert store.statistics().sessions == 1
        store.put(record(1, name="mine"), GRACE)
        await written(store)
        assert stored(redis, 1)["name"] == "mine"


async def test_a_key_of_another_type_harms_no_other_session(redis: RedisServer) -> None:
    redis.client.lpush(f"session:{record(1).session_id}", "what")
    redis.client.lpush("server:a:sessions", "what")
    async with running_store(redis.address) as store:
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


async def test_an_expired_session_leaves_nothing(redis: RedisServer) -> None:
    async with running_store(redis.address) as store:
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
    async with running_store(redis.address, "b") as other:
        other.put(record(1), GRACE)
        await written(other)
    redis.client.copy(f"session:{record(1).session_id}", f"session:{record(2).session_id}")
    async with running_store(redis.address) as store:
        assert await store.claim(record(2).session_id, next_generation) is None
        assert store.statistics().unreadable == {"state-id": 1}


async def test_too_many_claims_are_refused(redis: RedisServer) -> None:
    async with running_store(redis.address, max_requests=0) as store:
        with pytest.raises(StoreUnavailable):
            await store.claim(record(1).session_id, next_generation)


async def test_a_session_beyond_the_limit_is_refused_and_counted(redis: RedisServer) -> None:
    async with running_store(redis.address, max_sessions=2) as store:
        for number in range(3):
            store.put(record(number), GRACE)
        await written(store)
        assert stored(redis, 2) is None
        assert store.statistics().refused == 1


def test_with_redis_in_the_settings_sessions_are_kept_there() -> None:
    assert isinstance(open_store(Settings(redis_addr=HostPort("localhost", 6379))), RedisStore)
