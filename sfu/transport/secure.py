"""ICE, DTLS and SRTP of one peer joined: datagrams in, authentic RTP and RTCP out (RFC 5764, RFC 8827).

    STUN ──> agent ──> which paths are the peer's, and which one to send on
    DTLS ──> connection ──> certificate == fingerprint in SDP? ──> SRTP keys
    SRTP ──> decrypt ──> RTP, RTCP

Everything except STUN must come from a path that ICE has validated. Nothing is decrypted before the peer's
certificate has been compared with the fingerprint of its description, whichever of the two comes first.
"""

from collections import Counter
from collections.abc import Callable
from typing import Literal

from sfu.deadlines import earliest
from sfu.dtls.certificate import Certificate, fingerprint_matches
from sfu.dtls.configuration import DtlsConfiguration
from sfu.dtls.connection import DtlsConnection
from sfu.dtls.events import DtlsClosed, DtlsFailed, HandshakeCompleted
from sfu.errors import BadPacket
from sfu.ice.agent import IceAgent
from sfu.ice.credentials import Credentials
from sfu.ice.events import IceEvent, IceState, PathRetired, PathSelected, StateChanged
from sfu.ice.path import IcePath
from sfu.rtp.srtp import InboundSrtp, OutboundSrtp
from sfu.sdp.transport import RemoteTransport
from sfu.transport.demux import PacketKind, kind_of
from sfu.transport.events import Secured, TransportClosed, TransportFailed
from sfu.transport.send_context import SendContext

DTLS_INITIAL_TIMEOUT = 0.25
"""Seconds before the first retransmission of a flight. RFC 6347 section 4.2.4.1 suggests 1, and allows less for
applications that need it: people are waiting for the call. It is longer than most round trips, so that few
retransmissions are unnecessary."""

DTLS_MAX_TIMEOUT = 4.0
"""Most seconds between retransmissions: a bad network may recover, and a flight is only 1 KB."""

SecureEvent = IceEvent | Secured | TransportClosed | TransportFailed


