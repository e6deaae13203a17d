"""DTLS alerts: the codes, the two-byte message, and one exception class per fatal alert that we send.

The exception class *is* the wire code: code that finds a violation raises, for example, `IllegalParameter`; the
connection sends that alert and fails. Violations that an attacker without the keys could inject (broken
records, inconsistent fragments) raise a plain `BadPacket` instead: the packet is dropped and counted.
"""

from enum import IntEnum
from typing import ClassVar, NamedTuple

from sfu.errors import BadPacket


class AlertLevel(IntEnum):
    """The first byte of an alert (RFC 5246 section 7.2)."""

    WARNING = 1
    FATAL = 2


class AlertDescription(IntEnum):
    """The second byte of an alert (RFC 5246 section 7.2 and the IANA registry)."""

    CLOSE_NOTIFY = 0
    UNEXPECTED_MESSAGE = 10
    BAD_RECORD_MAC = 20
    RECORD_OVERFLOW = 22
    HANDSHAKE_FAILURE = 40
    BAD_CERTIFICATE = 42
    UNSUPPORTED_CERTIFICATE = 43
    CERTIFICATE_REVOKED = 44
    CERTIFICATE_EXPIRED = 45
    CERTIFICATE_UNKNOWN = 46
    ILLEGAL_PARAMETER = 47
    UNKNOWN_CA = 48
    ACCESS_DENIED = 49
    DECODE_ERROR = 50
    DECRYPT_ERROR = 51
    PROTOCOL_VERSION = 70
    INSUFFICIENT_SECURITY = 71
    INTERNAL_ERROR = 80
    INAPPROPRIATE_FALLBACK = 86
    USER_CANCELED = 90
    NO_RENEGOTIATION = 100
    MISSING_EXTENSION = 109
    UNSUPPORTED_EXTENSION = 110
    UNRECOGNIZED_NAME = 112
    CERTIFICATE_REQUIRED = 116
    NO_APPLICATION_PROTOCOL = 120


class AlertMessage(NamedTuple):
    """The body of an alert record: level and description as numbers, because a peer may send unknown codes."""

    level: int
    description: int

    @classmethod
    def parse(cls, data: bytes) -> "AlertMessage":
        """Decode the two bytes of an alert; raise `BadPacket` for any other length."""
        if len(data) != 2:
            raise BadPacket("dtls-alert-length", f"{len(data)} bytes")
        return cls(data[0], data[1])

    def serialize(self) -> bytes:
        """Encode as two bytes."""
        return bytes(self)

    @property
    def name(self) -> str:
        """The alert's name for logs: ``"handshake_failure"``, or ``"alert_123"`` for an unknown code."""
        return alert_name(self.description)


def alert_name(description: int) -> str:
    """Return the name of an alert code as in the RFCs, or ``alert_<code>`` for an unknown one."""
    try:
        return AlertDescription(description).name.lower()
    except ValueError:
        return f"alert_{description}"


class Alert(BadPacket):
    """A violation that ends the handshake. The subclass is the fatal alert that is sent to the peer."""

    description: ClassVar[AlertDescription]

    def __init__(self, detail: str = "") -> None:
        super().__init__("dtls-" + self.description.name.lower().replace("_", "-"), detail)


class UnexpectedMessage(Alert):
    """A message without a row in the table of transitions."""

    description = AlertDescription.UNEXPECTED_MESSAGE


class HandshakeFailure(Alert):
    """No common cipher suite, group, signature scheme or SRTP profile, or a required extension is missing."""

    description = AlertDescription.HANDSHAKE_FAILURE


class BadCertificate(Alert):
    """A certificate that does not parse, or does not match the fingerprint in the description."""

    description = AlertDescription.BAD_CERTIFICATE


class UnsupportedCertificate(Alert):
    """A certificate whose key is of a kind or strength that we do not accept."""

    description = AlertDescription.UNSUPPORTED_CERTIFICATE


class IllegalParameter(Alert):
    """A field that parses but contradicts the protocol or what was offered."""

    description = AlertDescription.ILLEGAL_PARAMETER


class DecodeError(Alert):
    """A message whose lengths or structure are wrong."""

    description = AlertDescription.DECODE_ERROR


class DecryptError(Alert):
    """A signature or a Finished message that does not verify."""

    description = AlertDescription.DECRYPT_ERROR


class ProtocolVersion(Alert):
    """The peer does not support DTLS 1.2."""

    description = AlertDescription.PROTOCOL_VERSION


class UnsupportedExtension(Alert):
    """The server answered with an extension that the client did not offer."""

    description = AlertDescription.UNSUPPORTED_EXTENSION
