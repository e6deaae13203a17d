"""The TCP port for media by itself: which connections stay, what happens to slow clients, and how it ends."""

import errno
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from support.log_capture import capture_logs
from trio.testing import MockClock

from sfu.ice.framing import LENGTH, MAX_FRAME, Deframer
from sfu.ice.path import Address, IcePath
from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS
from sfu.shell.config.values import HostPort
from sfu.shell.media.tcp import MAX_WAITING, IceTcp
from sfu.shell.media.tcp_connection import FULL, MEDIA_BUFFER, RESERVE, TcpMediaConnection, plain_address
from sfu.shell.media.udp import BATCH

TIMES = DEFAULT_TIMEOUTS
HOST = "127.0.0.1"

needs_ipv6 = pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 on this machine")
MEDIA = b"\x80" + bytes(999)
CHECK = b"\0\1" + bytes(98)
REPORT = b"\x80\xc8" + bytes(98)


class Desk:
    """Takes datagrams as the dispatcher does. The test decides which paths lead to a peer."""

    def __init__(self) -> None:
        self.received: list[tuple[bytes, IcePath]] = []
        self.claimed: set[IcePath] = set()
        self.lost: list[IcePath] = []
        self.told: list[str] = []
        self.in_batch: list[int] = [0]
        """Datagrams of each batch; the last is not over."""
        self.bug: Exception | None = None
        self._changed = trio.Event()
        self._streams: list[trio.SocketStream] = []

    async def until(self, *, received: int = 0, lost: int = 0) -> None:
        """Wait until that many datagrams have been received and connections lost."""
        with trio.fail_after(3600):
            while len(self.received) < received or len(self.lost) < lost:
                await self._changed.wait()

    async def connect(self, port: IceTcp) -> trio.SocketStream:
        """A client's connection, closed by `hang_up` at the latest."""
        assert port.address is not None
        stream = await trio.open_tcp_stream(HOST, port.address.port)
        self._streams.append(stream)
        return stream

    def hang_up(self) -> None:
        """Close all clients' connections."""
        for stream in self._streams:
            stream.socket.close()

    def receive(self, data: bytes, path: IcePath, _now: float) -> None:
        if self.bug is not None:
            raise self.bug
        self.received.append((data, path))
        self.in_batch[-1] += 1

    def flush(self, _now: float) -> None:
        self.in_batch.append(0)
        self._wake()

    def lose_path(self, path: IcePath) -> None:
        self.lost.append(path)
        self._wake()

    def is_claimed(self, path: IcePath) -> bool:
        return path in self.claimed

    def set_path_full(self, path: IcePath, full: bool) -> None:
        self.told.append(f"{'full' if full else 'drained'} {path}")

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


@asynccontextmanager
async def running(
    port: IceTcp | None = None, *, max_connections: int = 100, max_waiting: int = MAX_WAITING
) -> AsyncIterator[tuple[IceTcp, Desk]]:
    """Run a port for the block; at its end no connection is left."""
    desk = Desk()
    here = HostPort(HOST, 0)
    with port or IceTcp.open(here, max_connections=max_connections, max_waiting=max_waiting) as port:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(port.run, desk)
                yield port, desk
                nursery.cancel_scope.cancel("the test is over")
        finally:
            desk.hang_up()
        statistics = port.statistics()
        assert (statistics.connections, statistics.waiting) == (0, 0)


def framed(*datagrams: bytes) -> bytes:
    return b"".join(LENGTH.pack(len(data)) + data for data in datagrams)


async def is_closed(stream: trio.SocketStream) -> bool:
    """Wait for the server to close a connection on which it has sent nothing."""
    try:
        return await stream.receive_some() == b""
    except trio.BrokenResourceError:
        return True  # it had not read everything


