"""Key sets: which keys are used, and why others are not."""

import contextlib
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from sfu.errors import BadPacket
from sfu.shell.auth.jwks import MAX_KEYS, KeySet, read_keys

RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
RSA: dict[str, Any] = RSAAlgorithm.to_jwk(RSA_KEY.public_key(), as_dict=True)
EC: dict[str, Any] = ECAlgorithm.to_jwk(EC_KEY.public_key(), as_dict=True)
ED: dict[str, Any] = OKPAlgorithm.to_jwk(ed25519.Ed25519PrivateKey.generate().public_key(), as_dict=True)
ED448: dict[str, Any] = OKPAlgorithm.to_jwk(ed448.Ed448PrivateKey.generate().public_key(), as_dict=True)
P384: dict[str, Any] = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()).public_key(), as_dict=True)
WEAK: dict[str, Any] = RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key(), as_dict=True)


def read(*keys: Any) -> KeySet:
    """Read a set of these keys."""
    return read_keys(json.dumps({"keys": keys}).encode())


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (RSA, "RS256"),
        (EC, "ES256"),
        (ED, "EdDSA"),
        ({**RSA, "alg": "RS256", "use": "sig", "key_ops": ["verify"]}, "RS256"),
        ({**ED448, "alg": "EdDSA"}, "EdDSA"),
        # As Keycloak and Auth0 write them: with the certificate.
        ({**RSA, "alg": "RS256", "use": "sig", "x5c": ["MIIC"], "x5t": "x", "x5t#S256": "y"}, "RS256"),
    ],
)
def test_usable_keys(key: dict[str, Any], algorithm: str) -> None:
    found = read({**key, "kid": "one"})
    assert found.unused == {}
    assert found.keys["one"].algorithm_name == algorithm
    (nameless,) = read(key).keys
    assert nameless == key.get("kid")


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ({"kty": "oct", "k": "AAAA", "alg": "HS256"}, "symmetric"),
        ({"kty": "oct", "k": "AAAA"}, "symmetric"),
        (RSAAlgorithm.to_jwk(RSA_KEY, as_dict=True), "private"),
        (ECAlgorithm.to_jwk(EC_KEY, as_dict=True), "private"),
        ({**RSA, "use": "enc", "alg": "RSA-OAEP"}, "use"),
        ({**RSA, "use": "enc"}, "use"),
        ({**RSA, "key_ops": ["encrypt"]}, "use"),
        ({**RSA, "key_ops": "verify"}, "use"),
        ({**RSA, "alg": "none"}, "algorithm"),
        ({**RSA, "alg": "HS256"}, "algorithm"),
        ({**RSA, "alg": "RS512"}, "algorithm"),
        ({**EC, "alg": "secret"}, "algorithm"),
        (P384, "algorithm"),
        (WEAK, "weak"),
        (7, "malformed"),
        ([], "malformed"),
        ({}, "malformed"),
        ({"kty": "new"}, "malformed"),
        ({**RSA, "kid": 7}, "malformed"),
        ({**RSA, "kid": []}, "malformed"),
        ({**RSA, "alg": ["RS256"]}, "malformed"),
        ({**RSA, "alg": "ES256"}, "malformed"),
        ({**RSA, "n": 5}, "malformed"),
        ({**RSA, "n": "AQ"}, "malformed"),
        ({**EC, "x": "AAAA"}, "malformed"),
        ({**EC, "crv": []}, "malformed"),
        ({**P384, "alg": "ES256"}, "algorithm"),
    ],
)
def test_unusable_keys(key: Any, reason: str) -> None:
    assert read(key) == KeySet({}, {reason: 1})
    found = read(key, {**EC, "kid": "good"}, key)
    assert (list(found.keys), found.unused) == (["good"], {reason: 2})


def test_the_first_of_two_keys_with_the_same_id_is_used() -> None:
    found = read({**EC, "kid": "same"}, {**ED, "kid": "same"}, EC, ED)
    assert [(key_id, key.algorithm_name) for key_id, key in found.keys.items()] == [
        ("same", "ES256"),
        (None, "ES256"),
    ]
    assert found.unused == {"duplicate": 2}


def test_the_number_of_keys_is_limited() -> None:
    found = read(*({**EC, "kid": str(number)} for number in range(MAX_KEYS + 3)))
    assert (len(found.keys), found.unused) == (MAX_KEYS, {"too-many": 3})


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b'{"keys": {}}', b'{"keys": null}', b"<html>", b"\xff", b"[" * 100_000, b'{"keys": [}'],
)
def test_data_that_is_not_a_key_set(data: bytes) -> None:
    with pytest.raises(BadPacket) as caught:
        read_keys(data)
    assert caught.value.reason == "format"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
MEMBERS = ("kty", "alg", "kid", "use", "key_ops", "crv", "n", "e", "x", "y", "d")


@given(
    st.sampled_from([RSA, EC, ED]),
    st.dictionaries(st.sampled_from(MEMBERS), JSON | st.sampled_from(["RSA", "EC", "OKP", "P-256", "AQAB"])),
)
def test_any_key_is_used_or_counted_as_unused(key: dict[str, Any], changes: dict[str, Any]) -> None:
    found = read({**key, **changes})
    assert len(found.keys) + sum(found.unused.values()) == 1


@given(st.binary(max_size=100) | JSON.map(lambda value: json.dumps({"keys": value}).encode()))
def test_any_bytes_are_a_key_set_or_a_bad_packet(data: bytes) -> None:
    with contextlib.suppress(BadPacket):
        read_keys(data)
