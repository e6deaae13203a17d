"""A whole server with full ICE agents, from the first join to the last socket. Its clients' ICE is aioice."""

import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.coturn import HOST, PASSWORD, USER, coturn
from support.full_ice_server import FullIceServer, call, flows, full_ice_server
from support.media import KEY_FRAME
from support.waiting import becomes

from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS
from sfu.shell.config.values import STUN_URLS, TURN_URLS
from sfu.shell.store.memory import Memory, MemoryStore

LASTING: dict[str, Any] = {"session_ttl_sec": 30}


def sockets(server: FullIceServer) -> dict[str, int]:
    """Return what clients leave behind, apart from their WebSockets."""
    remains = server.remains()
    return {name: remains[name] for name in ("files", "trio tasks", "peer and room tasks")}


async def test_a_call_leaves_nothing_when_it_ends() -> None:
    async with full_ice_server() as server:
        before = server.remains()
        async with server.ice_client("alice") as alice, server.ice_client("bob") as bob:
            await call(alice, bob)
            await flows(alice, bob)
            await flows(bob, alice)
            statistics = server.media.statistics()
            assert statistics.packets_in > 0
            assert statistics.packets_out > 0
            await alice.leave()
            await bob.until(lambda: bob.heard("peer-left"))
            await bob.vanish()
        await server.returns_to(before)


async def test_a_client_that_receives_first_gets_an_offer_and_is_controlled() -> None:
    async with (
        full_ice_server() as server,
        server.ice_client("alice") as alice,
        server.ice_client("bob") as bob,
    ):
        await alice.join()
        await alice.publish("video")
        await alice.connect()
        await bob.join()
        await bob.connect()
        assert bob.heard("answer") == []
        assert not bob.generation.connection.ice_controlling
        await flows(alice, bob)


