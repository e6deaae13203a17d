"""The media socket: one UDP socket for all peers, drained and flushed in batches.

One wake-up receives up to `BATCH` datagrams by one recvmmsg, hands each to a synchronous callback, lets the
caller flush what it wants to send (one sendmmsg for a batch), and passes one checkpoint. Nothing in
between awaits, so neither a lock nor a queue is needed and the fairness of the scheduler is paid for once
per batch.

Bound to a wildcard address, a host with several addresses must answer from the address that was asked:
a browser drops answers from elsewhere, and so does every NAT. The kernel tells the address of each
datagram (packet information), it becomes `Path.local`, and what is sent to a path leaves from there.
"""

import errno
import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Self

import trio

from sfu.ice.path import Address, IcePath
from sfu.shell.media.mmsg import MISUSE, Destination, ReceiveBatch, SendBatch
from sfu.shell.media.sockaddr import Ipv4Format, Ipv6Format, SockaddrFormat
from sfu.transport.egress import PACKET_BUFFER_SIZE, Egress, Sink

BATCH: Final = 32
"""Datagrams per wake-up. At 32 a system call is cheap enough, and 32 packets times a fan-out of 50 keep
other tasks waiting for no more than a few milliseconds."""

DATAGRAM_SIZE: Final = 2048
"""Longer datagrams are dropped. Browsers keep RTP, DTLS and STUN below 1500 bytes."""

BUFFER_SIZE: Final = 8 << 20
"""Asked-for kernel buffer in each direction, in bytes: half a second of 100 Mbit/s. The kernel grants less
without CAP_NET_ADMIN (net.core.rmem_max)."""

PATHS: Final = 4096
"""Paths remembered per generation, see `PathTable`."""

# Options of socket(7) that Python does not name.
_SO_SNDBUFFORCE: Final = 32
_SO_RCVBUFFORCE: Final = 33
_SO_MEMINFO: Final = 55
_SK_MEMINFO: Final = struct.Struct("=9I")
_SK_MEMINFO_DROPS: Final = 8

_NOWHERE: Final = Destination(b"", b"")
"""Stands among the destinations for a datagram that another socket sends."""

Receive = Callable[[bytes, IcePath, float], None]
"""Called with a datagram, its path, and the time of the batch in seconds of `trio.current_time()`."""


@dataclass(frozen=True, slots=True)
class SocketStatistics:
    """What passed the media socket since it was opened."""

    packets_in: int
    """Datagrams received and handed on."""
    bytes_in: int
    packets_out: int
    bytes_out: int
    drops: Mapping[str, int]
    """Datagrams lost here by reason: ``truncated`` (longer than `DATAGRAM_SIZE`), ``empty``,
    ``send-buffer-full``, and errno names such as ``ENETUNREACH`` for datagrams that the kernel refused."""
    kernel_drops: int
    """Datagrams that the kernel dropped because the receive buffer was full: the server was too slow."""
    receive_buffer: int
    """Size of the kernel's receive buffer in bytes, as granted."""
    send_buffer: int
    """Size of the kernel's send buffer in bytes, as granted."""


class PathTable:
    """The `IcePath` of each origin, so that all datagrams of one path share one object.

    Strangers choose their addresses, so the table is bounded: two generations of at most `capacity` paths.
    A path that is used stays young or is made young again, and the old generation is forgotten whenever
    the young one is full. Forgetting does no harm, since paths are equal by value.
    """

    def __init__(self, codec: SockaddrFormat, bound_host: str | None, port: int, capacity: int = PATHS) -> None:
        self._codec = codec
        self._bound_host = bound_host
        self._port = port
        self._capacity = capacity
        self._young: dict[bytes, IcePath] = {}
        self._old: dict[bytes, IcePath] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def __getitem__(self, origin: bytes) -> IcePath:
        path = self._young.get(origin)
        if path is not None:
            return path
        path = self._old.pop(origin, None) or self._make(origin)
        if len(self._young) >= self._capacity:
            self._old, self._young = self._young, {}
        self._young[origin] = path
        return path

    def _make(self, origin: bytes) -> IcePath:
        codec = self._codec
        remote, scope = codec.parse_name(origin[: codec.name_length])
        host, interface = self._bound_host, 0
        control = b""
        if host is None:
            info = codec.parse_control(origin[codec.name_length :])
            if info is not None:
                host, interface = info
                control = codec.pack_control(host, interface)
        local = None if host is None else Address(host, self._port)
        return IcePath(local, remote, Destination(codec.pack_name(remote, scope), control))

    def destination(self, path: IcePath) -> Destination:
        """Return what `path.native` should be, for a path that was not made by this table."""
        codec = self._codec
        control = b""
        if self._bound_host is None and path.local is not None:
            control = codec.pack_control(path.local.host, 0)
        return Destination(codec.pack_name(path.remote, 0), control)


