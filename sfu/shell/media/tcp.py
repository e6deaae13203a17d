"""Media by TCP, for clients whose network lets no UDP through (ICE-TCP, RFC 6544).

One listening socket; a client that cannot reach the UDP port connects here and checks as it does there. Each
connection is a path of its own and has one task, which reads. Its datagrams go the way of those of the media
socket: a check finds its peer by the user-name fragment, and what is no check finds somebody only behind one.

Strangers reach this port, so everything is bounded:

* A connection is *waiting* until a check on it has been authenticated. When `MAX_WAITING` wait, or there are
  `max_connections` in all, the oldest that waits gives way to the newest. If none does, that is closed at once.
* A connection that leads to nobody for `UNCLAIMED_TIMEOUT`, because no check came or because its peer has gone,
  is closed.
* Of what a connection brings at once, `BATCH` datagrams are taken before others have their turn.
* What a client does not read in time waits, up to a limit that its videos do not reach: they stop between two
  frames until all is sent (`sfu.shell.media.tcp_connection`).
"""

import errno
import socket
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol, Self

import trio

from sfu.errors import BadPacket
from sfu.ice.path import Address, IcePath
from sfu.shell.config.values import HostPort
from sfu.shell.logs import get_logger
from sfu.shell.media.tcp_connection import TcpMediaConnection
from sfu.shell.media.udp import BATCH

log = get_logger(__name__)

MAX_WAITING: Final = 512
"""Connections without an authenticated check: as many as the page's port has without a request."""

UNCLAIMED_TIMEOUT: Final = 10.0
"""Seconds that a connection may lead to nobody. Browsers check as soon as they are connected."""

SWEEP_INTERVAL: Final = 5.0
"""Seconds between two looks for such connections, and so how much longer one may live."""

BACKLOG: Final = 1024
"""Connections that the kernel holds until they are accepted."""

EXHAUSTED_PAUSE: Final = 0.1
"""Seconds without accepting when there is no file descriptor or memory for one more connection."""

_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class MediaHandler(Protocol):
    """What receives the datagrams of the connections, and what is told of them. No method may block."""

    def receive(self, data: bytes, path: IcePath, now: float) -> None:
        """Take a datagram."""

    def flush(self, now: float) -> None:
        """Send what the datagrams so far led to: called once per wake-up."""

    def is_claimed(self, path: IcePath) -> bool:
        """Return whether an authenticated check has shown that the path belongs to a peer."""

    def lose_path(self, path: IcePath) -> None:
        """Note that the connection with this path has ended, whichever side ended it."""

    def set_path_full(self, path: IcePath, full: bool) -> None:
        """Note whether too much waits on this path: then no video frame should begin there.

        `full` is said with every flush while it is true, in the middle of sending: nothing may be sent in it.
        """


@dataclass(frozen=True, slots=True)
class IceTcpStatistics:
    """What passed the TCP port for media since it was opened."""

    connections: int
    """Open now."""
    waiting: int
    """Of those, without an authenticated check so far."""
    packets_in: int
    """Datagrams received and handed on."""
    bytes_in: int
    """Their bytes, without framing."""
    packets_out: int
    """Datagrams that were sent or wait to be."""
    bytes_out: int
    drops: Mapping[str, int]
    """Datagrams not sent: ``buffer-full`` (the client or its network is too slow), ``connection-gone``.
    Connections ended: ``connections-full``, ``waiting-full``, ``unclaimed`` (led to nobody for too long),
    ``replaced`` (the same addresses connected again), ``frame-too-long`` (not our protocol), ``broken`` (the
    network's fault), ``error`` (ours, see the log). An errno name is that of an accept that failed."""


