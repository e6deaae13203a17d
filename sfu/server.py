"""The server: the root nursery and what it owns.

    beside it             signals, and the operators' port (`sfu.admin`), up to the end
    root nursery
    ├─ media socket      one reader for the datagrams of all peers
    ├─ timers            one for the deadlines of all peers
    └─ connections       page requests and WebSockets
       └─ rooms          a nursery per room, in it one per peer
          └─ accepting   the public TCP port

Leaving goes inside out: nobody new comes in; the rooms end while their WebSockets still live, so that every
client is told; then the connections; then the socket on which the transports said goodbye.
"""

import os
import signal
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from functools import partial
from ipaddress import ip_address
from pathlib import Path as FilePath
from typing import Final, Protocol

import trio
from trio_websocket import WebSocketConnection

from sfu.addresses import announced_hosts
from sfu.admin import Admin
from sfu.auth import open_door
from sfu.conference.conference import Conference
from sfu.conference.connection import Connection
from sfu.conference.errors import Unavailable
from sfu.conference.limits import Limits
from sfu.conference.messages import IceServer, Join
from sfu.conference.peer import Peer
from sfu.conference.rate import TokenBucket
from sfu.conference.room import Room
from sfu.config import Settings, blame
from sfu.dtls.certificate import Certificate
from sfu.http import HttpFront, Readiness, open_listeners, public_url
from sfu.ice.candidate import host_candidates
from sfu.ice.full import IceReport
from sfu.ice.path import Address, Path
from sfu.logs import get_logger
from sfu.peer import IceTask, PeerTask
from sfu.peer_sockets import PeerSockets
from sfu.room import RoomTask
from sfu.signaling import CLOSE_TIMEOUT, Signaling, greet
from sfu.timers import Timers
from sfu.transport.egress import Egress
from sfu.udp import MediaSocket, Receive
from sfu.upgrade import RequestInfo

STOP_TIMEOUT: Final = 5.0
"""Seconds that the rooms have for their goodbyes when the server stops."""

OBSERVE_INTERVAL: Final = 10.0
"""Seconds between two lines of the debug log that say how much there is of everything."""

STATIC_ROOT: Final = FilePath(__file__).parent / "web"
"""Where the build leaves the page (package data)."""

log = get_logger(__name__)


class Media(Protocol):
    """Where datagrams come from and go to: a `MediaSocket`, or a test's memory."""

    address: Address
    egress: Egress

    async def run(self, receive: Receive, after_batch: Callable[[float], None]) -> None:
        """Receive until cancelled; see `MediaSocket.run`."""


