"""A scripted client and a `PeerTransport` with a list of datagrams between them, on a clock that jumps."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from random import Random

from support.client import Remote, ScriptedClient

from sfu.dtls import Certificate
from sfu.ice.credentials import make_credentials
from sfu.ice.path import Address, IcePath
from sfu.sdp.attributes import Fingerprint
from sfu.sdp.transport import RemoteTransport
from sfu.transport.peer import PeerTransport, TransportEvent
from sfu.transport.receive_stream import MediaPacket

SERVER = Address("192.0.2.1", 7882)
CLIENT = Address("198.51.100.7", 50000)

Network = Callable[[bytes], list[tuple[float, bytes]]]
"""What the network does to one datagram: (delay in seconds, bytes) for each copy that arrives."""


def perfect(data: bytes) -> list[tuple[float, bytes]]:
    """Every datagram arrives, after a millisecond."""
    return [(0.001, data)]


@cache
def certificate(seed: int) -> Certificate:
    """A certificate, always the same for a seed: making one takes milliseconds."""
    return Certificate.generate(datetime(2026, 1, 1, tzinfo=UTC), Random(seed).randbytes)


def fingerprint(of: Certificate) -> Fingerprint:
    """The certificate's fingerprint as in SDP."""
    return Fingerprint.parse(of.fingerprint())


class Link:
    """A client and a server transport with a network between them, driven in virtual time."""

    def __init__(
        self,
        *,
        seed: int = 1,
        client: ScriptedClient | None = None,
        network: Network = perfect,
        now: float = 100.0,
    ) -> None:
        self.random = Random(seed)
        self.now = now
        self.network = network
        self.path = IcePath(SERVER, CLIENT)
        self.transport = PeerTransport(
            credentials=make_credentials(self.random.randbytes),
            certificate=certificate(1),
            random=self.random.randbytes,
            now=now,
        )
        self.client = client or ScriptedClient(
            random=self.random.randbytes, now=now, certificate=certificate(2)
        )
        self.credentials = self.transport.ufrags()
        self.events: list[TransportEvent] = []
        self.media: list[MediaPacket] = []
        """The media packets that the transport returned for forwarding."""
        self.sent: list[tuple[bytes, IcePath]] = []
        """Everything that the transport sent."""
        self._in_flight: list[tuple[float, int, str, bytes]] = []
        self._serial = 0

    def remote_of_client(self) -> RemoteTransport:
        """The client's transport as its description states it."""
        client = self.client
        return RemoteTransport(
            client.credentials.ufrag,
            client.credentials.pwd,
            (fingerprint(client.certificate),),
            client.setup,
        )

    def describe(self, ufrag_and_pwd: tuple[str, str] | None = None) -> None:
        """Exchange descriptions."""
        local = ufrag_and_pwd or self.transport.credentials
        self.client.set_remote(Remote(*local, fingerprint(certificate(1))), self.now)
        self.transport.set_remote(self.remote_of_client(), self.now)

    def connect(self) -> "Link":
        """Exchange descriptions and run until media may flow."""
        self.describe()
        self.run_until(lambda: self.client.connected and self.transport.send_context.srtp is not None, 30.0)
        return self

    def pump(self) -> None:
        """Put what both have to send on the network."""
        for data in self.client.outgoing(self.now):
            self._send("server", data)
        for data, path in self.transport.outgoing(self.now):
            self.sent.append((data, path))
            if path == self.path:
                self._send("client", data)
        self.events += self.transport.events()

    def _send(self, to: str, data: bytes) -> None:
        for delay, copy in self.network(data):
            self._serial += 1
            self._in_flight.append((self.now + delay, self._serial, to, copy))

    def step(self, until: float) -> None:
        """Advance to the next arrival or timer, or to `until` if that is earlier."""
        self.pump()
        times = [self.transport.next_timeout(), self.client.next_timeout()]
        due = min((time for time in times if time is not None), default=until)
        arrival = min(self._in_flight, default=None)
        if arrival is not None and arrival[0] <= min(due, until):
            self._in_flight.remove(arrival)
            self.now = max(self.now, arrival[0])
            if arrival[2] == "server":
                media = self.transport.receive(arrival[3], self.path, self.now)
                if media is not None:
                    self.media.append(media)
            else:
                self.client.receive(arrival[3], self.now)
        else:
            self.now = max(self.now, min(due, until))
            self.transport.handle_timeout(self.now)
            self.client.handle_timeout(self.now)
        self.pump()

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self.now < end:
            self.step(end)

    def run_until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Let time pass until a condition is true; fail if that does not happen in time."""
        end = self.now + seconds
        while not condition():
            assert self.now < end, "it did not happen in time"
            self.step(end)
