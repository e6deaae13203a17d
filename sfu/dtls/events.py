"""What a DTLS connection tells its owner."""

from dataclasses import dataclass

from sfu.dtls.srtp import SrtpProtectionProfile


@dataclass(frozen=True, slots=True)
class HandshakeCompleted:
    """Both ends hold the same keys, and the peer has proven that it holds its certificate's private key.

    Whose certificate it is, is for the owner to judge: compare it with the fingerprint in the SDP
    (`sfu.dtls.certificate.fingerprint_matches`) before a single media packet passes.
    """

    peer_certificate: bytes
    """DER."""
    srtp_profile: SrtpProtectionProfile | None
    """None only when no profile was configured."""
    cipher_suite: str
    group: str


@dataclass(frozen=True, slots=True)
class ApplicationData:
    """One record of the peer's data (SCTP, in WebRTC)."""

    data: bytes


@dataclass(frozen=True, slots=True)
class DtlsClosed:
    """The connection was closed in order."""

    by_peer: bool


@dataclass(frozen=True, slots=True)
class DtlsFailed:
    """The connection is dead."""

    reason: str
    """A short constant slug: ``dtls-…`` of the alert we sent, ``dtls-peer-alert`` or ``dtls-timeout``."""
    detail: str
    """For a person reading a log."""
    alert: int | None
    """The fatal alert that was sent or received; None for a timeout."""
    by_peer: bool


Event = HandshakeCompleted | ApplicationData | DtlsClosed | DtlsFailed