class SecureChannel:
    """One peer's channel of authentic packets. It has the usual five verbs; `receive` returns what it
    decrypts.
    """

    def __init__(
        self,
        ice: IceAgent,
        certificate: Certificate,
        *,
        random: Callable[[int], bytes],
        key_log: Callable[[str], None] | None = None,
    ) -> None:
        """`key_log` is given DTLS's secrets, for Wireshark (see `DtlsConnection`)."""
        self.ice = ice
        self.send_context = SendContext()
        """Open from `Secured` on, while ICE has a path."""
        self.drops: Counter[str] = Counter()
        """Datagrams dropped here, by reason; ICE and DTLS count their own."""
        self.ended = False
        """Closed by either side, or failed: nothing is processed any more."""
        self._certificate = certificate
        self._random = random
        self._key_log = key_log
        # Until a description says otherwise the peer is the client: offers say actpass, browsers answer active.
        self.dtls = self._make_dtls("server")
        self._role: Literal["server", "client"] = "server"
        self._started = False
        self._remote: RemoteTransport | None = None
        self._completed: HandshakeCompleted | None = None
        self._inbound: InboundSrtp | None = None
        self._outbound: OutboundSrtp | None = None
        self._closing_datagrams: list[tuple[bytes, IcePath]] = []
        self._events: list[SecureEvent] = []

    # The five verbs

    def receive(self, data: bytes, path: IcePath, now: float) -> tuple[PacketKind, bytes] | None:
        """Take a datagram; return the RTP packet or RTCP compound in it, if there is one. Never raises."""
        kind = kind_of(data)
        if self.ended:
            self.drops["transport-ended"] += 1
        elif kind is PacketKind.STUN:
            self.ice.receive(data, path, now)
            self._follow_ice(now)
        elif kind is None:
            self.drops["unknown-protocol"] += 1
        elif not self.ice.is_validated(path):
            self.drops["unvalidated-path"] += 1
        elif kind is PacketKind.DTLS:
            self.dtls.receive(data, now)
            self._follow_dtls(now)
        elif self._inbound is None:
            self.drops["srtp-before-keys"] += 1
        else:
            try:
                if kind is PacketKind.RTP:
                    return kind, self._inbound.unprotect(data)
                plain = self._inbound.unprotect_rtcp(data)
            except BadPacket as error:
                self.drops[error.reason] += 1
            else:
                # RTCP comes every few seconds even when no media is sent, so it shows that the peer is alive.
                self.ice.alive(path, now)
                self._follow_ice(now)
                return kind, plain
        return None

    def outgoing(self, now: float) -> list[tuple[bytes, IcePath]]:
        """Return the STUN and DTLS datagrams to send."""
        datagrams, self._closing_datagrams = self._closing_datagrams, []
        datagrams += self.ice.outgoing(now)
        path = self.ice.selected
        for data in self.dtls.outgoing(now):
            # Without a path (consent is gone) it counts as lost, and DTLS retransmits what is lost.
            if path is not None:
                datagrams.append((data, path))
        return datagrams

    def next_timeout(self) -> float | None:
        """Return when `handle_timeout` has something to do; `None` if never."""
        if self.ended:
            return None
        return earliest(self.ice.next_timeout(), self.dtls.next_timeout())

    def handle_timeout(self, now: float) -> None:
        """Do what is due at `now`."""
        if self.ended:
            return
        self.ice.handle_timeout(now)
        self._follow_ice(now)
        self.dtls.handle_timeout(now)
        self._follow_dtls(now)

    def events(self) -> list[SecureEvent]:
        """Return what happened since the last call, in order."""
        events, self._events = self._events, []
        return events

    # Called by the owner

    def set_remote(self, remote: RemoteTransport, now: float) -> None:
        """Take the peer's description. It may come after the first checks, and after the handshake's end.

        It decides the DTLS roles: the peer is the client, unless it is `passive` (RFC 5763 section 5).
        """
        if self.ended:
            return
        self._remote = remote
        self.ice.set_remote(Credentials(remote.ufrag, remote.pwd), now)
        role: Literal["server", "client"] = "client" if remote.setup == "passive" else "server"
        if role != self._role and self._completed is None:
            self._role, self._started = role, False
            self.dtls = self._make_dtls(role)
        self._follow_ice(now)
        self._secure(now)

    def restart_ice(self, credentials: Credentials, now: float) -> None:
        """Begin an ICE restart with new credentials; DTLS and SRTP are not affected."""
        self.ice.restart(credentials, now)
        self._follow_ice(now)

    def has_consent(self, path: IcePath, now: float) -> bool:
        """Return whether the peer keeps `path`: it is its own, and a check has shown so recently enough."""
        return not self.ended and self.ice.has_consent(path, now)

    def lose_path(self, path: IcePath, now: float) -> None:
        """The connection that carries `path` has ended: send on another path, or wait for one."""
        if not self.ended:
            self.ice.lose(path)
            self._follow_ice(now)

    def follow_ice(self, now: float) -> None:
        """Handle the agent's events after its owner has called it directly."""
        if not self.ended:
            self._follow_ice(now)

    def forget(self, ssrc: int) -> None:
        """Free the decryption state of an SSRC that is not accepted any more (see `InboundSrtp.forget`)."""
        if self._inbound is not None:
            self._inbound.forget(ssrc)

    def forget_own(self, ssrc: int) -> None:
        """Free the encryption state of an SSRC that is never sent from again (see `OutboundSrtp.forget`)."""
        if self._outbound is not None:
            self._outbound.forget(ssrc)

    def close(self, now: float) -> None:
        """End the connection with DTLS's close_notify, which `outgoing` returns.

        All later datagrams are dropped, and the SRTP contexts are freed. Harmless when it has ended.
        """
        if self.ended:
            return
        self.dtls.close(now)
        self._end(now)

    # Events of ICE and DTLS

    def _make_dtls(self, role: Literal["server", "client"]) -> DtlsConnection:
        configuration = DtlsConfiguration(
            self._certificate,
            self._random,
            key_log=self._key_log,
            initial_timeout=DTLS_INITIAL_TIMEOUT,
            max_timeout=DTLS_MAX_TIMEOUT,
        )
        return DtlsConnection(role, configuration)

    def _follow_ice(self, now: float) -> None:
        for event in self.ice.events():
            self._events.append(event)
            match event:
                case PathSelected(path):
                    if self._outbound is not None:
                        self.send_context.open(self._outbound, path)
                case StateChanged(IceState.FAILED):
                    # RFC 7675 section 5.1: without consent nothing is sent.
                    self.send_context.suspend()
                case PathRetired(path) if path == self.send_context.path:
                    # Its connection has ended, and there is no other.
                    self.send_context.suspend()
        if self._role == "client" and not self._started and self.ice.selected is not None:
            # As client not before there is a path: the first flight would be lost, and sent again only later.
            self._started = True
            self.dtls.start(now)

    def _follow_dtls(self, now: float) -> None:
        for event in self.dtls.events():
            if self.ended:
                break  # it has failed; a close_notify in the same datagram changes nothing
            match event:
                case HandshakeCompleted():
                    self._completed = event
                    self._secure(now)
                case DtlsFailed():
                    self._fail(event.reason, event.detail, now)
                case DtlsClosed(by_peer=True):
                    self._events.append(TransportClosed())
                    self._end(now)
                case _:
                    # DTLS is used for SRTP keys only: there are no data channels.
                    self.drops["dtls-data"] += 1

    def _secure(self, now: float) -> None:
        """When certificate and description are known, compare them; if they match, make the SRTP keys."""
        if self.ended or self._completed is None or self._remote is None:
            return
        certificate, fingerprints = self._completed.peer_certificate, self._remote.fingerprints
        # RFC 8122 section 5 allows several fingerprints. One with an unknown hash function never matches.
        if not any(fingerprint_matches(certificate, fingerprint) for fingerprint in fingerprints):
            self.dtls.refuse_certificate(now)
            self._fail("fingerprint-mismatch", f"none of {', '.join(map(str, fingerprints))}", now)
        elif self._inbound is None:
            keys = self.dtls.srtp_keys()
            profile = keys.profile.name
            self._inbound = InboundSrtp(profile, keys.remote_key, keys.remote_salt)
            self._outbound = OutboundSrtp(profile, keys.local_key, keys.local_salt)
            if self.ice.selected is not None:
                self.send_context.open(self._outbound, self.ice.selected)
            self._events.append(Secured(profile, self._completed.cipher_suite))

    def _fail(self, reason: str, detail: str, now: float) -> None:
        self._events.append(TransportFailed(reason, detail))
        self._end(now)

    def _end(self, now: float) -> None:
        """Collect the datagrams that still have to be sent, then free everything."""
        path = self.ice.selected
        self._closing_datagrams += self.ice.outgoing(now)
        if path is not None:
            self._closing_datagrams += [(data, path) for data in self.dtls.outgoing(now)]
        self.ended = True
        self.send_context.close()
        for context in (self._inbound, self._outbound):
            if context is not None:
                context.close()
        self._inbound = self._outbound = None
        self.ice.close()
        self._events += self.ice.events()
