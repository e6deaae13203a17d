"""A whole conference without a socket: the pure part of the server, scripted clients, and a clock that jumps.

conference = PureConference()
alice, bob = conference.enter("alice"), conference.enter("bob")
(camera,) = alice.publish("video")
conference.run(1.0)
alice.send_frames(camera)
bob.machine.rtp       # the packets that bob received
"""

import itertools
import json
from collections import Counter
from datetime import UTC, datetime
from random import Random
from typing import Any
from weakref import WeakKeyDictionary

from cffi import FFI
from support.browser_model import CHROMIUM, Browser, Numbers, Transceiver
from support.client import Remote, ScriptedClient, description_of
from support.descriptions import with_transport
from support.media import DELTA_FRAME, KEY_FRAME

from sfu.conference.conference import Conference
from sfu.conference.connection import Connection
from sfu.conference.envelope import serialize
from sfu.conference.limits import Limits
from sfu.conference.messages import Join, ServerMessage
from sfu.conference.peer import Peer
from sfu.dtls import Certificate
from sfu.ice.candidate import host_candidates
from sfu.ice.full_messages import IceRequest
from sfu.ice.path import Address, IcePath
from sfu.rtp.packet import RtpPacket
from sfu.transport.egress import PACKET_BUFFER_SIZE, Egress

SERVER = Address("192.0.2.1", 7882)
NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
STEP = 0.02
"""Seconds by which the clock advances at a time."""


class PureConference:
    """The server's pure part, its clients, and the network between them."""

    def __init__(self, limits: Limits | None = None, seed: int = 1, *, auto_subscribe: bool = True) -> None:
        self.random = Random(seed).randbytes
        self.now = 100.0
        self.certificate = Certificate.generate(NOON, self.random)
        self.candidates = tuple(str(one) for one in host_candidates([SERVER.host], SERVER.port))
        self.egress = Egress(self._send)
        self.machine = Conference(
            limits or Limits(), self._connect, self.egress, self.random, auto_subscribe=auto_subscribe
        )
        self.clients: list[PureClient] = []
        self.wake_at: dict[Peer, float] = {}
        """When each peer is due, if it is at all."""
        self._messages: WeakKeyDictionary[Peer, list[ServerMessage]] = WeakKeyDictionary()
        self._ice_requests: WeakKeyDictionary[Peer, list[IceRequest]] = WeakKeyDictionary()
        self.ports = itertools.count(40000)
        self.undeliverable = 0
        """Datagrams that the server sent to an address without a client."""

    def enter(
        self,
        user: str,
        room: str = "room",
        *,
        numbers: Numbers = CHROMIUM,
        certificate: Certificate | None = None,
    ) -> "PureClient":
        """Make a client join, and deliver its first messages. Raises `Refused`."""
        peer = self.join(Join(room_id=room, user_id=user, name=user.title()))
        client = PureClient(self, peer, numbers, certificate)
        self.clients.append(client)
        self.deliver()
        return client

    def join(self, request: Join) -> Peer:
        """Create a session, or resume the one that the request proves. Raises `Refused`."""
        admission = self.machine.admission
        return admission.join(request, admission.prove(request), self.now)

    def leave(self, client: "PureClient", reason: str = "connection lost") -> None:
        """End a client's session."""
        self.machine.remove(client.peer, reason, self.now)
        self.deliver()

    def run(self, seconds: float) -> None:
        """Let time pass: run timers, and deliver what is sent."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + STEP)
            for client in self.clients:
                client.tick()
            self.wake()
            self.deliver()

    def wake(self) -> None:
        """Let each peer do what is due, as `PeerOutput.wake_at` has said."""
        for peer, time in tuple(self.wake_at.items()):
            if time <= self.now:
                self.machine.handle_timeout(peer, self.now)

    def deliver(self) -> None:
        """Deliver messages and datagrams until none is left."""
        busy = True
        while busy:
            self.flush()
            busy = False
            for client in self.clients:
                busy = client.exchange() or busy

    def flush(self) -> None:
        """Carry out what the server has decided: messages wait in `take_messages` for their clients."""
        for output in self.machine.flush(self.now):
            if output.error is not None:
                raise output.error
            for datagram, path in output.datagrams:
                self.egress.put(datagram, path)
            self._messages.setdefault(output.peer, []).extend(output.messages)
            self._ice_requests.setdefault(output.peer, []).extend(output.ice_requests)
            self.wake_at.pop(output.peer, None)
            if output.wake_at is not None:
                self.wake_at[output.peer] = output.wake_at
        self.egress.flush()

    def take_messages(self, peer: Peer) -> list[ServerMessage]:
        """Return and clear the messages that were posted to a peer's client."""
        return self._messages.pop(peer, [])

    def take_ice_requests(self, peer: Peer) -> list[IceRequest]:
        """Return and clear the requests to the sockets of a peer's full ICE agents."""
        self.flush()
        return self._ice_requests.pop(peer, [])

    def receive(self, data: bytes, path: IcePath) -> None:
        """Deliver a datagram to the server."""
        peer = self.machine.table.route(data, path, self.now)
        if peer is not None:
            self.machine.receive(peer, data, path, self.now)

    def _connect(self, now: float) -> Connection:
        return Connection(self.certificate, self.candidates, self.random, now)

    def _send(self, egress: Egress) -> None:
        for index in range(egress.count):
            path = egress.paths[index]
            data = FFI().buffer(egress.memory + index * PACKET_BUFFER_SIZE, egress.lengths[index])[:]
            client = next((client for client in self.clients if client.path == path), None)
            if client is None:
                self.undeliverable += 1
            else:
                client.inbox.append(data)


