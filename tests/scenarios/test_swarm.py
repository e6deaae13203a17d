"""Many sessions on one server: created, suspended, resumed, expired; and nothing of them is left.

`python -m benchmarks.swarm` does the same with more of them against a server of its own, and measures.
"""

import gc
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import trio
from support.real_server import RealServer, hear, real_server, tell
from support.waiting import becomes
from trio.testing import MockClock
from trio_websocket import WebSocketConnection

from sfu.conference.connection import Connection
from sfu.conference.downstream import Subscription
from sfu.conference.peer import Peer
from sfu.conference.room import Room
from sfu.conference.session import Session
from sfu.conference.track import Track
from sfu.dtls.connection import DtlsConnection
from sfu.ice.lite import IceLiteAgent
from sfu.rtp.srtp import InboundSrtp, OutboundSrtp
from sfu.sdp.bundle import BundleSession
from sfu.shell.ops.exposition import exposition
from sfu.shell.ops.meter import LoopLag, RateMeter
from sfu.shell.ops.snapshot import take_snapshot
from sfu.shell.peer import PeerTask
from sfu.shell.room import RoomTask
from sfu.shell.signaling import Signaling
from sfu.transport.peer import PeerTransport

SESSIONS = 200
AT_ONCE = 50
"""WebSockets open at a time."""

WITH_MEDIA = 20
"""So many of them publish and connect before they are suspended, which takes time."""

GRACE = 30.0
SLOW = 0.1
"""Seconds of the server's clock in one second: so that nothing expires early on a busy machine."""

GONE = frozenset(
    {
        Session,
        Peer,
        PeerTask,
        Signaling,
        Room,
        RoomTask,
        Track,
        Subscription,
        Connection,
        BundleSession,
        PeerTransport,
        InboundSrtp,
        OutboundSrtp,
        DtlsConnection,
        IceLiteAgent,
    }
)
"""Classes with objects that belong to one peer."""


@dataclass
class Member:
    """One client of the swarm."""

    number: int
    session_id: str = ""
    token: str = ""
    peer_id: str = ""

    @property
    def room(self) -> str:
        """Ten are in a room."""
        return f"room {self.number // 10}"

    @property
    def user(self) -> str:
        """Its user id."""
        return f"user {self.number}"

    @property
    def transport(self) -> str:
        """How it comes back."""
        return "keep" if self.number % 2 else "new"

    def learn(self, reply: dict[str, str]) -> None:
        """Take what a reply says of the session."""
        self.session_id, self.token, self.peer_id = reply["sessionId"], reply["sessionToken"], reply["peerId"]


async def create(server: RealServer, member: Member) -> None:
    """Join and vanish."""
    if member.number < WITH_MEDIA:
        async with server.client(member.user) as client:
            await client.join(member.room)
            await client.publish("audio", "video")
            await client.connect()
            member.learn(client.heard("join")[0])
    else:
        async with server.websocket() as (websocket, _):
            await tell(websocket, "join", roomId=member.room, userId=member.user)
            member.learn(await hear(websocket, "join"))
            await tell(websocket, "ping")
            await hear(websocket, "pong")


async def join(websocket: WebSocketConnection, member: Member, **more: str) -> None:
    """Join with what proves the session."""
    proof = {"sessionId": member.session_id, "sessionToken": member.token}
    await tell(websocket, "join", roomId=member.room, userId=member.user, **proof, **more)


async def resume(server: RealServer, member: Member) -> None:
    """Come back, show that the new token has arrived, and vanish again."""
    async with server.websocket() as (websocket, _):
        await join(websocket, member, transport=member.transport)
        reply = await hear(websocket, "join", "error")
        assert (reply["resumed"], reply["transport"]) == (True, member.transport)
        assert (reply["sessionId"], reply["peerId"]) == (member.session_id, member.peer_id)
        assert reply["sessionToken"] != member.token
        member.learn(reply)
        await tell(websocket, "ping")
        await hear(websocket, "pong")


async def everybody(
    server: RealServer, members: Sequence[Member], do: Callable[[RealServer, Member], Awaitable[None]]
) -> None:
    """Let all do the same, `AT_ONCE` at a time."""
    for start in range(0, len(members), AT_ONCE):
        async with trio.open_nursery() as nursery:
            for member in members[start : start + AT_ONCE]:
                nursery.start_soon(do, server, member)


def living() -> Counter[type]:
    """Count the objects that belong to peers."""
    gc.collect()
    return Counter(kind for each in gc.get_objects() if (kind := type(each)) in GONE)


async def labels(server: RealServer) -> list[str]:
    """The lines of the metrics that are about one peer, track or room."""
    sfu = server.sfu
    snapshot = await take_snapshot(sfu, server.media, RateMeter(sfu.conference), LoopLag())
    return [line for line in exposition(snapshot).decode().splitlines() if 'peer="' in line or 'room="' in line]


async def test_many_sessions_come_and_go_and_leave_nothing(mock_clock: MockClock) -> None:
    mock_clock.rate = SLOW
    async with real_server(session_ttl_sec=GRACE, room_ttl_sec=10.0) as server:
        conference = server.sfu.conference
        before, objects = server.remains(), living()
        members = [Member(number) for number in range(SESSIONS)]
        for do in (create, resume, resume):
            await everybody(server, members, do)
            await becomes(lambda: conference.statistics().suspended, SESSIONS)
        statistics = conference.statistics()
        assert (statistics.resumes, statistics.failed_resumes) == (2 * SESSIONS, 0)
        assert len({member.session_id for member in members}) == SESSIONS
        assert len(server.sfu.rooms.per_room()) == SESSIONS // 10
        assert server.sfu.store.statistics().sessions == SESSIONS
        assert await labels(server)
        mock_clock.jump(GRACE)
        await becomes(lambda: conference.statistics().peers, 0)
        mock_clock.jump(60.0)
        await server.returns_to(before)
        assert living() == objects
        assert await labels(server) == []
        assert server.sfu.store.statistics().sessions == 0
        # A client that comes now is a new peer.
        async with server.websocket() as (websocket, _):
            last = members[-1]
            await join(websocket, last, transport="keep")
            assert (await hear(websocket, "join"))["resumed"] is False
