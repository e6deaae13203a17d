"""The whole server over a real Redis: what is left of a session, and what comes back after a server's end.

Intervals are shorter than in operation. No test waits for a fixed time; each waits for what should happen.
"""

import gc
import json
from collections import Counter

import pytest
import trio
import trio.testing
from browser.sfu_process import SfuProcess, open_sfu
from support.real_server import enter, hear, tell
from support.redis import RedisServer, needs_redis, proxied
from support.redis_backed_server import (
    ROOM,
    flows,
    found,
    leave,
    own_tracks,
    publishes,
    redis_backed_server,
    session,
    sessions,
)
from support.waiting import becomes
from trio_websocket import open_websocket_url

from sfu.conference.connection import Connection
from sfu.conference.peer import Peer
from sfu.conference.room import Room
from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS
from sfu.shell.peer import PeerTask
from sfu.shell.room import RoomTask
from sfu.shell.signaling import Signaling
from sfu.transport.peer import PeerTransport
from sfu.transport.secure import SecureChannel

pytestmark = [needs_redis, pytest.mark.usefixtures("log")]

STOP = 15.0
"""Seconds that a process may take to end on a busy machine: it waits for clients, a goodbye, and the store."""

DELAY = 0.5
"""Seconds that a slow Redis takes for each reply."""


def ours() -> Counter[str]:
    """Count the objects that a peer consists of."""
    gc.collect()
    parts = (Room, RoomTask, Peer, PeerTask, Signaling, Connection, PeerTransport, SecureChannel)
    return Counter(type(each).__qualname__ for each in gc.get_objects() if isinstance(each, parts))


@pytest.mark.parametrize("end", ["left", "expired"])
async def test_an_ended_session_leaves_nothing(redis: RedisServer, end: str) -> None:
    objects = ours()
    async with redis_backed_server(redis.address, session_ttl_sec=1, room_ttl_sec=1) as server:
        await server.becomes_ready("ok")
        await trio.testing.wait_all_tasks_blocked()
        before = server.remains()
        async with server.client("alice") as alice, server.client("bob") as bob:
            for client in (alice, bob):
                await client.join(ROOM)
                await publishes(client, "video")
                await client.connect()
            await flows(bob, alice)
            await server.written()
            ids = [client.heard("join")[0]["peerId"] for client in (alice, bob)]
            assert redis.names() == {
                "room:call:meta",
                "room:call:peers",
                "server:one:sessions",
                *(f"session:{session(client)}" for client in (alice, bob)),
                *(f"peer:{peer}:tracks" for peer in ids),
            }
            metrics = await server.metrics()
            assert all(f'"{label}"' in metrics for label in (ROOM, *ids))
            if end == "left":
                await leave(alice)
                await leave(bob)
                await server.written()
                assert redis.names() == {"room:call:meta"}  # until the TTL of the room is over
        await becomes(server.users, [])
        await becomes(redis.names, set())
        await server.returns_to(before)
        metrics = await server.metrics()
        assert not any(f'"{label}"' in metrics for label in (ROOM, *ids))
        assert ours() == objects


