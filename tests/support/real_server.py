"""A whole server on real ports in this process, a call through it, and what an attack must not change.

    async with attacked() as (server, call):
        ...             # throw something at server.http, server.media.address

Server and clients share one event loop: every client sees a delay that the server causes, and the test can
count what is left afterwards (tasks, files, routes).
"""

import json
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import trio
from support.browser_model import Transceiver
from support.in_memory_server import Client
from support.log_capture import LogEntry, capture_logs
from support.media import DELTA_FRAME, KEY_FRAME
from support.waiting import PATIENCE, becomes
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

from sfu.ice.framing import LENGTH, Deframer
from sfu.ice.path import Address, IcePath
from sfu.shell.config.settings import Settings
from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS, Timeouts
from sfu.shell.config.values import HostPort
from sfu.shell.media.peer_sockets import PeerSockets
from sfu.shell.media.tcp import IceTcp
from sfu.shell.media.udp import MediaSocket
from sfu.shell.server import Server
from sfu.shell.store.memory import MemoryStore

HOST = "127.0.0.1"

PACE = 0.01
"""Seconds between two packets of a video; audio has half as many."""

KEY_FRAME_EVERY = 100
"""Frames."""

TOLERABLE_WAIT = 0.5
"""Seconds of this process's work that a packet may wait for while attacks go on: clients and attackers work
here too, and take up to a quarter of that. No attack may stop the server for a while. What else a packet waits
for is the machine, which may be busy; that is bounded by `PATIENCE`."""

COMPLAINTS = frozenset({"warning", "error", "critical"})
"""Log levels that no attack may cause: an attacker who can fill the log can hide in it."""

FAST = {"messages_per_second": 100_000, "messages_burst": 100_000}
"""For attacks that the limit on messages would stop before they begin."""

SECRET = "correct horse battery staple"
"""Stands in every packet of the call, and never elsewhere."""


class RealServer:
    """The server, and connections to it for clients and attackers."""

    def __init__(
        self,
        sfu: Server,
        media: MediaSocket | PeerSockets,
        ice_tcp: IceTcp,
        url: str,
        log: list[LogEntry],
    ) -> None:
        self.sfu = sfu
        self.media = media
        self.ice_tcp = ice_tcp
        self.http = Address(HOST, int(url.rstrip("/").rpartition(":")[2]))
        """The public TCP port."""
        self.log = log

    @asynccontextmanager
    async def client(self, user: str) -> AsyncIterator["PortClient"]:
        """A well-behaved client that has not joined."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            sock.bind((HOST, 0))
            sock.connect(self.media.address)
            async with self.websocket() as (websocket, stream), trio.open_nursery() as nursery:
                client = PortClient(user, websocket, stream, sock)
                nursery.start_soon(client.run)
                nursery.start_soon(client.receive_datagrams)
                try:
                    yield client
                finally:
                    nursery.cancel_scope.cancel("the client is gone")

    @asynccontextmanager
    async def tcp_client(self, user: str) -> AsyncIterator["PortClient"]:
        """The same, without UDP."""
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
            assert self.ice_tcp.address is not None
            sock.connect(self.ice_tcp.address)
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with self.websocket() as (websocket, stream), trio.open_nursery() as nursery:
                client = TcpClient(user, websocket, stream, sock)
                nursery.start_soon(client.run)
                nursery.start_soon(client.receive_datagrams)
                try:
                    yield client
                finally:
                    nursery.cancel_scope.cancel("the client is gone")

    @asynccontextmanager
    async def websocket(self) -> AsyncIterator[tuple[WebSocketConnection, trio.SocketStream]]:
        """A WebSocket and the stream below it; at the end the stream is closed without a Close frame."""
        async with open_websocket(self.http) as opened:
            yield opened

    @asynccontextmanager
    async def call(self, *, tcp: bool = False) -> AsyncIterator["Call"]:
        """Two clients who send each other audio and video for as long as the block lasts.

        With `tcp` the first of them, alice, has no UDP.
        """
        alice_comes = self.tcp_client("alice") if tcp else self.client("alice")
        async with alice_comes as alice, self.client("bob") as bob, trio.open_nursery() as nursery:
            call = Call(alice, bob)
            await call.begin()
            nursery.start_soon(call.run)
            await call.is_undisturbed()
            yield call
            nursery.cancel_scope.cancel("the call is over")

    def complaints(self) -> list[LogEntry]:
        """Log entries of the server that an operator would have to look at."""
        return [entry for entry in self.log if entry["log_level"] in COMPLAINTS]

    def drops(self, user: str | None = None) -> dict[str, int]:
        """Counts of dropped datagrams by reason: those that belong to no peer, or those of a user's peer."""
        if user is None:
            return self.sfu.conference.statistics().drops | dict(self.media.statistics().drops)
        rooms = self.sfu.conference.rooms.values()
        peer = next(peer for room in rooms for peer in room.peers.values() if peer.user_id == user)
        return dict(peer.connection.transport.statistics().drops)

    def messages(self, message_type: str) -> dict[str, int]:
        """Counts of clients' messages of a type by result."""
        counts = self.sfu.conference.statistics().messages
        return {result: count for (name, result), count in counts.items() if name == message_type}

    def remains(self) -> dict[str, int]:
        """Counts of everything that grows while a client is there."""
        conference, http = self.sfu.conference.statistics(), self.sfu.http.statistics()
        return {
            "rooms": conference.rooms,
            "peers": conference.peers,
            "routes": conference.routes,
            "peer and room tasks": self.sfu.rooms.running,
            "trio tasks": trio.lowlevel.current_statistics().tasks_living,
            "connections": http.connections,
            "websockets": http.websockets,
            "media connections": self.ice_tcp.statistics().connections,
            "files": len(os.listdir("/proc/self/fd")),
        }

    async def returns_to(self, before: dict[str, int]) -> None:
        """Wait until `remains` is what it was before; fail if something is left."""
        await becomes(self.remains, before)


