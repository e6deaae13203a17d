"""A whole server with full ICE agents on real ports, and clients whose ICE agents are aioice, unchanged.

    async with full_ice_server() as server, server.ice_client("alice") as alice:
        await alice.join()
        await alice.publish("video")        # candidates of both sides follow as messages
        await alice.connect()

A client can replace its WebSocket and its RTCPeerConnection, as a browser does that comes back.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import aioice
import trio
from support.browser_model import Browser
from support.client import ScriptedClient, description_of
from support.in_memory_server import CERTIFICATE, Client
from support.log_capture import capture_logs
from support.media import KEY_FRAME
from support.real_server import HOST, PACE, RealServer, open_websocket
from support.waiting import PATIENCE
from trio_websocket import WebSocketConnection

from sfu.ice.candidate import Candidate
from sfu.ice.credentials import Credentials
from sfu.ice.path import Address, IcePath
from sfu.shell.aio import Loop, LoopError, open_loop
from sfu.shell.config.settings import Settings
from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS, Timeouts
from sfu.shell.config.values import HostPort
from sfu.shell.media.peer_sockets import PeerSockets
from sfu.shell.server import Server
from sfu.shell.store.interface import Store
from sfu.shell.store.memory import MemoryStore

NOWHERE = IcePath(Address(HOST, 0), Address(HOST, 0))
"""Placeholder for the path of a client: aioice chooses it."""


class Generation:
    """One aioice agent, with one pair of credentials."""

    def __init__(self, loop: Loop, connection: aioice.Connection) -> None:
        self.connection = connection
        self.told = False
        """Whether its candidates have been sent to the server."""
        self._loop = loop
        self._described = trio.Event()
        self._trickle, self._trickled = trio.open_memory_channel[str](100)

    @classmethod
    async def gather(cls, loop: Loop, *, controlling: bool) -> Self:
        """Make an agent and gather its candidates."""
        connection = aioice.Connection(ice_controlling=controlling, use_ipv6=False)
        await loop.run(connection.gather_candidates)
        return cls(loop, connection)

    @property
    def credentials(self) -> Credentials:
        """The agent's own credentials."""
        return Credentials(self.connection.local_username, self.connection.local_password)

    def describe(self, sdp: str) -> None:
        """Use the server's description and the candidates in it."""
        remote = description_of(sdp)
        self.connection.remote_username, self.connection.remote_password = remote.ufrag, remote.pwd
        for line in sdp.splitlines():
            if line.startswith("a=candidate:"):
                self.hear(line)
        self._described.set()

    def hear(self, text: str) -> None:
        """Use a candidate of the server."""
        self._trickle.send_nowait(text)

    async def run(self, client: "IceClient") -> None:
        """Connect and receive until cancelled or closed."""
        loop, connection = self._loop, self.connection
        async with trio.open_nursery() as nursery:
            try:
                nursery.start_soon(self._add_candidates)
                await self._described.wait()
                await loop.run(connection.connect)
                client.use(self)
                while True:
                    client.receive_datagram(await loop.run(connection.recv))
            except (ConnectionError, LoopError):
                pass  # closed, for example by a restart
            finally:
                with trio.CancelScope(deadline=trio.current_time() + 1, shield=True):
                    await loop.run(connection.close)
                nursery.cancel_scope.cancel("it has ended")

    async def _add_candidates(self) -> None:
        await self._described.wait()
        async for text in self._trickled:
            candidate = aioice.Candidate.from_sdp(text.removeprefix("a=").removeprefix("candidate:"))
            await self._loop.run(self.connection.add_remote_candidate, candidate)