def reset(stream: trio.SocketStream) -> None:
    """End a connection by a reset, as when a client's machine is gone."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()


async def test_datagrams_are_received_and_sent(mock_clock: MockClock) -> None:
    async with running() as (port, desk):
        stream = await desk.connect(port)
        for piece in framed(CHECK, MEDIA)[:1], framed(CHECK, MEDIA)[1:700], framed(CHECK, MEDIA)[700:]:
            await stream.send_all(piece)
        await desk.until(received=2)
        assert [data for data, _ in desk.received] == [CHECK, MEDIA]
        path = desk.received[0][1]
        assert path == IcePath(port.address, Address(*stream.socket.getsockname()), transport="tcp")
        assert desk.received[1][1] is path

        port.put(memoryview(CHECK), path)
        port.put(memoryview(MEDIA), path)
        port.flush()
        assert await stream.receive_some() == framed(CHECK, MEDIA)
        now = port.statistics()
        assert (now.packets_in, now.bytes_in, now.packets_out, now.bytes_out) == (2, 1100, 2, 1100)
        assert (now.connections, now.waiting, now.drops) == (1, 1, {})

        await stream.aclose()
        await desk.until(lost=1)
        assert desk.lost == [path]
        port.put(memoryview(MEDIA), path)
        port.flush()
        now = port.statistics()
        assert (now.connections, now.waiting, now.drops) == (0, 0, {"connection-gone": 1})


async def test_a_connection_that_leads_to_no_peer_is_closed(mock_clock: MockClock) -> None:
    async with running() as (port, desk):
        stranger, client = await desk.connect(port), await desk.connect(port)
        await stranger.send_all(framed(CHECK))
        await desk.until(received=1)
        await client.send_all(framed(CHECK))
        await desk.until(received=2)
        path = desk.received[1][1]
        desk.claimed.add(path)
        await client.send_all(framed(CHECK))
        await desk.until(received=3)
        assert port.statistics().waiting == 1

        mock_clock.jump(TIMES.tcp_unclaimed)
        assert await is_closed(stranger)
        assert port.statistics().drops == {"unclaimed": 1}
        # A connection whose peer has gone is closed too, but later: its last datagrams may be on their way.
        mock_clock.jump(TIMES.tcp_sweep)
        await trio.testing.wait_all_tasks_blocked()
        desk.claimed.clear()
        mock_clock.jump(TIMES.tcp_sweep)
        await trio.testing.wait_all_tasks_blocked()
        assert port.statistics().connections == 1
        mock_clock.jump(TIMES.tcp_unclaimed)
        assert await is_closed(client)
        assert desk.lost[-1] == path


async def test_the_number_of_connections_is_limited(mock_clock: MockClock) -> None:
    async with running(max_connections=2) as (port, desk):
        client = await desk.connect(port)
        await client.send_all(framed(CHECK))
        await desk.until(received=1)
        desk.claimed.add(desk.received[0][1])
        await client.send_all(framed(CHECK))
        await desk.until(received=2)

        # A connection without a check is closed for a new one, which may be a client's.
        stranger, other = await desk.connect(port), await desk.connect(port)
        assert await is_closed(stranger)
        await other.send_all(framed(CHECK))
        await desk.until(received=3)
        desk.claimed.add(desk.received[2][1])
        await other.send_all(framed(CHECK))
        await desk.until(received=4)
        assert (len(desk.lost), port.statistics().drops) == (1, {"waiting-full": 1})

        assert await is_closed(await desk.connect(port))
        assert port.statistics().drops == {"waiting-full": 1, "connections-full": 1}
        assert port.statistics().connections == 2
        assert len(desk.lost) == 1


async def test_other_tasks_run_between_many_small_datagrams(mock_clock: MockClock) -> None:
    """Three bytes of a stranger are enough for a datagram."""
    async with running() as (port, desk):
        stream = await desk.connect(port)
        await stream.send_all(framed(b"\0") * 10_000)
        await desk.until(received=10_000)
        assert max(desk.in_batch) == BATCH


async def test_the_oldest_waiting_connection_is_closed_for_the_newest(mock_clock: MockClock) -> None:
    async with running(max_waiting=2) as (port, desk):
        client = await desk.connect(port)
        await client.send_all(framed(CHECK))
        await desk.until(received=1)
        desk.claimed.add(desk.received[0][1])
        await client.send_all(framed(CHECK))
        await desk.until(received=2)

        strangers = []
        for count in range(3):
            strangers.append(await desk.connect(port))
            await strangers[-1].send_all(framed(CHECK))
            await desk.until(received=3 + count)
        assert await is_closed(strangers[0])
        now = port.statistics()
        assert (now.connections, now.waiting, now.drops) == (3, 2, {"waiting-full": 1})
        await client.send_all(framed(CHECK))
        await desk.until(received=6)


@pytest.mark.parametrize(
    "start", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00", LENGTH.pack(MAX_FRAME + 1)]
)
async def test_a_client_of_another_protocol_is_disconnected(mock_clock: MockClock, start: bytes) -> None:
    async with running() as (port, desk):
        stream = await desk.connect(port)
        await stream.send_all(framed(CHECK) + start)
        assert await is_closed(stream)
        assert [data for data, _ in desk.received] == [CHECK]
        assert len(desk.in_batch) == 2
        assert port.statistics().drops == {"frame-too-long": 1}
        assert len(desk.lost) == 1


async def test_a_slow_reader_pauses_video_then_loses_media_and_delays_nothing(mock_clock: MockClock) -> None:
    async with running() as (port, desk):
        stream = await desk.connect(port)
        await stream.send_all(framed(CHECK))
        await desk.until(received=1)
        path = desk.received[0][1]
        sent: list[bytes] = []
        held_at = 0
        while "buffer-full" not in port.statistics().drops:
            data = MEDIA + str(len(sent)).encode()
            port.put(memoryview(data), path)
            port.flush()
            sent.append(data)
            if not desk.told:
                held_at = sum(map(len, sent))
        sent.pop()
        total = sum(map(len, sent))
        assert total > MEDIA_BUFFER - 2 * len(MEDIA)
        assert FULL < held_at < total
        assert total - held_at == pytest.approx(MEDIA_BUFFER - FULL, abs=3 * len(MEDIA))
        assert set(desk.told) == {f"full {path}"}
        # Checks are still answered, and reports sent.
        for datagram in (CHECK, REPORT) * (RESERVE // len(CHECK) // 3):
            port.put(memoryview(datagram), path)
            sent.append(datagram)
        port.flush()
        assert port.statistics().drops == {"buffer-full": 1}

        deframer, received = Deframer(), list[bytes]()
        while len(received) < len(sent):
            received += deframer.receive(bytes(await stream.receive_some()))
        assert received == sent
        await trio.testing.wait_all_tasks_blocked()
        assert desk.told[-1] == f"drained {path}"
        assert desk.told.count(desk.told[-1]) == 1
        port.put(memoryview(MEDIA), path)
        port.flush()
        assert await stream.receive_some() == framed(MEDIA)


async def test_a_connection_that_ends_while_data_is_buffered_leaves_nothing(mock_clock: MockClock) -> None:
    async with running() as (port, desk):
        stream = await desk.connect(port)
        await stream.send_all(framed(CHECK))
        await desk.until(received=1)
        path = desk.received[0][1]
        tasks = trio.lowlevel.current_statistics().tasks_living
        while "buffer-full" not in port.statistics().drops:
            port.put(memoryview(MEDIA), path)
            port.flush()
        await trio.testing.wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living == tasks + 1
        reset(stream)
        await desk.until(lost=1)
        await trio.testing.wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living == tasks - 1
        assert port.statistics().connections == 0


async def test_a_connection_closed_while_data_is_buffered_leaves_nothing(mock_clock: MockClock) -> None:
    async with running() as (port, desk):
        stream = await desk.connect(port)
        await stream.send_all(framed(CHECK))
        await desk.until(received=1)
        tasks = trio.lowlevel.current_statistics().tasks_living
        while "buffer-full" not in port.statistics().drops:
            port.put(memoryview(MEDIA), desk.received[0][1])
            port.flush()
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(TIMES.tcp_unclaimed)
        await desk.until(lost=1)
        await trio.testing.wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living == tasks - 1
        assert not any(told.startswith("drained") for told in desk.told)


async def test_a_connection_may_end_before_its_task_begins(mock_clock: MockClock) -> None:
    """A sweep, or a newer connection, may come between the accepting and the first wait."""
    with socket.create_server((HOST, 0)) as server, socket.create_connection(server.getsockname()):
        connection = TcpMediaConnection(server.accept()[0], now=0.0, unacknowledged=30.0)
        connection.scope.cancel("a newer connection takes the place")
        connection.close()
        with connection.scope:
            await connection.read()
        assert connection.scope.cancelled_caught


async def test_client_that_is_reset_is_lost(mock_clock: MockClock) -> None:
    async with running() as (port, desk):
        stream = await desk.connect(port)
        await stream.send_all(framed(CHECK))
        await desk.until(received=1)
        reset(stream)
        await desk.until(lost=1)
        assert port.statistics().drops == {"broken": 1}


async def test_client_that_is_reset_before_it_is_accepted(mock_clock: MockClock) -> None:
    async with running() as (port, desk):
        assert port.address is not None
        with socket.create_connection(port.address) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await trio.testing.wait_all_tasks_blocked()
        assert (port.statistics().drops, port.statistics().connections) == ({"broken": 1}, 0)
        stream = await desk.connect(port)
        await stream.send_all(framed(CHECK))
        await desk.until(received=1)


async def test_sending_to_a_client_that_is_reset_is_harmless(mock_clock: MockClock) -> None:
    async with running() as (port, desk):
        stream = await desk.connect(port)
        await stream.send_all(framed(CHECK))
        await desk.until(received=1)
        reset(stream)
        for _ in range(3):
            port.put(memoryview(MEDIA), desk.received[0][1])
            port.flush()
        await desk.until(lost=1)
        assert port.statistics().connections == 0


async def test_a_new_connection_with_the_same_addresses_replaces_the_old_one(mock_clock: MockClock) -> None:
    """A client's reset and its next connection from the same port may come before anybody has looked."""
    async with running() as (port, desk):
        stream = await desk.connect(port)
        await stream.send_all(framed(CHECK))
        await desk.until(received=1)
        (old,) = port._connections.values()
        near, far = socket.socketpair(socket.AF_UNIX)
        with near, far:
            new = TcpMediaConnection.__new__(TcpMediaConnection)
            new._socket, new._buffer, new.path, new.scope = near, bytearray(), old.path, trio.CancelScope()
            port._admit(new, desk)
            assert await is_closed(stream)
            await trio.testing.wait_all_tasks_blocked()
            # The old one's task has ended, and has not taken the new one with it.
            assert port._connections == {old.path: new}
            assert desk.lost == [old.path]
            assert port.statistics().drops == {"replaced": 1}
            port._end(new, None, desk)


