"""Session descriptions (RFC 8866) and offer/answer (RFC 3264, RFC 9429) for one BUNDLEd RTCPeerConnection.

`SessionDescription` reads and prints any description; `BundleSession` is a server's end of a negotiation that
both sides may start. Pure: text in, text out, no clock and no randomness of its own.
"""

from sfu.sdp.attributes import Fingerprint, Msid
from sfu.sdp.bundle import BundleSession, SignalingState
from sfu.sdp.codecs import Codec, codecs_of, find
from sfu.sdp.errors import SdpError, TooManyLines, WrongState
from sfu.sdp.lines import DescriptionLimits
from sfu.sdp.mline import MediaKind, Receiver, SendSlot
from sfu.sdp.model import MediaDescription, Origin, SessionDescription
from sfu.sdp.transport import DtlsRole, LocalTransport, RemoteTransport

__all__ = [
    "BundleSession",
    "Codec",
    "DescriptionLimits",
    "DtlsRole",
    "Fingerprint",
    "LocalTransport",
    "MediaDescription",
    "MediaKind",
    "Msid",
    "Origin",
    "Receiver",
    "RemoteTransport",
    "SdpError",
    "SendSlot",
    "SessionDescription",
    "SignalingState",
    "TooManyLines",
    "WrongState",
    "codecs_of",
    "find",
]
