"""A scripted WebRTC client: the peer's side of one transport without a browser.

It is a machine like those in `sfu`: no socket, no clock. It checks connectivity as a controlling full agent,
does the DTLS handshake as the client, compares the server's fingerprint, and speaks SRTP. Its driver carries
the datagrams: between two lists in a test, over a socket in a load generator.

    client = ScriptedClient(random=os.urandom, now=now)
    client.set_remote(description_of(offer_or_answer), now)
    for datagram in client.outgoing(now): ...        # send to the server
    client.receive(datagram, now)                     # from the server
    client.send_rtp(packet)                           # once client.connected
"""

import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from sfu.dtls import (
    Certificate,
    DtlsConfiguration,
    DtlsConnection,
    HandshakeCompleted,
    SrtpProtectionProfile,
    fingerprint_matches,
)
from sfu.dtls.srtp import DEFAULT_PROFILES
from sfu.errors import BadPacket
from sfu.ice import attributes as a
from sfu.ice.credentials import Credentials, make_credentials
from sfu.ice.path import Address
from sfu.ice.stun import MessageClass, StunMessage
from sfu.rtp.packet import RtpPacket
from sfu.rtp.rtcp import RtcpPacket, parse_compound, serialize_compound
from sfu.rtp.srtp import InboundSrtp, OutboundSrtp

CHECK_INTERVAL = 0.05
"""Seconds between checks until one is answered (RFC 8445 section 14.2)."""

KEEPALIVE_INTERVAL = 2.66
"""Seconds between checks afterwards, as Chromium does."""

CONSENT_INTERVAL = 5.5
"""Seconds between Firefox's."""

MAX_RECEIVED = 100_000
"""Received packets that are kept for the test to read."""


@dataclass(frozen=True, slots=True)
class Remote:
    """What a description says about the server's transport."""

    ufrag: str
    pwd: str
    fingerprint: tuple[str, str]


def description_of(sdp: str) -> Remote:
    """The transport in an SDP text: the first line of each kind counts."""

    def value(name: str) -> str:
        return next(line.split(":", 1)[1] for line in sdp.splitlines() if line.startswith(f"a={name}:"))

    algorithm, hexadecimal = value("fingerprint").split()
    return Remote(value("ice-ufrag"), value("ice-pwd"), (algorithm, hexadecimal))


