"""Several servers over one Redis: each session is at one of them (docs/state.md)."""

import pytest
import trio
from support.redis import RedisServer, needs_redis
from support.redis_backed_server import (
    RARE_REFRESH,
    ROOM,
    RedisBackedServer,
    leave,
    publishes,
    redis_backed_server,
    session,
    sessions,
)
from support.waiting import becomes

from sfu.shell.peer import CONNECTION_LOST

pytestmark = [needs_redis, pytest.mark.usefixtures("log")]


async def race(redis: RedisServer, one: RedisBackedServer, two: RedisBackedServer, user: str) -> None:
    """Let a client resume at two servers at once, and check what happens at each."""
    async with redis_backed_server(redis.address, "before") as before, before.client(user) as client:
        await client.join(ROOM)
        await before.written()
        told = client.heard("join")[0]
    async with one.client(user) as here, two.client(user) as there:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(here.resume, told, "new", ROOM)
            nursery.start_soon(there.resume, told, "new", ROOM)
        # The token is good once more after its use, since the reply may have got lost: both are let in.
        assert all(client.heard("join")[0]["resumed"] for client in (here, there))

        def holders() -> list[RedisBackedServer]:
            held = [server.sfu.conference.directory.find_session(told["sessionId"]) for server in (one, two)]
            return [server for server, peer in zip((one, two), held, strict=True) if peer is not None]

        await becomes(lambda: len(holders()), 1)
        (winner, loser), place = ((here, there), two) if holders() == [one] else ((there, here), one)
        await loser.until(lambda: loser.closed)
        assert loser.close_code == CONNECTION_LOST
        async with place.client(user) as again:
            assert (await again.resume(loser.heard("join")[0], room=ROOM))["resumed"] is False
            await leave(again)
        await winner.ping()
        assert len(holders()) == 1
        await leave(winner)


async def test_of_two_servers_that_claim_a_session_one_holds_it(redis: RedisServer) -> None:
    """Both accept the same proof at the same time. The loser closes its client, which joins as a new peer."""
    async with (
        redis_backed_server(redis.address, "one") as one,
        redis_backed_server(redis.address, "two") as two,
    ):
        for number in range(5):
            await race(redis, one, two, f"user {number}")
        await one.written()
        await two.written()
        await becomes(redis.names, set())


async def test_a_client_goes_to_another_server_and_back_at_once(redis: RedisServer) -> None:
    """The first server has not noticed that the session went, and what it knows of it is old."""
    async with (
        redis_backed_server(redis.address, "one", timeouts=RARE_REFRESH) as one,
        redis_backed_server(redis.address, "two", timeouts=RARE_REFRESH) as two,
        one.client("bob") as bob,
        two.client("bob") as moved,
        one.client("bob") as back,
        one.client("eve") as eve,
    ):
        await eve.join(ROOM)
        await bob.join(ROOM)
        await one.written()
        await moved.resume(bob.heard("join")[0], room=ROOM)
        await moved.say("media-state", micEnabled=False, cameraEnabled=True, screenEnabled=False)
        await moved.ping()
        await two.written()
        told = await back.resume(moved.heard("join")[0], room=ROOM)
        assert told["resumed"] is True
        assert told["peerId"] == bob.heard("join")[0]["peerId"]
        await eve.until(lambda: eve.heard("peer-joined"))
        assert one.users() == ["bob", "eve"]
        assert two.users() == ["bob"]
        peer = one.sfu.conference.directory.find_session(told["sessionId"])
        assert peer is not None
        assert peer.media_state.mic_enabled is False
        # The server in between notices with its next write.
        await moved.say("media-state", micEnabled=True, cameraEnabled=True, screenEnabled=False)
        await moved.until(lambda: moved.closed)
        assert moved.close_code == CONNECTION_LOST
        assert two.users() == []
        # The token of the first connection is no longer valid.
        async with one.client("bob") as thief:
            assert (await thief.resume(bob.heard("join")[0], room=ROOM))["resumed"] is False


async def test_a_session_is_lost_while_the_server_drains(redis: RedisServer) -> None:
    """The next process has the same id, and takes over before the client has moved."""
    async with redis_backed_server(redis.address, drain_sec=60) as old, old.client("alice") as alice:
        await alice.join(ROOM)
        await publishes(alice, "video")
        await old.written()
        old.sfu.stop()
        await alice.until(lambda: alice.heard("server-draining"))
        async with redis_backed_server(redis.address) as new, new.client("alice") as moved:
            await becomes(new.users, ["alice"])
            await alice.until(lambda: alice.closed)
            assert alice.close_code == CONNECTION_LOST
            told = await moved.resume(alice.heard("join")[0], room=ROOM)
            assert told["resumed"] is True
            await becomes(old.users, [])
            await becomes(lambda: old.remains()["peer and room tasks"], 0)
            await new.written()
            assert session(moved) in sessions(redis)
