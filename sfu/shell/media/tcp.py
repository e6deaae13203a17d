"""Media by TCP, for clients whose network lets no UDP through (ICE-TCP, RFC 6544).

There is one listening socket. A client that cannot reach the UDP port connects here and sends the same
connectivity checks. Each connection is a path and has one task, which reads it. Its datagrams are handled like
those of the media socket: a check names its peer by the username fragment, and other packets are accepted only
on a path that a check has validated.

Any host can connect to this port, so everything is bounded:

* A connection is *waiting* until a check on it has been authenticated. When `max_waiting` connections wait, or
  there are `max_connections` in all, the oldest waiting one is closed for the newest. If none is waiting, the
  newest one is closed at once.
* A connection that leads to no peer for `Timeouts.tcp_unclaimed` is closed: no check came, or its peer has
  gone.
* A connection passes on at most `BATCH` datagrams before other tasks run.
* What a client does not read in time is buffered, up to a limit. Its videos stop earlier, between two frames,
  until the buffer is empty (`sfu.shell.media.tcp_connection`).
"""

import errno
import socket
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, Self

import trio

from sfu.errors import BadPacket
from sfu.ice.path import Address, IcePath
from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS, Timeouts
from sfu.shell.config.values import HostPort
from sfu.shell.logs import get_logger
from sfu.shell.media.tcp_connection import TcpMediaConnection
from sfu.shell.media.udp import BATCH

log = get_logger(__name__)

MAX_WAITING: Final = 512
"""Most connections without an authenticated check, by default: as many as the HTTP port has without a
request."""

BACKLOG: Final = 1024
"""Connections that the kernel queues until they are accepted."""

_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class MediaHandler(Protocol):
    """Takes the datagrams of the connections, and is told about their state. No method may block."""

    def receive(self, data: bytes, path: IcePath, now: float) -> None:
        """Take a datagram."""

    def flush(self, now: float) -> None:
        """Send what the datagrams led to. Called once per wake-up."""

    def is_claimed(self, path: IcePath) -> bool:
        """Return whether an authenticated check has shown that the path belongs to a peer."""

    def lose_path(self, path: IcePath) -> None:
        """Take note that the connection of a path has ended, whichever side ended it."""

    def set_path_full(self, path: IcePath, full: bool) -> None:
        """Take note whether too much is buffered on a path: then no video frame should begin there.

        True is passed with every flush as long as it holds. That is in the middle of sending, so the method
        must not send anything then.
        """


@dataclass(frozen=True, slots=True)
class IceTcpStatistics:
    """Counters of the TCP port for media since it was opened."""

    connections: int
    """Open now."""
    waiting: int
    """Open connections without an authenticated check so far."""
    packets_in: int
    """Datagrams received and passed on."""
    bytes_in: int
    """Their bytes, without framing."""
    packets_out: int
    """Datagrams that were sent or are buffered."""
    bytes_out: int
    drops: Mapping[str, int]
    """Datagrams not sent: ``buffer-full`` (the client or its network is too slow), ``connection-gone``.
    Connections ended: ``connections-full``, ``waiting-full``, ``unclaimed`` (led to no peer for too long),
    ``replaced`` (the same addresses connected again), ``frame-too-long`` (not our protocol), ``broken`` (a
    network error), ``error`` (a bug, see the log). An errno name is the error of a failed accept."""


