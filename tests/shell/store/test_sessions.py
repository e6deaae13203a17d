"""Suspend and resume in the shell: which tasks end, which go on, and which WebSocket is closed."""

from typing import Any

from support.in_memory_server import Client, in_memory_server
from support.media import KEY_FRAME
from trio.testing import MockClock

LASTING: dict[str, Any] = {"session_ttl_sec": 30}


async def call(alice: Client, bob: Client) -> None:
    """Both join, publish a video and are connected."""
    for client in (alice, bob):
        await client.join()
        await client.publish("video")
    for client in (alice, bob):
        await client.connect()


async def test_a_lost_websocket_ends_only_signaling(autojump_clock: MockClock) -> None:
    async with (
        in_memory_server(**LASTING) as server,
        server.client("alice") as alice,
        server.client("bob") as bob,
    ):
        await call(alice, bob)
        tasks = server.sfu.rooms.running
        await bob.vanish()
        await alice.until(lambda: alice.heard("peer-suspended"))
        assert server.sfu.rooms.running == tasks
        bob.send(bob.browser.transceivers[0], KEY_FRAME)
        await alice.until(lambda: alice.machine.rtp)
        async with server.client("bob") as again:
            await again.resume(bob.heard("join")[0], "keep")
            assert again.heard("join")[0]["resumed"] is True
            assert again.heard("join")[0]["peerId"] == bob.heard("join")[0]["peerId"]
            await alice.until(lambda: alice.heard("peer-resumed"))
            bob.send(bob.browser.transceivers[0], KEY_FRAME)
            await alice.until(lambda: len(alice.machine.rtp) == 2)
            assert server.sfu.rooms.running == tasks


async def test_the_newest_websocket_wins_and_the_old_one_is_closed(autojump_clock: MockClock) -> None:
    async with (
        in_memory_server(**LASTING) as server,
        server.client("alice") as alice,
        server.client("bob") as bob,
    ):
        await call(alice, bob)
        async with server.client("bob") as again:
            await again.resume(bob.heard("join")[0], "keep")
            await bob.until(lambda: bob.closed)
            assert bob.close_code == 4000
            await again.say("ping", number=1)
            await again.until(lambda: again.heard("pong"))
        assert not alice.heard("peer-left")


async def test_a_session_may_be_suspended_and_resumed_many_times(autojump_clock: MockClock) -> None:
    async with (
        in_memory_server(**LASTING) as server,
        server.client("alice") as alice,
        server.client("bob") as bob,
    ):
        await call(alice, bob)
        told = bob.heard("join")[0]
        await bob.vanish()
        for _ in range(20):
            async with server.client("bob") as again:
                await again.resume(told, "keep")
                assert again.heard("join")[0]["resumed"] is True
                told = again.heard("join")[0]
        await alice.until(lambda: alice.heard("peer-left"), 60)
        assert len(alice.heard("peer-suspended")) == 21
        assert len(alice.heard("peer-resumed")) == 20
        assert server.sfu.conference.statistics().peers == 1


async def test_a_suspended_session_ends_with_the_server(autojump_clock: MockClock) -> None:
    async with in_memory_server(**LASTING) as server, server.client("bob") as bob:
        await bob.join()
        await bob.vanish()
        await bob.until(lambda: bob.closed)
        server.sfu.stop()
    assert server.sfu.rooms.running == 0
    assert server.sfu.conference.statistics().routes == 0