class ScriptedClient:
    """One client. Tests read its public attributes."""

    def __init__(
        self,
        *,
        random: Callable[[int], bytes],
        now: float,
        srtp_profiles: Sequence[SrtpProtectionProfile] = DEFAULT_PROFILES,
        certificate: Certificate | None = None,
        dtls_role: Literal["client", "server"] = "client",
    ) -> None:
        """`certificate` may be shared by many clients; else one is made."""
        self.certificate = certificate or Certificate.generate(datetime.now(UTC), random)
        self.credentials = make_credentials(random)
        self.nominates = True
        """Whether checks carry USE-CANDIDATE once one was answered."""
        self.renominates = True
        """Whether checks go on to nominate after a nomination, as Chromium's do. Firefox's do not: those that
        follow are for consent alone, and come more slowly."""
        self.controlling = True
        """Whether it nominates. If not, a full agent at the other end does."""
        self.server: Address | None = None
        """Where a full agent's checks come from, if there is one; a lite one sends none."""
        self.validated = False
        """A check was answered."""
        self.nominated = False
        """A check with USE-CANDIDATE was answered, by either side."""
        self.errors: list[int] = []
        """Codes of STUN error responses."""
        self.connected = False
        """DTLS is complete, the server's fingerprint is right, and there are SRTP keys."""
        self.drops: Counter[str] = Counter()
        self.rtp: deque[RtpPacket] = deque(maxlen=MAX_RECEIVED)
        """Received packets, oldest first."""
        self.rtcp: deque[RtcpPacket] = deque(maxlen=MAX_RECEIVED)
        self.inbound: InboundSrtp | None = None
        self.outbound: OutboundSrtp | None = None
        self.dtls_role: Literal["client", "server"] = dtls_role
        # libwebrtc's timer: 50 ms at first.
        configuration = DtlsConfiguration(
            self.certificate, random, srtp_profiles=srtp_profiles, initial_timeout=0.05, max_timeout=3.0
        )
        self.dtls = DtlsConnection(dtls_role, configuration)
        self._random = random
        self._remote: Remote | None = None
        self._next_check: float | None = None
        self._transactions: deque[tuple[bytes, bool]] = deque(maxlen=32)
        self._outgoing: list[bytes] = []
        self._started = False

    @property
    def setup(self) -> str:
        """What `a=setup` of an answer says."""
        return "active" if self.dtls_role == "client" else "passive"

    def own(self, sdp: str) -> str:
        """Put the client's transport into a description, for example one of `support.browser_model.Browser`."""
        values = {
            "ice-ufrag": self.credentials.ufrag,
            "ice-pwd": self.credentials.pwd,
            "fingerprint": self.certificate.fingerprint(),
        }
        for name, value in values.items():
            sdp = re.sub(rf"(?m)^a={name}:[^\r\n]*", f"a={name}:{value}", sdp)
        # An offer says actpass and leaves it to the other side; an answer says what we are.
        return re.sub(r"(?m)^a=setup:(active|passive)", f"a=setup:{self.setup}", sdp)

    # The verbs

    def receive(self, data: bytes, now: float) -> None:
        """Take a datagram from the server."""
        first = data[0]
        if first <= 3:
            self._receive_stun(StunMessage.parse(data), now)
        elif 20 <= first <= 63:
            self.dtls.receive(data, now)
            self._follow_dtls()
        elif self.inbound is None:
            self.drops["srtp-before-keys"] += 1
        else:
            try:
                if 192 <= data[1] <= 223:
                    self.rtcp.extend(parse_compound(self.inbound.unprotect_rtcp(data)))
                else:
                    self.rtp.append(RtpPacket.parse(self.inbound.unprotect(data)))
            except BadPacket as error:
                self.drops[error.reason] += 1

    def outgoing(self, now: float) -> list[bytes]:
        """Datagrams to send to the server."""
        datagrams, self._outgoing = self._outgoing, []
        return datagrams + self.dtls.outgoing(now)

    def next_timeout(self) -> float | None:
        """When `handle_timeout` has something to do."""
        times = [time for time in (self._next_check, self.dtls.next_timeout()) if time is not None]
        return min(times, default=None)

    def handle_timeout(self, now: float) -> None:
        """Act on the timers that are due."""
        if self._next_check is not None and now >= self._next_check:
            nominate = self.nominates and self.validated and (self.renominates or not self.nominated)
            self._outgoing.append(self.check(nominate=nominate))
            self._next_check = now + (self._pause() if self.nominated else CHECK_INTERVAL)
        self.dtls.handle_timeout(now)
        self._follow_dtls()

    # What the script does

    def set_remote(self, remote: Remote, now: float) -> None:
        """Begin (or begin again, after an ICE restart) to check with these credentials."""
        self._remote = remote
        self._next_check = now
        self.validated = self.nominated = False

    def stop_checking(self) -> None:
        """Stop sending checks by itself."""
        self._next_check = None

    def check(self, *, nominate: bool = False) -> bytes:
        """A connectivity check as a datagram."""
        assert self._remote is not None, "set_remote comes first"
        transaction_id = self._random(12)
        self._transactions.append((transaction_id, nominate))
        message = StunMessage(
            MessageClass.REQUEST,
            transaction_id,
            (
                (a.USERNAME, f"{self._remote.ufrag}:{self.credentials.ufrag}"),
                (a.ICE_CONTROLLING if self.controlling else a.ICE_CONTROLLED, 1),
                (a.PRIORITY, 1845501695),
                *(((a.USE_CANDIDATE, True),) if nominate and self.controlling else ()),
            ),
        )
        return message.serialize(self._remote.pwd.encode())

    def restart_ice(self) -> Credentials:
        """Make new credentials for the next description; they are used from `set_remote` on."""
        self.credentials = make_credentials(self._random)
        return self.credentials

    def send_rtp(self, packet: RtpPacket) -> None:
        """Encrypt and queue a packet; `connected` must be true."""
        assert self.outbound is not None, "not connected"
        self._outgoing.append(self.outbound.protect(packet.serialize()))

    def send_rtcp(self, packets: Iterable[RtcpPacket]) -> None:
        """Encrypt and queue a compound; `connected` must be true."""
        assert self.outbound is not None, "not connected"
        self._outgoing.append(self.outbound.protect_rtcp(serialize_compound(packets)))

    def close(self, now: float) -> None:
        """Send close_notify and stop."""
        self.stop_checking()
        self.dtls.close(now)

    # Inside

    def _pause(self) -> float:
        return KEEPALIVE_INTERVAL if self.renominates else CONSENT_INTERVAL

    def _receive_stun(self, message: StunMessage, now: float) -> None:
        if message.message_class is MessageClass.REQUEST:
            self._answer(message, now)
            return
        assert self._remote is not None, "nothing is answered before it is asked"
        nominated = dict(self._transactions).get(message.transaction_id)
        if nominated is None or not message.has_integrity(self._remote.pwd.encode()):
            self.drops["stun"] += 1
            return
        if message.message_class is MessageClass.ERROR:
            error = message.get(a.ERROR_CODE)
            self.errors.append(error.code if error else 0)
            return
        if not self.validated and self._next_check is not None:
            self._next_check = now
        self.validated = True
        if nominated and self.controlling:
            self._nominate(now)

    def _answer(self, check: StunMessage, now: float) -> None:
        """Answer a check of a full agent."""
        if self.server is None or not check.has_integrity(self.credentials.pwd.encode()):
            self.drops["stun"] += 1
            return
        seen = ((a.XOR_MAPPED_ADDRESS, self.server),)
        answer = StunMessage(MessageClass.SUCCESS, check.transaction_id, seen)
        self._outgoing.append(answer.serialize(self.credentials.pwd.encode()))
        if check.get(a.USE_CANDIDATE) and not self.controlling:
            self._nominate(now)

    def _nominate(self, now: float) -> None:
        if not self.nominated:
            self.nominated = True
            if self._next_check is not None:
                self._next_check = now + self._pause()
        if not self._started:
            self._started = True
            self.dtls.start(now)

    def _follow_dtls(self) -> None:
        for event in self.dtls.events():
            if isinstance(event, HandshakeCompleted):
                assert self._remote is not None
                if not fingerprint_matches(event.peer_certificate, self._remote.fingerprint):
                    self.drops["fingerprint-mismatch"] += 1
                    continue
                keys = self.dtls.srtp_keys()
                self.inbound = InboundSrtp(keys.profile.name, keys.remote_key, keys.remote_salt)
                self.outbound = OutboundSrtp(keys.profile.name, keys.local_key, keys.local_salt)
                self.connected = True
