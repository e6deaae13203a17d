"""The server: the root nursery and what it owns.

    root nursery
    ├─ media socket      one reader for the datagrams of all peers
    ├─ media by TCP      one for each connection of a client without UDP
    ├─ timers            one for the deadlines of all peers
    ├─ state             sessions at the store, which may be Redis
    ├─ keys              those that sign tokens, read again from time to time
    └─ connections       page requests and WebSockets
       └─ rooms          a nursery per room, in it one per peer
          └─ accepting   the public TCP port

Leaving goes inside out: nobody new comes in, and clients are asked to go on elsewhere; the rooms end while the
WebSockets still live, so that whoever stayed is told; then the connections; then, with everything written, the
store; and with it the socket on which the transports said goodbye.
"""

import os
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from sfu.conference.conference import Conference
from sfu.conference.connection import Connection
from sfu.conference.errors import Unavailable
from sfu.conference.messages import Join
from sfu.conference.peer import Peer
from sfu.conference.rate import TokenBucket
from sfu.conference.records import SessionRecord
from sfu.conference.room import Room
from sfu.conference.session import Departure
from sfu.dtls.certificate import Certificate
from sfu.shell.auth.tokens import make_token_verifier
from sfu.shell.config.settings import Settings
from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS, Timeouts
from sfu.shell.dispatcher import Dispatcher
from sfu.shell.http.handshake import RequestInfo
from sfu.shell.http.public import HttpServer, Readiness, open_listeners, public_url
from sfu.shell.logs import get_logger
from sfu.shell.media.peer_sockets import PeerSockets
from sfu.shell.media.ports import MediaPorts, agent_hosts, candidates, ice_servers
from sfu.shell.media.tcp import IceTcp
from sfu.shell.peer import IceTask, PeerTask
from sfu.shell.room import RoomTask
from sfu.shell.signaling import CLOSE_TIMEOUT, Signaling, greet
from sfu.shell.store.interface import Store
from sfu.shell.store.sessions import Sessions

OBSERVE_INTERVAL: Final = 10.0
"""Seconds between two lines of the debug log that say how much there is of everything."""

STATIC_ROOT: Final = Path(__file__).parents[1] / "web"
"""Where the build leaves the page (package data)."""

log = get_logger(__name__)


