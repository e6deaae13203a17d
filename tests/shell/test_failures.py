"""A defect in the server ends the peer that it concerns, or no peer at all.

Each test lets one method that the shell calls raise, while a call goes on in the same room and another call in
another room.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
import trio
from support.in_memory_server import Client, InMemoryServer, in_memory_server, proof_of
from support.log_capture import capture_logs
from support.media import KEY_FRAME
from trio.testing import MockClock

from sfu.conference.conference import Conference
from sfu.conference.connection import Connection
from sfu.conference.peer import Peer
from sfu.conference.room import Room
from sfu.conference.session import Departure
from sfu.shell.peer import PeerTask
from sfu.shell.store.memory import MemoryStore
from sfu.shell.store.sessions import Sessions
from sfu.shell.timers import Timers
from sfu.transport.demux import RouteTable
from sfu.transport.egress import Egress
from sfu.transport.peer import PeerTransport
from sfu.transport.send_stream import SendStream


class Defect(Exception):
    """What the broken method raises."""


async def call(room: str, *clients: Client) -> None:
    """Let clients join a room, publish a video each, and receive each other's."""
    for client in clients:
        await client.join(room)
        await client.publish("video")
    for client in clients:
        await client.connect()
    for client in clients:
        await receives_a_track(client)


async def receives_a_track(client: Client) -> None:
    """Wait until the client has been offered a track."""
    await client.until(lambda: any(line.track for line in client.browser.lines))


async def goes_on(sender: Client, receiver: Client) -> None:
    """Hold that media flows from one to the other, and that the server answers both."""
    before = len(receiver.machine.rtp)
    sender.send(sender.browser.transceivers[0], KEY_FRAME)
    await receiver.until(lambda: len(receiver.machine.rtp) > before)
    for client in (sender, receiver):
        await client.ping()


def peer_of(server: InMemoryServer, user: str) -> Peer:
    """Return a user's peer."""
    peers = (peer for room in server.sfu.conference.rooms.values() for peer in room.peers.values())
    return next(peer for peer in peers if peer.user_id == user)


@dataclass(frozen=True, slots=True)
class TwoCalls:
    """Alice and Bob in one room, Carol and Dave in another, both in a call."""

    server: InMemoryServer
    alice: Client
    bob: Client
    carol: Client
    dave: Client

    @property
    def peer(self) -> Peer:
        """Bob's peer."""
        return peer_of(self.server, "bob")

    @property
    def errors(self) -> dict[str, int]:
        """The contained failures so far, by where they showed."""
        return dict(self.server.sfu.dispatcher.errors.counts)


@asynccontextmanager
async def two_calls() -> AsyncIterator[TwoCalls]:
    """Two calls."""
    async with (
        in_memory_server() as server,
        server.client("alice") as alice,
        server.client("bob") as bob,
        server.client("carol") as carol,
        server.client("dave") as dave,
    ):
        await call("room", alice, bob)
        await call("another room", carol, dave)
        yield TwoCalls(server, alice, bob, carol, dave)


def break_for(monkeypatch: pytest.MonkeyPatch, owner: type, method: str, *whose: object) -> None:
    """Let a method raise when it is called on, or about, one of these objects."""
    original = getattr(owner, method)

    def broken(*args: Any, **named: Any) -> Any:
        if any(argument is one for argument in args for one in whose):
            raise Defect(method)
        return original(*args, **named)

    monkeypatch.setattr(owner, method, broken)


def media(calls: TwoCalls) -> None:
    """Bob sends a media packet."""
    calls.bob.send(calls.bob.browser.transceivers[0], KEY_FRAME)


async def message(calls: TwoCalls) -> None:
    """Bob sends a message."""
    await calls.bob.say("ping")


async def websocket_lost(calls: TwoCalls) -> None:
    """Bob's WebSocket breaks."""
    await calls.bob.vanish()


def time(calls: TwoCalls) -> None:
    """Nothing happens: Bob's timers are due sooner or later."""


def tcp_connection_lost(calls: TwoCalls) -> None:
    """The TCP port reports the end of Bob's connection."""
    calls.server.sfu.dispatcher.lose_path(calls.bob.path)


def tcp_connection_full(calls: TwoCalls) -> None:
    """The TCP port reports that Bob's connection is full."""
    calls.server.sfu.dispatcher.set_path_full(calls.bob.path, True)


