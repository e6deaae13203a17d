"""Other WebRTC implementations in calls through the server: each publishes, and each receives."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trio
from browser.relay import host_address
from interop.caller import Caller, calling
from interop.implementations import IMPLEMENTATIONS, Implementation
from interop.partner import Partner, partner
from interop.relay import Wire, bind_beside, open_relay
from support.real_server import HOST, RealServer, real_server
from support.waiting import until

from sfu.conference.peer import Peer
from sfu.rtp.codecs.vp8 import is_key_frame
from sfu.rtp.rtcp import GenericNack, PictureLossIndication
from sfu.transport.peer import TransportStatistics

ROOM = "interop"
SUITE = "ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"


class Call:
    """A server, a program behind a relay, and the scripted partner, in a room."""

    def __init__(self, server: RealServer, wire: Wire, partner: Partner, caller: Caller) -> None:
        self.server = server
        self.wire = wire
        self.partner = partner
        self.caller = caller

    @property
    def peer(self) -> Peer:
        """The program's peer in the server."""
        peers = self.server.sfu.conference.rooms[ROOM].peers.values()
        return next(peer for peer in peers if peer.user_id != self.partner.user)

    def statistics(self) -> TransportStatistics:
        """The server's statistics of the program's transport."""
        return self.peer.connection.transport.statistics()

    async def bad_network(self) -> None:
        """Lose two packets of the video."""
        transport = self.peer.connection.transport
        streams = transport.senders if self.wire.loses == "server" else transport.streams
        (self.wire.lossy_ssrc,) = (stream.ssrc for stream in streams if stream.kind == "video")
        await until(lambda: len(self.wire.lost) >= 2)
        self.wire.lossy_ssrc = None


@pytest.fixture(params=IMPLEMENTATIONS, ids=lambda row: row.name)
def implementation(request: pytest.FixtureRequest) -> Implementation:
    """Each implementation; a missing one is skipped, but fails in CI."""
    row: Implementation = request.param
    missing = row.missing()
    if missing is not None:
        assert os.environ.get("CI") != "true", missing
        pytest.skip(missing)
    return row


@pytest.fixture(scope="session")
def build_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For programs that have to be built."""
    return tmp_path_factory.mktemp("interop")


@asynccontextmanager
async def network(wire: Wire) -> AsyncIterator[RealServer]:
    """A server that programs reach through `wire`; at the end it must have nothing left of them."""
    host = host_address()
    if host is None:
        # ICE agents have no candidates then: they leave out loopback.
        pytest.skip("this host has no address beside loopback")
    with bind_beside(host, HOST) as front:
        async with real_server(front.getsockname()[1], announced_ips=(host,)) as server:
            before = server.remains()
            async with open_relay(front, server.media.address, wire):
                yield server
            await server.returns_to(before)


@asynccontextmanager
async def call(implementation: Implementation, folder: Path, wire: Wire) -> AsyncIterator[Call]:
    """Program and partner join a room."""
    command = implementation.command(folder)
    async with network(wire) as server, partner(server) as other:
        await other.join(ROOM)
        async with calling(server, command, ROOM) as caller:
            await caller.until(lambda: "room-state" in caller.types(caller.heard))
            yield Call(server, wire, other, caller)
        await until(lambda: other.heard("peer-left"))


async def test_publishes(implementation: Implementation, build_folder: Path) -> None:
    """Its offer is answered, its media arrives, it sends key frames and retransmits what got lost."""
    async with call(implementation, build_folder, Wire("program")) as running:
        caller, other = running.caller, running.partner
        await caller.tell("publish")
        await until(lambda: sum(bool(line.track) for line in other.browser.lines) == 2)
        await until(lambda: len(other.stream("audio")) > 25 and len(other.stream("video")) > 25)
        for kind, codec in (("audio", "opus"), ("video", "VP8")):
            assert {other.codec(packet) for packet in other.stream(kind)} == {codec}
        assert is_key_frame(other.stream("video")[0].payload)
        await until(lambda: all(other.sender_reports(kind) for kind in ("audio", "video")))
        await gets_a_key_frame(other)
        await gets_a_retransmission(other)
        await running.bad_network()
        await until(lambda: not other.missing("video"))
        assert running.statistics().received.repaired > 0
        await caller.finish("close")
    if implementation.sends_closing_alert:
        assert running.wire.closing_alerts["program"] == 1
    assert running.wire.dtls_client == "program"


async def gets_a_key_frame(other: Partner) -> None:
    """A picture loss indication reaches the publisher, which answers it."""
    ssrc = other.ssrcs("video")[0]
    seen = len(other.stream("video"))
    other.tell(PictureLossIndication(1, ssrc))
    await until(lambda: any(is_key_frame(packet.payload) for packet in other.stream("video")[seen:]))


async def gets_a_retransmission(other: Partner) -> None:
    """A NACK is answered by the server, from its history."""
    ssrc, repeats = other.ssrcs("video")
    wanted = other.stream("video")[-1]
    other.tell(GenericNack(1, ssrc, (wanted.sequence_number,)))
    await until(lambda: other.packets[repeats])
    repeated = other.packets[repeats][-1]
    assert repeated.payload == wanted.sequence_number.to_bytes(2) + wanted.payload


async def test_receives(implementation: Implementation, build_folder: Path) -> None:
    """It answers the server's offer, plays what comes, asks for what gets lost, and reports."""
    async with call(implementation, build_folder, Wire("server")) as running, trio.open_nursery() as nursery:
        caller, other = running.caller, running.partner
        audio, video = await other.publish("audio", "video")
        await other.connect()
        nursery.start_soon(other.play, audio, video)
        await caller.until(lambda: caller.received("audio") > 25 and caller.received("video") > 25)
        assert caller.report["connection"] == "connected"
        await running.bad_network()
        frames = caller.received("video")
        await caller.until(lambda: caller.received("video") > frames + 25)
        if implementation.asks_again:
            await until(lambda: running.statistics().sent.retransmitted)
        else:
            assert running.statistics().sent.nacked == 0
        await until(lambda: running.statistics().rtcp_packets)
        if implementation.reports_soon:
            await until(lambda: sum(running.statistics().quality.round_trip.counts))
        await caller.finish("leave")
        nursery.cancel_scope.cancel("enough")
    assert running.wire.closing_alerts["server"] == 1
    assert (running.wire.cipher_suite, running.wire.srtp_profile) == (SUITE, implementation.srtp_profile)


