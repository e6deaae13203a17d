"""Sessions survive their server: restored, claimed by another, and moved when a server drains."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import trio
from support.in_memory_server import Client, InMemoryServer, in_memory_server, proof_of
from support.log_capture import capture_logs
from support.media import KEY_FRAME
from trio.testing import MockClock

from sfu.conference.records import SessionRecord
from sfu.shell.peer import CONNECTION_LOST
from sfu.shell.store.memory import Memory, MemoryStore
from sfu.state.statistics import StoreUnavailable

LASTING: dict[str, Any] = {"session_ttl_sec": 30}


class Unreachable(MemoryStore):
    """A store that is unavailable."""

    healthy = False

    async def claim(self, session_id: str, step: Callable[[SessionRecord], SessionRecord | None]) -> None:
        """Raise."""
        await trio.lowlevel.checkpoint()
        raise StoreUnavailable("nobody there")


@asynccontextmanager
async def two_servers(
    memory: Memory, **of_the_second: Any
) -> AsyncIterator[tuple[InMemoryServer, InMemoryServer]]:
    """Two servers with one store."""
    async with (
        in_memory_server(MemoryStore("one", memory), **LASTING) as first,
        in_memory_server(MemoryStore("two", memory), **LASTING, **of_the_second) as second,
    ):
        yield first, second


async def live_and_die(memory: Memory, *users: str) -> dict[str, Client]:
    """Run a server in which `users` publish a video each, and kill it."""
    clients: dict[str, Client] = {}
    async with (
        in_memory_server(MemoryStore("one", memory), **LASTING) as server,
        trio.open_nursery() as nursery,
    ):
        for user in users:
            clients[user] = await nursery.start(_publish_for_ever, server, user)
        # A server that is killed says nothing to anybody, and neither do its clients to it.
        server.running.cancel_scope.cancel("killed")
        nursery.cancel_scope.cancel("killed")
    return clients


async def _publish_for_ever(server: InMemoryServer, user: str, *, task_status: trio.TaskStatus[Client]) -> None:
    async with server.client(user) as client:
        await client.join()
        await client.publish("video")
        await client.until(lambda: client.heard("track-published"))
        task_status.started(client)
        await trio.sleep_forever()


async def test_a_restarted_server_resumes_its_clients_sessions(autojump_clock: MockClock) -> None:
    memory = Memory()
    before = await live_and_die(memory, "alice", "bob")
    (track,) = (each for each in before["bob"].heard("track-published") if "mid" in each)
    async with (
        in_memory_server(MemoryStore("one", memory), **LASTING) as server,
        server.client("alice") as alice,
        server.client("bob") as bob,
    ):
        await trio.sleep(1)
        assert server.sfu.conference.statistics().suspended == 2
        told = await alice.resume(before["alice"].heard("join")[0], transport="keep")
        assert told["resumed"] is True
        assert told["transport"] == "new"  # what it would keep has died with the server
        assert told["peerId"] == before["alice"].heard("join")[0]["peerId"]
        (other,) = alice.heard("room-state")[0]["peers"]
        assert other["suspended"] is True
        assert [each["trackId"] for each in other["tracks"]] == [track["trackId"]]
        await alice.publish("video")

        assert (await bob.resume(before["bob"].heard("join")[0]))["resumed"] is True
        await alice.until(lambda: alice.heard("peer-resumed"))
        await bob.publish("video")
        await bob.until(
            lambda: [each["trackId"] for each in bob.heard("track-published")] == [track["trackId"]]
        )
        assert all("mid" in each for each in alice.heard("track-published"))  # of his she knows already
        for client in (alice, bob):
            await client.connect()
        await alice.until(
            lambda: "m=video" in alice.heard("offer")[-1]["sdp"] if alice.heard("offer") else None
        )
        bob.send(bob.browser.transceivers[0], KEY_FRAME)
        await alice.until(lambda: alice.machine.rtp)
        assert server.sfu.conference.statistics().resumes == 2


async def test_a_session_that_is_not_resumed_leaves_nothing(autojump_clock: MockClock) -> None:
    memory = Memory()
    before = await live_and_die(memory, "alice", "bob")
    settings = LASTING | {"room_ttl_sec": 5}
    async with (
        in_memory_server(MemoryStore("one", memory), **settings) as server,
        server.client("alice") as alice,
    ):
        await alice.resume(before["alice"].heard("join")[0])
        await alice.until(lambda: alice.heard("peer-left"))
        assert server.sfu.conference.statistics().peers == 1
        await alice.say("leave")
        await alice.until(lambda: alice.closed)
        await trio.sleep(10)
        assert server.sfu.rooms.running == 0
        assert server.sfu.conference.statistics().rooms == 0
        assert memory.sessions == {}


async def test_a_room_of_restored_sessions_alone_ends_with_them(autojump_clock: MockClock) -> None:
    memory = Memory()
    await live_and_die(memory, "alice", "bob")
    async with in_memory_server(MemoryStore("one", memory), **(LASTING | {"room_ttl_sec": 5})) as server:
        await trio.sleep(1)
        assert server.sfu.rooms.running == 3
        await trio.sleep(90)
        assert server.sfu.rooms.running == 0
        assert server.sfu.conference.statistics().rooms == 0
        assert memory.sessions == {}


async def test_a_user_may_join_again_although_a_restored_session_waits(autojump_clock: MockClock) -> None:
    memory = Memory()
    before = await live_and_die(memory, "alice")
    async with (
        in_memory_server(MemoryStore("one", memory), **LASTING) as server,
        server.client("alice") as alice,
    ):
        await alice.join()
        assert alice.heard("room-state")[0]["peers"] == []
        assert alice.heard("join")[0]["peerId"] != before["alice"].heard("join")[0]["peerId"]
        assert list(memory.sessions) == [alice.heard("join")[0]["sessionId"]]


async def test_another_server_claims_a_session(autojump_clock: MockClock) -> None:
    """The server that had it drops it. A client that is still there is told, and may come back."""
    memory = Memory()
    async with (
        two_servers(memory) as (first, second),
        first.client("alice") as alice,
        first.client("bob") as bob,
        second.client("bob") as moved,
    ):
        await alice.join()
        await bob.join()
        with capture_logs() as log:
            told = await moved.resume(bob.heard("join")[0])
        assert told["resumed"] is True
        assert [line["user"] for line in log if line["event"] == "peer resumed"] == ["bob"]
        assert told["peerId"] == bob.heard("join")[0]["peerId"]
        await bob.until(lambda: bob.closed)
        assert bob.close_code == CONNECTION_LOST
        await alice.until(lambda: alice.heard("peer-left"))
        assert first.sfu.conference.statistics().peers == 1
        # Its end there did not end it here.
        await trio.sleep(120)
        assert second.sfu.conference.statistics().peers == 1
        assert told["sessionId"] in memory.sessions


async def test_a_session_is_not_claimed_if_there_is_no_place_for_it(autojump_clock: MockClock) -> None:
    """However often its client tries. It is resumed when there is a place."""
    async with (
        two_servers(Memory(), max_peers_per_room=1) as (first, second),
        first.client("bob") as bob,
        second.client("carl") as carl,
        second.client("bob") as moved,
    ):
        await bob.join()
        await carl.join()
        told = bob.heard("join")[0]
        for tries in range(1, 4):
            await moved.say("join", roomId="room", userId="bob", name="Back", **proof_of(told))
            await moved.until(lambda tries=tries: len(moved.heard("error")) == tries)  # type: ignore[misc]
        assert {error["code"] for error in moved.heard("error")} == {503}
        await carl.say("leave")
        await carl.until(lambda: carl.closed)
        assert (await moved.resume(told))["resumed"] is True


class Slow(MemoryStore):
    """A store that lets the first claim wait."""

    def __init__(self, server_id: str, memory: Memory) -> None:
        super().__init__(server_id, memory)
        self.gate = trio.Event()
        self._gates = iter([self.gate])

    async def claim(
        self, session_id: str, step: Callable[[SessionRecord], SessionRecord | None]
    ) -> SessionRecord | None:
        """Wait if this is the first claim; then claim."""
        for gate in self._gates:
            await gate.wait()
        return await super().claim(session_id, step)


async def give_up_waiting(server: InMemoryServer, told: dict[str, Any]) -> None:
    """Join with a session, and disconnect before the store has answered."""
    async with server.client("bob") as early:
        await early.say("join", roomId="room", userId="bob", name="Early", **proof_of(told))
        await trio.sleep(0.1)


@pytest.mark.parametrize("resumes", [True, False])
async def test_a_client_gone_while_the_store_was_asked_takes_nothing_from_a_later_one(
    autojump_clock: MockClock, resumes: bool
) -> None:
    """A page that is reloaded while its server waits for Redis joins twice."""
    memory = Memory()
    store = Slow("two", memory)
    async with (
        in_memory_server(MemoryStore("one", memory), **LASTING) as first,
        in_memory_server(store, **LASTING) as second,
        first.client("bob") as bob,
        second.client("bob") as late,
    ):
        await bob.join()
        await give_up_waiting(second, bob.heard("join")[0])
        if resumes:
            await late.resume(bob.heard("join")[0])
        else:
            await late.join()
        assert late.heard("join")[0]["resumed"] is resumes
        store.gate.set()
        await trio.sleep(60)
        assert late.closed is None
        assert second.sfu.conference.statistics().peers == 1
        assert list(memory.sessions) == [late.heard("join")[0]["sessionId"]]


async def test_a_session_claimed_for_a_client_that_has_gone_waits_for_its_next_join(
    autojump_clock: MockClock,
) -> None:
    memory = Memory()
    store = Slow("two", memory)
    async with (
        in_memory_server(MemoryStore("one", memory), **LASTING) as first,
        in_memory_server(store, **LASTING) as second,
        first.client("bob") as bob,
    ):
        await bob.join()
        await give_up_waiting(second, bob.heard("join")[0])
        store.gate.set()
        await trio.sleep(1)
        assert second.sfu.conference.statistics().suspended == 1
        async with second.client("bob") as late:
            assert (await late.resume(bob.heard("join")[0]))["resumed"] is True


@pytest.mark.parametrize("wrong", ["token", "user", "session"])
async def test_a_session_is_not_claimed_without_proof(autojump_clock: MockClock, wrong: str) -> None:
    async with (
        two_servers(Memory()) as (first, second),
        first.client("bob") as bob,
        second.client("mallory" if wrong == "user" else "bob") as thief,
    ):
        await bob.join()
        told = dict(bob.heard("join")[0])
        if wrong != "user":
            told["sessionToken" if wrong == "token" else "sessionId"] = "00" * (32 if wrong == "token" else 16)
        assert (await thief.resume(told))["resumed"] is False
        await trio.sleep(120)
        assert bob.closed is None
        assert second.sfu.conference.statistics().failed_resumes == 1


async def test_clients_can_join_while_the_store_is_unavailable(autojump_clock: MockClock) -> None:
    async with (
        in_memory_server(Unreachable("one"), **LASTING) as server,
        server.client("bob") as bob,
        server.client("bob") as again,
        server.client("carl") as carl,
    ):
        await bob.join()
        # This server resumes the sessions that it has, and makes new ones for unknown ids.
        assert (await again.resume(bob.heard("join")[0]))["resumed"] is True
        unknown = {"sessionId": "0" * 32, "sessionToken": "0"}
        assert (await carl.resume(unknown))["resumed"] is False
        assert server.sfu.readiness().status == "degraded"


async def test_a_drain_ends_when_all_clients_have_gone(autojump_clock: MockClock) -> None:
    memory = Memory()
    async with in_memory_server(MemoryStore("one", memory), **LASTING, drain_sec=20) as server:
        async with server.client("alice") as alice, server.client("bob") as bob:
            await alice.join()
            await bob.join()
            server.sfu.stop()
            await alice.until(lambda: alice.heard("server-draining"))
            await bob.until(lambda: bob.heard("server-draining"))
            assert bob.heard("server-draining") == [{"deadlineMs": 20_000}]
            assert server.sfu.readiness() == (False, "draining")
            started = trio.current_time()
            await trio.sleep(5)
            assert server.sfu.rooms.running == 3
        await trio.sleep(1)
        assert server.sfu.rooms.running == 0
        assert trio.current_time() - started < 7
    assert [kept.record.suspended for kept in memory.sessions.values()] == [True, True]


async def test_all_clients_are_told_of_a_drain_of_zero_seconds(autojump_clock: MockClock) -> None:
    """Although their peers end while the message is being sent."""
    async with in_memory_server(drain_sec=0) as server, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(server.client(f"user {number}")) for number in range(10)]
        for client in clients:
            await client.join(client.user)
        server.sfu.stop()
        for client in clients:
            await client.until(lambda client=client: client.closed)  # type: ignore[misc]
            assert client.heard("server-draining") == [{"deadlineMs": 0}]
            assert client.close_code == 1001


async def test_a_drain_is_bounded(autojump_clock: MockClock) -> None:
    memory = Memory()
    async with (
        in_memory_server(MemoryStore("one", memory), **LASTING, drain_sec=20) as server,
        server.client("alice") as alice,
        server.client("bob") as bob,
    ):
        await alice.join()
        await bob.join()
        started = trio.current_time()
        server.sfu.stop()
        await alice.until(lambda: alice.closed)
        assert 20 <= trio.current_time() - started < 21
        assert alice.close_code == 1001
    assert len(memory.sessions) == 2


async def test_a_drain_is_cut_short_by_a_second_call(autojump_clock: MockClock) -> None:
    async with in_memory_server(drain_sec=20) as server, server.client("alice") as alice:
        await alice.join()
        started = trio.current_time()
        server.sfu.stop()
        await alice.until(lambda: alice.heard("server-draining"))
        server.sfu.stop()
        await alice.until(lambda: alice.closed)
        assert trio.current_time() - started < 1


async def test_a_server_that_is_draining_takes_no_session_from_another(autojump_clock: MockClock) -> None:
    """A client that comes here by mistake would otherwise lose its room there."""
    async with (
        two_servers(Memory(), drain_sec=20) as (first, second),
        first.client("alice") as alice,
        first.client("bob") as bob,
        second.client("carl") as carl,
        second.client("bob") as moved,
    ):
        for client in (alice, bob, carl):
            await client.join()
        second.sfu.stop()
        await carl.until(lambda: carl.heard("server-draining"))
        await moved.say("join", roomId="room", userId="bob", **proof_of(bob.heard("join")[0]))
        await moved.until(lambda: moved.heard("error"))
        assert moved.heard("error")[0]["code"] == 503
        await trio.sleep(60)
        assert bob.closed is None
        assert not alice.heard("peer-left")


async def test_joins_are_refused_while_the_server_drains(autojump_clock: MockClock) -> None:
    async with (
        in_memory_server(drain_sec=20) as server,
        server.client("alice") as alice,
        server.client("bob") as bob,
    ):
        await alice.join()
        server.sfu.stop()
        await alice.until(lambda: alice.heard("server-draining"))
        await bob.say("join", roomId="room", userId="bob", name="Bob")
        await bob.until(lambda: bob.heard("error"))
        assert bob.heard("error")[0]["code"] == 503
