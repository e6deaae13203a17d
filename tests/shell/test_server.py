"""The whole server in memory: joins, ends, and that nothing is left after each end."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from support.in_memory_server import Client, InMemoryServer, in_memory_server
from support.log_capture import capture_logs
from support.media import DELTA_FRAME, KEY_FRAME
from trio.testing import MockClock

from sfu.conference.conference import Conference
from sfu.conference.connection import Connection
from sfu.ice.path import IcePath
from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS
from sfu.shell.signaling import OUTBOX
from sfu.transport.peer import PeerTransport

UNRESPONSIVE = DEFAULT_TIMEOUTS.signaling_stall + DEFAULT_TIMEOUTS.signaling_keepalive
"""Seconds until a client that does not read or answer is disconnected, at most."""


def transports(server: InMemoryServer) -> list[PeerTransport]:
    """Return the transports of all peers."""
    rooms = server.sfu.conference.rooms.values()
    return [peer.connection.transport for room in rooms for peer in room.peers.values()]


def remains(server: InMemoryServer) -> tuple[int, int, int]:
    """Return how many peers, routes for datagrams, and tasks (of peers and rooms) there are."""
    statistics = server.sfu.conference.statistics()
    return statistics.peers, statistics.routes, server.sfu.rooms.running


async def call(alice: Client, bob: Client) -> None:
    """Let both join, publish a video and connect."""
    for client in (alice, bob):
        await client.join()
        await client.publish("video")
    for client in (alice, bob):
        await client.connect()
        await client.until(lambda client=client: any(line.track for line in client.browser.lines))  # type: ignore[misc]


async def test_two_clients_hold_a_call(autojump_clock: MockClock) -> None:
    async with in_memory_server() as server, server.client("alice") as alice, server.client("bob") as bob:
        await call(alice, bob)
        for sender, receiver in ((alice, bob), (bob, alice)):
            for payload in (KEY_FRAME, DELTA_FRAME, DELTA_FRAME):
                sender.send(sender.browser.transceivers[0], payload)
            await receiver.until(lambda receiver=receiver: len(receiver.machine.rtp) == 3)  # type: ignore[misc]


# --- ending, at every phase and in every way ---


async def before_the_join(server: InMemoryServer, alice: Client) -> None:
    """The WebSocket is open."""


async def joined(server: InMemoryServer, alice: Client) -> None:
    """The client is in the room."""
    await alice.join()


async def negotiated(server: InMemoryServer, alice: Client) -> None:
    """Descriptions are exchanged, but no datagrams."""
    alice.budget = 0
    await alice.join()
    await alice.publish("audio", "video")


async def in_the_handshake(server: InMemoryServer, alice: Client) -> None:
    """ICE has finished, DTLS has begun."""
    alice.budget = 4
    await alice.join()
    await alice.publish("audio", "video")
    await alice.until(lambda: alice.machine.nominated and not alice.budget)


async def connected(server: InMemoryServer, alice: Client) -> None:
    """Media may flow."""
    await alice.join()
    await alice.publish("audio", "video")
    await alice.connect()


async def in_a_call(server: InMemoryServer, alice: Client) -> None:
    """Media flows to and from another peer."""
    await connected(server, alice)
    for _ in range(10):
        alice.send(alice.browser.transceivers[1], KEY_FRAME)
        await trio.sleep(0.03)


PHASES = [before_the_join, joined, negotiated, in_the_handshake, connected, in_a_call]


async def it_leaves(server: InMemoryServer, alice: Client) -> None:
    """The client sends `leave`."""
    await alice.say("leave")
    await alice.until(lambda: alice.closed or alice.heard("error"))


async def it_closes(server: InMemoryServer, alice: Client) -> None:
    """The client closes its WebSocket."""
    await alice.websocket.aclose()


async def it_vanishes(server: InMemoryServer, alice: Client) -> None:
    """The client's connection breaks without a word."""
    await alice.vanish()


async def the_server_stops(server: InMemoryServer, alice: Client) -> None:
    """The server is told to stop."""
    server.sfu.stop()
    await trio.sleep(10)