def tcp_connection_drained(calls: TwoCalls) -> None:
    """The TCP port reports that Bob's connection has drained."""
    calls.server.sfu.dispatcher.set_path_full(calls.bob.path, False)


def ice_report(calls: TwoCalls) -> None:
    """A socket of Bob's own reports something."""
    calls.server.sfu.dispatcher.report_ice(calls.peer)


def own_datagram(calls: TwoCalls) -> None:
    """A socket of Bob's own brings a datagram."""
    calls.server.sfu.dispatcher.receive_datagram(calls.peer, b"datagram", calls.bob.path)


def handed_over(calls: TwoCalls) -> None:
    """Another server has claimed Bob's session."""
    calls.server.sfu.dispatcher.remove(calls.peer, "claimed elsewhere", Departure.MOVED)


Trigger = Callable[[TwoCalls], Awaitable[None] | None]

PEER_METHODS: list[tuple[type, str, Trigger]] = [
    (Conference, "receive", media),
    (Conference, "receive", own_datagram),
    (Conference, "receive_message", message),
    (Conference, "suspend", websocket_lost),
    (Conference, "handle_timeout", time),
    (Conference, "lose_path", tcp_connection_lost),
    (Conference, "set_path_full", tcp_connection_full),
    (Conference, "set_path_full", tcp_connection_drained),
    (Conference, "report_ice", ice_report),
    (Conference, "remove", handed_over),
    (Room, "offer_if_due", message),
    (Room, "tell_candidates", message),
    (Room, "handle", message),
    (Room, "handle_timeout", time),
    (Peer, "take_output", message),
    (Peer, "take_packet_output", media),
    (Peer, "take_messages", message),
    (Peer, "next_timeout", media),
    (Connection, "make_offer", message),
    (Connection, "handle_timeout", time),
    (PeerTransport, "receive", media),
    (PeerTransport, "events", media),
    (PeerTransport, "outgoing", media),
    (PeerTransport, "next_timeout", media),
    (PeerTransport, "handle_timeout", time),
    (PeerTask, "post", message),
]


@pytest.mark.parametrize(
    ("owner", "method", "trigger"),
    PEER_METHODS,
    ids=[f"{owner.__name__}.{method}-{trigger.__name__}" for owner, method, trigger in PEER_METHODS],
)
async def test_a_failure_about_a_peer_ends_that_peer_alone(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, owner: type, method: str, trigger: Trigger
) -> None:
    with capture_logs() as log:
        async with two_calls() as here:
            peer = here.peer
            task = here.server.sfu.dispatcher.tasks[peer]
            break_for(monkeypatch, owner, method, peer, peer.connection, peer.connection.transport, task)
            waiting = trigger(here)
            if waiting is not None:
                await waiting
            await here.alice.until(lambda: here.alice.heard("peer-left"))
            if trigger is not websocket_lost:
                await here.bob.until(lambda: here.bob.closed)
                assert here.bob.close_code == 1011
            assert peer.ended is not None
            assert peer not in here.server.sfu.dispatcher.tasks
            assert here.errors["peer"] == 1
            await here.alice.ping()
            await goes_on(here.carol, here.dave)
            await goes_on(here.dave, here.carol)
            monkeypatch.undo()
            async with here.server.client("bob") as again:
                await again.join()
                await again.publish("video")
                await again.connect()
                await receives_a_track(again)
                await goes_on(here.alice, again)
    failures = [entry for entry in log if entry["event"] == "peer failed"]
    assert [entry["peer"] for entry in failures] == [peer.id]
    assert all(entry["exc_info"] for entry in failures)


SHARED_METHODS: list[tuple[type, str, str]] = [
    (RouteTable, "route", "route"),
    (Egress, "flush", "send"),
    (Egress, "_send", "send"),
    (Sessions, "save", "store"),
    (MemoryStore, "put", "store"),
    (Conference, "take_changed", "store"),
    (Conference, "flush", "flush"),
    (Timers, "_take", "timers"),
    (Timers, "set", "timers"),
    (Timers, "_set_alarm", "timers"),
]
"""What belongs to no peer, and where its failures are counted."""


