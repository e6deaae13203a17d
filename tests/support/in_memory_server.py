"""A whole server in memory: its Trio shell, without a port.

WebSockets run over memory streams and datagrams over a memory channel, so a test can run on a clock that jumps,
and what is left at its end can be counted.
"""

import itertools
import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast

import trio
from cffi import FFI
from support.browser_model import Browser, Transceiver
from support.client import Remote, ScriptedClient, description_of
from support.descriptions import with_transport
from trio.testing import memory_stream_pair
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

from sfu.dtls import Certificate
from sfu.ice.path import Address, IcePath
from sfu.rtp.packet import RtpPacket
from sfu.shell.config.settings import Settings
from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS, Timeouts
from sfu.shell.config.values import HostPort
from sfu.shell.http.connection import HttpConnection
from sfu.shell.http.handshake import opening
from sfu.shell.http.websocket import ReplayStream, run_websocket
from sfu.shell.media.udp import Receive
from sfu.shell.server import Server
from sfu.shell.store.interface import Store
from sfu.shell.store.memory import MemoryStore
from sfu.transport.egress import PACKET_BUFFER_SIZE, Egress

ADDRESS = Address("192.0.2.1", 7882)
MAX_MESSAGE = 1 << 20
CERTIFICATE = Certificate.generate(datetime(2026, 1, 2, tzinfo=UTC), os.urandom)
"""Shared by all clients, since making one takes time."""


class MemoryMedia:
    """Stands in for the media socket: a memory channel in, and a callback out for each client."""

    def __init__(self) -> None:
        self.address = ADDRESS
        self.egress = Egress(self._send)
        self.clients: dict[IcePath, Callable[[bytes], None]] = {}
        self._in, self._out = trio.open_memory_channel[tuple[bytes, IcePath]](10_000)

    async def run(self, receive: Receive, after_batch: Callable[[float], None]) -> None:
        """Pass each datagram that arrives to `receive`, as a batch of its own."""
        async for data, path in self._out:
            now = trio.current_time()
            receive(data, path, now)
            after_batch(now)

    def arrive(self, data: bytes, path: IcePath) -> None:
        """Deliver a datagram to the server."""
        self._in.send_nowait((data, path))

    def _send(self, egress: Egress) -> None:
        for index in range(egress.count):
            path = egress.paths[index]
            assert path is not None
            data = FFI().buffer(egress.memory + index * PACKET_BUFFER_SIZE, egress.lengths[index])[:]
            if path in self.clients:
                self.clients[path](data)


class InMemoryServer:
    """A running server, and connections to it."""

    def __init__(self, sfu: Server, media: MemoryMedia, nursery: trio.Nursery, running: trio.Nursery) -> None:
        self.expected: tuple[type[Exception], ...] = ()
        """Exceptions that may end a WebSocket. Others fail the test."""
        self.sfu = sfu
        self.media = media
        self.nursery = nursery
        """Runs the WebSockets, which `HttpServer` runs otherwise."""
        self.running = running
        """Runs `Server.run`."""
        self._ports = itertools.count(40000)

    @asynccontextmanager
    async def websocket(self) -> AsyncIterator[tuple[WebSocketConnection, trio.abc.Stream]]:
        """A WebSocket and the stream below it; at the end the stream is closed without a Close frame."""
        near, far = memory_stream_pair()
        async with trio.open_nursery() as nursery:
            self.nursery.start_soon(self._serve, far)
            # It takes any stream, although its annotation says otherwise.
            yield await wrap_client_stream(nursery, cast(trio.SocketStream, near), "server", "/ws"), near
            await trio.aclose_forcefully(near)
            nursery.cancel_scope.cancel("the client is gone")

    @asynccontextmanager
    async def client(self, user: str) -> AsyncIterator["Client"]:
        """A client with an open WebSocket that has not joined."""
        async with self.websocket() as (websocket, near), trio.open_nursery() as nursery:
            path = IcePath(ADDRESS, Address("192.0.2.7", next(self._ports)))
            client = Client(self.media.arrive, user, websocket, near, path)
            self.media.clients[client.path] = client.receive_datagram
            await nursery.start(_run_client, client)
            try:
                yield client
            finally:
                del self.media.clients[client.path]
                with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                    await client.vanish()
                nursery.cancel_scope.cancel("the client is gone")

    async def _serve(self, stream: trio.abc.Stream) -> None:
        # As `HttpServer` does: fragments are counted from the first byte after the request.
        exchange = HttpConnection(cast(trio.SocketStream, stream))
        request = await exchange.next_request()
        assert request is not None
        try:
            unread = ReplayStream(stream, opening(request), exchange.unparsed(), MAX_MESSAGE)
            await run_websocket(
                unread, MAX_MESSAGE, self.sfu.joins.serve_websocket, DEFAULT_TIMEOUTS.websocket_close
            )
        except* self.expected:
            pass  # `HttpServer` logs any exception, and goes on
        finally:
            await trio.aclose_forcefully(stream)


