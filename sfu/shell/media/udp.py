"""The media socket: one UDP socket for all peers, read and written in batches.

Each wake-up receives up to `BATCH` datagrams by one recvmmsg, passes each to a synchronous callback, lets the
caller flush what it wants to send (one sendmmsg per batch), and goes through one checkpoint. Nothing in between
awaits. So no lock and no queue is needed, and Trio's scheduling costs once per batch.

A host with several addresses must answer from the address that the datagram was sent to: browsers and NATs drop
answers from another one. The kernel tells that address (packet information), it becomes `IcePath.local`, and
what is sent on a path leaves from there.
"""

import errno
import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, Self

import trio

from sfu.ice.path import Address, IcePath
from sfu.shell.media.mmsg import MISUSE, Destination, ReceiveBatch, SendBatch
from sfu.shell.media.path_cache import PathCache
from sfu.shell.media.sockaddr import Ipv4Format, Ipv6Format, SockaddrFormat
from sfu.transport.egress import PACKET_BUFFER_SIZE, Egress

BATCH: Final = 32
"""Datagrams per wake-up. At 32 the cost of the system call hardly counts, and 32 packets with a fan-out of 50
delay other tasks by a few milliseconds only."""

DATAGRAM_SIZE: Final = 2048
"""Longer datagrams are dropped. Browsers keep RTP, DTLS and STUN below 1500 bytes."""

BUFFER_SIZE: Final = 8 << 20
"""Kernel buffer in each direction that the server asks for, in bytes: half a second of 100 Mbit/s. Without
CAP_NET_ADMIN the kernel grants less (net.core.rmem_max)."""

# Options of socket(7) that Python does not name.
_SO_SNDBUFFORCE: Final = 32
_SO_RCVBUFFORCE: Final = 33
_SO_MEMINFO: Final = 55
_SK_MEMINFO: Final = struct.Struct("=9I")
_SK_MEMINFO_DROPS: Final = 8

_NOWHERE: Final = Destination(b"", b"")
"""Fills the place of a datagram in the batch that the media socket does not send."""

Receive = Callable[[bytes, IcePath, float], None]
"""Called with a datagram, its path, and the time of the batch in seconds of `trio.current_time()`."""


@dataclass(frozen=True, slots=True)
class SocketStatistics:
    """Counters of the media socket since it was opened."""

    packets_in: int
    """Datagrams received and passed on."""
    bytes_in: int
    packets_out: int
    bytes_out: int
    drops: Mapping[str, int]
    """Datagrams dropped here, by reason: ``truncated`` (longer than `DATAGRAM_SIZE`), ``empty``,
    ``send-buffer-full``, and errno names such as ``ENETUNREACH`` for datagrams that the kernel refused."""
    kernel_drops: int
    """Datagrams that the kernel dropped because the receive buffer was full: the server was too slow."""
    receive_buffer: int
    """Size of the kernel's receive buffer in bytes, as granted."""
    send_buffer: int
    """Size of the kernel's send buffer in bytes, as granted."""


class Sink(Protocol):
    """Takes the datagrams of paths that use TCP: a `sfu.shell.media.tcp.IceTcp`."""

    def put(self, data: memoryview, path: IcePath) -> None:
        """Take a datagram. Its memory is reused as soon as this returns."""

    def flush(self) -> None:
        """Send what was put, as far as that is possible without waiting."""


