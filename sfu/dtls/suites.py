"""Cipher suites: one row each. All are ECDHE with an AEAD; browsers need no others.

RFC 5289 (AES-GCM), RFC 7905 (ChaCha20-Poly1305), RFC 8422 (ECDHE).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from sfu.dtls.protection import ChaChaProtection, GcmProtection, RecordProtection
from sfu.dtls.signatures import KeyKind


@dataclass(frozen=True, slots=True)
class CipherSuite:
    """A row: the code, the kind of key in the server's certificate, the PRF's hash, the record protection."""

    code: int
    name: str
    key_kind: KeyKind
    hash_name: Literal["sha256", "sha384"]
    """The hash of the PRF and of the transcript."""
    key_length: int
    iv_length: int
    """The length of the implicit part of the nonce, bytes."""
    protection: Callable[[bytes, bytes], RecordProtection]


SUITES: Mapping[int, CipherSuite] = {
    suite.code: suite
    for suite in (
        CipherSuite(0xC02B, "ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ecdsa", "sha256", 16, 4, GcmProtection),
        CipherSuite(0xC02C, "ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ecdsa", "sha384", 32, 4, GcmProtection),
        CipherSuite(
            0xCCA9, "ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ecdsa", "sha256", 32, 12, ChaChaProtection
        ),
        CipherSuite(0xC02F, "ECDHE_RSA_WITH_AES_128_GCM_SHA256", "rsa", "sha256", 16, 4, GcmProtection),
        CipherSuite(0xC030, "ECDHE_RSA_WITH_AES_256_GCM_SHA384", "rsa", "sha384", 32, 4, GcmProtection),
        CipherSuite(
            0xCCA8, "ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "rsa", "sha256", 32, 12, ChaChaProtection
        ),
    )
}
"""All supported suites by code, in order of preference."""