@asynccontextmanager
async def in_memory_server(
    store: Store | None = None, /, *, timeouts: Timeouts = DEFAULT_TIMEOUTS, **settings: Any
) -> AsyncIterator[InMemoryServer]:
    """Run a server, by default with a store of its own; at the end it is stopped, unless it has ended."""
    settings = {"session_ttl_sec": 1, "drain_sec": 0} | settings
    media = MemoryMedia()
    sfu = Server(
        Settings(http_addr=HostPort("127.0.0.1", 0), announced_ips=(ADDRESS.host,), **settings),
        media,
        MemoryStore("server") if store is None else store,
        timeouts=timeouts,
    )
    async with trio.open_nursery() as websockets, trio.open_nursery() as running:
        await running.start(sfu.run)
        yield InMemoryServer(sfu, media, websockets, running)
        sfu.stop()


async def _run_client(client: "Client", *, task_status: trio.TaskStatus[None]) -> None:
    task_status.started()
    await client.run()


def proof_of(told: dict[str, Any]) -> dict[str, str]:
    """Return the fields of a join that resume a session; `told` is the reply to an earlier join."""
    return {name: told[name] for name in ("sessionId", "sessionToken")}


class Client:
    """A client that answers offers by itself and connects, as far as the test lets it."""

    def __init__(
        self,
        send: Callable[[bytes, IcePath], None],
        user: str,
        websocket: WebSocketConnection,
        stream: trio.abc.Stream,
        path: IcePath,
    ) -> None:
        """`send` carries a datagram on `path` to the server; `websocket` runs over `stream`."""
        self._send = send
        self._stream = stream
        self.path = path
        self.user = user
        self.websocket = websocket
        self.browser = Browser()
        self.machine = ScriptedClient(random=os.urandom, now=trio.current_time(), certificate=CERTIFICATE)
        self.fingerprint = CERTIFICATE.fingerprint()
        """The certificate fingerprint in its descriptions."""
        self.messages: list[dict[str, Any]] = []
        self.closed: ConnectionClosed | None = None
        self.reads = True
        """Whether it reads its WebSocket."""
        self.budget = 10**9
        """The number of datagrams that it may still send."""
        self._remote: Remote | None = None
        self._changed = trio.Event()
        self.numbers: Counter[int] = Counter()
        """The last sequence number of each SSRC that it sends."""

    # --- what a test does with it ---

    async def say(self, message_type: str, **data: Any) -> None:
        """Send a message."""
        await self.websocket.send_message(json.dumps({"type": message_type, "data": data}))

    async def join(self, room: str = "room") -> None:
        """Join a room."""
        await self.say("join", roomId=room, userId=self.user, name=self.user.title())
        await self.until(lambda: self.heard("room-state"))

    async def resume(self, told: dict[str, Any], transport: str = "new", room: str = "room") -> dict[str, Any]:
        """Join a room with the session of `told`, the reply to an earlier join; return the new reply."""
        states = len(self.heard("room-state"))
        proof = proof_of(told)
        await self.say("join", roomId=room, userId=self.user, name="Back", transport=transport, **proof)
        await self.until(lambda: len(self.heard("room-state")) > states)
        return self.heard("join")[-1]

    async def ping(self) -> None:
        """Send `ping` and wait for `pong`: the server has then handled all earlier messages."""
        pongs = len(self.heard("pong"))
        await self.say("ping")
        await self.until(lambda: len(self.heard("pong")) > pongs)

    async def publish(self, *kinds: str) -> list[Transceiver]:
        """Offer a track of each kind and wait for the answer."""
        transceivers = [self.browser.add(kind, receives=False) for kind in kinds]
        answers = len(self.heard("answer"))
        await self.say("offer", sdp=self.own(self.browser.offer()), type="offer")
        await self.until(lambda: len(self.heard("answer")) > answers)
        return transceivers

    async def connect(self) -> None:
        """Connect, and wait until media may flow."""
        await self.until(lambda: self.machine.connected)

    def send(self, transceiver: Transceiver, *payloads: bytes) -> None:
        """Send a frame of a published track, a packet for each payload."""
        payload_type = int(self.browser.numbers.formats[transceiver.kind].split()[0])
        ssrc, timestamp = transceiver.ssrc, (self.numbers[transceiver.ssrc] + 1) * 3000
        for payload in payloads:
            self.numbers[ssrc] += 1
            marker, number = payload is payloads[-1], self.numbers[ssrc]
            self.machine.send_rtp(RtpPacket(payload_type, marker, number, timestamp, ssrc, (), (), payload))
        self.flush()

    async def vanish(self) -> None:
        """Close the stream without a Close frame."""
        await trio.aclose_forcefully(self._stream)

    @property
    def close_code(self) -> int | None:
        """The close code of its WebSocket; None while it is open, and if it broke without one."""
        return self.closed.reason.code if self.closed and self.closed.reason else None

    def heard(self, message_type: str) -> list[dict[str, Any]]:
        """The data of all messages of a type so far."""
        return [message["data"] for message in self.messages if message["type"] == message_type]

    async def until(self, condition: Callable[[], object], seconds: float = 60.0) -> None:
        """Wait until something received makes `condition` true; fail with what was received otherwise."""
        with trio.move_on_after(seconds) as patience:
            while not condition():
                await self._changed.wait()
        if patience.cancelled_caught:
            types = " ".join(message["type"] for message in self.messages[-20:])
            raise AssertionError(f"{self.user} waits in vain: closed {self.closed}, heard at last {types}")

    # --- its parts ---

    async def run(self) -> None:
        """Read the WebSocket and run the transport's timers."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read)
            nursery.start_soon(self._tick)

    def receive_datagram(self, data: bytes) -> None:
        """Take a datagram from the server."""
        self.machine.receive(data, trio.current_time())
        self.flush()
        self._wake()

    async def _read(self) -> None:
        try:
            while self.reads:
                message = json.loads(await self.websocket.get_message())
                self.messages.append(message)
                await self._handle(message["type"], message["data"])
                self._wake()
        except ConnectionClosed as closed:
            self.closed = closed
            self._wake()

    async def _handle(self, message_type: str, data: dict[str, Any]) -> None:
        if message_type == "answer":
            self.browser.receive_answer(data["sdp"])
            self._connect(data["sdp"])
        elif message_type == "offer":
            lost = self.browser.pending is not None
            answer = self.own(self.browser.answer(data["sdp"]))
            self._connect(data["sdp"])
            await self.say("answer", sdp=answer, type="answer")
            if lost:
                # Both sides made an offer at once; as the polite peer of perfect negotiation it rolls back.
                await self.say("offer", sdp=self.own(self.browser.offer()), type="offer")

    async def _tick(self) -> None:
        while True:
            await trio.sleep(0.02)
            now = trio.current_time()
            timeout = self.machine.next_timeout()
            if timeout is not None and timeout <= now:
                self.machine.handle_timeout(now)
                self.flush()

    def flush(self) -> None:
        """Send what the scripted client has to send."""
        for datagram in self.machine.outgoing(trio.current_time()):
            if self.budget:
                self.budget -= 1
                self._send(datagram, self.path)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def _connect(self, sdp: str) -> None:
        remote = description_of(sdp)
        if remote != self._remote:
            self._remote = remote
            self.machine.set_remote(remote, trio.current_time())

    def own(self, sdp: str) -> str:
        """A description of the browser with the scripted client's transport in it."""
        return with_transport(sdp, self.machine.credentials, self.fingerprint)
