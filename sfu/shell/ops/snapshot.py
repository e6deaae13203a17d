"""Everything that metrics are made from, as it is at one time.

The server's objects count; here their `statistics()` are read. What is read is immutable, so that it can be
written out by another thread while the server goes on.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import trio

from sfu.conference.conference import Conference, ConferenceStatistics
from sfu.conference.connection import Connection, ConnectionStatistics
from sfu.conference.peer import Peer
from sfu.conference.totals import ConnectionTotals
from sfu.histogram import Distribution
from sfu.shell.auth.key_ring import KeyStatistics
from sfu.shell.auth.tokens import TokenVerifier
from sfu.shell.http.public import HttpServer, HttpStatistics
from sfu.shell.media.tcp import IceTcp, IceTcpStatistics
from sfu.shell.media.udp import SocketStatistics
from sfu.shell.ops.meter import LoopLag, Meter, TrackKey, track_keys
from sfu.shell.store.interface import Store
from sfu.state.statistics import StoreStatistics


class Measured(Protocol):
    """What is asked of the server: a `sfu.shell.server.Server`."""

    conference: Conference
    front: HttpServer
    ice_tcp: IceTcp
    token_verifier: TokenVerifier
    store: Store

    def tasks_per_room(self) -> dict[str, int]:
        """Return how many tasks each room has, by room id."""


class MeasuredSocket(Protocol):
    """What is asked of the media socket: a `sfu.shell.media.udp.MediaSocket`."""

    def statistics(self) -> SocketStatistics:
        """Return the counters so far."""


@dataclass(frozen=True, slots=True)
class PeerSnapshot:
    """One peer that is in a room."""

    id: str
    connection: ConnectionStatistics
    """Of the one that it has now."""
    byte_rates: Mapping[TrackKey, float]
    """Payload bytes per second, of tracks for which that is known."""
    loss: float | None
    """Share of packets lost on the way to it, 0 … 1, if it has reported any."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The server at one time."""

    conference: ConferenceStatistics
    totals: ConnectionTotals
    """What all connections counted, those included that have ended."""
    peers: Sequence[PeerSnapshot]
    tasks: Mapping[str, int]
    """By room id."""
    socket: SocketStatistics
    ice_tcp: IceTcpStatistics
    http: HttpStatistics
    refusals: Mapping[str, int]
    """Joins refused for want of a good token, by reason."""
    keys: KeyStatistics | None
    """Those that check tokens, if there is a set of them."""
    store: StoreStatistics
    lag: Distribution
    """How late the event loop was, in milliseconds."""


async def take_snapshot(server: Measured, socket: MeasuredSocket, meter: Meter, lag: LoopLag) -> Snapshot:
    """Read all counters, with a checkpoint after each peer, so that no packet waits for all of them.

    Meanwhile connections may end, and then their counts are in the conference's ledger. Adding only those that
    are open at the end counts each exactly once, and so no counter goes down from one snapshot to the next.
    """
    conference, key_ring = server.conference, server.token_verifier.key_ring
    seen: list[tuple[Peer, Connection, PeerSnapshot]] = []
    for room in tuple(conference.rooms.values()):
        for peer in tuple(room.peers.values()):
            if peer.ended is None:
                seen.append((peer, peer.connection, _look_at(peer, meter)))
            await trio.lowlevel.checkpoint()
    totals = copy.deepcopy(conference.ledger)
    there = []
    for peer, connection, snapshot in seen:
        if not connection.closed:
            totals.add(snapshot.connection)
        if peer.ended is None:
            there.append(snapshot)
    return Snapshot(
        conference=conference.statistics(),
        totals=totals,
        peers=there,
        tasks=server.tasks_per_room(),
        socket=socket.statistics(),
        ice_tcp=server.ice_tcp.statistics(),
        http=server.front.statistics(),
        refusals=server.token_verifier.refusals(),
        keys=None if key_ring is None else key_ring.statistics(),
        store=server.store.statistics(),
        lag=lag.statistics(),
    )


def _look_at(peer: Peer, meter: Meter) -> PeerSnapshot:
    rates = ((key, meter.byte_rate(key)) for key in track_keys(peer))
    return PeerSnapshot(
        id=peer.id,
        connection=peer.connection.statistics(),
        byte_rates={key: rate for key, rate in rates if rate is not None},
        loss=meter.loss(peer.id),
    )
