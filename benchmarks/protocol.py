"""CPU time of the protocol core beside other people's: one RTP packet, one DTLS handshake.

    python -m benchmarks.protocol

prints one JSON object. Every round runs all contestants one after the other, over and over for a while, so that
a ratio compares two runs of the same seconds; reported are the medians of the rounds. What each does:

* *RTP, carried*: parse a packet with four header extensions and serialize it again, extensions as bytes. dpkt
  does not look into the extension block at all.
* *RTP, understood*: the same, and the values of the four extensions are decoded and encoded.
* *DTLS*: client and server from nothing to SRTP contexts on both sides, certificates made before: ECDHE, both
  certificates verified by fingerprint. aiortc's end is its own `RTCDtlsTransport` on OpenSSL.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from random import Random
from statistics import median
from typing import Any, Final, cast

import dpkt.rtp
from aiortc import rtp as aiortc_rtp
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsTransport
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters

from sfu.dtls import (
    Certificate,
    ConnectionState,
    DtlsConfiguration,
    DtlsConnection,
    HandshakeCompleted,
    fingerprint_matches,
)
from sfu.rtp import extensions
from sfu.rtp.packet import RtpPacket
from sfu.rtp.srtp import InboundSrtp, OutboundSrtp

IDS: Final[dict[int, extensions.HeaderExtension[Any]]] = {
    1: extensions.MID,
    2: extensions.ABS_SEND_TIME,
    3: extensions.AUDIO_LEVEL,
    4: extensions.TRANSPORT_SEQUENCE_NUMBER,
}
"""Four that aiortc knows too, as a browser sends them with its microphone."""

PACKET: Final = RtpPacket(
    111,
    True,
    4711,
    960 * 4711,
    0x1234_5678,
    (),
    ((1, b"0"), (2, b"\x12\x34\x56"), (3, b"\xb0"), (4, b"\x00\x2a")),
    bytes(range(256)) * 4,
).serialize()

MAP: Final = aiortc_rtp.HeaderExtensionsMap()
MAP.configure(
    RTCRtpParameters(
        headerExtensions=[
            RTCRtpHeaderExtensionParameters(id=number, uri=extension.uri) for number, extension in IDS.items()
        ]
    )
)

NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)


def carried_by_us() -> bytes:
    """Parse and serialize."""
    return RtpPacket.parse(PACKET).serialize()


def carried_by_dpkt() -> bytes:
    """Parse and serialize."""
    return bytes(dpkt.rtp.RTP(PACKET))


def understood_by_us() -> bytes:
    """Parse, decode the extensions, encode them, serialize."""
    packet = RtpPacket.parse(PACKET)
    packet.extensions = tuple(
        [(number, IDS[number].encode(IDS[number].decode(data))) for number, data in packet.extensions]
    )
    return packet.serialize()


def understood_by_aiortc() -> bytes:
    """The same, as aiortc always does it."""
    serialized: bytes = aiortc_rtp.RtpPacket.parse(PACKET, MAP).serialize(MAP)
    return serialized


class OurHandshake:
    """Both ends by `sfu.dtls`."""

    def __init__(self) -> None:
        self.random = Random(1).randbytes
        self.certificates = [Certificate.generate(NOW, self.random) for _ in range(2)]

    async def __call__(self) -> None:
        """One handshake."""
        ours, theirs = (DtlsConfiguration(certificate, self.random) for certificate in self.certificates)
        client = DtlsConnection("client", ours)
        ends = [client, DtlsConnection("server", theirs)]
        client.start(0.0)
        while any(end.state is ConnectionState.HANDSHAKING for end in ends):
            for end, other in (ends, ends[::-1]):
                for datagram in end.outgoing(0.0):
                    other.receive(datagram, 0.0)
        for end, certificate in zip(ends, self.certificates[::-1], strict=True):
            [completed] = [event for event in end.events() if isinstance(event, HandshakeCompleted)]
            algorithm, value = certificate.fingerprint().split()
            assert fingerprint_matches(completed.peer_certificate, (algorithm, value))
            keys = end.srtp_keys()
            profile = keys.profile.name
            OutboundSrtp(profile, keys.local_key, keys.local_salt)
            InboundSrtp(profile, keys.remote_key, keys.remote_salt)


class QueueTransport:
    """What aiortc takes for an ICE transport: datagrams go into the other's queue."""

    def __init__(self, role: str) -> None:
        self.role = role
        """By this aiortc chooses its DTLS role."""
        self.other: QueueTransport = self
        self.inbox: asyncio.Queue[bytes] = asyncio.Queue()

    async def _send(self, data: bytes) -> None:
        self.other.inbox.put_nowait(data)

    async def _recv(self) -> bytes:
        return await self.inbox.get()


class AiortcHandshake:
    """Both ends by aiortc, whose server is the controlling end."""

    def __init__(self) -> None:
        self.certificates = [RTCCertificate.generateCertificate() for _ in range(2)]

    async def __call__(self) -> None:
        """One handshake."""
        transports = [QueueTransport("controlled"), QueueTransport("controlling")]
        transports[0].other, transports[1].other = transports[1], transports[0]
        ends = [
            RTCDtlsTransport(cast("Any", transport), [certificate])
            for transport, certificate in zip(transports, self.certificates, strict=True)
        ]
        first, second = ends
        await asyncio.gather(first.start(second.getLocalParameters()), second.start(first.getLocalParameters()))
        assert first.state == second.state == "connected"
        for end in ends:
            assert end._task is not None, "it goes on to receive"
            end._task.cancel()


def cpu_of(work: Callable[[], object], seconds: float) -> float:
    """Microseconds of CPU time that one call takes, over about `seconds` of them."""
    calls = 0
    begin = now = time.process_time()
    while now - begin < seconds:
        for _ in range(200):
            work()
        calls += 200
        now = time.process_time()
    return (now - begin) / calls * 1e6


async def cpu_of_handshake(work: Callable[[], Awaitable[None]], seconds: float) -> float:
    """The same of something to await."""
    calls = 0
    begin = now = time.process_time()
    while now - begin < seconds:
        await work()
        calls += 1
        now = time.process_time()
    return (now - begin) / calls * 1e6


async def measure(rounds: int, seconds: float) -> dict[str, float]:
    """Medians over the rounds, in microseconds of CPU time."""
    ours, theirs = OurHandshake(), AiortcHandshake()
    taken: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, work in (
            ("rtp_carried_sfu", carried_by_us),
            ("rtp_carried_dpkt", carried_by_dpkt),
            ("rtp_understood_sfu", understood_by_us),
            ("rtp_understood_aiortc", understood_by_aiortc),
        ):
            taken.setdefault(name, []).append(cpu_of(work, seconds))
        for name, handshake in (("dtls_sfu", ours), ("dtls_aiortc", theirs)):
            taken.setdefault(name, []).append(await cpu_of_handshake(handshake, seconds))
    return {name: median(values) for name, values in taken.items()}


def main() -> None:
    """Check that all do the same, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.protocol", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.3, help="of CPU time for each contestant and round")
    options = parser.parse_args()
    for work in (carried_by_us, carried_by_dpkt, understood_by_us, understood_by_aiortc):
        assert work() == PACKET, work.__name__
    result: dict[str, Any] = asyncio.run(measure(options.rounds, options.seconds))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
