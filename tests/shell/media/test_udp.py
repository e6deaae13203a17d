"""The media socket: batches, source addresses, and errors that must not end it."""

import errno
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from sfu.ice.path import Address, IcePath
from sfu.shell.media.mmsg import Destination
from sfu.shell.media.path_cache import PathCache
from sfu.shell.media.sockaddr import Ipv4Format, Ipv6Format
from sfu.shell.media.udp import BATCH, DATAGRAM_SIZE, MediaSocket

pytestmark = pytest.mark.skipif(not hasattr(socket, "CMSG_SPACE"), reason="needs control messages")


def has_ipv6() -> bool:
    """Whether this machine has an IPv6 loopback address."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine")


class Recorder:
    """Notes what arrives, and echoes it if told so."""

    def __init__(self, media: MediaSocket, *, echo: bool = False) -> None:
        self._media = media
        self._echo = echo
        self.received: list[tuple[bytes, IcePath]] = []
        self.batches: list[int] = []
        self.times: list[float] = []
        self._changed = trio.Event()

    async def wait_for(self, count: int) -> None:
        """Wait until `count` datagrams have been received."""
        with trio.fail_after(30):
            while len(self.received) < count:
                await self._changed.wait()

    def receive(self, data: bytes, path: IcePath, now: float) -> None:
        self.received.append((data, path))
        self.times.append(now)
        self._changed.set()
        self._changed = trio.Event()
        if self._echo:
            self._media.egress.put(data, path)

    def after_batch(self, now: float) -> None:
        self.batches.append(len(self.received) - sum(self.batches))
        self.times.append(now)
        self._media.egress.flush()


@asynccontextmanager
async def running(host: str, *, echo: bool = False) -> AsyncIterator[tuple[MediaSocket, Recorder]]:
    """Open a media socket and run it until the block ends."""
    with MediaSocket.open(host, 0) as media:
        recorder = Recorder(media, echo=echo)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(media.run, recorder.receive, recorder.after_batch)
            yield media, recorder
            nursery.cancel_scope.cancel("the test is over")


def client(host: str, port: int) -> trio.socket.SocketType:
    """Return a client's socket that accepts datagrams from exactly this address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    plain = socket.socket(family, socket.SOCK_DGRAM)
    plain.connect((host, port))
    plain.setblocking(False)
    return trio.socket.from_stdlib_socket(plain)


@pytest.mark.parametrize("asked", ["127.0.0.1", "127.0.0.2", "127.1.2.3"])
async def test_answers_leave_from_the_address_that_the_datagram_was_sent_to(asked: str) -> None:
    async with running("0.0.0.0", echo=True) as (media, recorder):
        with client(asked, media.address.port) as peer, trio.fail_after(30):
            await peer.send(b"hello")
            assert await peer.recv(100) == b"hello"
            assert recorder.received == [
                (b"hello", IcePath(Address(asked, media.address.port), Address(*peer.getsockname())))
            ]


@needs_ipv6
@pytest.mark.parametrize("asked", ["::1", "127.0.0.1", "127.0.0.2"])
async def test_dual_stack_socket_speaks_both(asked: str) -> None:
    async with running("::", echo=True) as (media, recorder):
        with client(asked, media.address.port) as peer, trio.fail_after(30):
            await peer.send(b"hello")
            assert await peer.recv(100) == b"hello"
            (_, path), *_ = recorder.received
            assert path.local == Address(asked, media.address.port)
            assert path.remote == Address(*peer.getsockname()[:2])


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::1", marks=needs_ipv6)])
async def test_socket_bound_to_one_address(host: str) -> None:
    async with running(host, echo=True) as (media, recorder):
        with client(host, media.address.port) as peer, trio.fail_after(30):
            await peer.send(b"hello")
            assert await peer.recv(100) == b"hello"
        assert recorder.received[0][1].local == media.address


async def test_one_path_object_per_path() -> None:
    async with running("0.0.0.0") as (media, recorder):
        with client("127.0.0.1", media.address.port) as one, client("127.0.0.1", media.address.port) as two:
            for peer in (one, two, one):
                await peer.send(b"x")
            await recorder.wait_for(3)
        paths = [path for _, path in recorder.received]
        assert paths[0] is paths[2]
        assert paths[0] != paths[1]


