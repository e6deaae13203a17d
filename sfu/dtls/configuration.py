"""How one end of a DTLS connection behaves, and what it negotiates."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sfu.dtls.certificate import Certificate
from sfu.dtls.flights import INITIAL_TIMEOUT, MAX_TIMEOUT
from sfu.dtls.groups import GROUPS, NamedGroup
from sfu.dtls.srtp import DEFAULT_PROFILES, SrtpProtectionProfile
from sfu.dtls.suites import SUITES, CipherSuite

MIN_MTU = 256
"""Bytes. In a smaller datagram a fragment would be mostly headers."""


@dataclass(frozen=True, slots=True)
class DtlsConfiguration:
    """What one end brings into a connection. The defaults are right for WebRTC; tests and tools narrow them.

    Raises `ValueError` for an `mtu` below `MIN_MTU`.
    """

    certificate: Certificate
    random: Callable[[int], bytes]
    """Returns that many unpredictable bytes (`os.urandom`)."""
    srtp_profiles: Sequence[SrtpProtectionProfile] = DEFAULT_PROFILES
    """In order of preference. If empty, use_srtp is neither offered nor required: for data only."""
    suites: Sequence[CipherSuite] = tuple(SUITES.values())
    """In order of preference."""
    groups: Sequence[NamedGroup] = tuple(GROUPS.values())
    """In order of preference."""
    mtu: int = 1200
    """The longest datagram to send, in bytes of UDP payload."""
    initial_timeout: float = INITIAL_TIMEOUT
    """Seconds to the first retransmission. Each further one takes twice as long."""
    max_timeout: float = MAX_TIMEOUT
    """The longest time between two retransmissions, seconds."""
    cookie_exchange: bool = False
    """Server: verify the client's address first, by a cookie (RFC 6347 section 4.2.1). Behind ICE this is not
    needed: DTLS accepts datagrams only from an address that has passed a check."""
    key_log: Callable[[str], None] | None = None
    """Called with the line that lets Wireshark decrypt the connection. The line holds the secret: set this only
    when a person asked for it."""

    def __post_init__(self) -> None:
        if self.mtu < MIN_MTU:
            raise ValueError(f"mtu {self.mtu} is below {MIN_MTU}")
