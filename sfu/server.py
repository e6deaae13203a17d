"""The server: the root nursery and what it owns.

    beside it             signals, and the operators' port (`sfu.admin`), up to the end
    root nursery
    ├─ media socket      one reader for the datagrams of all peers
    ├─ media by TCP      one for each connection of a client without UDP
    ├─ timers            one for the deadlines of all peers
    └─ connections       page requests and WebSockets
       └─ rooms          a nursery per room, in it one per peer
          └─ accepting   the public TCP port

Leaving goes inside out: nobody new comes in; the rooms end while their WebSockets still live, so that every
client is told; then the connections; then the socket on which the transports said goodbye.
"""

import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path as FilePath
from typing import Final, Protocol

import trio
from trio_websocket import WebSocketConnection

from sfu.addresses import announced_candidates
from sfu.admin import Admin
from sfu.auth import open_door
from sfu.conference.conference import Conference
from sfu.conference.connection import Connection
from sfu.conference.errors import Unavailable
from sfu.conference.limits import Limits
from sfu.conference.messages import Join
from sfu.conference.peer import Peer
from sfu.conference.rate import TokenBucket
from sfu.conference.room import Room
from sfu.config import Settings, blame
from sfu.dtls.certificate import Certificate
from sfu.http import HttpFront, Readiness, open_listeners, public_url
from sfu.ice.path import Address, Path
from sfu.ice_tcp import Handlers, IceTcp
from sfu.logs import get_logger
from sfu.peer import PeerTask
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

    def __init__(self, settings: Settings, media: Media, ice_tcp: IceTcp | None = None) -> None:
        """`ice_tcp` is to be the sink of `media`; without it there is no media by TCP."""
        self._settings = settings
        self._media = media
        self.ice_tcp = ice_tcp or IceTcp(None, max_connections=0)
        """Media by TCP."""
        self._candidates = announced_candidates(settings.announced_ips, media.address, self.ice_tcp.address)
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
            limits, self._make_connection, media.egress, os.urandom, self.door.authenticate
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
            handlers = Handlers(self._receive, self._settle, self._is_claimed, self._lose)
            root.start_soon(self.ice_tcp.run, handlers)
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
                        tcp = str(self.ice_tcp.address or "off")
                        udp = str(self._media.address)
                        log.info("ready", url=url, udp=udp, tcp=tcp, candidates=self._candidates)
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
        task = self._tasks[peer] = PeerTask(self, peer, signaling)
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

    def _is_claimed(self, path: Path) -> bool:
        """Whether a path leads to a peer."""
        return self.conference.owner(path) is not None

    def _lose(self, path: Path) -> None:
        """The connection that was `path` has ended."""
        peer = self.conference.owner(path)
        if peer is not None:
            now = trio.current_time()
            try:
                self.conference.lose_path(peer, path, now)
            except Exception:
                self._fail(peer, now)
            self._settle(now)

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
        )


async def serve(settings: Settings, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
    """Run a server until SIGINT or SIGTERM; reports the page's URL when the ports are open.

    Raises:
        ConfigError: a port cannot be had, or the certificate is no good.
    """
    with (
        _open_media(settings) as (media, ice_tcp),
        trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals,
    ):
        server = Server(settings, media, ice_tcp)
        async with trio.open_nursery() as beside:
            beside.start_soon(_stop_at_signal, server, signals)
            operators = await beside.start(Admin(settings, server, media).serve)
            log.info("answering operators", url=operators)
            if not server.door.asks:
                log.warning("anybody may join any room: neither SFU_AUTH_SECRET nor SFU_AUTH_JWKS is set")
            async with trio.open_nursery() as serving:
                task_status.started(await serving.start(server.run))
            beside.cancel_scope.cancel("the server has stopped")


@contextmanager
def _open_media(settings: Settings) -> Iterator[tuple[MediaSocket, IceTcp]]:
    """Bind the two ports for media. Raises `ConfigError`."""
    with blame("ice_tcp_addr", settings.ice_tcp_addr):
        ice_tcp = IceTcp.open(settings.ice_tcp_addr, max_connections=settings.max_connections)
    with ice_tcp:
        with blame("udp_addr", settings.udp_addr):
            media = MediaSocket.open(*settings.udp_addr, sink=ice_tcp)
        with media:
            yield media, ice_tcp


async def _stop_at_signal(server: Server, signals: AsyncIterator[int]) -> None:
    """Stop at the first signal. Later ones change nothing: stopping is bounded."""
    async for number in signals:
        log.info("stopping", signal=signal.Signals(number).name)
        server.stop()
        return
