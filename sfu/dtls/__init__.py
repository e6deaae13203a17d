"""DTLS 1.2 (RFC 6347), both roles, for WebRTC: use_srtp, ECDHE, AEADs, extended master secret.

It uses no sockets, no clock and no randomness of its own. Start reading at `sfu.dtls.connection`.
"""

from sfu.dtls.alerts import AlertDescription
from sfu.dtls.certificate import Certificate, fingerprint_matches
from sfu.dtls.configuration import DtlsConfiguration
from sfu.dtls.connection import ConnectionState, DtlsConnection, DtlsStatistics
from sfu.dtls.events import ApplicationData, DtlsClosed, DtlsFailed, Event, HandshakeCompleted
from sfu.dtls.srtp import SrtpKeys, SrtpProtectionProfile

__all__ = [
    "AlertDescription",
    "ApplicationData",
    "Certificate",
    "ConnectionState",
    "DtlsClosed",
    "DtlsConfiguration",
    "DtlsConnection",
    "DtlsFailed",
    "DtlsStatistics",
    "Event",
    "HandshakeCompleted",
    "SrtpKeys",
    "SrtpProtectionProfile",
    "fingerprint_matches",
]
