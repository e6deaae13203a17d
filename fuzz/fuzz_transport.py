"""A peer's transport under any datagrams and ticks: it never raises, spins, amplifies or grows without bound.

The input is a script: each step is a byte that says what, a byte of detail, a byte of length and that many
bytes. DTLS has a harness of its own; here its handshake is over at once, or (by the first byte) never begins,
so that the steps reach what lies behind it: packets that are protected with the right keys.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from random import Random

from deadlines import run_due

from sfu.dtls import Certificate, ConnectionState, DtlsStatistics, HandshakeCompleted, SrtpKeys
from sfu.dtls import Event as DtlsEvent
from sfu.dtls.srtp import SrtpProtectionProfile
from sfu.errors import BadPacket
from sfu.ice import attributes as a
from sfu.ice.credentials import Credentials
from sfu.ice.path import Address, IcePath
from sfu.ice.stun import MessageClass, StunMessage
from sfu.ice.validated_paths import MAX_PATHS
from sfu.rtp import extensions
from sfu.rtp.srtp import MAX_INBOUND_SSRCS, MAX_PLAINTEXT, MAX_REPORTERS, OutboundSrtp
from sfu.sdp.attributes import Fingerprint
from sfu.sdp.codecs import Codec
from sfu.sdp.mline import Receiver
from sfu.sdp.transport import RemoteTransport
from sfu.transport.demux import RouteTable
from sfu.transport.peer import PeerTransport
from sfu.transport.send_context import SendContext
from sfu.transport.send_stream import SendStream

TARGETS = ("sfu.transport", "sfu.ice.lite", "sfu.ice.validated_paths")
"""What the inputs' coverage is measured on."""

MAX_STEPS = 100
MAX_ANSWERS = 40
"""Datagrams that one step may give rise to: retransmissions for a NACK, mostly."""

PATHS = [IcePath(None, Address(f"192.0.2.{number}", 5000)) for number in range(32)]
NAMES = {1: extensions.MID.uri, 2: extensions.RID.uri, 3: extensions.TRANSPORT_SEQUENCE_NUMBER.uri}
VP8 = Codec(96, "VP8", 90000, feedback=frozenset({"nack", "nack pli"}), rtx_payload_type=97)
OPUS = Codec(111, "opus", 48000, 2)
NEGOTIATIONS: list[list[Receiver]] = [
    [],
    [Receiver("0", "audio", active=True, codecs=(OPUS,), extensions=NAMES)],
    [Receiver("1", "video", active=True, codecs=(VP8,), extensions=NAMES, ssrcs=(1,), rtx_ssrcs={1: 2})],
    [Receiver("1", "video", active=True, codecs=(VP8,), extensions=NAMES, rids=("h", "l"))],
    [Receiver("1", "video", active=False, codecs=(VP8,), extensions=NAMES)],
]
FROM_PEER = (bytes(range(16)), bytes(range(12)))
KEYS = SrtpKeys(SrtpProtectionProfile.AEAD_AES_128_GCM, bytes(16), bytes(12), *FROM_PEER)


class FinishedDtls:
    """What a transport sees of a DTLS connection whose handshake is over at the first datagram."""

    def __init__(self, certificate: bytes) -> None:
        self.state = ConnectionState.HANDSHAKING
        self._completed: list[DtlsEvent] = [HandshakeCompleted(certificate, KEYS.profile, "", "")]

    def receive(self, data: bytes, now: float) -> None:
        """Anything is good."""
        self.state = ConnectionState.CONNECTED

    def events(self) -> list[DtlsEvent]:
        """Completion, once."""
        if self.state is ConnectionState.HANDSHAKING:
            return []
        events, self._completed = self._completed, []
        return events

    def outgoing(self, now: float) -> list[bytes]:
        """Nothing to say."""
        return []

    def next_timeout(self) -> float | None:
        """Nothing to retransmit."""
        return None

    def handle_timeout(self, now: float) -> None:
        """Nothing to retransmit."""

    def close(self, now: float) -> None:
        """Gone."""

    def srtp_keys(self) -> SrtpKeys:
        """The keys that this harness protects with."""
        return KEYS

    def statistics(self) -> DtlsStatistics:
        """Nothing to count."""
        return DtlsStatistics(0, 0, 0, {})