class IceTcp:
    """The TCP port for media with all its connections; the `Sink` of the media socket."""

    def __init__(
        self,
        listener: socket.socket | None,
        *,
        max_connections: int,
        max_waiting: int = MAX_WAITING,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
    ) -> None:
        """Wrap a listening socket; with None the port is off. Use `open`."""
        self._listener = listener
        self.address = None if listener is None else Address(*listener.getsockname()[:2])
        """What the socket is bound to; `None` if the port is off."""
        self._max_connections = max_connections
        self._max_waiting = max_waiting
        self._timeouts = timeouts
        self._running: tuple[trio.Nursery, MediaHandler] | None = None
        self._connections: dict[IcePath, TcpMediaConnection] = {}
        self._waiting: dict[TcpMediaConnection, None] = {}  # oldest first
        self._unflushed: dict[TcpMediaConnection, None] = {}
        self._packets_in = self._bytes_in = self._packets_out = self._bytes_out = 0
        self._drops: Counter[str] = Counter()

    @classmethod
    def open(
        cls,
        address: HostPort | None,
        *,
        max_connections: int,
        max_waiting: int = MAX_WAITING,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
    ) -> Self:
        """Listen on `address`; with None the port is off. Raises `OSError` if the address cannot be bound.

        ``::`` takes IPv4 as well.
        """
        make = partial(cls, max_connections=max_connections, max_waiting=max_waiting, timeouts=timeouts)
        if address is None:
            return make(None)
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            # Without it, a restarted server could not bind until the kernel forgets the old connections.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen(BACKLOG)
            return make(sock)
        except BaseException:
            sock.close()
            raise

    async def run(self, handler: MediaHandler) -> None:
        """Accept and read connections until cancelled; then close them. Return at once if the port is off."""
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
        """Copy a datagram for the connection of `path`; `flush` sends it."""
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
        """Send what was put, in one system call per connection. What the kernel does not take waits."""
        unflushed, self._unflushed = self._unflushed, {}
        for connection in unflushed:
            assert self._running is not None, "there are connections only while it runs"
            nursery, handler = self._running
            if not connection.flush():
                nursery.start_soon(self._drain, connection, handler)
            if connection.is_full:
                handler.set_path_full(connection.path, True)

    async def _drain(self, connection: TcpMediaConnection, handler: MediaHandler) -> None:
        """Send what is buffered on a connection, until nothing is or the connection has ended."""
        await connection.drain()
        if self._connections.get(connection.path) is connection:
            handler.set_path_full(connection.path, False)

    # --- receiving ---

    async def _accept(self, listener: socket.socket, nursery: trio.Nursery, handler: MediaHandler) -> None:
        """Accept until cancelled. Tasks are started here and in `flush` only."""
        while True:
            await trio.lowlevel.wait_readable(listener)
            try:
                sock, _ = listener.accept()
            except (BlockingIOError, InterruptedError):
                continue
            except OSError as error:
                # The error of a connection that has ended already (accept(2)), or no room for another one.
                self._drops[errno.errorcode.get(error.errno or 0, "unknown-errno")] += 1
                if error.errno in _EXHAUSTED:
                    await trio.sleep(self._timeouts.tcp_exhausted)
                continue
            if len(self._connections) >= self._max_connections and not self._waiting:
                self._drops["connections-full"] += 1
                sock.close()
                continue
            try:
                connection = TcpMediaConnection(sock, trio.current_time(), self._timeouts.tcp_unacknowledged)
            except OSError:
                self._drops["broken"] += 1
                sock.close()
                continue
            self._admit(connection, handler)
            nursery.start_soon(self._serve, connection, handler)

    def _admit(self, connection: TcpMediaConnection, handler: MediaHandler) -> None:
        """Make room for a connection and add it."""
        if len(self._waiting) >= self._max_waiting or len(self._connections) >= self._max_connections:
            self._end(next(iter(self._waiting)), "waiting-full", handler)
        before = self._connections.get(connection.path)
        if before is not None:
            # For the kernel the old one has ended, since a new one has its addresses; its task does not know
            # yet.
            self._end(before, "replaced", handler)
        self._connections[connection.path] = connection
        self._waiting[connection] = None

    async def _serve(self, connection: TcpMediaConnection, handler: MediaHandler) -> None:
        """Read a connection until its end. No error leaves this method."""
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
        """End connections that lead to no peer."""
        while True:
            await trio.sleep(self._timeouts.tcp_sweep)
            now = trio.current_time()
            for connection in tuple(self._connections.values()):
                if handler.is_claimed(connection.path):
                    connection.claimed_at = now
                elif now >= connection.claimed_at + self._timeouts.tcp_unclaimed:
                    self._end(connection, "unclaimed", handler)

    def _end(self, connection: TcpMediaConnection, reason: str | None, handler: MediaHandler) -> None:
        """End a connection and its task, if it has not ended yet. `reason` is None if the client ended it."""
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
