"""Helpers of the DTLS tests: seeded randomness, fixed certificates, two ends in memory, a lossy network."""

import heapq
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from itertools import count
from typing import Literal, Protocol, TypedDict, Unpack

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from sfu.dtls import Certificate, DtlsConfiguration, DtlsConnection, Event, SrtpProtectionProfile
from sfu.dtls.certificate import VALIDITY
from sfu.dtls.groups import NamedGroup
from sfu.dtls.signatures import PrivateKey
from sfu.dtls.suites import CipherSuite

MADE_AT = datetime(2026, 1, 1, tzinfo=UTC)


def seeded(seed: int) -> Callable[[int], bytes]:
    """A source of random bytes that is the same in every run."""
    return random.Random(seed).randbytes


@cache
def certificate(seed: int) -> Certificate:
    """A certificate for this seed, the same in every run."""
    return Certificate.generate(MADE_AT, seeded(seed))


def self_signed(key: PrivateKey) -> Certificate:
    """A certificate for a key of any kind."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(MADE_AT)
        .not_valid_after(MADE_AT + VALIDITY)
        .sign(key, hashes.SHA256())
    )
    return Certificate(built.public_bytes(Encoding.DER), key)


class Options(TypedDict, total=False):
    """The fields of `DtlsConfiguration` that tests vary."""

    srtp_profiles: Sequence[SrtpProtectionProfile]
    mtu: int
    key_log: Callable[[str], None] | None
    initial_timeout: float
    max_timeout: float
    cookie_exchange: bool
    suites: Sequence[CipherSuite]
    groups: Sequence[NamedGroup]


SERVER_SEED = 1
CLIENT_SEED = 2


def connection(role: Literal["server", "client"], seed: int = 0, **options: Unpack[Options]) -> DtlsConnection:
    """One end, with the certificate of its role."""
    own = SERVER_SEED if role == "server" else CLIENT_SEED
    return DtlsConnection(role, DtlsConfiguration(certificate(own), seeded(1000 * seed + own), **options))


class End(Protocol):
    """The methods of an end that the network uses."""

    def receive(self, data: bytes, now: float) -> None: ...
    def outgoing(self, now: float) -> list[bytes]: ...
    def next_timeout(self) -> float | None: ...
    def handle_timeout(self, now: float) -> None: ...


def pump(a: End, b: End, now: float = 0.0) -> None:
    """Carry datagrams between two ends until both are silent."""
    for _ in range(20):
        ahead, back = a.outgoing(now), b.outgoing(now)
        if not ahead and not back:
            return
        for datagram in ahead:
            b.receive(datagram, now)
        for datagram in back:
            a.receive(datagram, now)
    raise AssertionError("the two ends never stop sending")


def connected_pair(**options: Unpack[Options]) -> tuple[DtlsConnection, DtlsConnection]:
    """A client and a server that have completed their handshake. Their events have been fetched."""
    client, server = connection("client", **options), connection("server", **options)
    client.start(0.0)
    pump(client, server)
    for end in (client, server):
        (completed,) = end.events()
        assert type(completed).__name__ == "HandshakeCompleted"
    return client, server


class Fate:
    """How a lossy network treats datagrams, decided by a seed."""

    def __init__(self, seed: int, *, loss: float, duplication: float = 0.1, delay: float = 0.2) -> None:
        self._random = random.Random(seed)
        self._loss = loss
        self._duplication = duplication
        self._delay = delay

    def delays(self) -> list[float]:
        """The delays of the copies of one datagram, in seconds; none if it is lost."""
        draw = self._random
        copies = 1 + (draw.random() < self._duplication)
        return [0.01 + draw.random() * self._delay for _ in range(copies) if draw.random() >= self._loss]


def run(a: End, b: End, fate: Fate, *, done: Callable[[], bool], until: float = 3600.0) -> float:
    """Connect two ends by a lossy network with a virtual clock; return the time when `done` became true."""
    now = 0.0
    order = count()
    flying: list[tuple[float, int, End, bytes]] = []
    while now < until:
        for sender, receiver in ((a, b), (b, a)):
            for datagram in sender.outgoing(now):
                for delay in fate.delays():
                    heapq.heappush(flying, (now + delay, next(order), receiver, datagram))
        if done():
            return now
        times = [time for time in (a.next_timeout(), b.next_timeout()) if time is not None]
        if flying:
            times.append(flying[0][0])
        if not times:
            raise AssertionError("both ends wait and no datagram is in flight")
        now = max(now, min(times))
        while flying and flying[0][0] <= now:
            _, _, receiver, datagram = heapq.heappop(flying)
            receiver.receive(datagram, now)
        a.handle_timeout(now)
        b.handle_timeout(now)
    raise AssertionError(f"not done after {until} s")


def kinds(events: Sequence[Event]) -> list[str]:
    """The events' class names."""
    return [type(event).__name__ for event in events]
