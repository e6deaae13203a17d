"""The whole server while Redis is away, empty, halted, slow, full or locked: calls go on (docs/state.md)."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from support.log_capture import LogEntry
from support.redis import RedisServer, TcpProxy, needs_redis, proxied
from support.redis_backed_server import (
    RARE_REFRESH,
    REFRESH,
    ROOM,
    SHORT,
    RedisBackedServer,
    leave,
    own_tracks,
    publishes,
    redis_backed_server,
    session,
    sessions,
    took,
)
from support.waiting import becomes

from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS

pytestmark = [needs_redis, pytest.mark.usefixtures("log")]

CLAIM_TIMEOUT = DEFAULT_TIMEOUTS.redis_claim

PROMPT = 0.75 * CLAIM_TIMEOUT
"""Seconds for what does not wait for Redis, on a busy machine. Waiting for a halted Redis takes longer."""

SLOW = 0.5
"""Seconds that a slow Redis takes for each reply."""

UNKNOWN = {"sessionId": "5" * 32, "sessionToken": "0" * 64}
"""A session that does not exist, as a client would name it."""


def warnings(log: list[LogEntry]) -> list[str]:
    """Return the kinds of trouble with Redis that were warned of."""
    return [entry["kind"] for entry in log if entry["log_level"] == "warning"]


async def visit(server: RedisBackedServer, user: str, publisher: str, track: str) -> dict[str, float]:
    """Join the call, do a bit of everything, and leave; return how many seconds each took."""
    async with server.client(user) as client:

        async def subscribes() -> None:
            acknowledged = len(client.heard("subscription-ack"))
            await client.say("unsubscribe", trackId=track, peerId=publisher)
            await client.say("subscribe", trackId=track, peerId=publisher, layer="l")
            await client.until(lambda: len(client.heard("subscription-ack")) > acknowledged)

        times = {"join": await took(client.join(ROOM)), "publish": await took(publishes(client, "audio"))}
        told = client.heard("join")[0]
        await client.vanish()
        async with server.client(user) as again:
            times["resume"] = await took(again.resume(told, room=ROOM))
            assert again.heard("join")[0]["resumed"] is True
            client = again
            times |= {"subscribe": await took(subscribes()), "ping": await took(again.ping())}
            times["leave"] = await took(leave(again))
        return times


async def test_redis_starts_after_the_server(redis: RedisServer, log: list[LogEntry]) -> None:
    """Calls go on without it. Then all is written, and the earlier sessions are recovered, but not twice."""
    with tempfile.TemporaryDirectory(prefix="sfu-redis-") as folder:
        proxy = TcpProxy(Path(folder), redis.address)
        async with (
            redis_backed_server(redis.address) as first,
            first.client("alice") as alice,
            first.client("bob") as bob,
        ):
            await alice.join(ROOM)
            await bob.join(ROOM)
            await publishes(bob, "video")
            await first.written()
            old, told, track = session(alice), bob.heard("join")[0], own_tracks(bob)
            first.kill()
        async with (
            redis_backed_server(proxy.address) as second,
            second.client("alice") as alice,
            second.client("bob") as bob,
            second.client("carl") as carl,
            trio.open_nursery() as nursery,
        ):
            await becomes(lambda: second.store.statistics().errors.get("connection", 0) > 2, True)
            await alice.join(ROOM)
            await carl.join(ROOM)
            await publishes(carl, "audio")
            assert await second.readiness() == "degraded"
            assert second.users() == ["alice", "carl"]
            await nursery.start(proxy.serve)
            await second.becomes_ready("ok")
            assert second.users() == ["alice", "bob", "carl"]
            await alice.until(lambda: "bob" in [peer["userId"] for peer in alice.heard("peer-suspended")])
            assert (await bob.resume(told, room=ROOM))["resumed"] is True
            await publishes(bob, "video")
            assert own_tracks(bob) == track
            await second.written()
            assert old not in sessions(redis)
            assert sessions(redis) == {session(client) for client in (alice, bob, carl)}
            assert warnings(log) == ["connection"]
            for client in (alice, bob, carl):
                await leave(client)
            await second.written()
            assert redis.names() == set()
            nursery.cancel_scope.cancel("the test is over")


async def test_redis_is_restarted_empty_during_a_call(redis: RedisServer) -> None:
    async with redis_backed_server(redis.address) as first, first.call() as call, first.client("carl") as carl:
        await carl.join(ROOM)
        await carl.vanish()
        await call.alice.until(lambda: call.alice.heard("peer-suspended"))
        told = {client.user: client.heard("join")[0] for client in (call.alice, call.bob, carl)}
        everybody = {each["sessionId"] for each in told.values()}
        await first.written()
        before = redis.names()
        await redis.kill()
        await first.becomes_ready("degraded")
        await redis.start()
        await first.becomes_ready("ok")
        await first.written()
        assert redis.names() == before
        assert sessions(redis) == everybody
        redis.client.flushall()
        await becomes(lambda: {told["alice"]["sessionId"], told["bob"]["sessionId"]} <= sessions(redis), True)
        await call.is_undisturbed()
        async with first.client("carl") as again:
            assert (await again.resume(told["carl"], room=ROOM))["resumed"] is True
            await first.written()
            told["carl"] = again.heard("join")[0]
            first.kill()
    async with redis_backed_server(redis.address) as second:
        await becomes(second.users, ["alice", "bob", "carl"])
        for user, each in told.items():
            async with second.client(user) as client:
                assert (await client.resume(each, room=ROOM))["resumed"] is True


async def test_a_halted_redis_delays_nothing_but_claims(redis: RedisServer) -> None:
    impatient = replace(SHORT, redis_connect=REFRESH, redis_reply=REFRESH)
    async with redis_backed_server(redis.address, timeouts=impatient) as server, server.call() as call:
        await server.written()
        publisher, track = call.bob.heard("join")[0]["peerId"], own_tracks(call.bob)["video"]
        redis.halt()
        try:
            times = await visit(server, "carl", publisher, track)
            assert max(times.values()) < PROMPT, times
            await server.becomes_ready("degraded")
            times = await visit(server, "dora", publisher, track)
            assert max(times.values()) < PROMPT, times
            async with server.client("emil") as emil:
                seconds = await took(emil.resume(UNKNOWN, room=ROOM))
                assert CLAIM_TIMEOUT <= seconds < CLAIM_TIMEOUT + PROMPT
                assert emil.heard("join")[0]["resumed"] is False
            await call.is_undisturbed()
        finally:
            redis.go_on()
        await server.becomes_ready("ok")
        await server.written()
        assert sessions(redis) == {session(client) for client in (call.alice, call.bob, emil)}


async def test_a_slow_redis_delays_nothing_but_claims(redis: RedisServer) -> None:
    async with (
        proxied(redis) as proxy,
        redis_backed_server(redis.address, "other", timeouts=RARE_REFRESH) as other,
        other.client("emil") as emil,
        redis_backed_server(proxy.address, timeouts=RARE_REFRESH) as server,
        server.call() as call,
    ):
        await emil.join(ROOM)
        await other.written()
        await server.becomes_ready("ok")
        publisher, track = call.bob.heard("join")[0]["peerId"], own_tracks(call.bob)["video"]
        proxy.delay = SLOW
        visits = [await visit(server, f"client {number}", publisher, track) for number in range(3)]
        # Each at its best: a busy machine may be slow as well.
        best = {name: min(times[name] for times in visits) for name in visits[0]}
        assert max(best.values()) < SLOW / 2, best
        await server.written()
        async with server.client("emil") as moved, server.client("fritz") as fritz:
            seconds = await took(fritz.resume(UNKNOWN, room=ROOM))
            assert SLOW <= seconds < CLAIM_TIMEOUT + PROMPT
            assert fritz.heard("join")[0]["resumed"] is False
            await server.written()
            seconds = await took(moved.resume(emil.heard("join")[0], room=ROOM))
            assert 2 * SLOW <= seconds < CLAIM_TIMEOUT + PROMPT
            assert moved.heard("join")[0]["resumed"] is True
        assert await server.readiness() == "ok"
        await call.is_undisturbed()


def fill(redis: RedisServer) -> None:
    """Leave Redis no memory."""
    redis.client.config_set("maxmemory", "1")


def lock(redis: RedisServer) -> None:
    """Let Redis ask for a password, also on open connections."""
    redis.client.config_set("requirepass", "open sesame")
    redis.client.client_kill_filter(_type="normal", skipme=True)


@pytest.mark.parametrize(("kind", "begin"), [("full", fill), ("auth", lock)])
async def test_a_call_goes_on_while_redis_refuses(
    redis: RedisServer,
    log: list[LogEntry],
    kind: str,
    begin: Callable[[RedisServer], None],
) -> None:
    async with redis_backed_server(redis.address) as server, server.call() as call:
        await server.written()
        begin(redis)
        async with server.client("carl") as carl:
            await carl.join(ROOM)
            await server.becomes_ready("degraded")
            await becomes(lambda: server.store.statistics().errors.get(kind, 0) >= 3, True)
            assert warnings(log)[-1] == kind
            assert warnings(log).count(kind) == 1
            metrics = dict(line.rsplit(" ", 1) for line in (await server.metrics()).splitlines() if line)
            assert float(metrics["sfu_redis_errors_total"]) >= 3
            await call.is_undisturbed()
            assert session(carl) not in sessions(redis)
            redis.client.config_set("maxmemory", "0")
            redis.client.config_set("requirepass", "")
            await server.becomes_ready("ok")
            await server.written()
            assert session(carl) in sessions(redis)
            assert log[-1]["event"] == "session changes are written to Redis again"