class Server:
    """One running server. `run` is its life; everything else is called by its tasks, and waits for nothing."""

    def __init__(self, settings: Settings, media: Media) -> None:
        self._settings = settings
        self._media = media
        self._hosts = settings.announced_ips or announced_hosts(settings.udp_addr)
        self._sockets = media if isinstance(media, PeerSockets) else None
        """Where every peer has sockets of its own; else all share one."""
        self._candidates = () if self._sockets else _candidates(self._hosts, media.address.port)
        self._certificate = Certificate.generate(datetime.now(UTC), os.urandom)
        limits = Limits(
            max_rooms=settings.max_rooms,
            max_peers_per_room=settings.max_peers_per_room,
            max_tracks_per_peer=settings.max_tracks_per_peer,
            max_id_length=settings.max_id_length,
            messages_per_second=settings.messages_per_second,
            messages_burst=settings.messages_burst,
            session_ttl=settings.session_ttl_sec,
        )
        self.door = open_door(settings)
        """Decides who may join."""
        self.conference = Conference(
            limits,
            self._make_connection,
            media.egress,
            os.urandom,
            self.door.authenticate,
            ice_servers=_ice_servers(settings),
            auto_subscribe=settings.auto_subscribe,
        )
        self.front = HttpFront(settings, STATIC_ROOT, self.talk, self._readiness)
        """Answers on the public TCP port."""
        self._tasks: dict[Peer, PeerTask] = {}
        self._timers: Timers[Peer] = Timers()
        self._room_tasks: dict[Room, RoomTask] = {}
        self._rooms: trio.Nursery | None = None
        self._stopping = trio.Event()
        self._talks = 0
        self._silence = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[str]) -> None:  # noqa: ASYNC114 - see .flake8
        """Serve until `stop`; reports the page's URL when the ports are open. Raises `ConfigError`."""
        listeners = await open_listeners(self._settings)
        async with trio.open_nursery() as root:
            root.start_soon(self._media.run, self._receive, self._settle)
            root.start_soon(self._timers.run, self._tick)
            if self._settings.log_level == "debug":
                root.start_soon(self._observe)
            async with trio.open_nursery() as connections:
                async with trio.open_nursery() as rooms:
                    self._rooms = rooms
                    async with trio.open_nursery() as accepting:
                        accept = partial(self.front.serve, listeners, handler_nursery=connections)
                        await accepting.start(accept)
                        url = public_url(self._settings, listeners)
                        log.info("ready", url=url, udp=str(self._media.address), candidates=self._candidates)
                        task_status.started(url)
                        await self._stopping.wait()
                        accepting.cancel_scope.cancel("the server stops")
                    self._end_rooms()
                    rooms.cancel_scope.deadline = trio.current_time() + STOP_TIMEOUT
                with trio.move_on_after(CLOSE_TIMEOUT):
                    if self._talks:
                        await self._silence.wait()
                connections.cancel_scope.cancel("the server stops")
            root.cancel_scope.cancel("the server stops")

    @property
    def tasks(self) -> int:
        """Peers and rooms that have tasks."""
        return len(self._tasks) + len(self._room_tasks)

    def tasks_per_room(self) -> dict[str, int]:
        """Return how many tasks each room has, by room id."""
        return {room.id: task.tasks for room, task in self._room_tasks.items()}

    def stop(self) -> None:
        """Let `run` end in good order."""
        self._stopping.set()

    # --- called by the tasks ---

    def receive_message(self, peer: Peer, text: str | bytes) -> None:
        """Do what a client's message asks."""
        now = trio.current_time()
        self.conference.receive_message(peer, text, now)
        self._settle(now)

    def suspend(self, peer: Peer) -> None:
        """Note that a peer's WebSocket is gone."""
        now = trio.current_time()
        self.conference.suspend(peer, now)
        self._settle(now)

    def remove(self, peer: Peer, reason: str) -> None:
        """Take a peer whose tasks end out of its room."""
        now = trio.current_time()
        self.conference.remove(peer, reason, now)
        self._settle(now)
        self._timers.discard(peer)
        self._tasks.pop(peer, None)

    def forget_room(self, room: Room) -> None:
        """Drop a room whose task ends."""
        self.conference.forget_room(room)
        self._room_tasks.pop(room, None)

    def receive_datagram(self, peer: Peer, data: bytes, path: Path) -> None:
        """Take a datagram from a socket of the peer's own."""
        now = trio.current_time()
        try:
            self.conference.receive(peer, data, path, now)
        except Exception:
            self._fail(peer, now)
        self._settle(now)

    def report_ice(self, peer: Peer, *reports: IceReport) -> None:
        """Take what those who have a peer's sockets have found."""
        now = trio.current_time()
        try:
            self.conference.report_ice(peer, reports, now)
        except Exception:
            self._fail(peer, now)
        self._settle(now)

    # --- joining ---

    async def talk(self, websocket: WebSocketConnection, _info: RequestInfo) -> None:
        """Serve one WebSocket: nobody until the join, a peer from then on."""
        signaling = Signaling(websocket)

        def join(request: Join) -> None:
            self._join(request, signaling)

        settings = self._settings
        bucket = TokenBucket(settings.messages_per_second, settings.messages_burst, trio.current_time())
        self._talks += 1
        try:
            if await greet(websocket, join, bucket):
                await signaling.finish()
        finally:
            self._talks -= 1
            if not self._talks:
                self._silence.set()
                self._silence = trio.Event()

    def _join(self, request: Join, signaling: Signaling) -> None:
        if self._stopping.is_set() or self._rooms is None:
            raise Unavailable("the server is stopping")
        now = trio.current_time()
        peer = self.conference.join(request, now)
        task = self._tasks.get(peer)
        if task is None:
            self._admit(peer, signaling)
        else:
            task.attach(signaling)
        self._settle(now)

    def _admit(self, peer: Peer, signaling: Signaling) -> None:
        """Start the tasks of a new peer, and those of its room if that is new."""
        assert self._rooms is not None, "a server that runs has a nursery for rooms"
        room_task = self._room_tasks.get(peer.room)
        if room_task is None:
            room_task = self._room_tasks[peer.room] = RoomTask(self, peer.room, self._settings.room_ttl_sec)
            self._rooms.start_soon(room_task.run)
        task = self._tasks[peer] = PeerTask(self, peer, signaling, self._make_ice(peer))
        room_task.admit(task)
        log.info("peer joined", peer=peer.id, room=peer.room.id, user=peer.user_id)

    # --- packets and consequences ---

    def _receive(self, data: bytes, path: Path, now: float) -> None:
        """Take a datagram; what fails in it costs the peer that it is for, and nobody else."""
        peer = self.conference.route(data, path)
        if peer is not None:
            try:
                self.conference.receive(peer, data, path, now)
            except Exception:
                self._fail(peer, now)

    def _tick(self, peer: Peer) -> None:
        """Do what is due for a peer."""
        now = trio.current_time()
        try:
            self.conference.handle_timeout(peer, now)
        except Exception:
            self._fail(peer, now)
        self._settle(now)

    def _settle(self, now: float) -> None:
        """Carry out what the last step led to: messages, datagrams and timers of all peers it touched."""
        while touched := self.conference.take_touched(now):
            for peer in touched:
                try:
                    self._settle_peer(peer, now)
                except Exception:
                    self._fail(peer, now)
        self._media.egress.flush()

    def _settle_peer(self, peer: Peer, now: float) -> None:
        for datagram, path in peer.outgoing(now):
            self._media.egress.put(datagram, path)
        task = self._tasks.get(peer)
        if task is None:
            return
        for message in peer.take_messages():
            task.signaling.post(message)
        if task.ice is not None:
            task.ice.carry_out(peer.take_ice_requests())
        if peer.ended is None:
            self._timers.set(peer, peer.next_timeout())
        else:
            self._timers.discard(peer)
            task.stop(peer.ended)

    def _fail(self, peer: Peer, now: float) -> None:
        log.exception("peer failed", peer=peer.id, room=peer.room.id)
        if peer in self._tasks:
            self._tasks[peer].stop("internal error")
        self.conference.remove(peer, "internal error", now)

    def _end_rooms(self) -> None:
        now = trio.current_time()
        for peer in tuple(self._tasks):
            self.conference.remove(peer, "server stopping", now)
        self._settle(now)
        for room_task in tuple(self._room_tasks.values()):
            room_task.close()

    async def _observe(self) -> None:
        """Log what a leak would show in: tasks that do not end, rooms and peers that nobody forgets."""
        while True:
            await trio.sleep(OBSERVE_INTERVAL)
            now = self.conference.statistics()
            tasks = trio.lowlevel.current_statistics().tasks_living
            log.debug("running", rooms=now.rooms, peers=now.peers, routes=now.routes, tasks=tasks)

    def _readiness(self) -> Readiness:
        return Readiness(not self._stopping.is_set(), "stopping" if self._stopping.is_set() else "ok")

    def _make_connection(self, now: float) -> Connection:
        return Connection(
            self._certificate,
            self._candidates,
            os.urandom,
            now,
            history_depth=self._settings.history_packets,
            full_ice=self._sockets is not None,
        )

    def _make_ice(self, peer: Peer) -> IceTask | None:
        if self._sockets is None:
            return None
        # Imported here, since asyncio and all that stands on it take 10 MB that others need not have.
        from sfu.full_ice import FullIce

        hosts = self._settings.announced_ips or _without_loopback(self._hosts)
        return FullIce(self, peer, self._settings, hosts, self._sockets.count)