class MediaSocket:
    """A non-blocking UDP socket that is read by one task and written by whoever has something to send."""

    def __init__(self, sock: socket.socket, codec: SockaddrFormat, sink: Sink | None = None) -> None:
        """Wrap a bound socket; use `open`."""
        self._socket = sock
        self._fd = sock.fileno()
        host, port = sock.getsockname()[:2]
        wildcard = host in ("0.0.0.0", "::")
        self.address = Address(host, port)
        """What the socket is bound to."""
        self._paths = PathTable(codec, None if wildcard else _plain_host(host), port)
        self._batch = ReceiveBatch(
            BATCH, DATAGRAM_SIZE, codec.name_length, codec.control_length if wildcard else 0
        )
        self.egress = Egress(self._flush)
        """The batch that everything is sent through; `Egress.flush` sends it from this socket."""
        self._sink = sink
        self._has_others = False
        self._send_batch = SendBatch(self.egress.memory, self.egress.capacity, PACKET_BUFFER_SIZE)
        self._packets_in = self._bytes_in = self._packets_out = self._bytes_out = 0
        self._drops: Counter[str] = Counter()

    @classmethod
    def open(cls, host: str, port: int, *, buffer_size: int = BUFFER_SIZE, sink: Sink | None = None) -> Self:
        """Bind a socket to `host` and `port` (0: any free one), with kernel buffers of `buffer_size` bytes.

        An IPv6 host makes an IPv6 socket, and ``::`` one that takes IPv4 as well. `sink` is given
        what is sent to paths by TCP. Raises `OSError` if the address cannot be bound.
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

        `after_batch` is where the caller flushes what the batch gave rise to. Neither may block. An
        exception in one of them ends the loop: containing a peer's failure is the caller's business.
        Errors of the network never end it. Raises `trio.ClosedResourceError` once the socket is closed.
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
            # A pending error of an earlier datagram (ICMP), which reading has cleared.
            self._drops[errno.errorcode.get(code, "unknown-errno")] += 1
        return 0

    def send(self, datagrams: Iterable[tuple[bytes, IcePath]]) -> None:
        """Send datagrams now, each to its path, behind what the batch holds already."""
        for data, path in datagrams:
            self.egress.put(data, path)
        self.egress.flush()

    def _flush(self, egress: Egress) -> None:
        """Send the batch with as few system calls as can be. What the kernel does not take is counted."""
        batch = self._send_batch
        lengths = egress.lengths[: egress.count]
        destinations = [
            native if type(native := path.native) is Destination else self._destination(path)
            for path in egress.paths[: egress.count]
            if path is not None
        ]
        batch.load(destinations, lengths)
        if not self._has_others:
            self._send_run(0, lengths)
            return
        self._has_others = False
        assert self._sink is not None, "paths by TCP come from the sink"
        first = 0
        for index, path in enumerate(egress.paths[: egress.count]):
            if path is not None and path.transport != "udp":
                self._send_run(first, lengths[first:index])
                self._sink.put(egress.buffers[index][: lengths[index]], path)
                first = index + 1
        self._send_run(first, lengths[first:])
        self._sink.flush()

    def _destination(self, path: IcePath) -> Destination:
        """Return where a path leads that this socket has not made."""
        if path.transport == "udp":
            return self._paths.destination(path)
        self._has_others = True
        return _NOWHERE

    def _send_run(self, first: int, lengths: list[int]) -> None:
        """Send the datagrams of the loaded batch from `first` on, which have these lengths."""
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
                # Waiting would delay everybody, and old media is worth nothing: drop the rest.
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
        """Close the socket; `run`, if it is running, raises `trio.ClosedResourceError`."""
        if trio.lowlevel.in_trio_run():
            trio.lowlevel.notify_closing(self._fd)
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _plain_host(host: str) -> str:
    """Return the host without a zone (``fe80::1%eth0``), as paths have it."""
    return host.partition("%")[0]


def _raise_buffer(sock: socket.socket, forced: int, ordinary: int, size: int) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, forced, size)  # past the system's limit, for CAP_NET_ADMIN
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, ordinary, size)
