"""The events that a DTLS connection reports to its owner."""

from dataclasses import dataclass

from sfu.dtls.srtp import SrtpProtectionProfile


@dataclass(frozen=True, slots=True)
class HandshakeCompleted:
    """Both ends hold the same keys, and the peer has proven that it holds its certificate's private key.

    The owner must compare the certificate with the fingerprint in the SDP before it uses the connection
    (`sfu.dtls.certificate.fingerprint_matches`).
    """

    peer_certificate: bytes
    """DER."""
    srtp_profile: SrtpProtectionProfile | None
    """`None` if no profile was configured."""
    cipher_suite: str
    group: str


@dataclass(frozen=True, slots=True)
class ApplicationData:
    """One record of the peer's data (SCTP, in WebRTC)."""

    data: bytes


@dataclass(frozen=True, slots=True)
class DtlsClosed:
    """The connection was closed by a close_notify alert."""

    by_peer: bool


@dataclass(frozen=True, slots=True)
class DtlsFailed:
    """The connection has failed."""

    reason: str
    """``dtls-…`` with the name of the alert that we sent, ``dtls-peer-alert`` or ``dtls-timeout``."""
    detail: str
    """More, for the log."""
    alert: int | None
    """The fatal alert that was sent or received; `None` after a timeout."""
    by_peer: bool


Event = HandshakeCompleted | ApplicationData | DtlsClosed | DtlsFailed