@asynccontextmanager
async def real_server(
    udp_port: int = 0, *, timeouts: Timeouts = DEFAULT_TIMEOUTS, **settings: Any
) -> AsyncIterator[RealServer]:
    """Run a server on free ports (0: any); at the end it is stopped, and must not have logged a warning."""
    everything: dict[str, Any] = {
        "session_ttl_sec": 0,  # a client that drops its connection is removed at once
        "http_addr": HostPort(HOST, 0),
        "announced_ips": (HOST,),
        "room_ttl_sec": 0,
        **settings,
    }
    with (
        capture_logs() as log,
        IceTcp.open(HostPort(HOST, 0), max_connections=1000, timeouts=timeouts) as ice_tcp,
        MediaSocket.open(HOST, udp_port, sink=ice_tcp) as media,
    ):
        sfu = Server(
            Settings(**everything), media, MemoryStore("server", timeouts=timeouts), ice_tcp, timeouts=timeouts
        )
        async with trio.open_nursery() as nursery:
            url = await nursery.start(sfu.run)
            server = RealServer(sfu, media, ice_tcp, url, log)
            yield server
            sfu.stop()
    assert server.complaints() == []
    remains = server.remains()
    assert remains["peers"] == remains["routes"] == remains["connections"] == remains["media connections"] == 0


@asynccontextmanager
async def attacked(**settings: Any) -> AsyncIterator[tuple[RealServer, "Call"]]:
    """Run a call that the block must not disturb; afterwards nothing of the block may be left in the server."""
    async with real_server(**settings) as server, server.call() as call:
        before = server.remains()
        yield server, call
        await call.is_undisturbed()
        assert call.longest_wait < TOLERABLE_WAIT, f"a packet waited for {call.longest_wait:.1f} s of work"
        await server.returns_to(before)
        await call.is_undisturbed()


class PortClient(Client):
    """A client with a UDP socket of its own."""

    def __init__(
        self, user: str, websocket: WebSocketConnection, stream: trio.SocketStream, sock: socket.socket
    ) -> None:
        local = Address(*sock.getsockname())
        super().__init__(self.datagram, user, websocket, stream, IcePath(Address(*sock.getpeername()), local))
        self.arrived: dict[bytes, float] = {}
        """Payloads of received packets, each with the CPU seconds of this process at its arrival."""
        self.overhear: Callable[[bytes], object] | None = None
        """Called with each datagram that is sent."""
        self._socket = sock

    def datagram(self, data: bytes, _path: IcePath | None = None) -> None:
        """Send a datagram from this client's address."""
        if self.overhear is not None:
            self.overhear(data)
        self._socket.send(data)

    async def receive_datagrams(self) -> None:
        """Read the socket until cancelled; `run` does the rest."""
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            with suppress(BlockingIOError):
                while True:
                    self.receive_datagram(self._socket.recv(2048))
            self._note_arrivals()

    def _note_arrivals(self) -> None:
        worked = time.process_time()
        while self.machine.rtp:
            self.arrived[self.machine.rtp.popleft().payload] = worked
        self.machine.rtcp.clear()