async def test_candidates_of_both_sides_follow_as_messages(tmp_path: Path) -> None:
    """The relayed candidate comes late, since the first server does not answer; there is no other candidate."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind((HOST, 0))
        async with coturn(tmp_path) as turn_server:
            urls = f"turn:{HOST}:{mute.getsockname()[1]},{turn_server.turn()}"
            relayed: dict[str, Any] = {
                "ice_policy": "relay",
                "stun_urls": STUN_URLS.parse(turn_server.stun),
                "turn_urls": TURN_URLS.parse(urls),
                "turn_user": USER,
                "turn_password": PASSWORD,
            }
            async with full_ice_server(timeouts=replace(DEFAULT_TIMEOUTS, ice_server=0.5), **relayed) as server:
                server.expected = frozenset({"TURN server not usable"})
                before = server.remains()
                async with server.ice_client("alice") as alice, server.ice_client("bob") as bob:
                    await call(alice, bob)
                    for client in (alice, bob):
                        assert "a=candidate" not in client.heard("answer")[0]["sdp"]
                        assert [one.type for one in client.candidates()] == ["relay"]
                        assert client.heard("join")[0]["iceServers"][1]["credential"] == PASSWORD
                    await flows(alice, bob)
                    await flows(bob, alice)
                    assert turn_server.allocations() == 2
                    await alice.leave()
                    await becomes(turn_server.released, 1)
                await server.returns_to(before)
                await becomes(turn_server.released, 2)


async def test_ice_restarts_by_either_side_leave_one_generation() -> None:
    async with (
        full_ice_server() as server,
        server.ice_client("alice") as alice,
        server.ice_client("bob") as bob,
    ):
        await call(alice, bob)
        await flows(alice, bob)
        before = sockets(server)
        for _ in range(2):
            first = alice.used
            await alice.say("ice-restart-request")
            await alice.until(lambda first=first: alice.used is not first)  # type: ignore[misc]
            await flows(alice, bob)
            await flows(bob, alice)
            second = alice.used
            await alice.restart()
            await alice.until(lambda second=second: alice.used is not second)  # type: ignore[misc]
            await flows(alice, bob)
            await flows(bob, alice)
        await becomes(lambda: sockets(server), before)
        assert len(alice.heard("ice-restart-offer")) == 2


async def test_a_session_resumes_with_the_same_connection() -> None:
    async with (
        full_ice_server(**LASTING) as server,
        server.ice_client("alice") as alice,
        server.ice_client("bob") as bob,
    ):
        await call(alice, bob)
        before = sockets(server)
        async with server.websocket() as (websocket, stream):
            await bob.use_websocket(websocket, stream)
            await alice.until(lambda: alice.heard("peer-suspended"))
            await flows(bob, alice)
            assert (await bob.resume(bob.heard("join")[0], "keep"))["transport"] == "keep"
            await flows(alice, bob)
            used = bob.used
            await bob.say("ice-restart-request")
            await bob.until(lambda: bob.used is not used)
            await flows(bob, alice)
            await flows(alice, bob)
            assert sockets(server)["peer and room tasks"] == before["peer and room tasks"]


async def test_a_session_resumes_with_a_new_connection() -> None:
    async with (
        full_ice_server(**LASTING) as server,
        server.ice_client("alice") as alice,
        server.ice_client("bob") as bob,
    ):
        await call(alice, bob)
        before = server.remains()
        for _ in range(2):
            told = bob.heard("join")[-1]
            async with server.websocket() as (websocket, stream):
                await bob.use_websocket(websocket, stream)
                await bob.replace_connection()
                assert (await bob.resume(told, "new"))["transport"] == "new"
                await bob.publish("video")
                await bob.connect()
                await flows(bob, alice)
                await becomes(lambda: server.remains()["files"], before["files"])
        await alice.until(lambda: len(alice.heard("peer-suspended")) > 2)
        assert server.sfu.conference.statistics().peers == 2


async def test_an_expired_session_leaves_no_sockets() -> None:
    async with full_ice_server(session_ttl_sec=1) as server:
        before = server.remains()
        async with server.ice_client("alice") as alice:
            await alice.join()
            await alice.publish("audio")
            await alice.connect()
            await alice.vanish()
            await becomes(lambda: server.sfu.conference.statistics().peers, 0)
        await server.returns_to(before)


async def test_a_recovered_session_has_no_sockets_until_its_client_returns() -> None:
    memory = Memory()
    async with full_ice_server(MemoryStore("one", memory), **LASTING) as server:
        empty = server.remains()
        async with server.ice_client("alice") as alice, server.ice_client("bob") as bob:
            await call(alice, bob)
            told = {client.user: client.heard("join")[0] for client in (alice, bob)}
            server.sfu.stop()
            await alice.until(lambda: alice.closed)
    async with full_ice_server(MemoryStore("one", memory), **LASTING) as server:
        await becomes(lambda: server.sfu.conference.statistics().suspended, 2)
        # It has no event loop either: there are the peer's task and the room's, each with one that waits.
        restored = server.remains()
        assert restored["files"] == empty["files"]
        assert restored["trio tasks"] == empty["trio tasks"] + 5
        async with server.ice_client("alice") as alice, server.ice_client("bob") as bob:
            for client in (alice, bob):
                answer = await client.resume(told[client.user], "keep")
                assert (answer["resumed"], answer["transport"]) == (True, "new")
                await client.publish("video")
            for client in (alice, bob):
                await client.connect()
            await flows(alice, bob)
            await flows(bob, alice)


async def test_a_bug_in_handling_a_packet_ends_one_peer_only(monkeypatch: pytest.MonkeyPatch) -> None:
    async with full_ice_server() as server:
        server.expected = frozenset({"peer failed"})
        before = server.remains()
        async with server.ice_client("alice") as alice, server.ice_client("bob") as bob:
            await call(alice, bob)
            peers = {peer.user_id: peer for peer in server.sfu.conference.rooms["room"].peers.values()}
            monkeypatch.setattr(peers["bob"].connection.transport, "receive", _fail)
            bob.send(bob.browser.transceivers[0], KEY_FRAME)
            await bob.until(lambda: bob.closed)
            assert bob.close_code == 1011
            await alice.until(lambda: alice.heard("peer-left"))
            async with server.ice_client("carl") as carl:
                await carl.join()
                await carl.publish("video")
                await carl.connect()
                await flows(alice, carl)
                monkeypatch.setattr(peers["alice"].connection, "report_ice", _fail)
                await alice.say("ice-restart-request")
                await alice.until(lambda: alice.closed)
                await carl.until(lambda: carl.heard("peer-left"))
        await server.returns_to(before)


def _fail(*_: object) -> None:
    raise ZeroDivisionError


async def test_a_server_that_stops_in_a_call_leaves_nothing() -> None:
    async with (
        full_ice_server(**LASTING) as server,
        server.ice_client("alice") as alice,
        server.ice_client("bob") as bob,
    ):
        await call(alice, bob)
        server.sfu.stop()
        for client in (alice, bob):
            await client.until(lambda client=client: client.closed)  # type: ignore[misc]