class IceClient(Client):
    """A client that sends its packets through an aioice agent."""

    def __init__(
        self,
        user: str,
        websocket: WebSocketConnection,
        stream: trio.abc.Stream,
        loop: Loop,
        first: Generation,
        nursery: trio.Nursery,
    ) -> None:
        self._out, self._leaving = trio.open_memory_channel[bytes](1000)
        super().__init__(lambda data, _path: self._out.send_nowait(data), user, websocket, stream, NOWHERE)
        self.browser.server_is_lite = False
        self.generation = first
        """The newest generation."""
        self.used: Generation | None = None
        """The generation that carries packets."""
        self.machine.credentials = first.credentials
        self._loop = loop
        self._nursery = nursery
        nursery.start_soon(first.run, self)

    # --- what a test does with it ---

    async def use_websocket(self, websocket: WebSocketConnection, stream: trio.abc.Stream) -> None:
        """Replace the WebSocket."""
        await self.vanish()
        await self.until(lambda: self.closed)
        self.websocket, self._stream, self.closed = websocket, stream, None
        self._nursery.start_soon(self._read)

    async def replace_connection(self) -> None:
        """Make another RTCPeerConnection; the server is not told that the old one is gone."""
        await self._loop.run(self.generation.connection.close)
        self.browser = Browser(server_is_lite=False)
        self.machine = ScriptedClient(random=os.urandom, now=trio.current_time(), certificate=CERTIFICATE)
        self.used = self._remote = None
        await self._renew(controlling=True)

    async def restart(self) -> None:
        """Restart ICE: offer the same m-lines with new credentials."""
        answers = len(self.heard("answer"))
        await self._renew(controlling=self.generation.connection.ice_controlling)
        await self.say("offer", sdp=self.own(self.browser.offer()), type="offer")
        await self.until(lambda: len(self.heard("answer")) > answers)

    async def leave(self) -> None:
        """Send `leave`, and wait until the server closes the WebSocket."""
        await self.say("leave")
        await self.until(lambda: self.closed)

    def candidates(self) -> list[Candidate]:
        """The server's candidates in messages so far, of all generations."""
        texts = [data["candidate"] for data in self.heard("ice-candidate")]
        return [Candidate.parse(text) for text in texts if text]

    # --- its parts ---

    def use(self, generation: Generation) -> None:
        """Send through this generation from now on; it has connected."""
        if self.used is None:
            self.machine.dtls.start(trio.current_time())
        else:
            self._nursery.start_soon(self._loop.run, self.used.connection.close)
        self.used = generation
        self.flush()
        self._wake()

    async def send_datagrams(self) -> None:
        """Send what `Client` has to send, until cancelled."""
        async for data in self._leaving:
            if self.used is not None:
                await self._loop.run(self.used.connection.send, data)

    async def _handle(self, message_type: str, data: dict[str, Any]) -> None:
        match message_type:
            case "ice-candidate":
                # An empty candidate ends the list; told of it, aioice would give up earlier.
                if data["candidate"]:
                    self.generation.hear(data["candidate"])
            case "ice-restart-offer":
                await self._renew(controlling=self.generation.connection.ice_controlling)
                await super()._handle("offer", data)
            case "offer":
                if self._remote is None:
                    self.generation.connection.ice_controlling = False
                await super()._handle("offer", data)
            case _:
                await super()._handle(message_type, data)

    async def _renew(self, *, controlling: bool) -> None:
        self.generation = await Generation.gather(self._loop, controlling=controlling)
        self.machine.credentials = self.generation.credentials
        self._nursery.start_soon(self.generation.run, self)

    def own(self, sdp: str) -> str:
        if not self.generation.told:
            self.generation.told = True
            self._nursery.start_soon(self._tell_candidates, self.generation)
        return super().own(sdp)

    async def _tell_candidates(self, generation: Generation) -> None:
        """Send our candidates to the server as messages; no description contains them."""
        for candidate in generation.connection.local_candidates:
            text = f"candidate:{candidate.to_sdp()} ufrag {generation.credentials.ufrag}"
            await self.say("ice-candidate", candidate=text)
        await self.say("ice-candidate", candidate="")

    def _connect(self, sdp: str) -> None:
        remote = description_of(sdp)
        if remote != self._remote:
            self._remote = remote
            self.machine.set_remote(remote, trio.current_time())
            self.machine.stop_checking()  # aioice sends the checks
            self.generation.describe(sdp)


@asynccontextmanager
async def open_ice_client(user: str, http: Address) -> AsyncIterator[IceClient]:
    """Connect a client to a server's public TCP port; it has not joined."""

    def failed(error: BaseException) -> None:
        raise AssertionError("nothing may fail in a client's loop") from error

    async with open_websocket(http) as (websocket, stream), open_loop(failed) as loop:
        first = await Generation.gather(loop, controlling=True)
        async with trio.open_nursery() as nursery:
            client = IceClient(user, websocket, stream, loop, first, nursery)
            nursery.start_soon(client.run)
            nursery.start_soon(client.send_datagrams)
            yield client
            nursery.cancel_scope.cancel("the client is gone")


async def call(*clients: IceClient) -> None:
    """All clients join, publish a video and connect."""
    for client in clients:
        await client.join()
        await client.publish("video")
    for client in clients:
        await client.connect()


async def flows(sender: IceClient, receiver: IceClient) -> None:
    """Assert that what one client sends on its first track arrives at the other."""
    receiver.machine.rtp.clear()
    with trio.fail_after(PATIENCE):
        while not receiver.machine.rtp:
            # Repeatedly, since packets from before the negotiation of their stream are dropped.
            sender.send(sender.browser.transceivers[0], KEY_FRAME)
            await trio.sleep(PACE)
    assert receiver.machine.rtp[0].payload == KEY_FRAME


class FullIceServer(RealServer):
    """The server, and connections to it."""

    expected: frozenset[str] = frozenset()
    """Warnings that the server may log in this test."""

    @asynccontextmanager
    async def ice_client(self, user: str) -> AsyncIterator[IceClient]:
        """A client that has not joined."""
        async with open_ice_client(user, self.http) as client:
            yield client


@asynccontextmanager
async def full_ice_server(
    store: Store | None = None, /, timeouts: Timeouts = DEFAULT_TIMEOUTS, **settings: Any
) -> AsyncIterator[FullIceServer]:
    """Run a server; at its end all its files must be closed, and it must not have logged other warnings."""
    everything: dict[str, Any] = {
        "ice_mode": "full",
        "session_ttl_sec": 0,  # a client that drops its connection is removed at once
        "http_addr": HostPort(HOST, 0),
        "announced_ips": (HOST,),
        "room_ttl_sec": 0,
        "drain_sec": 0,
        **settings,
    }
    before = len(os.listdir("/proc/self/fd"))
    with capture_logs() as log:
        media = PeerSockets(HOST)
        sfu = Server(Settings(**everything), media, store or MemoryStore("server"), timeouts=timeouts)
        async with trio.open_nursery() as nursery:
            url = await nursery.start(sfu.run)
            server = FullIceServer(sfu, media, sfu.ice_tcp, url, log)
            yield server
            sfu.stop()
    assert [entry for entry in server.complaints() if entry["event"] not in server.expected] == []
    remains = server.remains()
    assert remains["peers"] == remains["routes"] == remains["connections"] == 0
    assert remains["files"] <= before
