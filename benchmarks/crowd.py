"""Many scripted clients against a running server: real WebSockets, and real UDP from one socket.

Each client has a loopback address of its own (127.0.1.1, 127.0.1.2, …), so the server sees as many hosts, while
here one socket receives for all of them in batches. Clients negotiate like a browser, do the DTLS handshake,
check connectivity, report by RTCP; of the media that they receive they look at the sequence numbers, and
decrypt a sample. That makes a client cheap enough that fifty of them leave most of a CPU free.
"""

import json
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

import trio
from support.browser_model import CHROMIUM, Browser, Transceiver
from support.client import Remote, ScriptedClient, description_of
from support.descriptions import with_transport
from trio_websocket import ConnectionClosed, WebSocketConnection, open_websocket_url

from sfu.dtls import Certificate, SrtpProtectionProfile
from sfu.dtls.srtp import DEFAULT_PROFILES
from sfu.ice.candidate import Candidate, host_candidates
from sfu.ice.path import Address, IcePath
from sfu.rtp import extensions
from sfu.rtp.rtcp import ReceiverReport, Remb, ReportBlock
from sfu.shell.media.udp import MediaSocket

NUMBERS: Final = CHROMIUM._replace(
    extensions={
        "audio": CHROMIUM.extensions["audio"],
        "video": (f"2 {extensions.ABS_SEND_TIME.uri}", *CHROMIUM.extensions["video"]),
    }
)
"""Chromium's payload types, with the header extensions that it puts on every video packet."""

SAMPLE: Final = 101
"""Of so many packets one is decrypted; a prime, so that it is not always the same one of a frame."""

TICK: Final = 0.02
"""Seconds between two looks at the clients' timers."""

BUFFER_SIZE: Final = 64 << 20
"""Asked-for kernel buffers, in bytes: two seconds of fifty receivers, should somebody else take the CPU."""

REPORT_INTERVAL: Final = 1.0
"""Seconds between a client's RTCP reports, as browsers send them for video."""

PATIENCE: Final = 60.0
"""Seconds that everybody's joining may take."""