async def the_server_is_cancelled(server: InMemoryServer, alice: Client) -> None:
    """The task that runs the server is cancelled."""
    server.running.cancel_scope.cancel("test")
    await trio.sleep(10)


ENDS = [it_leaves, it_closes, it_vanishes, the_server_stops, the_server_is_cancelled]

Step = Callable[[InMemoryServer, Client], Awaitable[None]]


@pytest.mark.parametrize("end", ENDS, ids=lambda step: step.__name__)
@pytest.mark.parametrize("phase", PHASES, ids=lambda step: step.__name__)
async def test_nothing_is_left(autojump_clock: MockClock, phase: Step, end: Step) -> None:
    async with in_memory_server(room_ttl_sec=1) as server, server.client("alice") as alice:
        with trio.CancelScope() as bobs_life:
            async with server.client("bob") as bob:
                await bob.join()
                await bob.publish("video")
                await bob.connect()
                await phase(server, alice)
                all_transports = transports(server)
                await end(server, alice)
            bobs_life.cancel("the end was alice's alone")
        await trio.sleep(10)
        assert remains(server) == (0, 0, 0)
        assert not server.sfu.conference.rooms
        assert all(transport.ended for transport in all_transports)
        assert all(transport.send_context.srtp is None for transport in all_transports)


async def test_the_room_goes_on_when_one_ends(autojump_clock: MockClock) -> None:
    async with in_memory_server() as server, server.client("alice") as alice, server.client("bob") as bob:
        await call(alice, bob)
        async with server.client("carol") as carol:
            await carol.join()
            await carol.publish("video")
            await carol.connect()
            await carol.websocket.aclose()
        await bob.until(lambda: bob.heard("peer-left"))
        alice.send(alice.browser.transceivers[0], KEY_FRAME)
        await bob.until(lambda: bob.machine.rtp)


async def test_a_room_outlives_its_last_peer_by_its_time_to_live(autojump_clock: MockClock) -> None:
    async with in_memory_server(room_ttl_sec=60) as server:
        async with server.client("alice") as alice:
            await alice.join()
        await trio.sleep(59)
        async with server.client("alice") as alice:
            await alice.join()
            assert server.sfu.rooms.running == 2
        await trio.sleep(59)
        assert server.sfu.rooms.running == 1
        await trio.sleep(5)
        assert remains(server) == (0, 0, 0)
        assert not server.sfu.conference.rooms


async def test_empty_rooms_take_no_place_from_new_ones(autojump_clock: MockClock) -> None:
    async with in_memory_server(max_rooms=2, room_ttl_sec=300) as server:
        for number in range(6):
            async with server.client("alice") as alice:
                await alice.join(f"room {number}")
                assert server.sfu.conference.statistics().rooms <= 2
                await alice.say("leave")
                await alice.until(lambda alice=alice: alice.closed)  # type: ignore[misc]
                assert server.sfu.rooms.running <= 3
        await trio.sleep(301)
        assert server.sfu.rooms.running == 0
        assert server.sfu.conference.statistics().rooms == 0


# --- clients that misbehave ---


async def test_a_client_that_never_joins_is_dropped(autojump_clock: MockClock) -> None:
    async with in_memory_server() as server, server.client("alice") as alice:
        await alice.until(lambda: alice.closed, DEFAULT_TIMEOUTS.join + 5)


async def test_before_the_join_only_ping_and_join_are_served(autojump_clock: MockClock) -> None:
    async with (
        in_memory_server(max_rooms=1) as server,
        server.client("alice") as alice,
        server.client("bob") as bob,
    ):
        await alice.say("ping", number=1)
        await alice.until(lambda: alice.heard("pong") == [{"number": 1}])
        await alice.say("leave")
        await alice.websocket.send_message("nonsense")
        await alice.say("join", roomId="", userId="alice")
        await alice.until(lambda: len(alice.heard("error")) == 3)
        assert [(error["code"], error.get("type")) for error in alice.heard("error")] == [
            (409, "leave"),
            (400, None),
            (400, "join"),
        ]
        await alice.join("one")
        await bob.say("join", roomId="two", userId="bob")
        await bob.until(lambda: bob.heard("error"))
        assert bob.heard("error")[0]["code"] == 503
        await bob.join("one")
        counts = server.sfu.conference.statistics().messages
        assert (counts["join", "ok"], counts["join", "503"], counts["join", "400"]) == (2, 1, 1)
        assert (counts["ping", "ok"], counts["leave", "409"], counts["?", "400"]) == (1, 1, 1)