def open_media(settings: Settings) -> MediaSocket | PeerSockets:
    """Return where datagrams come from and go to. Raises `ConfigError` when the port cannot be had."""
    if settings.ice_mode == "full":
        return PeerSockets(settings.udp_addr.host)
    with blame("udp_addr", settings.udp_addr):
        return MediaSocket.open(*settings.udp_addr)


def _candidates(hosts: tuple[str, ...], port: int) -> tuple[str, ...]:
    return tuple(str(candidate) for candidate in host_candidates(hosts, port))


def _without_loopback(hosts: tuple[str, ...]) -> tuple[str, ...]:
    """Leave out loopback where there is more: here an address costs each peer a socket."""
    return tuple(host for host in hosts if not ip_address(host).is_loopback) or hosts


def _ice_servers(settings: Settings) -> tuple[IceServer, ...]:
    """Return what clients are told to use."""
    servers = []
    if settings.stun_urls:
        servers.append(IceServer(tuple(map(str, settings.stun_urls))))
    if settings.turn_urls:
        urls = tuple(map(str, settings.turn_urls))
        servers.append(IceServer(urls, settings.turn_user, settings.turn_password))
    return tuple(servers)


async def serve(settings: Settings, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
    """Run a server until SIGINT or SIGTERM; reports the page's URL when the ports are open.

    Raises:
        ConfigError: a port cannot be had, or the certificate is no good.
    """
    media = open_media(settings)
    with media, trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        server = Server(settings, media)
        async with trio.open_nursery() as beside:
            beside.start_soon(_stop_at_signal, server, signals)
            operators = await beside.start(Admin(settings, server, media).serve)
            log.info("answering operators", url=operators)
            if not server.door.asks:
                log.warning("anybody may join any room: neither SFU_AUTH_SECRET nor SFU_AUTH_JWKS is set")
            async with trio.open_nursery() as serving:
                task_status.started(await serving.start(server.run))
            beside.cancel_scope.cancel("the server has stopped")


async def _stop_at_signal(server: Server, signals: AsyncIterator[int]) -> None:
    """Stop at the first signal. Later ones change nothing: stopping is bounded."""
    async for number in signals:
        log.info("stopping", signal=signal.Signals(number).name)
        server.stop()
        return
