"""Secure RTP (RFC 3711, AES-GCM: RFC 7714): one transport's two directions, on top of libsrtp.

DTLS gives each direction a master key and a master salt. All SSRCs of a direction share them, and libsrtp keeps
a rollover counter and a replay window for every SSRC until it is told to `forget` it. `InboundSrtp` turns the
status codes of libsrtp into `BadPacket` reasons. `OutboundSrtp` encrypts `bytes` (RTCP, retransmissions) or,
for the forwarding loop, in place through its `context`.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import pylibsrtp
from cffi import FFI
from pylibsrtp import Policy

from sfu.errors import BadPacket
from sfu.rtp.libsrtp import (
    BINDING,
    STATUS_AUTH_FAIL,
    STATUS_OK,
    STATUS_PARSE,
    STATUS_REPLAY_FAIL,
    STATUS_REPLAY_OLD,
    Binding,
    Transform,
)

_ffi: Final = FFI()

MAX_CIPHERTEXT: Final = 1500
"""Longest packet that is unprotected: an Ethernet frame. Browsers send at most about 1250 bytes."""

MAX_PLAINTEXT: Final = MAX_CIPHERTEXT - 16
"""Longest RTP packet that is protected: any that may come in. GStreamer's payloaders fill 1400 bytes."""

MAX_TRAILER: Final = 144
"""Bytes that libsrtp may write after an RTP packet (tag and MKI), as it documents. It does not know how much
room there is."""

MAX_RTCP_PLAINTEXT: Final = 1352
"""Longest RTCP compound that is protected: SRTCP adds a 4-byte index to that trailer."""

WINDOW: Final = 1024
"""Replay window of both directions in packets (RFC 3711 section 3.3.2 asks for at least 64). Inbound: a 4K
screen share sends about 1000 packets in the quarter of a second that a reordering network may take. Outbound:
libsrtp refuses to protect packets older than its window, and a retransmission without RTX may be as old as the
packet history. 1024 packets cost 128 bytes per SSRC."""

MAX_INBOUND_SSRCS: Final = 128
"""SSRCs that one peer may send RTP from. libsrtp allocates a stream for every authenticated SSRC and frees none
by itself, so a peer could otherwise make the server's memory grow without bound. Simulcast video takes 6, and a
peer publishes a few tracks; `forget` frees streams that have ended."""

MAX_REPORTERS: Final = 32
"""SSRCs with state for RTCP only. Their end is unknown (the last report of a stream comes after its m-line is
gone), so the one that has been silent longest is forgotten for the next. Browsers report from an SSRC that they
send from, or from one or two more. Replayed reports of a forgotten SSRC would be accepted once more. They are
old, and say nothing new."""

_REASONS: Final = {
    STATUS_AUTH_FAIL: "srtp-auth",
    STATUS_REPLAY_FAIL: "srtp-replay",
    STATUS_REPLAY_OLD: "srtp-replay-old",
    STATUS_PARSE: "srtp-malformed",
}


@dataclass(frozen=True, slots=True)
class SrtpProfile:
    """A protection profile as `use_srtp` negotiates it (RFC 5764 section 4.1.2, RFC 7714 section 14.2)."""

    name: str
    """IANA's name without the ``SRTP_`` prefix."""
    key_length: int
    """Bytes of the master key."""
    salt_length: int
    """Bytes of the master salt."""
    overhead: int
    """Bytes that protecting an RTP packet adds."""
    libsrtp_profile: int


PROFILES: Final = {
    profile.name: profile
    for profile in (
        SrtpProfile("AEAD_AES_128_GCM", 16, 12, 16, Policy.SRTP_PROFILE_AEAD_AES_128_GCM),
        SrtpProfile("AEAD_AES_256_GCM", 32, 12, 16, Policy.SRTP_PROFILE_AEAD_AES_256_GCM),
        SrtpProfile("AES128_CM_HMAC_SHA1_80", 16, 14, 10, Policy.SRTP_PROFILE_AES128_CM_SHA1_80),
    )
}


def _session(profile: str, key: bytes, salt: bytes, ssrc_type: int) -> tuple[SrtpProfile, pylibsrtp.Session]:
    row = PROFILES[profile]
    if len(key) != row.key_length or len(salt) != row.salt_length:
        raise ValueError(f"{profile} takes a key of {row.key_length} and a salt of {row.salt_length} bytes")
    policy = Policy(key=key + salt, ssrc_type=ssrc_type, srtp_profile=row.libsrtp_profile)
    policy.window_size = WINDOW
    # Only the sending side reads this: the same packet may be protected again, for a retransmission.
    policy.allow_repeat_tx = True
    return row, pylibsrtp.Session(policy)


# One work buffer for all sessions, each of which would have 3 KiB of its own otherwise. A packet is in it only
# while one call lasts, and there is one thread.
_memory: Final = _ffi.new("char[]", MAX_PLAINTEXT + MAX_TRAILER)
_buffer: Final = _ffi.buffer(_memory)
_length: Final = _ffi.new("int[1]")


