"""SRTP keys from a DTLS handshake: the profiles of use_srtp, and how the exported bytes are split.

RFC 5764 sections 4.1 and 4.2; RFC 7714 section 14.2 for AES-GCM.
"""

from dataclasses import dataclass, field
from enum import IntEnum

EXPORTER_LABEL = b"EXTRACTOR-dtls_srtp"


class SrtpProtectionProfile(IntEnum):
    """The SRTP protection profiles that we can negotiate, with their codes in the use_srtp extension."""

    AES128_CM_HMAC_SHA1_80 = 1
    AEAD_AES_128_GCM = 7
    AEAD_AES_256_GCM = 8

    @property
    def code(self) -> int:
        """The number in the use_srtp extension."""
        return self.value

    @property
    def key_length(self) -> int:
        """The length of the master key, bytes."""
        return _LENGTHS[self][0]

    @property
    def salt_length(self) -> int:
        """The length of the master salt, bytes."""
        return _LENGTHS[self][1]


_LENGTHS = {
    SrtpProtectionProfile.AES128_CM_HMAC_SHA1_80: (16, 14),
    SrtpProtectionProfile.AEAD_AES_128_GCM: (16, 12),
    SrtpProtectionProfile.AEAD_AES_256_GCM: (32, 12),
}

DEFAULT_PROFILES = (
    SrtpProtectionProfile.AEAD_AES_128_GCM,
    SrtpProtectionProfile.AEAD_AES_256_GCM,
    SrtpProtectionProfile.AES128_CM_HMAC_SHA1_80,
)
"""Cheapest first: AES-GCM costs about half of AES-CM with HMAC-SHA1 per packet."""


@dataclass(frozen=True, slots=True)
class SrtpKeys:
    """Master keys and salts of both directions, as seen from this end."""

    profile: SrtpProtectionProfile
    local_key: bytes = field(repr=False)
    """Encrypts what we send."""
    local_salt: bytes = field(repr=False)
    remote_key: bytes = field(repr=False)
    """Decrypts what the peer sends."""
    remote_salt: bytes = field(repr=False)


def exported_length(profile: SrtpProtectionProfile) -> int:
    """Return the number of bytes to export for a profile: two keys and two salts."""
    return 2 * (profile.key_length + profile.salt_length)


def split_keys(profile: SrtpProtectionProfile, exported: bytes, *, server: bool) -> SrtpKeys:
    """Split exported bytes into client key, server key, client salt, server salt (RFC 5764 section 4.2)."""
    key, salt = profile.key_length, profile.salt_length
    client_key, server_key = exported[:key], exported[key : 2 * key]
    client_salt, server_salt = exported[2 * key : 2 * key + salt], exported[2 * key + salt :]
    if server:
        return SrtpKeys(profile, server_key, server_salt, client_key, client_salt)
    return SrtpKeys(profile, client_key, client_salt, server_key, server_salt)