class Crowd:
    """All clients of one benchmark."""

    def __init__(self, url: str, server_port: int | None, nursery: trio.Nursery) -> None:
        """`url` is the page's; `server_port` the UDP port of the server, on 127.0.0.1.

        None: it has full agents, and tells each client where to send.
        """
        self.members: list[Member] = []
        self.socket = MediaSocket.open("0.0.0.0", 0, buffer_size=BUFFER_SIZE)
        self.server = None if server_port is None else Address("127.0.0.1", server_port)
        self.certificate = Certificate.generate(datetime.now(UTC), os.urandom)
        """Of all clients: making one takes time and proves nothing here."""
        self._url = url.replace("http", "ws", 1) + "/ws"
        self._nursery = nursery
        self.by_path: dict[IcePath, Member] = {}
        """Where each member's packets come from, as far as that is known."""

    async def join(
        self,
        name: str,
        room: str,
        publish: Sequence[str] = (),
        profiles: Sequence[SrtpProtectionProfile] = DEFAULT_PROFILES,
    ) -> "Member":
        """Let one more client in, who offers a track of each kind in `publish`; return it once it is there."""
        member = Member(self, len(self.members), profiles)
        self.members.append(member)
        if self.server is not None:
            member.use(self.server)
        await self._nursery.start(member.attend, self._url, name, room, publish)
        return member

    async def carry(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry datagrams and run the clients' timers until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.socket.run, self._receive, self._after_batch)
            task_status.started()
            while True:
                await trio.sleep(TICK)
                now = trio.current_time()
                for member in self.members:
                    member.handle_timeout(now)
                self.socket.egress.flush()

    def _receive(self, data: bytes, path: IcePath, now: float) -> None:
        member = self.by_path.get(path)
        if member is None:
            assert self.server is None, "one server sends everything"
            # A check of a full agent, ahead of its candidate; there will be another.
            return
        if data[0] > 127 and not 192 <= data[1] <= 223:
            member.receive_media(data)
        else:
            member.receive(data, now)

    def _after_batch(self, _now: float) -> None:
        self.socket.egress.flush()


class Member:
    """One client."""

    def __init__(self, crowd: Crowd, index: int, profiles: Sequence[SrtpProtectionProfile]) -> None:
        host = f"127.0.{1 + index // 250}.{1 + index % 250}"
        self.local = Address(host, crowd.socket.address.port)
        self.path: IcePath | None = None
        """Where it sends to, once it has been told."""
        self.browser = Browser(numbers=NUMBERS, server_is_lite=crowd.server is not None)
        self.machine = ScriptedClient(
            random=os.urandom,
            now=trio.current_time(),
            certificate=crowd.certificate,
            srtp_profiles=profiles,
        )
        self.published: list[Transceiver] = []
        self.packets = 0
        """RTP packets received."""
        self.disorder = 0
        """Packets whose sequence number did not follow the one before: with loss or reordering on the way."""
        self.verified = 0
        """Packets of the sample that were decrypted. One that cannot be raises `BadPacket`."""
        self._crowd = crowd
        self._sequence: int | None = None
        self._ssrc = 0
        self._next_report = 0.0
        self._remote: Remote | None = None
        self._websocket: WebSocketConnection | None = None

    # --- signaling ---

    async def attend(
        self,
        url: str,
        name: str,
        room: str,
        publish: Sequence[str],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Join and stay; started when the server has let the client in."""
        async with open_websocket_url(url) as self._websocket:
            await self._say("join", roomId=room, userId=name, name=name)
            try:
                while True:
                    message = json.loads(await self._websocket.get_message())
                    if message["type"] == "join":
                        self.published = [self.browser.add(kind, receives=False) for kind in publish]
                        if publish:
                            await self._say("offer", sdp=self._own(self.browser.offer()), type="offer")
                        task_status.started()
                    await self._handle(message["type"], message["data"])
            except ConnectionClosed:
                pass  # the server has stopped, which is how each run ends

    async def _handle(self, message_type: str, data: dict[str, Any]) -> None:
        match message_type:
            case "answer":
                self.browser.receive_answer(data["sdp"])
                await self._connect(data["sdp"])
            case "ice-candidate":
                self._hear(data["candidate"])
            case "offer":
                # Who offers first is controlling.
                self.machine.controlling &= self._remote is not None or self._crowd.server is not None
                answer = self._own(self.browser.answer(data["sdp"]))
                await self._connect(data["sdp"])
                await self._say("answer", sdp=answer, type="answer")
            case "error":
                raise RuntimeError(f"the server refused: {data}")

    async def _say(self, message_type: str, **data: object) -> None:
        assert self._websocket is not None
        await self._websocket.send_message(json.dumps({"type": message_type, "data": data}))

    def _own(self, sdp: str) -> str:
        return with_transport(sdp, self.machine.credentials, self._crowd.certificate.fingerprint())

    async def _connect(self, sdp: str) -> None:
        remote = description_of(sdp)
        if remote == self._remote:
            return
        self._remote = remote
        self.machine.set_remote(remote, trio.current_time())
        if self._crowd.server is None:
            for line in sdp.splitlines():
                if line.startswith("a=candidate:"):
                    self._hear(line)
            [own] = host_candidates([self.local.host], self.local.port)
            await self._say("ice-candidate", candidate=str(own))

    def _hear(self, candidate: str) -> None:
        """A full agent tells where it is; the first place is as good as any, on this host."""
        if candidate and self.path is None:
            self.use(Candidate.parse(candidate).address)

    def use(self, server: Address) -> None:
        """Send there, and take what comes from there."""
        self.path = IcePath(self.local, server)
        self.machine.server = server
        self._crowd.by_path[self.path] = self

    # --- packets ---

    def receive(self, data: bytes, now: float) -> None:
        """Take a datagram that is not RTP."""
        self.machine.receive(data, now)
        self.flush(now)

    def receive_media(self, data: bytes) -> None:
        """Take an RTP packet: count it, and look whether it is the one that had to come."""
        sequence = data[2] << 8 | data[3]
        if sequence != self._sequence:
            if self._sequence is None:
                self._ssrc = int.from_bytes(data[8:12])
            else:
                self.disorder += 1
        self._sequence = (sequence + 1) & 0xFFFF
        self.packets += 1
        if self.packets % SAMPLE == 0:
            assert self.machine.inbound is not None
            self.machine.inbound.unprotect(data)
            self.verified += 1

    def handle_timeout(self, now: float) -> None:
        """Do what is due: connectivity checks, DTLS, reports."""
        timeout = self.machine.next_timeout()
        if timeout is not None and timeout <= now:
            self.machine.handle_timeout(now)
        if self.packets and now >= self._next_report:
            self._next_report = now + REPORT_INTERVAL
            assert self._sequence is not None
            block = ReportBlock(self._ssrc, 0, 0, (self._sequence - 1) & 0xFFFF, 0, 0, 0)
            self.machine.send_rtcp([ReceiverReport(1, (block,)), Remb(1, 5_000_000, (self._ssrc,))])
        self.flush(now)

    def flush(self, now: float) -> None:
        """Put what the client has to send into the socket's batch."""
        if self.path is None:
            return
        for datagram in self.machine.outgoing(now):
            self._crowd.socket.egress.put(datagram, self.path)


@asynccontextmanager
async def gather(url: str, server_port: int | None) -> AsyncIterator[Crowd]:
    """Run an empty crowd inside the block; at its end all clients vanish. The arguments are `Crowd`'s."""
    async with trio.open_nursery() as nursery:
        crowd = Crowd(url, server_port, nursery)
        with crowd.socket:
            await nursery.start(crowd.carry)
            yield crowd
            nursery.cancel_scope.cancel("the benchmark is over")


async def until(condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    """Wait until `condition` holds. Raises RuntimeError after `seconds`."""
    with trio.move_on_after(seconds):
        while True:
            if condition():
                return
            await trio.sleep(TICK)
    raise RuntimeError(f"not within {seconds:.0f} s: {what}")


async def all_connected(crowd: Crowd) -> None:
    """Wait until media may flow to and from everybody."""
    await until(lambda: all(member.machine.connected for member in crowd.members), "everybody connected")