async def test_a_bug_ends_one_connection_only(mock_clock: MockClock) -> None:
    async with running() as (port, desk):
        other = await desk.connect(port)
        await other.send_all(framed(CHECK))
        await desk.until(received=1)
        desk.bug = ValueError("a bug")
        with capture_logs() as log:
            stream = await desk.connect(port)
            await stream.send_all(framed(CHECK))
            assert await is_closed(stream)
        assert [entry["event"] for entry in log] == ["TCP media connection failed"]
        assert port.statistics().drops == {"error": 1}
        desk.bug = None
        await other.send_all(framed(CHECK))
        await desk.until(received=2)


class FailingListener(socket.socket):
    """Fails to accept, a number of times."""

    errors: tuple[int, ...] = ()

    def accept(self) -> tuple[socket.socket, object]:
        if self.errors:
            code, *rest = self.errors
            self.errors = tuple(rest)
            raise OSError(code, "failed")
        return super().accept()


async def test_accepting_goes_on_after_errors(autojump_clock: MockClock) -> None:
    listener = FailingListener()
    listener.bind((HOST, 0))
    listener.listen()
    listener.setblocking(False)
    listener.errors = (errno.ECONNABORTED, errno.EAGAIN, errno.EMFILE)
    async with running(IceTcp(listener, max_connections=10)) as (port, desk):
        stream = await desk.connect(port)
        started = trio.current_time()
        await stream.send_all(framed(CHECK))
        await desk.until(received=1)
        assert trio.current_time() >= started + TIMES.tcp_exhausted
        assert port.statistics().drops == {"ECONNABORTED": 1, "EMFILE": 1}