def flood(media: MediaSocket, count: int) -> None:
    """Send numbered datagrams to `media` at once, so that they wait there together."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        for number in range(count):
            peer.sendto(number.to_bytes(2, "big"), media.address)


async def test_a_wake_up_takes_a_bounded_batch() -> None:
    total = 2 * BATCH + 5
    async with running("127.0.0.1") as (media, recorder):
        flood(media, total)
        await recorder.wait_for(total)
        await trio.testing.wait_all_tasks_blocked()
    assert [int.from_bytes(data, "big") for data, _ in recorder.received] == list(range(total))
    assert recorder.batches == [BATCH, BATCH, 5]
    # All datagrams of a batch, and its flush, share one reading of the clock.
    assert len(set(recorder.times[: BATCH + 1])) == 1


async def test_other_tasks_run_between_batches() -> None:
    total = 10 * BATCH
    seen = set()
    async with running("127.0.0.1") as (media, recorder):
        flood(media, total)
        while len(recorder.received) < total:
            await trio.lowlevel.checkpoint()
            seen.add(len(recorder.received))
    assert len(seen) >= 5  # a step of this task and one of the loop may fall into one turn of the scheduler


async def test_too_long_and_empty_datagrams_are_dropped() -> None:
    async with running("127.0.0.1") as (media, recorder):
        with client("127.0.0.1", media.address.port) as peer:
            await peer.send(bytes(DATAGRAM_SIZE + 1))
            await peer.send(b"")
            await peer.send(bytes(DATAGRAM_SIZE))
            await recorder.wait_for(1)
        assert [len(data) for data, _ in recorder.received] == [DATAGRAM_SIZE]
        statistics = media.statistics()
        assert statistics.drops == {"truncated": 1, "empty": 1}
        assert (statistics.packets_in, statistics.bytes_in) == (1, DATAGRAM_SIZE)


def test_more_than_one_batch_can_be_sent() -> None:
    with MediaSocket.open("127.0.0.1", 0) as media, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        path = IcePath(None, Address(*peer.getsockname()))
        count = media.egress.capacity + 3
        media.send((number.to_bytes(2, "big") * 50, path) for number in range(count))
        peer.settimeout(1)
        assert [int.from_bytes(peer.recv(200)[:2], "big") for _ in range(count)] == list(range(count))
        statistics = media.statistics()
        assert (statistics.packets_out, statistics.bytes_out, statistics.drops) == (count, count * 100, {})


def test_one_refused_datagram_does_not_stop_its_neighbours() -> None:
    with MediaSocket.open("0.0.0.0", 0) as media, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        good = IcePath(None, Address(*peer.getsockname()))
        forbidden = IcePath(None, Address("255.255.255.255", 9))  # EACCES without SO_BROADCAST
        no_such_source = IcePath(Address("192.0.2.77", media.address.port), good.remote)
        media.send([(b"1", good), (b"lost", forbidden), (b"2", good), (b"lost", no_such_source), (b"3", good)])
        peer.settimeout(1)
        assert [peer.recv(10) for _ in range(3)] == [b"1", b"2", b"3"]
        statistics = media.statistics()
        assert (statistics.packets_out, statistics.bytes_out) == (3, 3)
        assert sum(statistics.drops.values()) == 2
        assert statistics.drops["EACCES"] == 1
        assert all(name in errno.errorcode.values() for name in statistics.drops)


class OtherSocket:
    """Takes the datagrams for TCP."""

    def __init__(self) -> None:
        self.taken: list[tuple[bytes, IcePath]] = []
        self.flushes = 0

    def put(self, data: memoryview, path: IcePath) -> None:
        self.taken.append((bytes(data), path))

    def flush(self) -> None:
        self.flushes += 1


@pytest.mark.parametrize("plan", ["utu", "tutt", "uut", "tt", "u", "ttuutu"])
def test_a_batch_may_have_datagrams_for_udp_and_tcp(plan: str) -> None:
    other = OtherSocket()
    with (
        MediaSocket.open("127.0.0.1", 0, sink=other) as media,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer,
    ):
        peer.bind(("127.0.0.1", 0))
        paths = {
            "u": IcePath(None, Address(*peer.getsockname())),
            "t": IcePath(None, Address("192.0.2.7", 9), transport="tcp"),
        }
        media.send((bytes([index] * (index + 1)), paths[kind]) for index, kind in enumerate(plan))
        peer.settimeout(1)
        by_udp = [index for index, kind in enumerate(plan) if kind == "u"]
        assert [peer.recv(100) for _ in by_udp] == [bytes([index] * (index + 1)) for index in by_udp]
        by_tcp = [bytes([index] * (index + 1)) for index, kind in enumerate(plan) if kind == "t"]
        assert other.taken == [(data, paths["t"]) for data in by_tcp]
        assert other.flushes == ("t" in plan)
        statistics = media.statistics()
        assert (statistics.packets_out, statistics.drops) == (len(by_udp), {})
        assert statistics.bytes_out == sum(index + 1 for index in by_udp)
        # The next batch is not affected by this one.
        media.send([(b"next", paths["u"])])
        assert peer.recv(100) == b"next"
        assert other.flushes == ("t" in plan)


def test_refused_and_full_in_a_batch_for_both_transports(monkeypatch: pytest.MonkeyPatch) -> None:
    other = OtherSocket()
    with MediaSocket.open("127.0.0.1", 0, sink=other) as media:
        results = iter([-errno.EACCES, 1, -errno.EAGAIN])
        monkeypatch.setattr(media._send_batch, "send", lambda *_: next(results))
        udp, tcp = (
            IcePath(None, Address("127.0.0.1", 9)),
            IcePath(None, Address("127.0.0.1", 9), transport="tcp"),
        )
        media.send([(bytes(10), udp), (bytes(20), udp), (bytes(5), tcp), (bytes(30), udp), (bytes(40), udp)])
        statistics = media.statistics()
        assert (statistics.packets_out, statistics.bytes_out) == (1, 20)
        assert statistics.drops == {"EACCES": 1, "send-buffer-full": 2}
        assert [data for data, _ in other.taken] == [bytes(5)]


def test_full_send_buffer_drops_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    with MediaSocket.open("127.0.0.1", 0) as media:
        results = iter([2, -errno.EINTR, -errno.EAGAIN])
        monkeypatch.setattr(media._send_batch, "send", lambda *_: next(results))
        path = IcePath(None, Address("127.0.0.1", 9))
        media.send([(bytes(10), path), (bytes(20), path), (bytes(30), path), (bytes(40), path)])
        statistics = media.statistics()
        assert (statistics.packets_out, statistics.bytes_out) == (2, 30)
        assert statistics.drops == {"send-buffer-full": 2}
        assert media.egress.count == 0


async def test_error_of_an_earlier_datagram_does_not_end_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running("127.0.0.1") as (media, recorder):
        original = media._batch.receive
        results = [-errno.ECONNREFUSED]
        monkeypatch.setattr(media._batch, "receive", lambda fd: results.pop() if results else original(fd))
        with client("127.0.0.1", media.address.port) as peer:
            await peer.send(b"x")
            await recorder.wait_for(1)
        assert media.statistics().drops == {"ECONNREFUSED": 1}


async def test_sending_to_a_closed_port_affects_no_other_path() -> None:
    async with running("127.0.0.1", echo=True) as (media, recorder):
        gone = client("127.0.0.1", media.address.port)
        gone_path = IcePath(media.address, Address(*gone.getsockname()))
        gone.close()
        media.send([(b"to a closed port", gone_path)] * 3)
        with client("127.0.0.1", media.address.port) as peer, trio.fail_after(30):
            await peer.send(b"hello")
            assert await peer.recv(100) == b"hello"
        assert len(recorder.received) == 1


def test_misuse_raises() -> None:
    media = MediaSocket.open("127.0.0.1", 0)
    media._socket.close()
    with pytest.raises(OSError, match="EBADF"):
        media._fill()
    with pytest.raises(OSError, match="EBADF"):
        media.send([(b"x", IcePath(None, Address("127.0.0.1", 9)))])


async def test_closing_ends_the_loop() -> None:
    media = MediaSocket.open("127.0.0.1", 0)
    recorder = Recorder(media)
    with pytest.RaisesGroup(trio.ClosedResourceError):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(media.run, recorder.receive, recorder.after_batch)
            await trio.testing.wait_all_tasks_blocked()
            media.close()


def test_address_in_use() -> None:
    with MediaSocket.open("127.0.0.1", 0) as media, pytest.raises(OSError, match="in use"):
        MediaSocket.open("127.0.0.1", media.address.port)


def test_kernel_grants_large_buffers() -> None:
    with MediaSocket.open("127.0.0.1", 0) as media:
        statistics = media.statistics()
        assert statistics.receive_buffer > 100_000
        assert statistics.send_buffer > 100_000
        assert statistics.kernel_drops == 0


def test_buffers_without_cap_net_admin(monkeypatch: pytest.MonkeyPatch) -> None:
    original = socket.socket.setsockopt
    asked: list[int] = []

    def setsockopt(self: socket.socket, level: int, option: int, value: int) -> None:
        if level == socket.SOL_SOCKET:
            if option in (32, 33):  # SO_SNDBUFFORCE, SO_RCVBUFFORCE
                raise PermissionError(errno.EPERM, "Operation not permitted")
            asked.append(option)
        original(self, level, option, value)

    monkeypatch.setattr(socket.socket, "setsockopt", setsockopt)
    with MediaSocket.open("127.0.0.1", 0):
        assert sorted(asked) == sorted([socket.SO_RCVBUF, socket.SO_SNDBUF])


async def test_a_spurious_wake_up_is_harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running("127.0.0.1") as (media, recorder):
        original = media._batch.receive
        results = [-errno.EAGAIN]
        monkeypatch.setattr(media._batch, "receive", lambda fd: results.pop() if results else original(fd))
        flood(media, 1)
        await recorder.wait_for(1)
    assert media._drops == {}


async def test_kernel_drops_are_seen() -> None:
    with MediaSocket.open("127.0.0.1", 0) as media:
        media._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        with client("127.0.0.1", media.address.port) as peer:
            for _ in range(100):
                await peer.send(bytes(1000))
        assert media.statistics().kernel_drops > 0


def origin4(number: int) -> bytes:
    """Return an origin as the kernel writes it: IPv4, a remote port, and a local address."""
    codec = Ipv4Format()
    name = codec.pack_name(Address("198.51.100.1", number), 0)
    return name + codec.pack_control("192.0.2.1", 3)


def test_strangers_cannot_grow_the_path_cache_and_a_used_path_stays() -> None:
    table = PathCache(Ipv4Format(), None, 7882, capacity=10)
    mine = table[origin4(1)]
    for number in range(2, 200):
        table[origin4(number)]
        assert table[origin4(1)] is mine
        assert len(table) <= 20
    for number in range(200, 300):
        table[origin4(number)]
    again = table[origin4(1)]
    assert again is not mine
    assert again == mine


def test_origin_without_packet_information_has_no_local_address() -> None:
    codec = Ipv4Format()
    path = PathCache(codec, None, 7882)[origin4(5)[: codec.name_length] + bytes(codec.control_length)]
    assert path == IcePath(None, Address("198.51.100.1", 5))
    assert isinstance(path.native, Destination)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "255.255.255.255"])
def test_ipv4_format_round_trip(host: str) -> None:
    codec = Ipv4Format()
    assert codec.parse_name(codec.pack_name(Address(host, 40000), 0)) == (Address(host, 40000), 0)
    assert codec.parse_control(codec.pack_control(host, 9)) == (host, 0)
    assert len(codec.pack_name(Address(host, 1), 0)) == codec.name_length
    assert len(codec.pack_control(host, 1)) == codec.control_length


@pytest.mark.parametrize(
    ("host", "interface"), [("2001:db8::1", 0), ("::1", 0), ("192.0.2.1", 0), ("fe80::1", 9), ("febf::1", 9)]
)
def test_ipv6_format_round_trip(host: str, interface: int) -> None:
    codec = Ipv6Format()
    assert codec.parse_name(codec.pack_name(Address(host, 40000), 7)) == (Address(host, 40000), 7)
    assert codec.parse_control(codec.pack_control(host, 9)) == (host, interface)
    assert len(codec.pack_name(Address(host, 1), 0)) == codec.name_length
    assert len(codec.pack_control(host, 1)) == codec.control_length


@pytest.mark.parametrize("codec", [Ipv4Format(), Ipv6Format()])
def test_foreign_control_messages_are_ignored(codec: Ipv4Format | Ipv6Format) -> None:
    assert codec.parse_control(bytes(codec.control_length)) is None
    assert codec.parse_control(os.urandom(8) + b"\xff" * (codec.control_length - 8)) is None