class PureClient:
    """A client: its signaling, a browser's offers and answers, and a transport that really encrypts."""

    def __init__(
        self, conference: PureConference, peer: Peer, numbers: Numbers, certificate: Certificate | None
    ) -> None:
        self.conference = conference
        self.peer = peer
        self.path = IcePath(SERVER, Address("192.0.2.7", next(conference.ports)))
        self.browser = Browser(numbers=numbers)
        self.machine = ScriptedClient(
            random=conference.random, now=conference.now, certificate=certificate or conference.certificate
        )
        self.fingerprint = self.machine.certificate.fingerprint()
        """The certificate fingerprint in its descriptions."""
        self.inbox: list[bytes] = []
        self.messages: list[dict[str, Any]] = []
        """Messages from the server, oldest first."""
        self.answers = True
        """Whether it answers offers."""
        self.sources: dict[str, str] = {}
        self._remote: Remote | None = None
        self._sequence_numbers: Counter[int] = Counter()
        self._timestamps: Counter[int] = Counter()

    # --- signaling ---

    def say(self, message_type: str, **data: Any) -> None:
        """Send a message to the server, and deliver what follows from it."""
        text = json.dumps({"type": message_type, "data": data})
        self.conference.machine.receive_message(self.peer, text, self.conference.now)
        self.conference.deliver()

    def heard(self, message_type: str) -> list[dict[str, Any]]:
        """The data of all messages of a type so far."""
        return [message["data"] for message in self.messages if message["type"] == message_type]

    def join_again(self, *, keep: bool) -> None:
        """Resume the session with its newest token; what the server sends is not delivered yet."""
        told = self.heard("join")[-1]
        request = Join(
            room_id=self.peer.room_id,
            user_id=self.peer.user_id,
            session_id=told["sessionId"],
            session_token=told["sessionToken"],
            transport="keep" if keep else "new",
        )
        assert self.conference.join(request) is self.peer

    def publish(self, *kinds: str, source: str | None = None) -> list[Transceiver]:
        """Publish one track of each kind."""
        transceivers = [self.browser.add(kind, receives=False) for kind in kinds]
        self.offer(source)
        return transceivers

    def offer(self, source: str | None = None) -> None:
        """Make an offer of the browser's transceivers as they are."""
        sdp = self.own(self.browser.offer())
        if source is not None:
            self.sources.update(
                {line.mid: source for line in self.browser.pending or () if line.sends and line.mid is not None}
            )
        tracks = [{"mid": mid, "source": name} for mid, name in self.sources.items()]
        self.say("offer", sdp=sdp, type="offer", tracks=tracks)

    def own(self, sdp: str) -> str:
        """A description of the browser with the scripted client's transport in it."""
        return with_transport(sdp, self.machine.credentials, self.fingerprint)

    def exchange(self) -> bool:
        """Receive and answer what the server has sent; return whether there was anything."""
        busy = False
        for message in self.conference.take_messages(self.peer):
            busy = True
            self._hear(json.loads(serialize(message, NOON)))
        inbox, self.inbox = self.inbox, []
        for data in inbox:
            busy = True
            self.machine.receive(data, self.conference.now)
        for data in self.machine.outgoing(self.conference.now):
            busy = True
            self.conference.receive(data, self.path)
        return busy

    def take_ice_requests(self) -> list[IceRequest]:
        """Return and clear the requests to the sockets of the peer's full ICE agents."""
        return self.conference.take_ice_requests(self.peer)

    def tick(self) -> None:
        """Run the timers of the scripted client that are due."""
        timeout = self.machine.next_timeout()
        if timeout is not None and timeout <= self.conference.now:
            self.machine.handle_timeout(self.conference.now)

    def _hear(self, message: dict[str, Any]) -> None:
        self.messages.append(message)
        data = message["data"]
        if message["type"] == "answer":
            self.browser.receive_answer(data["sdp"])
            self.connect(data["sdp"])
        elif message["type"] in ("offer", "ice-restart-offer") and self.answers:
            answer = self.own(self.browser.answer(data["sdp"]))
            self.connect(data["sdp"])
            text = json.dumps({"type": "answer", "data": {"sdp": answer, "type": "answer"}})
            self.conference.machine.receive_message(self.peer, text, self.conference.now)

    def renew(self) -> None:
        """Replace the RTCPeerConnection."""
        self.browser = Browser()
        self.machine = ScriptedClient(
            random=self.conference.random, now=self.conference.now, certificate=self.machine.certificate
        )
        self.forget_remote()

    def forget_remote(self) -> None:
        """Treat the next description as that of another transport."""
        self._remote = None

    def connect(self, sdp: str) -> None:
        """Send connectivity checks with the credentials of a description, unless it does so already."""
        remote = description_of(sdp)
        if remote != self._remote:
            self._remote = remote
            self.machine.set_remote(remote, self.conference.now)

    # --- media ---

    def send(self, transceiver: Transceiver, payload: bytes, *, skip: int = 0) -> RtpPacket:
        """Send the next packet of a track; `skip` numbers are lost before it."""
        ssrc = transceiver.ssrc
        self._sequence_numbers[ssrc] += 1 + skip
        self._timestamps[ssrc] += 3000
        payload_type = int(self.browser.numbers.formats[transceiver.kind].split()[0])
        packet = RtpPacket(
            payload_type, True, self._sequence_numbers[ssrc], self._timestamps[ssrc], ssrc, (), (), payload
        )
        self.machine.send_rtp(packet)
        self.conference.deliver()
        return packet

    def send_frames(self, transceiver: Transceiver, count: int = 1, *, key_frame: bool = True) -> None:
        """Send `count` one-packet frames, 33 ms apart, the first of them (for video) a key frame if wanted."""
        for index in range(count):
            payload = KEY_FRAME if key_frame and index == 0 else DELTA_FRAME
            self.send(transceiver, payload if transceiver.kind == "video" else b"opus")
            self.conference.run(1 / 30)

    def received(self, ssrc: int | None = None) -> list[RtpPacket]:
        """The packets that arrived, those of one SSRC if it is given."""
        return [packet for packet in self.machine.rtp if ssrc in (None, packet.ssrc)]
