"""Signature schemes: one row each (RFC 5246 section 7.4.1.4.1, RFC 8446 section 4.2.3).

TLS 1.2 calls them pairs of hash and signature algorithm; the 16-bit codes are the same. In 1.2 an ECDSA code
names only the hash, not the curve.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from sfu.dtls.alerts import DecryptError, IllegalParameter

KeyKind = Literal["ecdsa", "rsa"]
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


@dataclass(frozen=True, slots=True)
class SignatureScheme:
    """A row: the code, the kind of key that can use it, its hash, and for RSA the padding."""

    code: int
    name: str
    key_kind: KeyKind
    hash: hashes.HashAlgorithm
    pss: bool = False

    def _padding(self) -> padding.PSS | padding.PKCS1v15:
        if self.pss:
            return padding.PSS(padding.MGF1(self.hash), self.hash.digest_size)
        return padding.PKCS1v15()

    def sign(self, key: PrivateKey, data: bytes) -> bytes:
        """Sign with a key of this scheme's kind. ECDSA nonces are deterministic (RFC 6979)."""
        if isinstance(key, rsa.RSAPrivateKey):
            return key.sign(data, self._padding(), self.hash)
        return key.sign(data, ec.ECDSA(self.hash, deterministic_signing=True))

    def verify(self, key: PublicKey, signature: bytes, data: bytes) -> None:
        """Verify a signature. Raises `DecryptError` if it is wrong, `IllegalParameter` for another key kind."""
        if key_kind(key) != self.key_kind:
            raise IllegalParameter(f"{self.name} with a key of kind {key_kind(key)}")
        try:
            if isinstance(key, rsa.RSAPublicKey):
                key.verify(signature, data, self._padding(), self.hash)
            else:
                key.verify(signature, data, ec.ECDSA(self.hash))
        except InvalidSignature:
            raise DecryptError(f"{self.name} signature does not verify") from None


def key_kind(key: PrivateKey | PublicKey) -> KeyKind:
    """Return the kind of schemes that a key can use."""
    return "rsa" if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey) else "ecdsa"


SCHEMES: Mapping[int, SignatureScheme] = {
    scheme.code: scheme
    for scheme in (
        SignatureScheme(0x0403, "ecdsa_secp256r1_sha256", "ecdsa", hashes.SHA256()),
        SignatureScheme(0x0503, "ecdsa_secp384r1_sha384", "ecdsa", hashes.SHA384()),
        SignatureScheme(0x0603, "ecdsa_secp521r1_sha512", "ecdsa", hashes.SHA512()),
        SignatureScheme(0x0804, "rsa_pss_rsae_sha256", "rsa", hashes.SHA256(), pss=True),
        SignatureScheme(0x0805, "rsa_pss_rsae_sha384", "rsa", hashes.SHA384(), pss=True),
        SignatureScheme(0x0806, "rsa_pss_rsae_sha512", "rsa", hashes.SHA512(), pss=True),
        SignatureScheme(0x0401, "rsa_pkcs1_sha256", "rsa", hashes.SHA256()),
        SignatureScheme(0x0501, "rsa_pkcs1_sha384", "rsa", hashes.SHA384()),
        SignatureScheme(0x0601, "rsa_pkcs1_sha512", "rsa", hashes.SHA512()),
    )
}
"""All supported schemes by code, best first. SHA-1 is not supported (RFC 9155)."""


def schemes_for(kind: KeyKind) -> list[SignatureScheme]:
    """Return the schemes that a key of this kind can use, best first."""
    return [scheme for scheme in SCHEMES.values() if scheme.key_kind == kind]