async def test_a_long_message_before_the_join_delays_the_next(autojump_clock: MockClock) -> None:
    async with in_memory_server() as server, server.client("alice") as alice:
        for text in ("x" * 800_000, "short"):
            await alice.say("ping", text=text)
        begin = trio.current_time()
        await alice.until(lambda: len(alice.heard("pong")) == 1)
        assert trio.current_time() < begin + 0.1
        await alice.until(lambda: len(alice.heard("pong")) == 2)
        assert trio.current_time() > begin + 0.4


async def test_a_join_over_the_rate_limit_is_refused_as_a_join(autojump_clock: MockClock) -> None:
    async with in_memory_server() as server, server.client("alice") as alice:
        for _ in range(40):
            await alice.say("ping")
        await alice.say("join", roomId="room", userId="alice")
        await alice.until(lambda: alice.heard("error"))
        assert [(error["code"], error["type"]) for error in alice.heard("error")] == [(429, "join")]
        await alice.join()
        assert server.sfu.conference.statistics().messages["join", "429"] == 1


async def test_a_client_that_does_not_read_is_removed(autojump_clock: MockClock) -> None:
    async with in_memory_server() as server, server.client("alice") as alice, server.client("bob") as bob:
        alice.reads = False
        await alice.say("join", roomId="room", userId="alice")
        await bob.join()
        await bob.until(lambda: bob.heard("peer-left"), UNRESPONSIVE + 60)


async def test_a_flood_to_a_slow_reader_is_bounded(autojump_clock: MockClock) -> None:
    fast: dict[str, Any] = {"messages_per_second": 100_000, "messages_burst": 100_000}
    async with in_memory_server(**fast) as server, server.client("alice") as alice, server.client("bob") as bob:
        await alice.join()
        await bob.join()
        alice.reads = False
        for number in range(3 * OUTBOX):
            on = bool(number % 2)
            await bob.say("media-state", micEnabled=on, cameraEnabled=on, screenEnabled=False)
        await bob.until(lambda: bob.heard("peer-left"), UNRESPONSIVE + 60)


async def test_a_removed_client_is_told_why(autojump_clock: MockClock) -> None:
    """The last message is queued by the same event that ends the peer."""
    async with in_memory_server() as server, server.client("mallory") as mallory:
        mallory.fingerprint = "sha-256 " + ":".join(["00"] * 32)
        await mallory.join()
        await mallory.publish("video")
        await mallory.until(lambda: mallory.closed)
        assert [error["code"] for error in mallory.heard("error")] == [403]
        assert mallory.close_code == 1008


async def test_joins_are_refused_while_the_server_stops(autojump_clock: MockClock) -> None:
    async with in_memory_server() as server, server.client("alice") as alice:
        await alice.until(lambda: True)
        server.sfu.stop()
        await alice.say("join", roomId="room", userId="alice")
        await alice.until(lambda: alice.heard("error") or alice.closed)
        assert alice.closed or alice.heard("error")[0]["code"] == 503
        assert server.sfu.conference.statistics().messages == {("join", "503"): 1}


# --- a defect of the server ends one peer (see also test_failures.py) ---


