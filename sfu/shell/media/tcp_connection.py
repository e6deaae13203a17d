"""One TCP connection that carries datagrams (RFC 4571). Like a UDP socket, it never makes a sender wait.

What the kernel does not take at once goes into a buffer of limited size. Late media is useless, so a client
that reads slowly loses some of it rather than get it later and later. Well before the limit the connection
counts as full, so that videos stop between two frames. What still does not fit is dropped.
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
"""Most bytes per read: about fifty datagrams, hardly more than the media socket takes per wake-up."""

FULL: Final = 256 << 10
"""Buffered bytes, beside those in the kernel, from which on no video frame should begin: at 2 Mbit/s it would
arrive over a second late."""

MEDIA_BUFFER: Final = 384 << 10
"""Most buffered bytes of media: room for audio and for the rest of frames that have begun, even key frames."""

RESERVE: Final = 16 << 10
"""Bytes beyond `MEDIA_BUFFER` for everything but media. Checks need it: without answers the path ends."""

UNSENT_IN_KERNEL: Final = 32 << 10
"""Bytes that the kernel takes before it can send them. Its own limit grows to megabytes, which only add
delay."""

# tcp(7); the socket module names it from Python 3.12 on.
_TCP_NOTSENT_LOWAT: Final = 25


class TcpMediaConnection:
    """An accepted connection. It is equal to itself only. The rest of the server knows it by its `path`."""

    __slots__ = ("_buffer", "_deframer", "_is_draining", "_socket", "claimed_at", "path", "scope")

    def __init__(self, sock: socket.socket, now: float, unacknowledged: float) -> None:
        """Take over a connected socket. The kernel ends it after `unacknowledged` seconds without an ACK."""
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, UNSENT_IN_KERNEL)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(unacknowledged * 1000))
        self._socket = sock
        self._deframer = Deframer()
        self._buffer = bytearray()
        self._is_draining = False
        self.path = IcePath(
            plain_address(sock.getsockname()), plain_address(sock.getpeername()), transport="tcp"
        )
        self.scope = trio.CancelScope()
        """Around the task that reads. To cancel it is to end the connection."""
        self.claimed_at = now
        """When the path was last known to lead to a peer; at first, when the connection was accepted."""

    async def read(self) -> Iterator[bytes] | None:
        """Wait for bytes; return the datagrams that they complete, or None at the end of the stream.

        Take the datagrams before the next call; that raises what `Deframer.receive` raises. Raises `OSError`
        when the connection is broken.
        """
        while True:
            # The end of a connection closes its socket at once, maybe before this task has begun to wait.
            await trio.lowlevel.checkpoint_if_cancelled()
            await trio.lowlevel.wait_readable(self._socket)
            try:
                data = self._socket.recv(READ_SIZE)
            except (BlockingIOError, InterruptedError):
                continue
            return self._deframer.receive(data) if data else None

    def put(self, data: memoryview) -> bool:
        """Copy a datagram for `flush`. Return False if there is no room for it."""
        buffer = self._buffer
        limit = MEDIA_BUFFER if kind_of(data) is PacketKind.RTP else MEDIA_BUFFER + RESERVE
        if len(buffer) + LENGTH.size + len(data) > limit:
            return False
        buffer += LENGTH.pack(len(data))
        buffer += data
        return True

    @property
    def is_full(self) -> bool:
        """Whether so much is buffered that no video frame should begin until `drain` has ended."""
        return len(self._buffer) >= FULL

    def flush(self) -> bool:
        """Send what the kernel takes. Return False if something is left and `drain` has to be called."""
        if self._is_draining:
            return True
        self._write()
        self._is_draining = bool(self._buffer)
        return not self._is_draining

    async def drain(self) -> None:
        """Send the rest as the kernel takes it, until all is sent or the connection is closed."""
        try:
            while self._buffer:
                await trio.lowlevel.wait_writable(self._socket)
                self._write()
        except trio.ClosedResourceError:
            pass
        finally:
            self._is_draining = False

    def close(self) -> None:
        """Close the socket and drop what is buffered. Does nothing if it is closed already."""
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
            # Reading fails with the same error, and that ends the connection.
            sent = len(self._buffer)
        del self._buffer[:sent]


def plain_address(name: tuple[str, int, *tuple[object, ...]]) -> Address:
    """Return a socket's address as in paths: without a zone, and IPv4 as such on an IPv6 socket too."""
    address = ip_address(name[0].partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return Address(str(address), name[1])