class Server:
    """One running server. `run` is its life: who comes in, who is put back, and in which order all ends."""

    def __init__(
        self,
        settings: Settings,
        media: MediaPorts,
        store: Store,
        ice_tcp: IceTcp | None = None,
        *,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
    ) -> None:
        """`store` keeps sessions; this is the only one to run and to use it.

        `ice_tcp` is to be the sink of `media`; without it there is no media by TCP.
        """
        self._settings = settings
        self._timeouts = timeouts
        self._media = media
        self.store = store
        self.ice_tcp = ice_tcp or IceTcp(None, max_connections=0)
        """Media by TCP."""
        self._sockets = media if isinstance(media, PeerSockets) else None
        """Where every peer has sockets of its own; else all share one."""
        self._candidates = candidates(settings, media, self.ice_tcp.address)
        self._certificate = Certificate.generate(datetime.now(UTC), os.urandom)
        self.token_verifier = make_token_verifier(settings, timeouts)
        """Decides who may join."""
        self.conference = Conference(
            settings.limits,
            self._make_connection,
            media.egress,
            os.urandom,
            self.token_verifier.authenticate,
            ice_servers=ice_servers(settings),
            auto_subscribe=settings.auto_subscribe,
        )
        self._sessions = Sessions(self.conference, store, settings.session_ttl_sec)
        self.http = HttpServer(settings, STATIC_ROOT, self.talk, self._readiness, timeouts=timeouts)
        """Answers on the public TCP port."""
        self._steps = Dispatcher(self.conference, self._sessions, media.egress)
        self._room_tasks: dict[Room, RoomTask] = {}
        self._rooms: trio.Nursery | None = None
        self._stopping = trio.Event()
        self._patience = trio.CancelScope()
        self._talks = 0
        self._silence = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[str]) -> None:  # noqa: ASYNC114 - see .flake8
        """Serve until `stop`; reports the page's URL when the ports are open. Raises `ConfigError`."""
        listeners = await open_listeners(self._settings)
        async with trio.open_nursery() as root:
            root.start_soon(self._media.run, self._steps.receive, self._steps.flush)
            root.start_soon(self.ice_tcp.run, self._steps)
            root.start_soon(self._steps.run_timers)
            root.start_soon(self.store.run, self._restore, self._surrender)
            if self.token_verifier.key_ring is not None:
                root.start_soon(self.token_verifier.key_ring.run)
            if self._settings.log_level == "debug":
                root.start_soon(self._observe)
            async with trio.open_nursery() as connections:
                async with trio.open_nursery() as rooms:
                    self._rooms = rooms
                    async with trio.open_nursery() as accepting:
                        accept = partial(self.http.serve, listeners, handler_nursery=connections)
                        await accepting.start(accept)
                        url = public_url(self._settings, listeners)
                        tcp = str(self.ice_tcp.address or "off")
                        udp = str(self._media.address)
                        log.info("ready", url=url, udp=udp, tcp=tcp, candidates=self._candidates)
                        task_status.started(url)
                        await self._stopping.wait()
                        accepting.cancel_scope.cancel("the server stops")
                    await self._drain()
                    self._end_rooms()
                    rooms.cancel_scope.deadline = trio.current_time() + self._timeouts.stop
                with trio.move_on_after(CLOSE_TIMEOUT):
                    if self._talks:
                        await self._silence.wait()
                connections.cancel_scope.cancel("the server stops")
            with trio.move_on_after(self._timeouts.flush) as flushing:
                await self.store.flush()
            if flushing.cancelled_caught:
                waiting = self.store.statistics().backlog
                log.warning("stopping though not all sessions are stored", waiting=waiting)
            root.cancel_scope.cancel("the server stops")

    @property
    def tasks(self) -> int:
        """Peers and rooms that have tasks."""
        return len(self._steps.tasks) + len(self._room_tasks)

    def tasks_per_room(self) -> dict[str, int]:
        """Return how many tasks each room has, by room id."""
        return {room.id: task.tasks for room, task in self._room_tasks.items()}

    def stop(self) -> None:
        """Let `run` end in good order; said again, without waiting for clients to move."""
        if self._stopping.is_set():
            self._patience.cancel("told to stop twice")
        self._stopping.set()

    def _forget_room(self, room: Room) -> None:
        """Drop a room whose task ends."""
        self.conference.directory.forget_room(room)
        self._room_tasks.pop(room, None)

    # --- joining ---

    async def talk(self, websocket: WebSocketConnection, _info: RequestInfo) -> None:
        """Serve one WebSocket: nobody until the join, a peer from then on."""
        signaling = Signaling(websocket)

        async def join(request: Join) -> None:
            await self._join(request, websocket, signaling)

        settings = self._settings
        bucket = TokenBucket(settings.messages_per_second, settings.messages_burst, trio.current_time())
        self._talks += 1
        try:
            if await greet(websocket, join, bucket, self.conference.count_message):
                await signaling.write()
        finally:
            self._talks -= 1
            if not self._talks:
                self._silence.set()
                self._silence = trio.Event()

    async def _join(self, request: Join, websocket: WebSocketConnection, signaling: Signaling) -> None:
        self._refuse_if_stopping()  # before the server that has the session loses it
        proof = await self._sessions.prove(request)
        if proof is None:  # a resume does not wait for the keys of tokens
            await self.token_verifier.prepare(request)
        self._refuse_if_stopping()
        if websocket.closed is not None:
            # While this waited, the client may have come on another WebSocket: it keeps what it has there. And
            # what was claimed is nowhere else: here it finds it.
            if proof is not None and proof.record is not None:
                self._restore([(proof.record, self._settings.session_ttl_sec)])
            raise ConnectionClosed(websocket.closed)
        now = trio.current_time()
        peer = self.conference.admission.join(request, proof, now)
        event = "peer resumed" if peer.session.generation > 1 else "peer joined"
        self._admit(peer).attach(signaling)
        log.info(event, peer=peer.id, room=peer.room_id, user=peer.user_id)
        self._steps.flush(now)

    def _refuse_if_stopping(self) -> None:
        if self._stopping.is_set():
            raise Unavailable("the server is stopping")

    def _admit(self, peer: Peer) -> PeerTask:
        """Return the task of a peer; for a new one it is started, and that of its room if that is new."""
        if peer in self._steps.tasks:
            return self._steps.tasks[peer]
        assert self._rooms is not None, "a server that runs has a nursery for rooms"
        room = self.conference.rooms[peer.room_id]
        room_task = self._room_tasks.get(room)
        if room_task is None:
            if len(self._room_tasks) >= self._settings.max_rooms:
                self._close_forgotten_rooms()
            room_task = self._room_tasks[room] = RoomTask(room, self._settings.room_ttl_sec, self._forget_room)
            self._rooms.start_soon(room_task.run)
        task = self._steps.tasks[peer] = PeerTask(self._steps, peer, self._make_ice(peer))
        room_task.admit(task)
        return task

    def _close_forgotten_rooms(self) -> None:
        """End the tasks of empty rooms that have made place for others."""
        for room, task in self._room_tasks.items():
            if self.conference.rooms.get(room.id) is not room:
                task.close()

    # --- the store ---

    def _restore(self, found: list[tuple[SessionRecord, float]]) -> None:
        """Put back the sessions of this server's last life: suspended, until their clients come back."""
        if not self._stopping.is_set():
            for peer in self._sessions.restore(found):
                self._admit(peer)
            self._steps.flush(trio.current_time())

    def _surrender(self, session_id: str) -> None:
        """Another server has claimed a session: it is no longer ours."""
        peer = self.conference.directory.find_session(session_id)
        if peer is not None:
            now = trio.current_time()
            self.conference.remove(peer, "claimed elsewhere", now, Departure.MOVED)
            self._steps.flush(now)

    # --- leaving ---

    async def _drain(self) -> None:
        """Ask clients to come back elsewhere, and wait until they are gone or the time for that is over."""
        now = trio.current_time()
        self.conference.drain(self._settings.drain_sec * 1000)
        self._steps.flush(now)
        log.info("draining", seconds=self._settings.drain_sec, connections=self._talks)
        self._patience.deadline = now + self._settings.drain_sec
        with self._patience:
            if self._talks:
                await self._silence.wait()

    def _end_rooms(self) -> None:
        """End all peers here; their sessions stay at the store, to be resumed elsewhere or after a restart."""
        now = trio.current_time()
        for peer in tuple(self._steps.tasks):
            self.conference.suspend(peer, now)
        self._sessions.save()
        for peer in tuple(self._steps.tasks):
            self.conference.remove(peer, "server stopping", now, Departure.MOVED)
        self._steps.flush(now)
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
        if self._stopping.is_set():
            return Readiness(False, "draining")
        return Readiness(True, "ok" if self.store.healthy and self.token_verifier.ready else "degraded")

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
        from sfu.shell.full_ice.agent import FullIce

        return FullIce(self._steps, peer, self._settings, agent_hosts(self._settings), self._sockets.count)
