import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from sfu.dtls.alerts import DecryptError, HandshakeFailure, IllegalParameter
from sfu.dtls.handshake import negotiate
from sfu.dtls.signatures import SCHEMES, PrivateKey, SignatureScheme, key_kind, schemes_for

KEYS: dict[str, PrivateKey] = {
    "ecdsa": ec.generate_private_key(ec.SECP256R1()),
    "rsa": rsa.generate_private_key(65537, 2048),
}
ALL = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=lambda scheme: scheme.name)


@ALL
def test_signed_and_verified(scheme: SignatureScheme) -> None:
    key = KEYS[scheme.key_kind]
    signature = scheme.sign(key, b"data")
    scheme.verify(key.public_key(), signature, b"data")
    for wrong, data in ((signature, b"date"), (signature[:-1], b"data"), (b"", b"data"), (bytes(300), b"data")):
        with pytest.raises(DecryptError):
            scheme.verify(key.public_key(), wrong, data)


@ALL
def test_the_wrong_kind_of_key(scheme: SignatureScheme) -> None:
    other = KEYS["rsa" if scheme.key_kind == "ecdsa" else "ecdsa"].public_key()
    with pytest.raises(IllegalParameter):
        scheme.verify(other, b"", b"data")


def test_ecdsa_is_deterministic() -> None:
    scheme = SCHEMES[0x0403]
    assert scheme.sign(KEYS["ecdsa"], b"data") == scheme.sign(KEYS["ecdsa"], b"data")


def test_our_favourite_is_chosen() -> None:
    offered = (0x0201, 0x0401, 0x0804, 0x0503, 0x0403, 0x7A7A)
    error = HandshakeFailure("none in common")
    assert negotiate(schemes_for("ecdsa"), offered, error) is SCHEMES[0x0403]
    assert negotiate(schemes_for("rsa"), offered, error) is SCHEMES[0x0804]
    with pytest.raises(HandshakeFailure):
        negotiate(schemes_for("rsa"), (0x0403, 0x0201), error)


def test_kinds() -> None:
    for kind, key in KEYS.items():
        assert key_kind(key) == key_kind(key.public_key()) == kind