class Script:
    """One transport, its table, and what the steps do to them."""

    def __init__(self, certificate: Certificate, *, finished: bool) -> None:
        self.random = Random(1)
        self.now = 100.0
        self.generation = 0
        self.transport = PeerTransport(
            credentials=Credentials("g0", "password"),
            certificate=certificate,
            random=self.random.randbytes,
            now=self.now,
            history_depth=16,
        )
        self.slot = SendStream(
            kind="video",
            ssrc=7,
            rtx_ssrc=8,
            cname="x",
            send_context=self.transport.send_context,
            random=self.random.randbytes,
        )
        self.slot.negotiate([VP8], {}, "9")
        self.transport.add_sender(self.slot)
        if finished:
            self.transport._channel.dtls = FinishedDtls(certificate.der)  # type: ignore[assignment]
        algorithm, value = certificate.fingerprint().split()
        self.remote = RemoteTransport("them", "password", (Fingerprint(algorithm, value),), "active")
        self.table: RouteTable[PeerTransport] = RouteTable(PeerTransport.has_consent)
        self.table.add(self.transport, self.transport.ufrags())
        self.srtp = OutboundSrtp("AEAD_AES_128_GCM", *FROM_PEER)

    def step(self, what: int, detail: int, data: bytes) -> None:
        """Do one thing."""
        transport, now = self.transport, self.now
        path = PATHS[detail % len(PATHS)]
        match what % 10:
            case 0:
                self.deliver(data, path)
            case 1:
                self.deliver(self.check(nominate=bool(detail & 32), newest=bool(detail & 64)), path)
            case 2:
                # RTP from a few SSRCs, so that streams get more than one packet.
                header = bytes((0x80 | detail & 0x30, *data[:3])).ljust(8, b"\0") + bytes((0, 0, 0, detail & 7))
                self.deliver_protected(self.srtp.protect, (header + data[3:])[:MAX_PLAINTEXT])
            case 3 if len(data) >= 8:
                self.deliver_protected(self.srtp.protect_rtcp, data[: len(data) & ~3])
            case 4:
                self.now += detail / 50
                self.tick()
            case 5:
                transport.set_receivers(NEGOTIATIONS[detail % len(NEGOTIATIONS)], now)
            case 6:
                transport.set_remote(self.remote, now)
            case 7 if not transport.ended:
                self.generation += 1
                transport.restart_ice(Credentials(f"g{self.generation}", "password"), now)
            case 8:
                self.slot.bind(next(iter(transport.streams), None), now)
            case 9 if detail == 255:
                transport.close(now)
        self.check_bounds()

    def check(self, *, nominate: bool, newest: bool) -> bytes:
        """A connectivity check with the server's password; after the end, with the last one."""
        names = self.transport.ufrags()
        ufrag = names[-1 if newest else 0] if names else f"g{self.generation}"
        flag = ((a.USE_CANDIDATE, True),) if nominate else ()
        message = StunMessage(MessageClass.REQUEST, bytes(12), ((a.USERNAME, f"{ufrag}:them"), *flag))
        return message.serialize(b"password")

    def deliver(self, data: bytes, path: IcePath) -> None:
        """A datagram arrives at the socket."""
        if self.table.route(data, path, self.now) is not None:
            self.transport.receive(data, path, self.now)

    def deliver_protected(self, protect: Callable[[bytes], bytes], data: bytes) -> None:
        """A packet arrives that is encrypted as it should be."""
        try:
            protected = protect(data)
        except BadPacket:
            # Too malformed for libsrtp to encrypt, so its counterpart would not look at it either.
            return
        self.deliver(protected, PATHS[0])

    def tick(self) -> None:
        """Whatever is due by now happens, each at its time, and none again at once."""
        run_due(self.transport, self.now, self.check_bounds)

    def check_bounds(self) -> None:
        """Take what the transport has to say, and check that all of it is bounded."""
        transport = self.transport
        assert len(transport.outgoing(self.now)) <= MAX_ANSWERS
        self.table.apply(transport, transport.events())
        assert self.table.routes() <= MAX_PATHS + 2
        assert len(list(transport.streams)) <= 4
        inbound = transport._channel._inbound
        assert inbound is None or inbound.ssrc_count <= MAX_INBOUND_SSRCS + MAX_REPORTERS
        send_context: SendContext = transport.send_context
        assert (send_context.srtp is None) == (send_context.path is None)
        assert send_context.path == (transport.selected if send_context.srtp else None)

    def end(self) -> None:
        """Close; then nothing may be left."""
        transport = self.transport
        transport.close(self.now)
        self.check_bounds()
        assert transport.ended
        assert transport.next_timeout() is None
        assert transport.send_context.srtp is None
        assert list(transport.streams) == []
        assert self.slot.source is None
        assert self.table.routes() == 0
        self.srtp.close()


# One for all inputs: making it takes longer than a script.
CERTIFICATE = Certificate.generate(datetime(2026, 1, 1, tzinfo=UTC), Random(1).randbytes)


def one_input(data: bytes) -> None:
    """Run one script."""
    script = Script(CERTIFICATE, finished=not data[:1].startswith(b"\xff"))
    offset = 1
    for _ in range(MAX_STEPS):
        if offset + 3 > len(data):
            break
        what, detail, length = data[offset : offset + 3]
        offset += 3
        script.step(what, detail, data[offset : offset + length])
        offset += length
    script.end()