async def test_a_defect_in_one_peers_packets_ends_that_peer_alone(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Conference.receive

    async with in_memory_server() as server, server.client("alice") as alice, server.client("bob") as bob:
        await call(alice, bob)

        def broken(self: Conference, peer: object, data: bytes, path: IcePath, now: float) -> None:
            if path == bob.path:
                raise ZeroDivisionError("a bug")
            original(self, peer, data, path, now)  # type: ignore[arg-type]

        monkeypatch.setattr(Conference, "receive", broken)
        await alice.until(lambda: alice.heard("peer-left"))
        await bob.until(lambda: bob.closed)
        assert bob.close_code == 1011
        assert len(transports(server)) == 1


async def test_a_defect_in_one_peers_messages_ends_that_peer_alone(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with in_memory_server() as server, server.client("alice") as alice, server.client("bob") as bob:
        await call(alice, bob)

        def broken(self: Conference, peer: object, text: object, now: float) -> None:
            raise ZeroDivisionError("a bug")

        monkeypatch.setattr(Conference, "receive_message", broken)
        await bob.say("ping")
        await alice.until(lambda: alice.heard("peer-left"))
        assert len(transports(server)) == 1


async def test_a_defect_in_one_peers_negotiation_ends_that_peer_alone(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The offer is due after a timer here, not after one of the peer's own messages."""
    original = Connection.make_offer

    async with (
        in_memory_server() as server,
        server.client("alice") as alice,
        server.client("bob") as bob,
        server.client("carol") as carol,
    ):
        await call(alice, bob)

        def broken(self: Connection, now: float) -> str | None:
            if self is peer.connection:
                raise ZeroDivisionError("a bug")
            return original(self, now)

        await carol.join()
        (peer,) = (one for one in server.sfu.conference.rooms["room"].peers.values() if one.user_id == "carol")
        monkeypatch.setattr(Connection, "make_offer", broken)
        await alice.until(lambda: alice.heard("peer-left"))
        await carol.until(lambda: carol.closed)
        alice.send(alice.browser.transceivers[0], KEY_FRAME)
        await bob.until(lambda: bob.machine.rtp)
        assert len(transports(server)) == 2


@pytest.mark.parametrize("where", ["packets", "messages", "timers"])
async def test_a_peer_whose_removal_fails_too_ends_alone(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """What has failed fails again when the peer is removed for it."""
    async with in_memory_server() as server, server.client("alice") as alice, server.client("bob") as bob:
        await call(alice, bob)
        (peer,) = (one for one in server.sfu.conference.rooms["room"].peers.values() if one.user_id == "bob")

        def broken(*args: object) -> None:
            raise ZeroDivisionError("a bug")

        transport = peer.connection.transport
        first = {
            "packets": (transport, "receive"),
            "messages": (peer.bucket, "take"),
            "timers": (transport, "handle_timeout"),
        }
        monkeypatch.setattr(transport, "close", broken)
        monkeypatch.setattr(*first[where], broken)
        if where == "messages":
            await bob.say("ping")
        await alice.until(lambda: alice.heard("peer-left"))
        await bob.until(lambda: bob.closed)
        assert bob.close_code == 1011
        assert len(transports(server)) == 1
        await alice.say("ping", still="here")
        await alice.until(lambda: alice.heard("pong"))


# --- what the server says about itself ---


async def test_the_debug_log_has_the_current_counts(autojump_clock: MockClock) -> None:
    with capture_logs() as captured:
        async with in_memory_server(log_level="debug") as server, server.client("alice") as alice:
            await alice.join()
            await trio.sleep(DEFAULT_TIMEOUTS.observe_interval + 1)
    lines = [entry for entry in captured if entry["event"] == "running"]
    assert [(line["rooms"], line["peers"]) for line in lines] == [(1, 1)]
    assert lines[0]["tasks"] > 1


async def test_an_idle_peer_has_one_task(autojump_clock: MockClock) -> None:
    """Waiting tasks would be most of its memory. Timers share a task, and the connection's own task writes."""
    async with in_memory_server() as server, server.client("alice") as alice:
        await trio.sleep(1)
        before = trio.lowlevel.current_statistics().tasks_living
        await alice.join()
        await trio.sleep(1)
        assert trio.lowlevel.current_statistics().tasks_living == before + 2, "the room's and the peer's"
