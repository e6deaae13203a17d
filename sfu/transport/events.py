"""Events of a peer's transport. The events of ICE (`sfu.ice.events`) are among those that it passes on."""

from dataclasses import dataclass

from sfu.transport.receive_stream import ReceiveStream


@dataclass(frozen=True, slots=True)
class Secured:
    """The DTLS handshake is complete and the peer's certificate is the one in its SDP: media may flow."""

    srtp_profile: str
    """IANA's name without ``SRTP_``, for example ``AEAD_AES_128_GCM``."""
    cipher_suite: str
    """Of DTLS."""


@dataclass(frozen=True, slots=True)
class TransportClosed:
    """The peer has closed the connection with a DTLS close_notify."""


@dataclass(frozen=True, slots=True)
class TransportFailed:
    """The transport has ended and will not recover; a new one has to be made."""

    reason: str
    """A short constant slug: ``fingerprint-mismatch``, or DTLS's own, for example ``dtls-timeout``."""
    detail: str
    """For a person reading a log."""


@dataclass(frozen=True, slots=True)
class StreamStarted:
    """The first packet of a published stream has come; `stream.mid` names its m-line."""

    stream: ReceiveStream


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """A published stream is closed: a negotiation or another SSRC has ended it, or the transport has ended."""

    stream: ReceiveStream


@dataclass(frozen=True, slots=True)
class SsrcReleased:
    """The decryption state of an SSRC is not needed any more. `StreamTable` tells it to the transport alone."""

    ssrc: int


@dataclass(frozen=True, slots=True)
class KeyFrameRequested:
    """The peer asked for a key frame of a stream that it is sent.

    The request is recorded in `source`, so its publisher's timers have to be set again.
    """

    source: ReceiveStream