class TcpClient(PortClient):
    """A client that sends and receives media over a TCP connection."""

    segment = 1 << 16
    """Maximum number of bytes in one send; 1 sends each byte separately."""
    is_stuck = False
    """Whether it stops reading its connection."""

    def datagram(self, data: bytes, _path: IcePath | None = None) -> None:
        """Send a datagram on this client's connection, without effect when the server has closed it."""
        stream = LENGTH.pack(len(data)) + data
        with suppress(BrokenPipeError, ConnectionResetError):
            for start in range(0, len(stream), self.segment):
                piece = stream[start : start + self.segment]
                assert self._socket.send(piece) == len(piece), "the server reads all the time"

    async def receive_datagrams(self) -> None:
        """Read the connection until its end."""
        deframer = Deframer()
        with suppress(trio.ClosedResourceError, ConnectionResetError):
            while True:
                await trio.lowlevel.wait_readable(self._socket)
                await becomes(lambda: self.is_stuck, False)
                data = self._socket.recv(1 << 16)
                if not data:
                    break
                for datagram in deframer.receive(data):
                    self.receive_datagram(datagram)
                self._note_arrivals()

    def hang_up(self) -> None:
        """Lose the connection; nothing is sent until `use` gives it another."""
        trio.lowlevel.notify_closing(self._socket)
        self._socket.close()
        self.budget = 0

    def use(self, sock: socket.socket) -> None:
        """Send on another connection; what arrives there is not read."""
        self._socket = sock
        self.budget = 10**9


class Call:
    """Two clients in a call. Every packet must arrive soon."""

    def __init__(self, alice: PortClient, bob: PortClient) -> None:
        self.alice = alice
        self.bob = bob
        self.sent: dict[PortClient, dict[bytes, float]] = {alice: {}, bob: {}}
        """Payloads of each client's packets that are not known to have arrived, and how much this process had
        worked when they left."""
        self.longest_wait = 0.0
        """Seconds of this process's work that a packet had to wait for."""

    async def begin(self, room: str = "call") -> None:
        """Both join and connect; return when media that they send will arrive."""
        clients = self.alice, self.bob
        for client in clients:
            await client.join(room)
            await client.publish("audio", "video")
        for client, other in (clients, clients[::-1]):
            await client.connect()
            await client.until(lambda client=client: sum(bool(x.track) for x in client.browser.lines) == 2)  # type: ignore[misc]
            await other.until(lambda other=other: other.machine.connected)  # type: ignore[misc]
        for client in clients:
            await client.ping()  # the server has its answer, without which nothing is forwarded

    async def run(self) -> None:
        """Send until cancelled."""
        number = 0
        while True:
            for client in self.sent:
                audio, video = client.browser.transceivers[:2]
                self._send(client, video, DELTA_FRAME if number % KEY_FRAME_EVERY else KEY_FRAME, number)
                if number % 2:
                    self._send(client, audio, b"opus", number)
            number += 1
            await trio.sleep(PACE)

    def _send(self, client: PortClient, transceiver: Transceiver, start: bytes, number: int) -> None:
        payload = start + f" {SECRET} {number}".encode()
        self.sent[client][payload] = time.process_time()
        client.send(transceiver, payload)

    async def is_undisturbed(self) -> None:
        """Assert that every packet sent since the last call of this method arrives."""
        for sender, receiver in ((self.alice, self.bob), (self.bob, self.alice)):
            due = set(self.sent[sender])
            await becomes(lambda due=due, receiver=receiver: due - receiver.arrived.keys(), set())  # type: ignore[misc]
            for payload in due:
                waited = receiver.arrived.pop(payload) - self.sent[sender].pop(payload)
                self.longest_wait = max(self.longest_wait, waited)
            assert receiver.closed is None
            assert receiver.heard("error") == []
            assert not any(sender.user == left["userId"] for left in receiver.heard("peer-left"))


@asynccontextmanager
async def open_websocket(http: Address) -> AsyncIterator[tuple[WebSocketConnection, trio.SocketStream]]:
    """Connect to a server's public TCP port; at the end the stream is closed without a Close frame."""
    async with trio.open_nursery() as nursery:
        stream = await trio.open_tcp_stream(*http)
        try:
            with trio.fail_after(PATIENCE):
                websocket = await wrap_client_stream(nursery, stream, str(http), "/ws")
            yield websocket, stream
        finally:
            await trio.aclose_forcefully(stream)
            nursery.cancel_scope.cancel("the client is gone")


# --- what attackers need ---


async def tell(websocket: WebSocketConnection, message_type: str, **data: Any) -> None:
    """Send one well-formed message."""
    await websocket.send_message(json.dumps({"type": message_type, "data": data}))


async def hear(websocket: WebSocketConnection, *types: str) -> dict[str, Any]:
    """Return the data of the next message of one of the types."""
    with trio.fail_after(PATIENCE):
        while True:
            message: dict[str, Any] = json.loads(await websocket.get_message())
            if message["type"] in types:
                data: dict[str, Any] = message["data"]
                return data


async def enter(websocket: WebSocketConnection, room: str = "beside the call") -> None:
    """Join an empty room: the server has nothing to offer there, so it answers offers at once."""
    await tell(websocket, "join", roomId=room, userId="mallory", name="Mallory")
    assert (await hear(websocket, "join"))["success"]


async def close_code(websocket: WebSocketConnection) -> int:
    """Return the code with which the server closes the connection."""
    with trio.fail_after(PATIENCE):
        while True:
            try:
                await websocket.get_message()
            except ConnectionClosed as closed:
                return 1006 if closed.reason is None else closed.reason.code