class MediaSocket:
    """A non-blocking UDP socket. One task reads it; any code may send."""

    def __init__(self, sock: socket.socket, codec: SockaddrFormat, sink: Sink | None = None) -> None:
        """Wrap a bound socket; use `open`."""
        self._socket = sock
        self._fd = sock.fileno()
        host, port = sock.getsockname()[:2]
        wildcard = host in ("0.0.0.0", "::")
        self.address = Address(host, port)
        """What the socket is bound to."""
        self._paths = PathCache(codec, None if wildcard else _plain_host(host), port)
        self._batch = ReceiveBatch(
            BATCH, DATAGRAM_SIZE, codec.name_length, codec.control_length if wildcard else 0
        )
        self.egress = Egress(self._flush)
        """The batch of all outgoing datagrams; `Egress.flush` sends it from this socket."""
        self._sink = sink
        self._has_tcp = False
        """Whether the batch that is being sent has datagrams for TCP connections."""
        self._send_batch = SendBatch(self.egress.memory, self.egress.capacity, PACKET_BUFFER_SIZE)
        self._packets_in = self._bytes_in = self._packets_out = self._bytes_out = 0
        self._drops: Counter[str] = Counter()

    @classmethod
    def open(cls, host: str, port: int, *, buffer_size: int = BUFFER_SIZE, sink: Sink | None = None) -> Self:
        """Bind a socket to `host` and `port` (0: any free one), with kernel buffers of `buffer_size` bytes.

        An IPv6 host makes an IPv6 socket, and ``::`` makes one that takes IPv4 as well. `sink` gets the
        datagrams of paths that use TCP. Raises `OSError` if the address cannot be bound.
        """
        codec: SockaddrFormat = Ipv6Format() if ":" in host else Ipv4Format()
        sock = socket.socket(codec.family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            if codec.family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.setsockopt(*codec.packet_info, 1)
            _raise_buffer(sock, _SO_RCVBUFFORCE, socket.SO_RCVBUF, buffer_size)
            _raise_buffer(sock, _SO_SNDBUFFORCE, socket.SO_SNDBUF, buffer_size)
            sock.bind((host, port))
            return cls(sock, codec, sink)
        except BaseException:
            sock.close()
            raise

    async def run(self, receive: Receive, after_batch: Callable[[float], None]) -> None:
        """Receive until cancelled: `receive` for each datagram, `after_batch` once per wake-up.

        In `after_batch` the caller flushes what the batch led to. Neither may block. An exception in one of
        them ends the loop, so the caller has to contain a peer's failure. Network errors never end it. Raises
        `trio.ClosedResourceError` when the socket is closed.
        """
        batch, paths = self._batch, self._paths
        while True:
            await trio.lowlevel.wait_readable(self._fd)
            count = self._fill()
            while count:
                now = trio.current_time()
                for index in range(count):
                    data = batch.datagram(index)
                    if not data:
                        self._drops["truncated" if data is None else "empty"] += 1
                        continue
                    self._packets_in += 1
                    self._bytes_in += len(data)
                    receive(data, paths[batch.origin(index)], now)
                after_batch(now)
                if count < batch.capacity:
                    break  # drained: waiting for more is the checkpoint
                await trio.lowlevel.checkpoint()
                count = self._fill()

    def _fill(self) -> int:
        count = self._batch.receive(self._fd)
        if count >= 0:
            return count
        code = -count
        if code in MISUSE:
            raise OSError(code, errno.errorcode[code])
        if code not in (errno.EAGAIN, errno.EINTR):
            # An error of an earlier datagram (ICMP); reading has cleared it.
            self._drops[errno.errorcode.get(code, "unknown-errno")] += 1
        return 0

    def send(self, datagrams: Iterable[tuple[bytes, IcePath]]) -> None:
        """Send datagrams now, each to its path, after those that are in the batch already."""
        for data, path in datagrams:
            self.egress.put(data, path)
        self.egress.flush()

    def _flush(self, egress: Egress) -> None:
        """Send the batch with as few system calls as possible. Count what the kernel does not take."""
        batch = self._send_batch
        lengths = egress.lengths[: egress.count]
        # A path of this socket has its destination ready. Others (TCP, or made elsewhere) take the slow way.
        destinations = [
            native if type(native := path.native) is Destination else self._destination(path)
            for path in egress.paths[: egress.count]
            if path is not None
        ]
        batch.load(destinations, lengths)
        if not self._has_tcp:
            self._send_run(0, lengths)
            return
        self._has_tcp = False
        assert self._sink is not None, "paths that use TCP come from the sink"
        first = 0
        for index, path in enumerate(egress.paths[: egress.count]):
            if path is not None and path.transport != "udp":
                self._send_run(first, lengths[first:index])
                self._sink.put(egress.buffers[index][: lengths[index]], path)
                first = index + 1
        self._send_run(first, lengths[first:])
        self._sink.flush()

    def _destination(self, path: IcePath) -> Destination:
        """Return the destination of a path that this socket did not make."""
        if path.transport == "udp":
            return self._paths.destination(path)
        self._has_tcp = True
        return _NOWHERE

    def _send_run(self, first: int, lengths: list[int]) -> None:
        """Send the datagrams of the loaded batch that begin at index `first` and have these lengths."""
        sent, total = first, first + len(lengths)
        octets = sum(lengths)
        failed = 0
        while sent < total:
            count = self._send_batch.send(self._fd, sent, total)
            if count >= 0:
                sent += count
                continue
            code = -count
            if code == errno.EINTR:
                continue
            if code in MISUSE:
                raise OSError(code, errno.errorcode[code])
            if code in (errno.EAGAIN, errno.ENOBUFS):
                # Waiting would delay all peers, and late media is useless: drop the rest.
                self._drops["send-buffer-full"] += total - sent
                octets -= sum(lengths[sent - first :])
                failed += total - sent
                break
            self._drops[errno.errorcode.get(code, "unknown-errno")] += 1
            octets -= lengths[sent - first]
            failed += 1
            sent += 1
        self._packets_out += total - first - failed
        self._bytes_out += octets

    def statistics(self) -> SocketStatistics:
        """Return the counters as they are now."""
        memory = _SK_MEMINFO.unpack(self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _SK_MEMINFO.size))
        return SocketStatistics(
            packets_in=self._packets_in,
            bytes_in=self._bytes_in,
            packets_out=self._packets_out,
            bytes_out=self._bytes_out,
            drops=dict(self._drops),
            kernel_drops=memory[_SK_MEMINFO_DROPS],
            receive_buffer=self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF),
            send_buffer=self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF),
        )

    def close(self) -> None:
        """Close the socket. A running `run` raises `trio.ClosedResourceError`."""
        if trio.lowlevel.in_trio_run():
            trio.lowlevel.notify_closing(self._fd)
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _plain_host(host: str) -> str:
    """Return a host without its zone (``fe80::1%eth0``), as in paths."""
    return host.partition("%")[0]


def _raise_buffer(sock: socket.socket, forced: int, ordinary: int, size: int) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, forced, size)  # exceeds the system's limit; needs CAP_NET_ADMIN
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, ordinary, size)
