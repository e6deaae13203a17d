"""A DTLS 1.2 connection (RFC 6347) as a machine: datagrams and time in; datagrams, deadlines and events out.

This module is the record layer and the glue: it unpacks records, opens and seals them, reassembles handshake
messages, hands them to the role's handshake, sends its flights, and sends them again.

What an attacker may do who can only inject datagrams: cost us the work of looking at them. Records that do
not parse, are replayed or not authentic are dropped and counted; alerts in the clear are remembered for
the log but end nothing; once keys exist, nothing in the clear is acted on but the hint that the peer
repeats itself, and that at a limited rate.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from sfu.dtls.alerts import Alert, AlertDescription, AlertLevel, AlertMessage
from sfu.dtls.certificate import Certificate
from sfu.dtls.client import ClientHandshake
from sfu.dtls.events import ApplicationData, Closed, Event, Failed, HandshakeCompleted
from sfu.dtls.flights import (
    CHANGE_CIPHER_SPEC,
    INITIAL_TIMEOUT,
    MAX_TIMEOUT,
    REPEAT_INTERVAL,
    ChangeCipherSpec,
    DatagramPacker,
    Flight,
    Retransmission,
)
from sfu.dtls.fragments import Fragment, HandshakeMessage, Reassembler, parse_fragment
from sfu.dtls.groups import GROUPS, NamedGroup
from sfu.dtls.handshake import Handshake, Settings
from sfu.dtls.keys import Secrets, TrafficKeys
from sfu.dtls.messages import HandshakeType
from sfu.dtls.record import DTLS_1_0, DTLS_1_2, HEADER, ContentType, Record, parse_record
from sfu.dtls.replay import ReplayWindow
from sfu.dtls.server import ServerHandshake
from sfu.dtls.srtp import (
    DEFAULT_PROFILES,
    EXPORTER_LABEL,
    SrtpKeys,
    SrtpProtectionProfile,
    exported_length,
    split_keys,
)
from sfu.dtls.suites import SUITES, CipherSuite
from sfu.errors import BadPacket

MIN_MTU = 256
"""Bytes; below this a fragment would be more header than content."""

MAX_EARLY_RECORDS = 8
"""How many records of epoch 1 wait for the keys: the peer's Finished, some repetitions, first data."""

MAX_UNREAD = 256
"""How many records of data wait for the owner to fetch its events; more are dropped."""


class ConnectionState(Enum):
    """Where a connection is in its life."""

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
    """Accepted: authentic, or in the clear while that is allowed."""
    records_sent: int
    retransmissions: int
    """Flights sent again, by timer or because the peer repeated its own."""
    dropped: Mapping[str, int]
    """Records and fragments dropped, by reason."""


