"""A DTLS 1.2 connection (RFC 6347) as a machine: datagrams and time in; datagrams, deadlines and events out.

The record layer filters records. This module then decides by the connection's state: handshake messages go to
the `ReliableHandshake`, data and the end of the connection are reported to the owner.

Before the handshake is complete, any record may come from an attacker. So alerts in the clear are remembered
for the log but end nothing. Once keys exist, a record in the clear has one effect only: it may show that the
peer retransmits its flight, and that is answered at a limited rate. No DTLS implementation can detect a forged
first message; here DTLS accepts datagrams only from an address that ICE has verified.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from sfu.dtls.alerts import Alert, AlertDescription, AlertLevel, AlertMessage, BadCertificate
from sfu.dtls.client import ClientHandshake
from sfu.dtls.configuration import DtlsConfiguration
from sfu.dtls.events import ApplicationData, DtlsClosed, DtlsFailed, Event, HandshakeCompleted
from sfu.dtls.flights import CHANGE_CIPHER_SPEC, REPEAT_INTERVAL
from sfu.dtls.fragments import parse_fragment
from sfu.dtls.handshake import Handshake
from sfu.dtls.keys import Secrets
from sfu.dtls.messages import HandshakeType
from sfu.dtls.record import HEADER, ContentType, Record
from sfu.dtls.record_layer import RecordLayer
from sfu.dtls.reliability import ReliableHandshake
from sfu.dtls.server import ServerHandshake
from sfu.dtls.srtp import (
    EXPORTER_LABEL,
    SrtpKeys,
    SrtpProtectionProfile,
    exported_length,
    split_keys,
)
from sfu.errors import BadPacket

MAX_UNREAD = 256
"""Records of data that wait for the owner to fetch its events. More are dropped."""


class ConnectionState(Enum):
    """The states of a connection."""

    IDLE = "idle"
    """A client that has not been started."""
    HANDSHAKING = "handshaking"
    CONNECTED = "connected"
    CLOSED = "closed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class DtlsStatistics:
    """Counters since the connection was made."""

    records_received: int
    """Accepted records: authentic, or in the clear while that is allowed."""
    records_sent: int
    retransmissions: int
    """Flights sent again, by timer or because the peer retransmitted its own."""
    dropped: Mapping[str, int]
    """Records and fragments dropped, by reason."""


class DtlsConnection:
    """One end of a DTLS 1.2 connection.

    Five verbs: `receive`, `outgoing`, `next_timeout`, `handle_timeout`, `events`. Besides these: `start` for a
    client, `send` and `close`, and the keys after `HandshakeCompleted`. Times are seconds of one monotonic
    clock.

    >>> from datetime import UTC, datetime
    >>> from os import urandom
    >>> from sfu.dtls.certificate import Certificate
    >>> certificate = Certificate.generate(datetime.now(UTC), urandom)
    >>> client = DtlsConnection("client", DtlsConfiguration(certificate, urandom))
    >>> client.start(now=0.0)
    >>> [client_hello] = client.outgoing(now=0.0)
    >>> client.next_timeout()  # then it is sent again
    1.0
    """

    def __init__(self, role: Literal["server", "client"], configuration: DtlsConfiguration) -> None:
        self._server = role == "server"
        self._mtu = configuration.mtu
        self._state = ConnectionState.HANDSHAKING if self._server else ConnectionState.IDLE
        self._layer = RecordLayer()
        self._outgoing: list[bytes] = []
        self._handshake = ReliableHandshake(
            ServerHandshake(configuration) if self._server else ClientHandshake(configuration), self._layer
        )
        self._secrets: Secrets | None = None
        self._srtp_profile: SrtpProtectionProfile | None = None
        self._refused_renegotiation_at: float | None = None
        self._peer_alert = ""
        self._events: list[Event] = []

    # The five verbs

    def start(self, now: float) -> None:
        """Send a client's first flight; does nothing for a server. Raises `RuntimeError` the second time."""
        if self._server:
            return
        if self._state is not ConnectionState.IDLE:
            raise RuntimeError(f"start on a connection that is {self._state.value}")
        self._state = ConnectionState.HANDSHAKING
        self._outgoing += self._handshake.start(now)

    def receive(self, data: bytes, now: float) -> None:
        """Take a datagram. Never raises: bad records are dropped and counted."""
        for record in self._layer.unpack(data):
            self._receive_record(record, now)
            for early in self._layer.take_early():
                self._receive_record(early, now)

    def outgoing(self, now: float) -> list[bytes]:
        """Return the datagrams to send since the last call."""
        datagrams = self._outgoing[:]
        self._outgoing.clear()
        return datagrams

    def next_timeout(self) -> float | None:
        """Return when `handle_timeout` has something to do; `None` if never."""
        return self._handshake.next_timeout()

    def handle_timeout(self, now: float) -> None:
        """Send the last flight again when its timer expires, or give up; harmless when called too early."""
        datagrams = self._handshake.handle_timeout(now)
        if datagrams is not None:
            self._outgoing += datagrams
        else:
            self._state = ConnectionState.FAILED
            detail = f"no answer; the peer's last alert in the clear: {self._peer_alert or 'none'}"
            self._end(DtlsFailed("dtls-timeout", detail, None, by_peer=False))

    def events(self) -> list[Event]:
        """Return what has happened since the last call."""
        events, self._events = self._events, []
        return events

    # Data, closing, keys

    @property
    def state(self) -> ConnectionState:
        """The current state."""
        return self._state

    def send(self, data: bytes, now: float) -> None:
        """Send data as one record in one datagram.

        Raises `RuntimeError` when not connected and `ValueError` when the datagram would exceed the MTU.
        """
        if self._state is not ConnectionState.CONNECTED:
            raise RuntimeError(f"send on a connection that is {self._state.value}")
        if len(data) > self.max_data:
            raise ValueError(f"{len(data)} bytes do not fit into a datagram of {self._mtu}")
        self._outgoing.append(self._layer.seal(ContentType.APPLICATION_DATA, 1, data).serialize())

    @property
    def max_data(self) -> int:
        """The most bytes that `send` takes."""
        return self._mtu - HEADER.size - self._layer.overhead(1)

    def close(self, now: float) -> None:
        """Send close_notify and end; does nothing on a connection that has ended (RFC 5246 section 7.2.1)."""
        if self._state in (ConnectionState.CLOSED, ConnectionState.FAILED):
            return
        self._send_alert(AlertLevel.WARNING, AlertDescription.CLOSE_NOTIFY)
        self._state = ConnectionState.CLOSED
        self._end(DtlsClosed(by_peer=False))

    def refuse_certificate(self, now: float) -> None:
        """End the connection with a fatal bad_certificate alert (RFC 8122 section 6.2).

        To be called when `HandshakeCompleted.peer_certificate` does not match the fingerprint in the SDP. Does
        nothing on a connection that has ended: the peer may end it directly after its Finished. Raises
        `RuntimeError` before the handshake is complete.
        """
        if self._state in (ConnectionState.CLOSED, ConnectionState.FAILED):
            return
        if self._state is not ConnectionState.CONNECTED:
            raise RuntimeError(f"refuse_certificate on a connection that is {self._state.value}")
        self._fail(BadCertificate("not the certificate that was described"))

    def export_keying_material(self, label: bytes, length: int, context: bytes | None = None) -> bytes:
        """Derive `length` bytes for another protocol (RFC 5705). Raises `RuntimeError` before completion."""
        if self._secrets is None:
            raise RuntimeError("no keys before the handshake is complete")
        return self._secrets.export(label, length, context)

    def srtp_keys(self) -> SrtpKeys:
        """Return the SRTP master keys and salts (RFC 5764 section 4.2). Raises `RuntimeError` without them."""
        if self._srtp_profile is None:
            raise RuntimeError("no SRTP profile has been negotiated")
        exported = self.export_keying_material(EXPORTER_LABEL, exported_length(self._srtp_profile))
        return split_keys(self._srtp_profile, exported, server=self._server)

    def statistics(self) -> DtlsStatistics:
        """Return the counters."""
        layer = self._layer
        return DtlsStatistics(layer.received, layer.sent, self._handshake.retransmissions, dict(layer.dropped))

    # Receiving

    def _receive_record(self, record: Record, now: float) -> None:
        if self._state not in (ConnectionState.HANDSHAKING, ConnectionState.CONNECTED):
            self._layer.drop("dtls-not-open")
            return
        connected = self._state is ConnectionState.CONNECTED
        if connected and record.epoch == 0:
            self._layer.drop("dtls-record-epoch")
            return
        plaintext = self._layer.admit(record)
        if plaintext is None:
            return
        match record.content_type, record.epoch > 0:
            case ContentType.HANDSHAKE, _ if connected:
                self._receive_late_handshake(plaintext, now)
            case ContentType.HANDSHAKE, protected:
                self._receive_handshake(plaintext, protected, now)
            case ContentType.ALERT, False:
                self._receive_plain_alert(plaintext)
            case ContentType.ALERT, True:
                self._receive_alert(plaintext)
            case ContentType.APPLICATION_DATA, True:
                self._receive_data(plaintext)
            case ContentType.CHANGE_CIPHER_SPEC, False if plaintext == CHANGE_CIPHER_SPEC:
                # The epoch in each record's header gives the same information, and cannot be lost or reordered.
                # So this record is accepted and has no effect, as in DTLS 1.3.
                pass
            case _:
                self._layer.drop("dtls-record-type")

    def _receive_plain_alert(self, plaintext: bytes) -> None:
        """Remember an alert that an attacker could have sent. If it is genuine, a timeout will follow."""
        try:
            self._peer_alert = AlertMessage.parse(plaintext).name
        except BadPacket as error:
            self._layer.drop(error.reason)
        else:
            self._layer.drop("dtls-alert-unauthenticated")

    def _receive_data(self, plaintext: bytes) -> None:
        if self._state is not ConnectionState.CONNECTED:
            # It overtook the Finished, which is not verified yet (RFC 5246 section 7.4.9). SCTP will retransmit
            # it.
            self._layer.drop("dtls-data-early")
        elif len(self._events) >= MAX_UNREAD:
            self._layer.drop("dtls-data-unread")
        else:
            self._events.append(ApplicationData(plaintext))

    def _receive_alert(self, plaintext: bytes) -> None:
        try:
            alert = AlertMessage.parse(plaintext)
        except BadPacket as error:
            self._layer.drop(error.reason)
            return
        if alert.description == AlertDescription.CLOSE_NOTIFY:
            self._send_alert(AlertLevel.WARNING, AlertDescription.CLOSE_NOTIFY)
            self._state = ConnectionState.CLOSED
            self._end(DtlsClosed(by_peer=True))
        elif alert.level == AlertLevel.WARNING:
            self._layer.drop("dtls-alert-warning")
        else:
            self._state = ConnectionState.FAILED
            self._end(DtlsFailed("dtls-peer-alert", alert.name, alert.description, by_peer=True))

    def _receive_handshake(self, plaintext: bytes, protected: bool, now: float) -> None:
        try:
            for datagram in self._handshake.receive(plaintext, protected, now):
                self._outgoing.append(datagram)
        except Alert as error:
            self._fail(error)
        else:
            if (handshake := self._handshake.completed) is not None:
                self._complete(handshake)

    def _receive_late_handshake(self, plaintext: bytes, now: float) -> None:
        """Handle a message after completion: the peer's retransmitted Finished, or a request to renegotiate."""
        try:
            fragment, _ = parse_fragment(plaintext)
        except BadPacket as error:
            self._layer.drop(error.reason)
            return
        if fragment.message_type == HandshakeType.FINISHED:
            self._outgoing += self._handshake.receive_again(fragment, now)
            return
        self._layer.drop("dtls-renegotiation")
        refused_at = self._refused_renegotiation_at
        if refused_at is None or now - refused_at >= REPEAT_INTERVAL:
            # RFC 5246 section 7.2.2: refuse with a warning, and go on. WebRTC never renegotiates.
            self._refused_renegotiation_at = now
            self._send_alert(AlertLevel.WARNING, AlertDescription.NO_RENEGOTIATION)

    # Ends

    def _complete(self, handshake: Handshake) -> None:
        assert handshake.suite is not None, "a complete handshake has negotiated it"
        assert handshake.group is not None, "a complete handshake has negotiated it"
        self._state = ConnectionState.CONNECTED
        self._secrets = handshake.secrets
        self._srtp_profile = handshake.srtp_profile
        self._handshake.end()
        self._events.append(
            HandshakeCompleted(
                handshake.peer_certificate, handshake.srtp_profile, handshake.suite.name, handshake.group.name
            )
        )

    def _fail(self, error: Alert) -> None:
        self._send_alert(AlertLevel.FATAL, error.description)
        self._state = ConnectionState.FAILED
        self._end(DtlsFailed(error.reason, error.detail, error.description, by_peer=False))

    def _end(self, event: DtlsClosed | DtlsFailed) -> None:
        self._handshake.end()
        self._layer.forget_early()
        self._events.append(event)

    def _send_alert(self, level: AlertLevel, description: AlertDescription) -> None:
        alert = AlertMessage(level, description).serialize()
        self._outgoing.append(self._layer.seal(ContentType.ALERT, self._handshake.epoch, alert).serialize())