async def test_cancelling_closes_everything(mock_clock: MockClock) -> None:
    desk = Desk()
    with IceTcp.open(HostPort(HOST, 0), max_connections=10) as port:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(port.run, desk)
            streams = [await desk.connect(port) for _ in range(3)]
            for stream in streams:
                await stream.send_all(framed(CHECK))
            await desk.until(received=3)
            nursery.cancel_scope.cancel("the server stops")
        for stream in streams:
            assert await is_closed(stream)
        assert len(desk.lost) == 3
        # Datagrams to the paths of closed connections are dropped.
        port.put(memoryview(MEDIA), desk.lost[0])
        port.flush()
        assert port.statistics().drops == {"connection-gone": 1}
    desk.hang_up()


async def test_port_that_is_off(autojump_clock: MockClock) -> None:
    with IceTcp.open(None, max_connections=10) as port:
        assert port.address is None
        await port.run(Desk())


def test_port_that_is_taken() -> None:
    with IceTcp.open(HostPort(HOST, 0), max_connections=1) as port:
        assert port.address is not None
        with pytest.raises(OSError, match="in use"):
            IceTcp.open(HostPort(*port.address), max_connections=1)


@needs_ipv6
async def test_ipv4_client_of_an_ipv6_port(mock_clock: MockClock) -> None:
    async with running(IceTcp.open(HostPort("::", 0), max_connections=10)) as (port, desk):
        assert port.address is not None
        stream = await desk.connect(port)
        await stream.send_all(framed(CHECK))
        await desk.until(received=1)
        assert desk.received[0][1].local == Address(HOST, port.address.port)


@pytest.mark.parametrize(
    ("name", "host"),
    [
        (("192.0.2.7", 5), "192.0.2.7"),
        (("::ffff:192.0.2.7", 5, 0, 0), "192.0.2.7"),
        (("2001:DB8::7", 5, 0, 0), "2001:db8::7"),
        (("fe80::7%eth0", 5, 0, 2), "fe80::7"),
    ],
)
def test_names_of_sockets(name: tuple[str, int], host: str) -> None:
    assert plain_address(name) == Address(host, 5)