@pytest.mark.parametrize(
    ("owner", "method", "where"),
    SHARED_METHODS,
    ids=[f"{owner.__name__}.{method}" for owner, method, _ in SHARED_METHODS],
)
async def test_a_failure_about_no_peer_ends_none(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, owner: type, method: str, where: str
) -> None:
    def broken(*_args: object, **_named: object) -> None:
        raise Defect(method)

    with capture_logs() as log:
        async with two_calls() as here:
            monkeypatch.setattr(owner, method, broken)
            for client in (here.alice, here.carol):
                await client.say("media-state", micEnabled=True, cameraEnabled=True, screenEnabled=False)
                client.send(client.browser.transceivers[0], KEY_FRAME)
            await trio.sleep(2)
            monkeypatch.undo()
            await trio.sleep(2)
            assert here.errors.keys() == {where}
            assert len(here.server.sfu.dispatcher.tasks) == 4
            for sender, receiver in ((here.alice, here.bob), (here.carol, here.dave)):
                await goes_on(sender, receiver)
                await goes_on(receiver, sender)
            assert not any(client.closed for client in (here.alice, here.bob, here.carol, here.dave))
    failures = [entry for entry in log if entry["event"] == "internal error"]
    assert [entry["where"] for entry in failures] == [where], "one of a kind is logged once a minute"
    assert failures[0]["exc_info"]
    assert not any(entry["event"] == "peer failed" for entry in log)


async def test_a_join_that_fails_ends_the_half_made_peer(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_calls() as here, here.server.client("erin") as erin, here.server.client("erin") as again:
        here.server.expected = (Defect,)
        monkeypatch.setattr(Room, "_send_room_state", _broken)
        await erin.say("join", roomId="room", userId="erin")
        await here.alice.until(lambda: here.alice.heard("peer-left"))
        assert here.errors == {"join": 1, "peer": 1}
        assert len(here.server.sfu.dispatcher.tasks) == 4
        monkeypatch.undo()
        await goes_on(here.alice, here.bob)
        await goes_on(here.carol, here.dave)
        await again.join()


async def test_a_resume_that_fails_ends_the_resumed_peer(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_calls() as here, here.server.client("bob") as again:
        here.server.expected = (Defect,)
        monkeypatch.setattr(Room, "resume", _broken)
        proof = proof_of(here.bob.heard("join")[0])
        await again.say("join", roomId="room", userId="bob", transport="new", **proof)
        await here.alice.until(lambda: here.alice.heard("peer-left"))
        await here.bob.until(lambda: here.bob.closed)
        assert here.errors == {"join": 1, "peer": 1}
        assert len(here.server.sfu.dispatcher.tasks) == 3
        await goes_on(here.carol, here.dave)


async def test_a_session_that_cannot_be_restored_keeps_none_from_it(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_calls() as here:
        server = here.server.sfu
        records = [peer_of(here.server, user).record() for user in ("alice", "bob")]
        first, second = (replace(record, room_id="restored") for record in records)
        first, second = (replace(record, session_id=name) for record, name in ((first, "one"), (second, "two")))
        original = Room.restore

        def broken(room: Room, peer: Peer, *rest: Any) -> None:
            original(room, peer, *rest)
            if peer.session.id == "one":
                raise Defect

        monkeypatch.setattr(Room, "restore", broken)
        server.joins.restore([(first, 10.0), (second, 10.0)])
        assert [peer.session.id for peer in server.conference.rooms["restored"].peers.values()] == ["two"]
        assert here.errors == {"restore": 1, "peer": 1}
        await goes_on(here.alice, here.bob)


async def test_a_server_stops_although_a_peer_cannot_be_removed(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_calls() as here:
        break_for(monkeypatch, Conference, "remove", here.peer)
        break_for(monkeypatch, Conference, "suspend", here.peer)
        here.server.sfu.stop()
        for client in (here.alice, here.bob, here.carol, here.dave):
            await client.until(lambda client=client: client.closed)  # type: ignore[misc]
        assert here.alice.close_code == 1001
        assert here.bob.close_code == 1011


async def test_a_packet_that_cannot_be_forwarded_to_a_receiver_ends_the_receiver(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_calls() as here, here.server.client("erin") as erin:
        await call("room", erin)
        senders = list(here.peer.connection.transport.senders)
        break_for(monkeypatch, SendStream, "forward", *senders)
        for _ in range(2):
            await goes_on(here.alice, erin)
        for sender in senders:
            sender.fast_path = False
        await goes_on(here.alice, erin)
        await here.bob.until(lambda: here.bob.closed)
        assert here.bob.close_code == 1011
        await here.alice.until(lambda: here.alice.heard("peer-left"))
        assert here.errors == {"peer": 1}
        await goes_on(here.alice, erin)
        await goes_on(erin, here.alice)


def _broken(*_args: object, **_named: object) -> None:
    raise Defect
