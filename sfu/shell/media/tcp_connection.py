"""One TCP connection that carries datagrams (RFC 4571) and, like a UDP socket, never makes a sender wait.

What the kernel does not take at once waits in a buffer of limited size: old media is worth nothing, and a
client that reads slowly shall lose some rather than get it ever later. Well before its limit the connection
counts as full, so that videos stop between two frames; what still does not fit is dropped.
"""

import socket
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address
from typing import Final

import trio

from sfu.ice.framing import LENGTH, Deframer
from sfu.ice.path import Address, IcePath
from sfu.transport.demux import PacketKind, kind_of

READ_SIZE: Final = 65536
"""Bytes read at once: about fifty datagrams, hardly more than the media socket takes per wake-up."""

FULL: Final = 256 << 10
"""Bytes that wait for one client beside what the kernel has, from which on no video frame shall begin: at
2 Mbit/s it would arrive over a second late."""

MEDIA_BUFFER: Final = 384 << 10
"""Bytes that wait at most: room for audio, and for the rest of frames that have begun, large key frames too."""

RESERVE: Final = 16 << 10
"""Bytes beyond `MEDIA_BUFFER` for what is not media: unanswered checks end the path."""

UNSENT_IN_KERNEL: Final = 32 << 10
"""Bytes that the kernel takes before it can send them. Its own limit grows to megabytes, all of them delay."""

GIVE_UP_AFTER: Final = 30_000
"""Milliseconds without an acknowledgement until the kernel ends a connection: as consent (RFC 7675)."""

# tcp(7); the socket module names it from Python 3.12 on.
_TCP_NOTSENT_LOWAT: Final = 25


class TcpMediaConnection:
    """An accepted connection. Equal to itself only; what it is for the rest of the server is its `path`."""

    __slots__ = ("_buffer", "_deframer", "_is_draining", "_socket", "claimed_at", "path", "scope")

    def __init__(self, sock: socket.socket, now: float) -> None:
        """Take over a connected socket."""
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, UNSENT_IN_KERNEL)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, GIVE_UP_AFTER)
        self._socket = sock
        self._deframer = Deframer()
        self._buffer = bytearray()
        self._is_draining = False
        self.path = IcePath(
            plain_address(sock.getsockname()), plain_address(sock.getpeername()), transport="tcp"
        )
        self.scope = trio.CancelScope()
        """Of the task that reads; who cancels it ends the connection."""
        self.claimed_at = now
        """When it was last seen to lead to somebody; at first, when it was accepted."""

    async def read(self) -> Iterator[bytes] | None:
        """Wait for bytes; return the datagrams that they complete, `None` at the end of the stream.

        The datagrams are to be taken before the next call. Raises `OSError` when the connection is broken, and
        taking the datagrams what `Deframer.receive` raises.
        """
        while True:
            # Who ends a connection closes its socket at once, which may be before its task has begun to wait.
            await trio.lowlevel.checkpoint_if_cancelled()
            await trio.lowlevel.wait_readable(self._socket)
            try:
                data = self._socket.recv(READ_SIZE)
            except (BlockingIOError, InterruptedError):
                continue
            return self._deframer.receive(data) if data else None

    def put(self, data: memoryview) -> bool:
        """Take a copy of a datagram for `flush`; False if there is no room for it."""
        buffer = self._buffer
        limit = MEDIA_BUFFER if kind_of(data) is PacketKind.RTP else MEDIA_BUFFER + RESERVE
        if len(buffer) + LENGTH.size + len(data) > limit:
            return False
        buffer += LENGTH.pack(len(data))
        buffer += data
        return True

    @property
    def is_full(self) -> bool:
        """Whether so much waits that no video frame shall begin, until `drain` has ended."""
        return len(self._buffer) >= FULL

    def flush(self) -> bool:
        """Give the kernel what it takes. False if something is left for which nobody waits: call `drain`."""
        if self._is_draining:
            return True
        self._write()
        self._is_draining = bool(self._buffer)
        return not self._is_draining

    async def drain(self) -> None:
        """Give the kernel what is left, as soon as it takes it, until all is sent or the connection closed."""
        try:
            while self._buffer:
                await trio.lowlevel.wait_writable(self._socket)
                self._write()
        except trio.ClosedResourceError:
            pass
        finally:
            self._is_draining = False

    def close(self) -> None:
        """Close the socket; what waits to be sent is dropped. Harmless when it is closed already."""
        self._buffer.clear()
        if self._socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()

    def _write(self) -> None:
        try:
            sent = self._socket.send(self._buffer)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            # Reading fails of the same, and there it ends the connection.
            sent = len(self._buffer)
        del self._buffer[:sent]


def plain_address(name: tuple[str, int, *tuple[object, ...]]) -> Address:
    """Return a socket's name as paths have it: without a zone, and IPv4 as such on an IPv6 socket too."""
    address = ip_address(name[0].partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return Address(str(address), name[1])
