"""What a peer's transport tells its owner. ICE's own events (`sfu.ice.events`) are passed on among these."""

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
    """The peer has closed the connection in order (DTLS close_notify)."""


@dataclass(frozen=True, slots=True)
class TransportFailed:
    """The transport has ended and will not recover; a new one has to be made."""

    reason: str
    """A short constant slug: ``fingerprint-mismatch``, or DTLS's own, for example ``dtls-timeout``."""
    detail: str
    """For a person reading a log."""


@dataclass(frozen=True, slots=True)
class StreamStarted:
    """The first packet of a published stream came; `stream.mid` says of which m-line."""

    stream: ReceiveStream


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """A published stream is closed: negotiated away, replaced by another SSRC, or the transport has ended."""

    stream: ReceiveStream


@dataclass(frozen=True, slots=True)
class KeyFrameRequested:
    """The peer asked for a key frame of a stream that it is sent.

    The request waits in `source` now, so the timers of its publisher's transport have to be looked at.
    """

    source: ReceiveStream