class IceTcp:
    """The TCP port for media with all its connections; the `Sink` of what the media socket cannot send."""

    def __init__(self, listener: socket.socket | None, *, max_connections: int) -> None:
        """Wrap a listening socket; without one the port is off. Use `open`."""
        self._listener = listener
        self.address = None if listener is None else Address(*listener.getsockname()[:2])
        """What the socket is bound to; `None` if the port is off."""
        self._max_connections = max_connections
        self._running: tuple[trio.Nursery, MediaHandler] | None = None
        self._connections: dict[IcePath, TcpMediaConnection] = {}
        self._waiting: dict[TcpMediaConnection, None] = {}  # oldest first
        self._unflushed: dict[TcpMediaConnection, None] = {}
        self._packets_in = self._bytes_in = self._packets_out = self._bytes_out = 0
        self._drops: Counter[str] = Counter()

    @classmethod
    def open(cls, address: HostPort | None, *, max_connections: int) -> Self:
        """Listen on `address`; `None` makes a port that is off. Raises `OSError` if it cannot be bound.

        ``::`` takes IPv4 as well.
        """
        if address is None:
            return cls(None, max_connections=max_connections)
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            # Else a server that starts again had to wait until the kernel forgets the old one's connections.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen(BACKLOG)
            return cls(sock, max_connections=max_connections)
        except BaseException:
            sock.close()
            raise

    async def run(self, handler: MediaHandler) -> None:
        """Accept and read connections until cancelled, which closes all. If the port is off, return at once."""
        if self._listener is None:
            await trio.lowlevel.checkpoint()
            return
        try:
            async with trio.open_nursery() as nursery:
                self._running = nursery, handler
                nursery.start_soon(self._sweep, handler)
                await self._accept(self._listener, nursery, handler)
        finally:
            self._running = None

    def statistics(self) -> IceTcpStatistics:
        """Return the counters as they are now."""
        return IceTcpStatistics(
            connections=len(self._connections),
            waiting=len(self._waiting),
            packets_in=self._packets_in,
            bytes_in=self._bytes_in,
            packets_out=self._packets_out,
            bytes_out=self._bytes_out,
            drops=dict(self._drops),
        )

    def close(self) -> None:
        """Close the listening socket, once `run` has ended."""
        if self._listener is not None:
            self._listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    # --- sending ---

    def put(self, data: memoryview, path: IcePath) -> None:
        """Take a copy of a datagram for the connection that is `path`; `flush` sends it."""
        connection = self._connections.get(path)
        if connection is None:
            self._drops["connection-gone"] += 1
        elif not connection.put(data):
            self._drops["buffer-full"] += 1
        else:
            self._packets_out += 1
            self._bytes_out += len(data)
            self._unflushed[connection] = None

    def flush(self) -> None:
        """Send what was put, one system call a connection; what the kernel does not take now goes out later."""
        unflushed, self._unflushed = self._unflushed, {}
        for connection in unflushed:
            assert self._running is not None, "there are connections only while it runs"
            nursery, handler = self._running
            if not connection.flush():
                nursery.start_soon(self._drain, connection, handler)
            if connection.is_full:
                handler.set_path_full(connection.path, True)

    async def _drain(self, connection: TcpMediaConnection, handler: MediaHandler) -> None:
        """Send what waits on a connection, until nothing does or the connection has ended."""
        await connection.drain()
        if self._connections.get(connection.path) is connection:
            handler.set_path_full(connection.path, False)

    # --- receiving ---

    async def _accept(self, listener: socket.socket, nursery: trio.Nursery, handler: MediaHandler) -> None:
        """Accept for ever; only here and in `flush` tasks are started."""
        while True:
            await trio.lowlevel.wait_readable(listener)
            try:
                sock, _ = listener.accept()
            except (BlockingIOError, InterruptedError):
                continue
            except OSError as error:
                # That of a connection which is gone already (accept(2)), or there is no room for one more.
                self._drops[errno.errorcode.get(error.errno or 0, "unknown-errno")] += 1
                if error.errno in _EXHAUSTED:
                    await trio.sleep(EXHAUSTED_PAUSE)
                continue
            if len(self._connections) >= self._max_connections and not self._waiting:
                self._drops["connections-full"] += 1
                sock.close()
                continue
            try:
                connection = TcpMediaConnection(sock, trio.current_time())
            except OSError:
                self._drops["broken"] += 1
                sock.close()
                continue
            self._admit(connection, handler)
            nursery.start_soon(self._serve, connection, handler)

    def _admit(self, connection: TcpMediaConnection, handler: MediaHandler) -> None:
        """Make room for a connection and note it."""
        if len(self._waiting) >= MAX_WAITING or len(self._connections) >= self._max_connections:
            self._end(next(iter(self._waiting)), "waiting-full", handler)
        before = self._connections.get(connection.path)
        if before is not None:
            # For the kernel it has ended, or this one would not be here; its task has yet to hear of it.
            self._end(before, "replaced", handler)
        self._connections[connection.path] = connection
        self._waiting[connection] = None

    async def _serve(self, connection: TcpMediaConnection, handler: MediaHandler) -> None:
        """Read a connection until its end: the boundary that no error passes."""
        reason = None
        try:
            with connection.scope:
                await self._read(connection, handler)
        except BadPacket as error:
            reason = error.reason
        except OSError:
            reason = "broken"
        except Exception:
            reason = "error"
            log.exception("TCP media connection failed", path=str(connection.path))
        finally:
            self._end(connection, reason, handler)

    async def _read(self, connection: TcpMediaConnection, handler: MediaHandler) -> None:
        path = connection.path
        while (datagrams := await connection.read()) is not None:
            now = trio.current_time()
            try:
                for number, data in enumerate(datagrams, 1):
                    self._packets_in += 1
                    self._bytes_in += len(data)
                    handler.receive(data, path, now)
                    if number % BATCH == 0:
                        handler.flush(now)
                        await trio.lowlevel.checkpoint()
                        now = trio.current_time()
            finally:
                handler.flush(now)
            if connection in self._waiting and handler.is_claimed(path):
                del self._waiting[connection]

    async def _sweep(self, handler: MediaHandler) -> None:
        """End connections that lead to nobody."""
        while True:
            await trio.sleep(SWEEP_INTERVAL)
            now = trio.current_time()
            for connection in tuple(self._connections.values()):
                if handler.is_claimed(connection.path):
                    connection.claimed_at = now
                elif now >= connection.claimed_at + UNCLAIMED_TIMEOUT:
                    self._end(connection, "unclaimed", handler)

    def _end(self, connection: TcpMediaConnection, reason: str | None, handler: MediaHandler) -> None:
        """End a connection and its task; harmless when it has ended. Without a `reason` the client ended it."""
        if self._connections.get(connection.path) is not connection:
            return
        if reason is not None:
            self._drops[reason] += 1
        del self._connections[connection.path]
        self._waiting.pop(connection, None)
        self._unflushed.pop(connection, None)
        connection.scope.cancel(reason or "the client has closed the connection")
        connection.close()
        handler.lose_path(connection.path)
