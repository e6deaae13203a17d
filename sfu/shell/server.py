"""The server: its root nursery, and the order in which everything ends.

    root nursery
    ├─ media socket      receives the datagrams of all peers
    ├─ media by TCP      a task for each connection of a client without UDP
    ├─ timers            the deadlines of all peers
    ├─ store             sessions, in memory or in Redis
    ├─ key ring          public keys that verify join tokens, read at intervals
    ├─ certificate       the public TCP port's, read again when its files change
    └─ connections       HTTP connections: page requests and WebSockets
       └─ rooms          a nursery per room, in it one per peer
          └─ accepting   the public TCP port

The server stops from the inside out. It accepts no new connections, and asks clients to move to another server.
The rooms end while the WebSockets are open, so that the remaining clients are told. Then the connections end.
The store ends when everything is written, and with it the socket on which the transports said goodbye.
"""

import os
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import trio

from sfu.conference.conference import Conference
from sfu.conference.connection import Connection
from sfu.dtls.certificate import Certificate
from sfu.shell.auth.tokens import make_token_verifier
from sfu.shell.config.settings import Settings
from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS, Timeouts
from sfu.shell.dispatcher import Dispatcher
from sfu.shell.http.public import HttpServer, Readiness, open_listeners, public_url
from sfu.shell.http.tls import certificate_from
from sfu.shell.join import Joins
from sfu.shell.logs import get_logger
from sfu.shell.media.peer_sockets import PeerSockets
from sfu.shell.media.ports import MediaPorts, candidates
from sfu.shell.media.tcp import IceTcp
from sfu.shell.media.turn import ice_servers
from sfu.shell.room import RoomTasks
from sfu.shell.store.interface import Store
from sfu.shell.store.sessions import Sessions

STATIC_ROOT: Final = Path(__file__).parents[1] / "web"
"""Where the build puts the page (package data)."""

log = get_logger(__name__)


class Server:
    """One running server: `run` starts everything, and ends it in order after `stop`."""

    async def run(self, *, task_status: trio.TaskStatus[str]) -> None:  # noqa: ASYNC114 - see .flake8
        """Serve until `stop`. Report the page's URL when the ports are open.

        Raises:
            ConfigError: a port cannot be opened.
        """
        listeners = await open_listeners(self._settings, self.certificate)
        async with trio.open_nursery() as root:
            root.start_soon(self._media.run, self.dispatcher.receive, self.dispatcher.flush)
            root.start_soon(self.ice_tcp.run, self.dispatcher)
            root.start_soon(self.dispatcher.run_timers)
            root.start_soon(self.store.run, self.joins.restore, self.joins.hand_over)
            if self.token_verifier.key_ring is not None:
                root.start_soon(self.token_verifier.key_ring.run)
            if self.certificate is not None:
                root.start_soon(self.certificate.run)
            if self._settings.log_level == "debug":
                root.start_soon(self._observe)
            async with trio.open_nursery() as connections:
                async with trio.open_nursery() as rooms:
                    self.rooms.run_in(rooms)
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
                with trio.move_on_after(self._timeouts.websocket_close):
                    await self.joins.websockets.wait_until_none()
                connections.cancel_scope.cancel("the server stops")
            with trio.move_on_after(self._timeouts.flush) as flushing:
                await self.store.flush()
            if flushing.cancelled_caught:
                waiting = self.store.statistics().backlog
                log.warning("stopping with unsaved sessions", waiting=waiting)
            root.cancel_scope.cancel("the server stops")

    def __init__(
        self,
        settings: Settings,
        media: MediaPorts,
        store: Store,
        ice_tcp: IceTcp | None = None,
        *,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
    ) -> None:
        """`store` keeps the sessions. This server runs it, and is its only user.

        `ice_tcp` must be the sink of `media`. Without it there is no media over TCP.

        Raises:
            ConfigError: the TLS certificate or the file with public keys cannot be used.
        """
        self._settings = settings
        self._timeouts = timeouts
        self._media = media
        self._stopping = trio.Event()
        self._draining = trio.CancelScope()
        self.store = store
        self.ice_tcp = ice_tcp or IceTcp(None, max_connections=0)
        """Media over TCP."""
        sockets = media if isinstance(media, PeerSockets) else None
        self._candidates = candidates(settings, media, self.ice_tcp.address)
        self.token_verifier = make_token_verifier(settings, timeouts)
        """Decides which clients may join."""
        self.certificate = certificate_from(settings, timeouts)
        """The public TCP port's; `None` without TLS."""
        self.conference = Conference(
            settings.limits,
            partial(
                Connection,
                Certificate.generate(datetime.now(UTC), os.urandom),
                self._candidates,
                os.urandom,
                history_depth=settings.history_packets,
                full_ice=sockets is not None,
            ),
            media.egress,
            os.urandom,
            self.token_verifier.authenticate,
            ice_servers=partial(ice_servers, settings),
            auto_subscribe=settings.auto_subscribe,
        )
        self._sessions = Sessions(self.conference, store, settings.session_ttl_sec)
        self.dispatcher = Dispatcher(self.conference, self._sessions, media.egress)
        """Serves the peers."""
        self.rooms = RoomTasks(settings, self.conference, self.dispatcher, sockets, timeouts)
        """The tasks of rooms and peers."""
        self.joins = Joins(
            settings,
            timeouts,
            self.conference,
            self._sessions,
            self.token_verifier,
            self.rooms,
            self.dispatcher,
            self._stopping,
        )
        """Lets clients in on WebSockets."""
        self.http = HttpServer(
            settings, STATIC_ROOT, self.joins.serve_websocket, self.readiness, timeouts=timeouts
        )
        """Answers on the public TCP port."""

    def stop(self) -> None:
        """Make `run` drain and end. A second call ends the draining at once."""
        if self._stopping.is_set():
            self._draining.cancel("told to stop twice")
        self._stopping.set()

    def readiness(self) -> Readiness:
        """Return whether new clients should be sent to this server."""
        if self._stopping.is_set():
            return Readiness(False, "draining")
        return Readiness(True, "ok" if self.store.healthy and self.token_verifier.ready else "degraded")

    async def _drain(self) -> None:
        """Ask clients to move to another server; wait until they are gone or `drain_sec` is over."""
        self.dispatcher.drain(self._settings.drain_sec * 1000)
        log.info("draining", seconds=self._settings.drain_sec, connections=self.joins.websockets.open)
        self._draining.deadline = trio.current_time() + self._settings.drain_sec
        with self._draining:
            await self.joins.websockets.wait_until_none()

    def _end_rooms(self) -> None:
        """End all peers here. Their sessions stay in the store, to be resumed elsewhere or after a restart."""
        self.dispatcher.end_all("server stopping")
        self.rooms.close()

    async def _observe(self) -> None:
        """Log counts at intervals. A leak shows as tasks, rooms or peers that become more and more."""
        while True:
            await trio.sleep(self._timeouts.observe_interval)
            now = self.conference.statistics()
            tasks = trio.lowlevel.current_statistics().tasks_living
            log.debug("running", rooms=now.rooms, peers=now.peers, routes=now.routes, tasks=tasks)