async def test_both_ends_negotiate(implementation: Implementation, build_folder: Path) -> None:
    """On one connection its own offer is answered, then the server's: media flows both ways."""
    async with call(implementation, build_folder, Wire("server")) as running, trio.open_nursery() as nursery:
        caller, other = running.caller, running.partner
        await caller.tell("publish")
        await until(lambda: sum(bool(line.track) for line in other.browser.lines) == 2)
        await until(lambda: len(other.stream("audio")) > 5 and len(other.stream("video")) > 5)
        audio, video = await other.publish("audio", "video")
        nursery.start_soon(other.play, audio, video)
        await caller.until(lambda: caller.received("audio") > 5 and caller.received("video") > 5)
        seen = len(other.stream("video"))
        await until(lambda: len(other.stream("video")) > seen + 5)
        await caller.finish("close")
        nursery.cancel_scope.cancel("enough")


async def test_all_in_one_room(build_folder: Path) -> None:
    """All publish and receive all others, though each numbers payload types and extensions differently."""
    rows = [row for row in IMPLEMENTATIONS if row.missing() is None]
    if len(rows) < 2:
        pytest.skip("fewer than two implementations")
    async with network(Wire("server")) as server, AsyncExitStack() as stack:
        callers: list[Caller] = []
        for others, row in enumerate(rows):
            caller = await stack.enter_async_context(calling(server, row.command(build_folder), ROOM))
            # One after the other: not all of them can roll back an offer that crosses the server's.
            before = [2 * (others - 1)] * others
            await until(lambda before=before, others=others: _subscriptions(server) == [*before, 2 * others])  # type: ignore[misc]
            await caller.tell("publish")
            await until(lambda others=others: _subscriptions(server) == [2 * others] * (others + 1))  # type: ignore[misc]
            callers.append(caller)
        await until(lambda: _everything_flows(server))
        for caller in callers:
            await caller.finish("close")


def _subscriptions(server: RealServer) -> list[int]:
    """How many tracks each one in the room receives, in the order in which they came."""
    room = server.sfu.conference.rooms.get(ROOM)
    return [peer.connection.statistics().subscriptions for peer in room.peers.values()] if room else []


def _everything_flows(server: RealServer) -> bool:
    """Whether each receives more than a second of everything."""
    peers = server.sfu.conference.rooms[ROOM].peers.values()
    streams = [stream.statistics() for peer in peers for stream in peer.connection.transport.senders]
    return all(stream.packets > 30 for stream in streams)
