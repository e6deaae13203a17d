from contextlib import suppress
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from dtls.support import MADE_AT, certificate, seeded
from hypothesis import given
from hypothesis import strategies as st

from sfu.dtls import Certificate, fingerprint_matches
from sfu.dtls.alerts import BadCertificate, UnsupportedCertificate
from sfu.dtls.certificate import public_key_of

AnyKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | dsa.DSAPublicKey | ed25519.Ed25519PublicKey


def rsa_key(bits: int, exponent_bits: int = 17) -> rsa.RSAPublicKey:
    """An RSA public key of these lengths, without a private key. It verifies nothing."""
    return rsa.RSAPublicNumbers((1 << exponent_bits) - 1, (1 << bits) - 1).public_key()


def der_with(key: AnyKey) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    signer = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder(name, name, key, 7, MADE_AT, MADE_AT + timedelta(days=1))
    return builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.DER)


def test_generated_certificate() -> None:
    made = certificate(1)
    parsed = x509.load_der_x509_certificate(made.der)
    assert parsed.subject == parsed.issuer
    assert parsed.not_valid_before_utc < MADE_AT < parsed.not_valid_after_utc
    parsed.verify_directly_issued_by(parsed)
    assert public_key_of(made.der) == made.private_key.public_key()
    assert len(made.der) < 400


def test_made_from_the_given_randomness() -> None:
    assert Certificate.generate(MADE_AT, seeded(1)).der == certificate(1).der
    assert certificate(2).der != certificate(1).der


def test_serial_number_from_only_zeros_or_ones() -> None:
    for random in (bytes, lambda count: b"\xff" * count):
        serial = x509.load_der_x509_certificate(Certificate.generate(MADE_AT, random).der).serial_number
        assert 0 < serial < 1 << 159


@pytest.mark.parametrize(("algorithm", "size"), [("sha-256", 32), ("sha-384", 48), ("sha-512", 64)])
def test_fingerprints(algorithm: str, size: int) -> None:
    made = certificate(1)
    name, value = made.fingerprint(algorithm).split()
    assert name == algorithm
    assert len(value.split(":")) == size
    assert fingerprint_matches(made.der, (name, value))
    assert fingerprint_matches(made.der, (name.upper(), value.lower()))
    assert not fingerprint_matches(certificate(2).der, (name, value))


@pytest.mark.parametrize(
    "fingerprint", [("sha-1", "00"), ("", ""), ("sha-256", ""), ("sha-256", "É"), ("md5", "AA:BB")]
)
def test_fingerprints_that_never_match(fingerprint: tuple[str, str]) -> None:
    assert not fingerprint_matches(certificate(1).der, fingerprint)


def test_sha256_is_the_default() -> None:
    assert certificate(1).fingerprint().startswith("sha-256 ")
    with pytest.raises(KeyError):
        certificate(1).fingerprint("sha-1")


@pytest.mark.parametrize(
    "curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name
)
def test_ecdsa_keys(curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve)
    assert public_key_of(der_with(key.public_key())) == key.public_key()


@pytest.mark.parametrize("key", [rsa_key(2048), rsa_key(8192, 64)], ids=["shortest", "longest"])
def test_rsa_keys(key: rsa.RSAPublicKey) -> None:
    assert public_key_of(der_with(key)) == key


@pytest.mark.parametrize(
    "key",
    [
        rsa_key(2047),
        rsa_key(8193),
        rsa_key(2048, 65),
        ec.generate_private_key(ec.SECP256K1()).public_key(),
        ed25519.Ed25519PrivateKey.generate().public_key(),
        dsa.generate_private_key(1024).public_key(),
    ],
    ids=["rsa-2047", "rsa-8193", "rsa-exponent", "secp256k1", "ed25519", "dsa"],
)
def test_keys_of_other_kinds(key: AnyKey) -> None:
    with pytest.raises(UnsupportedCertificate):
        public_key_of(der_with(key))


def test_an_unknown_algorithm() -> None:
    der = der_with(ed25519.Ed25519PrivateKey.generate().public_key())
    with pytest.raises(UnsupportedCertificate):
        public_key_of(der.replace(bytes.fromhex("06032b6570"), bytes.fromhex("06032b657f")))


def test_cut_and_with_bytes_after_the_end() -> None:
    der = certificate(1).der
    for size in range(len(der)):
        with pytest.raises(BadCertificate):
            public_key_of(der[:size])
    with pytest.raises(BadCertificate):
        public_key_of(der + b"\0")


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@given(st.integers(0, len(certificate(1).der) - 1), st.integers(0, 255))
def test_a_changed_byte_raises_an_alert_or_nothing(position: int, value: int) -> None:
    changed = bytearray(certificate(1).der)
    changed[position] = value
    with suppress(BadCertificate, UnsupportedCertificate):
        public_key_of(bytes(changed))
