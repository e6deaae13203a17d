"""One reading of all counters, from which the metrics are written.

The server's objects count; here their `statistics()` are read. The result does not change, so that another
thread can write it out while the server goes on.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import trio

from sfu.conference.conference import ConferenceStatistics
from sfu.conference.connection import Connection, ConnectionStatistics
from sfu.conference.peer import Peer
from sfu.conference.totals import ConnectionTotals
from sfu.histogram import Distribution
from sfu.shell.auth.key_ring import KeyStatistics
from sfu.shell.http.public import HttpStatistics
from sfu.shell.http.tls import TlsStatistics
from sfu.shell.media.tcp import IceTcpStatistics
from sfu.shell.media.udp import SocketStatistics
from sfu.shell.ops.meter import LoopLag, RateMeter, TrackKey, track_keys
from sfu.shell.server import Server
from sfu.state.statistics import StoreStatistics


class MeasuredSocket(Protocol):
    """Whatever sends and receives datagrams: a `sfu.shell.media.udp.MediaSocket`, or `PeerSockets`."""

    def statistics(self) -> SocketStatistics:
        """Return the counters so far."""


@dataclass(frozen=True, slots=True)
class PeerSnapshot:
    """One peer that is in a room."""

    id: str
    connection: ConnectionStatistics
    """Counters of its current connection."""
    byte_rates: Mapping[TrackKey, float]
    """Payload bytes per second, for each track whose rate is known."""
    loss: float | None
    """Share of packets lost on the way to the peer, 0 … 1; `None` if it has reported none."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The counters of the whole server."""

    conference: ConferenceStatistics
    totals: ConnectionTotals
    """Sums over all connections since the start, including those that have ended."""
    peers: Sequence[PeerSnapshot]
    tasks: Mapping[str, int]
    """Number of tasks by room id."""
    socket: SocketStatistics
    ice_tcp: IceTcpStatistics
    http: HttpStatistics
    tls: TlsStatistics | None
    """The certificate of the public port; `None` without TLS."""
    refusals: Mapping[str, int]
    """Joins that token verification refused, by reason."""
    keys: KeyStatistics | None
    """The public keys that verify tokens; `None` without a key set."""
    store: StoreStatistics
    lag: Distribution
    """Event loop lag in milliseconds."""
    admin_refusals: Mapping[str, int]
    """Requests that the admin port refused, by reason."""
    internal_errors: Mapping[str, int]
    """Faults of the server that were contained, by where they showed."""


async def take_snapshot(
    server: Server,
    socket: MeasuredSocket,
    meter: RateMeter,
    lag: LoopLag,
    admin_refusals: Mapping[str, int] = MappingProxyType({}),
) -> Snapshot:
    """Read all counters, with a checkpoint after each peer, so that packets do not wait for all of them.

    A connection may end meanwhile; then its counts move into the conference's totals. So at the end, only the
    connections that are still open are added to the totals. Each connection is counted exactly once, and no
    counter goes down from one snapshot to the next.
    """
    conference, key_ring = server.conference, server.token_verifier.key_ring
    certificate = server.certificate
    seen: list[tuple[Peer, Connection, PeerSnapshot]] = []
    for room in tuple(conference.rooms.values()):
        for peer in tuple(room.peers.values()):
            if peer.ended is None:
                seen.append((peer, peer.connection, _peer_snapshot(peer, meter)))
            await trio.lowlevel.checkpoint()
    totals = copy.deepcopy(conference.totals)
    peers = []
    for peer, connection, snapshot in seen:
        if not connection.closed:
            totals.add(snapshot.connection)
        if peer.ended is None:
            peers.append(snapshot)
    return Snapshot(
        conference=conference.statistics(),
        totals=totals,
        peers=peers,
        tasks=server.rooms.per_room(),
        socket=socket.statistics(),
        ice_tcp=server.ice_tcp.statistics(),
        http=server.http.statistics(),
        tls=None if certificate is None else certificate.statistics(),
        refusals=server.token_verifier.refusals(),
        keys=None if key_ring is None else key_ring.statistics(),
        store=server.store.statistics(),
        lag=lag.statistics(),
        admin_refusals=dict(admin_refusals),
        internal_errors=dict(server.dispatcher.errors.counts),
    )


def _peer_snapshot(peer: Peer, meter: RateMeter) -> PeerSnapshot:
    rates = ((key, meter.byte_rate(key)) for key in track_keys(peer))
    return PeerSnapshot(
        id=peer.id,
        connection=peer.connection.statistics(),
        byte_rates={key: rate for key, rate in rates if rate is not None},
        loss=meter.loss(peer.id),
    )