class _Direction:
    """A session and its raw context."""

    __slots__ = ("_binding", "_session", "context", "profile")

    profile: SrtpProfile
    context: Any | None
    """For the functions of `sfu.rtp.libsrtp.BINDING`; `None` once closed, which those functions refuse with
    a `TypeError`. Read it for every call: a copy would still point to the memory after it is freed."""

    def __init__(self, profile: str, key: bytes, salt: bytes, ssrc_type: int, binding: Binding) -> None:
        self._binding = binding
        self.profile, session = _session(profile, key, salt, ssrc_type)
        self._session: pylibsrtp.Session | None = session
        self.context = binding.context(session)

    def close(self) -> None:
        """Free libsrtp's memory now. Using the object afterwards is a `TypeError`; closing again is not."""
        self.context = None
        # The only reference: reference counting frees the C memory here, not at a later garbage collection.
        self._session = None

    def _remove(self, ssrc: int) -> None:
        """Have libsrtp free its stream for an SSRC, if it has one."""
        if self._session is None:
            raise TypeError("closed")
        # The only error is that there is none.
        with suppress(pylibsrtp.Error):
            self._session.remove_stream(ssrc)

    def _run(self, transform: Transform, data: bytes) -> bytes:
        length = _length
        size = length[0] = len(data)
        _buffer[0:size] = data
        status = transform(self.context, _memory, length)
        if status != STATUS_OK:
            raise BadPacket(_REASONS.get(status, "srtp-failed"), f"libsrtp status {status}, {size} bytes")
        result: bytes = _buffer[0 : length[0]]
        return result


class InboundSrtp(_Direction):
    """Decrypts what one peer sends; checks that it is authentic and no replay.

    `unprotect` and `unprotect_rtcp` raise `BadPacket` with one of the reasons ``srtp-auth``, ``srtp-replay``,
    ``srtp-replay-old``, ``srtp-malformed``, ``srtp-too-long``, ``srtp-ssrc-limit``, ``srtp-failed``.
    """

    __slots__ = ("_reporters", "_senders")

    def __init__(self, profile: str, key: bytes, salt: bytes, *, binding: Binding = BINDING) -> None:
        """`profile` is a name from `PROFILES` (else `KeyError`). A wrong key length is a `ValueError`."""
        super().__init__(profile, key, salt, Policy.SSRC_ANY_INBOUND, binding)
        # The SSRCs of authentic packets, for which libsrtp keeps streams: those with RTP, and those with RTCP
        # only, the one that has been silent longest first.
        self._senders: set[int] = set()
        self._reporters: dict[int, None] = {}

    def unprotect(self, data: bytes) -> bytes:
        """Return the RTP packet inside an SRTP packet."""
        ssrc = _ssrc(data, 8)
        known = ssrc in self._senders
        if not known and len(self._senders) >= MAX_INBOUND_SSRCS:
            raise BadPacket("srtp-ssrc-limit", f"SSRC {ssrc:#010x} after {len(self._senders)} others")
        plain = self._run(self._binding.unprotect, data)
        if not known:
            self._senders.add(ssrc)
            self._reporters.pop(ssrc, None)
        return plain

    def unprotect_rtcp(self, data: bytes) -> bytes:
        """Return the RTCP compound inside an SRTCP packet."""
        ssrc = _ssrc(data, 4)
        plain = self._run(self._binding.unprotect_rtcp, data)
        if ssrc not in self._senders:
            self._reporters.pop(ssrc, None)
            self._reporters[ssrc] = None
            if len(self._reporters) > MAX_REPORTERS:
                self.forget(next(iter(self._reporters)))
        return plain

    def forget(self, ssrc: int) -> None:
        """Free the state of an SSRC that has ended and make room for another.

        Its replay window is freed too, so a recorded packet of that SSRC would be accepted again. The caller
        must not accept the SSRC any more. An unknown SSRC is no error.
        """
        self._senders.discard(ssrc)
        self._reporters.pop(ssrc, None)
        self._remove(ssrc)

    @property
    def ssrc_count(self) -> int:
        """The number of SSRCs with state: at most `MAX_INBOUND_SSRCS` and `MAX_REPORTERS` together."""
        return len(self._senders) + len(self._reporters)


def _ssrc(data: bytes, offset: int) -> int:
    """Return the SSRC at `offset` of a packet. Raises `BadPacket` if the packet is too long or too short."""
    if len(data) > MAX_CIPHERTEXT:
        raise BadPacket("srtp-too-long", f"{len(data)} bytes")
    if len(data) < offset + 4:
        raise BadPacket("srtp-malformed", f"{len(data)} bytes")
    return int.from_bytes(data[offset : offset + 4])


class OutboundSrtp(_Direction):
    """Encrypts what is sent to one peer.

    The same packet may be protected twice and gives the same bytes. Two *different* packets with the same
    SSRC and sequence number must never be protected: with AES-GCM that repeats a nonce, which reveals the
    authentication key (RFC 7714 section 8.1). The code that makes packets has to ensure this.
    """

    __slots__ = ()

    def __init__(self, profile: str, key: bytes, salt: bytes, *, binding: Binding = BINDING) -> None:
        """`profile` is a name from `PROFILES` (else `KeyError`). A wrong key length is a `ValueError`."""
        super().__init__(profile, key, salt, Policy.SSRC_ANY_OUTBOUND, binding)

    def protect(self, data: bytes) -> bytes:
        """Encrypt an RTP packet.

        Raises `BadPacket`: ``srtp-too-long``, or ``srtp-replay-old`` for a retransmission from before the
        window.
        """
        if len(data) > MAX_PLAINTEXT:
            raise BadPacket("srtp-too-long", f"{len(data)} bytes")
        return self._run(self._binding.protect, data)

    def protect_rtcp(self, data: bytes) -> bytes:
        """Encrypt an RTCP compound. Raises `BadPacket`: ``srtp-too-long``."""
        if len(data) > MAX_RTCP_PLAINTEXT:
            raise BadPacket("srtp-too-long", f"{len(data)} bytes of RTCP")
        return self._run(self._binding.protect_rtcp, data)

    def forget(self, ssrc: int) -> None:
        """Free the state of an SSRC that will never be used for sending again. An unknown one is no error.

        With new state its packets would count from zero again under the same keys, and repeat nonces (RFC 3711
        section 9.1). State that is not freed takes 384 bytes and time: libsrtp searches all streams for each
        packet.
        """
        self._remove(ssrc)