class DtlsConnection:
    """One end of a DTLS 1.2 connection.

    Five verbs: `receive`, `outgoing`, `next_timeout`, `handle_timeout`, `events`; besides these `start` for a
    client, `send` and `close`, and the keys once `HandshakeCompleted` has been reported. Times are seconds
    of one monotonic clock; randomness is a function that returns so many random bytes.
    """

    def __init__(
        self,
        role: Literal["server", "client"],
        certificate: Certificate,
        *,
        random: Callable[[int], bytes],
        srtp_profiles: Sequence[SrtpProtectionProfile] = DEFAULT_PROFILES,
        mtu: int = 1200,
        key_log: Callable[[str], None] | None = None,
        initial_timeout: float = INITIAL_TIMEOUT,
        max_timeout: float = MAX_TIMEOUT,
        cookie_exchange: bool = False,
        suites: Sequence[CipherSuite] = tuple(SUITES.values()),
        groups: Sequence[NamedGroup] = tuple(GROUPS.values()),
    ) -> None:
        """Make an idle connection.

        `mtu` is the longest datagram to send, in bytes of UDP payload. `initial_timeout` and `max_timeout` are
        seconds: the time to the first retransmission, and what doubling it ends at. `srtp_profiles`, `suites`
        and `groups` are in order of preference; no profiles at all means a connection for data only.
        `cookie_exchange` lets a server verify the client's address first (RFC 6347 section 4.2.1). `key_log`
        is called with the line that lets Wireshark decrypt the connection: it holds the secret, so only give
        it when a person asked for it.
        """
        if mtu < MIN_MTU:
            raise ValueError(f"mtu {mtu} is below {MIN_MTU}")
        settings = Settings(
            certificate, random, tuple(srtp_profiles), tuple(suites), tuple(groups), cookie_exchange, key_log
        )
        self._server = role == "server"
        self._mtu = mtu
        self._state = ConnectionState.HANDSHAKING if self._server else ConnectionState.IDLE
        self._handshake: Handshake | None = (
            ServerHandshake(settings) if self._server else ClientHandshake(settings)
        )
        self._reassembler = Reassembler()
        self._retransmission = Retransmission(initial_timeout, max_timeout)
        self._traffic: TrafficKeys | None = None
        self._window = ReplayWindow()
        self._early: list[Record] = []
        self._write_epoch = 0
        self._write_numbers = [0, 1 << 48]
        self._secrets: Secrets | None = None
        self._srtp_profile: SrtpProtectionProfile | None = None
        self._refused_renegotiation_at: float | None = None
        self._peer_alert = ""
        self._outgoing: list[bytes] = []
        self._events: deque[Event] = deque()
        self._received = 0
        self._sent = 0
        self._dropped: Counter[str] = Counter()

    # The five verbs

    def start(self, now: float) -> None:
        """Begin: a client sends its first flight (RuntimeError the second time); a server waits anyway."""
        if self._server:
            return
        if not isinstance(self._handshake, ClientHandshake) or self._state is not ConnectionState.IDLE:
            raise RuntimeError(f"start on a connection that is {self._state.value}")
        self._state = ConnectionState.HANDSHAKING
        self._send_flight(self._handshake.start(), now)

    def receive(self, data: bytes, now: float) -> None:
        """Take a datagram. Whatever is in it: never raises, drops and counts what is wrong."""
        offset = 0
        while offset < len(data):
            try:
                record, offset = parse_record(data, offset)
            except BadPacket as error:
                self._drop(error.reason)
                return
            self._receive_record(record, now)
            if self._early and self._traffic is not None:
                early, self._early = self._early, []
                for record in early:
                    self._receive_record(record, now)

    def outgoing(self, now: float) -> list[bytes]:
        """Return the datagrams to send now, and forget them."""
        datagrams, self._outgoing = self._outgoing, []
        return datagrams

    def next_timeout(self) -> float | None:
        """Return when `handle_timeout` wants to be called, or None."""
        return self._retransmission.deadline

    def handle_timeout(self, now: float) -> None:
        """Send the last flight again if it is time, or give up; harmless when called too early."""
        retransmission = self._retransmission
        if not retransmission.due(now):
            return
        if retransmission.repeat_by_timer(now):
            self._transmit()
            return
        self._state = ConnectionState.FAILED
        detail = f"no answer; the peer's last alert in the clear: {self._peer_alert or 'none'}"
        self._end(Failed("dtls-timeout", detail, None, by_peer=False))

    def events(self) -> list[Event]:
        """Return what has happened since the last call."""
        events = list(self._events)
        self._events.clear()
        return events

    # Data, closing, keys

    @property
    def state(self) -> ConnectionState:
        """Where the connection is in its life."""
        return self._state

    def send(self, data: bytes, now: float) -> None:
        """Send data as one record in one datagram.

        Raises RuntimeError when not connected and ValueError when the datagram would exceed the MTU.
        """
        if self._state is not ConnectionState.CONNECTED:
            raise RuntimeError(f"send on a connection that is {self._state.value}")
        if len(data) > self.max_data:
            raise ValueError(f"{len(data)} bytes do not fit into a datagram of {self._mtu}")
        self._outgoing.append(self._seal(ContentType.APPLICATION_DATA, 1, data).serialize())

    @property
    def max_data(self) -> int:
        """How many bytes `send` takes at most."""
        return self._mtu - HEADER.size - self._overhead(1)

    def close(self, now: float) -> None:
        """Send close_notify and end; does nothing on a connection that has ended (RFC 5246 section 7.2.1)."""
        if self._state in (ConnectionState.CLOSED, ConnectionState.FAILED):
            return
        self._send_alert(AlertLevel.WARNING, AlertDescription.CLOSE_NOTIFY)
        self._state = ConnectionState.CLOSED
        self._end(Closed(by_peer=False))

    def export_keying_material(self, label: bytes, length: int, context: bytes | None = None) -> bytes:
        """Derive `length` bytes for another protocol (RFC 5705); RuntimeError before completion."""
        if self._secrets is None:
            raise RuntimeError("no keys before the handshake is complete")
        return self._secrets.export(label, length, context)

    def srtp_keys(self) -> SrtpKeys:
        """Return the SRTP master keys and salts (RFC 5764 section 4.2); RuntimeError when there are none."""
        if self._srtp_profile is None:
            raise RuntimeError("no SRTP profile has been negotiated")
        exported = self.export_keying_material(EXPORTER_LABEL, exported_length(self._srtp_profile))
        return split_keys(self._srtp_profile, exported, server=self._server)

    def statistics(self) -> DtlsStatistics:
        """Return the counters."""
        return DtlsStatistics(self._received, self._sent, self._retransmission.count, dict(self._dropped))

    # Receiving

    def _drop(self, reason: str) -> None:
        self._dropped[reason] += 1

    def _receive_record(self, record: Record, now: float) -> None:
        if self._state in (ConnectionState.IDLE, ConnectionState.CLOSED, ConnectionState.FAILED):
            self._drop("dtls-not-open")
        elif record.version not in (DTLS_1_0, DTLS_1_2):
            self._drop("dtls-record-version")
        elif record.epoch == 0:
            self._receive_plain(record, now)
        elif record.epoch > 1:
            self._drop("dtls-record-epoch")
        elif self._traffic is not None:
            self._receive_protected(record, self._traffic, now)
        elif len(self._early) < MAX_EARLY_RECORDS:
            self._early.append(record)
        else:
            self._drop("dtls-record-early")

    def _receive_plain(self, record: Record, now: float) -> None:
        if self._state is ConnectionState.CONNECTED:
            self._drop("dtls-record-epoch")
            return
        match record.content_type:
            case ContentType.HANDSHAKE:
                self._received += 1
                self._receive_handshake(record, record.fragment, now)
            case ContentType.CHANGE_CIPHER_SPEC if record.fragment == CHANGE_CIPHER_SPEC:
                # The epoch in a record's header says all that this record could say, and unlike it cannot be
                # lost or reordered; so it is accepted and has no effect, as in DTLS 1.3.
                self._received += 1
            case ContentType.ALERT:
                self._receive_plain_alert(record)
            case _:
                self._drop("dtls-record-type")

    def _receive_plain_alert(self, record: Record) -> None:
        """Remember an alert that anybody could have sent; if it is genuine, silence will follow."""
        try:
            self._peer_alert = AlertMessage.parse(record.fragment).name
        except BadPacket as error:
            self._drop(error.reason)
        else:
            self._drop("dtls-alert-unauthenticated")

    def _receive_protected(self, record: Record, traffic: TrafficKeys, now: float) -> None:
        if not self._window.is_fresh(record.sequence_number):
            self._drop("dtls-record-replayed")
            return
        try:
            plaintext = traffic.read.open(record)
        except BadPacket as error:
            self._drop(error.reason)
            return
        self._window.mark(record.sequence_number)
        self._received += 1
        match record.content_type:
            case ContentType.HANDSHAKE if self._state is ConnectionState.CONNECTED:
                self._receive_late_handshake(plaintext, now)
            case ContentType.HANDSHAKE:
                self._receive_handshake(record, plaintext, now)
            case ContentType.ALERT:
                self._receive_alert(plaintext)
            case ContentType.APPLICATION_DATA:
                self._receive_data(plaintext)
            case _:
                self._drop("dtls-record-type")

    def _receive_data(self, plaintext: bytes) -> None:
        if self._state is not ConnectionState.CONNECTED:
            # Reordered before the Finished: not verified yet (RFC 5246 section 7.4.9), and SCTP will repeat it.
            self._drop("dtls-data-early")
        elif len(self._events) >= MAX_UNREAD:
            self._drop("dtls-data-unread")
        else:
            self._events.append(ApplicationData(plaintext))

    def _receive_alert(self, plaintext: bytes) -> None:
        try:
            alert = AlertMessage.parse(plaintext)
        except BadPacket as error:
            self._drop(error.reason)
            return
        if alert.description == AlertDescription.CLOSE_NOTIFY:
            self._send_alert(AlertLevel.WARNING, AlertDescription.CLOSE_NOTIFY)
            self._state = ConnectionState.CLOSED
            self._end(Closed(by_peer=True))
        elif alert.level == AlertLevel.WARNING:
            self._drop("dtls-alert-warning")
        else:
            self._state = ConnectionState.FAILED
            self._end(Failed("dtls-peer-alert", alert.name, alert.description, by_peer=True))

    def _receive_handshake(self, record: Record, plaintext: bytes, now: float) -> None:
        """Take the fragments of a record, and handle the messages that they complete."""
        offset = 0
        while offset < len(plaintext):
            try:
                fragment, offset = parse_fragment(plaintext, offset)
            except BadPacket as error:
                self._drop(error.reason)
                return
            self._receive_fragment(fragment, protected=record.epoch > 0, now=now)
        while self._state is ConnectionState.HANDSHAKING and (message := self._reassembler.pop()):
            self._handle_message(message, now)

    def _receive_fragment(self, fragment: Fragment, *, protected: bool, now: float) -> None:
        if fragment.message_seq < self._reassembler.next_seq:
            self._drop("dtls-message-repeated")
            self._repeat(fragment.message_seq, now)
        elif self._traffic is not None and not protected:
            self._drop("dtls-message-unprotected")
        else:
            try:
                self._reassembler.add(fragment)
            except BadPacket as error:
                self._drop(error.reason)

    def _handle_message(self, message: HandshakeMessage, now: float) -> None:
        handshake = self._handshake
        assert handshake is not None, "there is a handshake while handshaking"
        try:
            flight = handshake.receive(message)
        except Alert as error:
            self._fail(error)
            return
        if self._traffic is None and handshake.traffic is not None:
            # From here on plaintext has no say: forget what of it was still waiting.
            self._traffic = handshake.traffic
            self._reassembler.discard()
        if flight is not None:
            self._send_flight(flight, now)
        if handshake.complete:
            self._complete(handshake)

    def _receive_late_handshake(self, plaintext: bytes, now: float) -> None:
        """Answer what may come after completion: the peer's repeated Finished, or a wish to renegotiate."""
        try:
            fragment, _ = parse_fragment(plaintext)
        except BadPacket as error:
            self._drop(error.reason)
            return
        if fragment.message_type == HandshakeType.FINISHED:
            self._drop("dtls-message-repeated")
            self._repeat(fragment.message_seq, now)
            return
        self._drop("dtls-renegotiation")
        refused_at = self._refused_renegotiation_at
        if refused_at is None or now - refused_at >= REPEAT_INTERVAL:
            # RFC 5746 section 4.5 allows refusing; nothing in WebRTC renegotiates.
            self._refused_renegotiation_at = now
            self._send_alert(AlertLevel.WARNING, AlertDescription.NO_RENEGOTIATION)

    # Ends

    def _complete(self, handshake: Handshake) -> None:
        assert handshake.suite is not None, "a complete handshake has chosen"
        assert handshake.group is not None, "a complete handshake has chosen"
        self._state = ConnectionState.CONNECTED
        self._secrets = handshake.secrets
        self._srtp_profile = handshake.srtp_profile
        self._handshake = None  # with its transcript: a connection that idles for hours should be small
        self._retransmission.stop()
        self._events.append(
            HandshakeCompleted(
                handshake.peer_certificate, handshake.srtp_profile, handshake.suite.name, handshake.group.name
            )
        )

    def _fail(self, error: Alert) -> None:
        self._send_alert(AlertLevel.FATAL, error.description)
        self._state = ConnectionState.FAILED
        self._end(Failed(error.reason, error.detail, error.description, by_peer=False))

    def _end(self, event: Closed | Failed) -> None:
        self._retransmission.stop()
        self._handshake = None
        self._early.clear()
        self._reassembler.discard()
        self._events.append(event)

    # Sending

    def _overhead(self, epoch: int) -> int:
        return self._traffic.write.overhead if epoch and self._traffic is not None else 0

    def _seal(self, content_type: ContentType, epoch: int, plaintext: bytes) -> Record:
        number = self._write_numbers[epoch]
        self._write_numbers[epoch] += 1
        self._sent += 1
        if epoch == 0:
            return Record(content_type, DTLS_1_2, number, plaintext)
        assert self._traffic is not None, "epoch 1 has keys"
        return self._traffic.write.seal(content_type, number, plaintext)

    def _send_flight(self, flight: Flight, now: float) -> None:
        self._retransmission.begin(flight, answered=self._reassembler.next_seq, now=now)
        self._transmit()
        if any(isinstance(message, ChangeCipherSpec) for message in flight.messages):
            self._write_epoch = 1

    def _transmit(self) -> None:
        """Put the current flight into datagrams."""
        flight = self._retransmission.flight
        assert flight is not None, "there is something to send"
        packer = DatagramPacker(self._mtu, self._seal, self._overhead)
        packer.add_flight(flight)
        self._outgoing += packer.finish()

    def _repeat(self, message_seq: int, now: float) -> None:
        if self._retransmission.repeat_by_peer(message_seq, now):
            self._transmit()

    def _send_alert(self, level: AlertLevel, description: AlertDescription) -> None:
        alert = AlertMessage(level, description).serialize()
        self._outgoing.append(self._seal(ContentType.ALERT, self._write_epoch, alert).serialize())
