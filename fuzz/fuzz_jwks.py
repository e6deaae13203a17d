"""Sets of public keys: only BadPacket escapes, and each entry is a usable public key or counted with a reason.

The input is read as a set, and as the inside of one.
"""

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from sfu.errors import BadPacket
from sfu.shell.auth.jwks import MAX_KEYS, MIN_RSA_BITS, PUBLIC, read_keys

REASONS = {"symmetric", "private", "use", "algorithm", "weak", "malformed", "duplicate", "too-many"}

TYPES: dict[str, type | tuple[type, ...]] = {
    "RS256": RSAPublicKey,
    "ES256": EllipticCurvePublicKey,
    "EdDSA": (Ed25519PublicKey, Ed448PublicKey),
}


def one_input(data: bytes) -> None:
    """Check the invariants on one set, and on one whose entries these are."""
    check(data)
    check(b'{"keys":[' + data + b"]}")


def check(data: bytes) -> None:
    """One set."""
    try:
        found = read_keys(data)
    except BadPacket as error:
        assert error.reason == "format"
        return
    assert len(found.keys) <= MAX_KEYS
    assert set(found.unused) <= REASONS
    for key_id, key in found.keys.items():
        assert key.key_id == key_id
        assert key.algorithm_name in PUBLIC
        assert isinstance(key.key, TYPES[key.algorithm_name])
        if isinstance(key.key, RSAPublicKey):
            assert key.key.key_size >= MIN_RSA_BITS
        if isinstance(key.key, EllipticCurvePublicKey):
            assert key.key.curve.name == "secp256r1"
