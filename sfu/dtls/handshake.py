"""What both roles of a handshake share: transcript, message numbers, keys, and the table of transitions.

A handshake takes whole messages in order and returns flights. It does not know records, datagrams or time;
`sfu.dtls.reliability` does. Each role is a subclass with a table of transitions. A row names a state, a message
that is legal in it, the method that handles the message, and the next state. A message without a row raises
`UnexpectedMessage`.
"""

import hashlib
import hmac
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, Protocol, TypeVar

from sfu.dtls.alerts import Alert, DecryptError, HandshakeFailure, UnexpectedMessage
from sfu.dtls.configuration import DtlsConfiguration
from sfu.dtls.flights import ChangeCipherSpec, Flight
from sfu.dtls.fragments import HandshakeMessage
from sfu.dtls.groups import NamedGroup
from sfu.dtls.keys import Secrets, TrafficKeys
from sfu.dtls.messages import CertificateVerify, Finished, HandshakeType
from sfu.dtls.signatures import SCHEMES, PublicKey, SignatureScheme
from sfu.dtls.srtp import SrtpProtectionProfile
from sfu.dtls.suites import CipherSuite


class Body(Protocol):
    """The body of a message that we send."""

    def serialize(self) -> bytes:
        """Encode."""


@dataclass(frozen=True, slots=True)
class HandshakeTransition:
    """A row of a table of transitions."""

    handler: Callable[[Any, bytes], Flight | None]
    """A method of the role's class. It checks the message's body and returns the flight to send, if any."""
    next_state: Enum


HandshakeTable = Mapping[tuple[Enum, int], HandshakeTransition]
"""The legal messages: a row for each state and message type."""


class Coded(Protocol):
    """Something that has a number in handshake messages."""

    @property
    def code(self) -> int:
        """The number."""


C = TypeVar("C", bound=Coded)


def negotiate(supported: Iterable[C], offered: Container[int], error: Alert) -> C:
    """Return the first of `supported` (in our order of preference) whose code is in `offered`.

    Raises `error` if there is none.
    """
    for one in supported:
        if one.code in offered:
            return one
    raise error


class Handshake:
    """One handshake in progress. Subclasses add the table and the handlers of a role."""

    table: ClassVar[HandshakeTable]
    server: bool
    done: Enum
    """The table's last state."""

    def __init__(self, configuration: DtlsConfiguration, state: Enum) -> None:
        self.configuration = configuration
        self.state = state
        self.traffic: TrafficKeys | None = None
        """Set as soon as the peer may send protected records."""
        self.secrets: Secrets | None = None
        self.suite: CipherSuite | None = None
        self.group: NamedGroup | None = None
        self.srtp_profile: SrtpProtectionProfile | None = None
        self.peer_certificate = b""
        """DER. When the handshake is complete, the peer has proven that it holds the private key."""
        self.peer_key: PublicKey | None = None
        self._next_seq = 0
        # A signature may use another hash than the suite, and the suite is not known at first. So the messages
        # themselves are kept until the handshake ends. Their length and their number are bounded.
        self._transcript = bytearray()
        self._before = 0

    def start(self) -> Flight:
        """Return a client's first flight. Raises `RuntimeError` for a server."""
        raise RuntimeError("a server waits for the client")

    @property
    def complete(self) -> bool:
        """Whether both Finished messages have been exchanged and verified."""
        return self.state is self.done

    def receive(self, message: HandshakeMessage) -> Flight | None:
        """Handle the next message and return the flight to send, if any. Raises an `Alert` on a violation."""
        transition = self.table.get((self.state, message.message_type))
        if transition is None:
            raise UnexpectedMessage(f"{message_name(message.message_type)} in state {self.state.name}")
        self._before = len(self._transcript)
        self._transcript += message.serialize()
        flight = transition.handler(self, message.body)
        self.state = transition.next_state
        return flight

    def _message(self, kind: HandshakeType, body: Body) -> HandshakeMessage:
        """Return a message with our next message_seq, and add it to the transcript."""
        message = HandshakeMessage(kind, self._next_seq, body.serialize())
        self._next_seq += 1
        self._transcript += message.serialize()
        return message

    def _received_before(self) -> bytes:
        """Return the transcript without the message that is being handled."""
        return bytes(self._transcript[: self._before])

    def _restart_transcript(self) -> None:
        """Drop the messages so far: a cookie exchange is not part of it (RFC 6347 section 4.2.1)."""
        self._transcript.clear()

    def _derive_secrets(self, premaster: bytes, client_random: bytes, server_random: bytes) -> None:
        """Compute the master secret from all messages up to ClientKeyExchange (RFC 7627 section 3)."""
        suite = self.suite
        assert suite is not None, "keys are derived after the hello messages"
        session_hash = hashlib.new(suite.hash_name, self._transcript).digest()
        self.secrets = Secrets(suite, premaster, session_hash, client_random, server_random)
        if self.configuration.key_log is not None:
            self.configuration.key_log(self.secrets.key_log_line())

    def _start_protection(self) -> None:
        assert self.secrets is not None, "protection starts after the key exchange"
        self.traffic = self.secrets.traffic_keys(server=self.server)

    def _send_finished(self) -> list[HandshakeMessage | ChangeCipherSpec]:
        assert self.secrets is not None, "Finished comes after the key exchange"
        verify_data = self.secrets.verify_data(server=self.server, transcript=bytes(self._transcript))
        return [ChangeCipherSpec(), self._message(HandshakeType.FINISHED, Finished(verify_data))]

    def _check_finished(self, body: bytes) -> None:
        assert self.secrets is not None, "Finished comes after the key exchange"
        expected = self.secrets.verify_data(server=not self.server, transcript=self._received_before())
        if not hmac.compare_digest(Finished.parse(body).verify_data, expected):
            raise DecryptError("Finished does not verify")

    def _check_certificate_verify(self, body: bytes) -> None:
        assert self.peer_key is not None, "the certificate came before"
        proof = CertificateVerify.parse(body)
        known_scheme(proof.scheme).verify(self.peer_key, proof.signature, self._received_before())


def known_scheme(code: int) -> SignatureScheme:
    """Return the scheme with this code; raise `HandshakeFailure` for one that we never offered."""
    try:
        return SCHEMES[code]
    except KeyError:
        raise HandshakeFailure(f"signature scheme {code:#06x}") from None


def message_name(message_type: int) -> str:
    """Return the name of a handshake message type, for logs."""
    try:
        return HandshakeType(message_type).name
    except ValueError:
        return f"handshake message {message_type}"
