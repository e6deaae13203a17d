"""Our certificate, the peer's, and fingerprints.

In WebRTC certificates are self-signed, and their names and dates are not checked. Two things are checked: the
certificate's fingerprint is the one in the SDP (RFC 8122, RFC 8827 section 6.5), and the peer proves in the
handshake that it holds the private key.
"""

import hashlib
import hmac
from collections.abc import Callable
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from sfu.dtls.alerts import BadCertificate, UnsupportedCertificate
from sfu.dtls.groups import P256_ORDER, scalar
from sfu.dtls.signatures import PrivateKey, PublicKey

VALIDITY = timedelta(days=365)
"""How long our certificate is valid. It is used until the process ends; browsers ignore the date."""

CLOCK_SKEW = timedelta(days=1)
"""The certificate is valid from this long ago, as those of libwebrtc and Firefox are."""

MIN_RSA_BITS = 2048
"""The shortest RSA key accepted from a peer (NIST SP 800-131A). Browsers use at least 2048."""

MAX_RSA_BITS = 8192
"""The longest RSA key accepted: the limit of `RTCPeerConnection.generateCertificate` in libwebrtc."""

MAX_RSA_EXPONENT_BITS = 64
"""The longest public exponent accepted. OpenSSL has the same limit for keys above 3072 bits. To verify a
signature takes 2 ms with the longest key and exponent, and 12 ms with a key and an exponent of 3072 bits."""

FINGERPRINT_HASHES = {"sha-256": "sha256", "sha-384": "sha384", "sha-512": "sha512"}
"""The hash functions a fingerprint may use. SHA-1 and MD5 are no longer secure (RFC 8122 section 5)."""


class Certificate:
    """A certificate with its private key."""

    __slots__ = ("der", "private_key")

    def __init__(self, der: bytes, private_key: PrivateKey) -> None:
        self.der = der
        """The certificate, DER."""
        self.private_key = private_key

    @classmethod
    def generate(cls, now_utc: datetime, random: Callable[[int], bytes]) -> "Certificate":
        """Make a self-signed ECDSA P-256 certificate with a random name, as browsers do."""
        key = ec.derive_private_key(scalar(random, P256_ORDER), ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, random(16).hex())])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            # RFC 5280 section 4.1.2.2: positive and at most 20 octets.
            .serial_number(int.from_bytes(random(19), "big") + 1)
            .not_valid_before(now_utc - CLOCK_SKEW)
            .not_valid_after(now_utc + VALIDITY)
            .sign(key, hashes.SHA256(), ecdsa_deterministic=True)
        )
        return cls(certificate.public_bytes(Encoding.DER), key)

    def fingerprint(self, algorithm: str = "sha-256") -> str:
        """Return the fingerprint in SDP's form: ``sha-256 AB:CD:…`` (RFC 8122 section 5)."""
        return f"{algorithm} {_digest(self.der, FINGERPRINT_HASHES[algorithm])}"


def _digest(der: bytes, hash_name: str) -> str:
    return hashlib.new(hash_name, der).digest().hex(":").upper()


def fingerprint_matches(der: bytes, fingerprint: tuple[str, str]) -> bool:
    """Compare a certificate with SDP's fingerprint ``(algorithm, "AB:CD:…")``, in constant time.

    Letter case is ignored. An algorithm that is unknown or too weak never matches.

    >>> fingerprint_matches(b"abc", ("sha-1", "a9:99:3e:36:47:06:81:6a:ba:3e:25:71:78:50:c2:6c:9c:d0:d8:9d"))
    False
    >>> fingerprint_matches(b"abc", ("SHA-256", hashlib.sha256(b"abc").digest().hex(":")))
    True
    """
    algorithm, value = fingerprint
    hash_name = FINGERPRINT_HASHES.get(algorithm.lower())
    if hash_name is None:
        return False
    return hmac.compare_digest(_digest(der, hash_name).encode(), value.upper().encode())


def public_key_of(der: bytes) -> PublicKey:
    """Return the key in a peer's certificate.

    Raises `BadCertificate` when it does not parse, `UnsupportedCertificate` when the key is not ECDSA on a
    NIST curve, or RSA of 2048 to 8192 bits with an exponent of at most 64 bits.
    """
    try:
        key = x509.load_der_x509_certificate(der).public_key()
    except UnsupportedAlgorithm as error:
        raise UnsupportedCertificate(str(error)) from None
    except (ValueError, TypeError, x509.InvalidVersion) as error:
        raise BadCertificate(str(error)) from None
    if isinstance(key, ec.EllipticCurvePublicKey):
        if not isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1):
            raise UnsupportedCertificate(f"key on {key.curve.name}")
        return key
    if isinstance(key, rsa.RSAPublicKey):
        if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
            raise UnsupportedCertificate(f"RSA key of {key.key_size} bits")
        if (exponent := key.public_numbers().e.bit_length()) > MAX_RSA_EXPONENT_BITS:
            raise UnsupportedCertificate(f"RSA exponent of {exponent} bits")
        return key
    raise UnsupportedCertificate(f"key of kind {type(key).__name__}")