async def test_everything_is_recovered_after_a_crash(redis: RedisServer) -> None:
    """Sessions, media state, track ids and preferences. A session that is not resumed expires."""
    told = {}
    async with (
        redis_backed_server(redis.address, session_ttl_sec=3) as first,
        first.client("alice") as alice,
        first.client("bob") as bob,
        first.client("carl") as carl,
    ):
        for client in (alice, bob, carl):
            await client.join(ROOM)
            told[client.user] = client.heard("join")[0]
        await publishes(bob, "audio", "video")
        await alice.until(lambda: len(alice.heard("track-published")) == 2)
        tracks, publisher = own_tracks(bob), told["bob"]["peerId"]
        await alice.say("unsubscribe", trackId=tracks["audio"], peerId=publisher)
        await alice.say("layer-switch", trackId=tracks["video"], targetRid="m")
        await alice.until(lambda: alice.heard("subscription-ack") or alice.heard("layer-changed"))
        await bob.say("media-state", micEnabled=False, cameraEnabled=True, screenEnabled=False)
        await alice.until(lambda: alice.heard("media-state"))
        await first.written()
        first.kill()
        await alice.until(lambda: alice.closed)
    async with (
        redis_backed_server(redis.address, session_ttl_sec=3) as second,
        second.client("alice") as alice,
        second.client("bob") as bob,
    ):
        await becomes(second.users, ["alice", "bob", "carl"])
        assert (await bob.resume(told["bob"], room=ROOM))["peerId"] == publisher
        await publishes(bob, "audio", "video")
        assert own_tracks(bob) == tracks
        assert (await alice.resume(told["alice"], "keep", room=ROOM))["resumed"] is True
        assert alice.heard("join")[0]["peerId"] == told["alice"]["peerId"]
        (state,) = alice.heard("room-state")
        assert state["subscriptions"] == [{"trackId": tracks["video"], "peerId": publisher, "layer": "m"}]
        others = {other["userId"]: other for other in state["peers"]}
        assert (others["bob"]["suspended"], others["carl"]["suspended"]) == (False, True)
        assert others["bob"]["mediaState"]["micEnabled"] is False
        await publishes(alice, "audio")
        for client in (alice, bob):
            await client.connect()
        await flows(bob, alice)
        await alice.until(lambda: [left["userId"] for left in alice.heard("peer-left")] == ["carl"])
        await second.written()
        assert sessions(redis) == {session(alice), session(bob)}
        await leave(alice)
        await leave(bob)
        await second.written()
        assert redis.names() == set()


async def test_sessions_that_no_client_resumes_leave_no_keys(redis: RedisServer) -> None:
    async with redis_backed_server(redis.address, session_ttl_sec=1) as first, first.call():
        await first.written()
        first.kill()
    assert len(sessions(redis)) == 2
    async with redis_backed_server(redis.address, session_ttl_sec=1) as second:
        await becomes(second.users, ["alice", "bob"])
        await becomes(second.users, [])
        await becomes(redis.names, set())
        await becomes(lambda: second.remains()["peer and room tasks"], 0)


async def end_of(server: SfuProcess) -> int:
    """Tell a server to stop; return its exit code."""
    server.terminate()
    with trio.fail_after(STOP):
        return await server.child.process.wait()


async def test_pending_changes_are_written_before_the_server_ends(redis: RedisServer) -> None:
    async with proxied(redis) as proxy, open_sfu({"SFU_REDIS_URL": str(proxy.address)}) as server:
        async with open_websocket_url(server.url.replace("http", "ws") + "/ws") as websocket:
            await enter(websocket, ROOM)
            (known,) = await found(lambda: sessions(redis))
            proxy.delay = DELAY
            await tell(websocket, "media-state", micEnabled=False, cameraEnabled=True, screenEnabled=True)
            await tell(websocket, "ping")
            await hear(websocket, "pong")
        assert await end_of(server) == 0
        stored = json.loads(str(redis.client.get(f"session:{known}")))
        assert stored["suspended"] is True
        assert stored["media_state"]["screenEnabled"] is True


async def test_a_halted_redis_delays_the_end_of_a_server_only_briefly(redis: RedisServer) -> None:
    async with open_sfu({"SFU_REDIS_URL": str(redis.address)}) as server:
        server.expected_log.append("stopping with unsaved sessions")
        async with open_websocket_url(server.url.replace("http", "ws") + "/ws") as websocket:
            await enter(websocket, ROOM)
            await found(lambda: sessions(redis))
            redis.halt()
        begin = trio.current_time()
        try:
            assert await end_of(server) == 0
        finally:
            redis.go_on()
        assert trio.current_time() - begin >= DEFAULT_TIMEOUTS.flush
        (line,) = [line for line in server.log() if line["level"] == "warning" and "waiting" in line]
        assert line["waiting"] == 1
