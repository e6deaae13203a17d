"""Elliptic-curve groups for the key exchange: one row each (RFC 8422 section 5.1.1).

Private keys come from the injected randomness, so a connection with a seeded `random` is reproducible.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sfu.dtls.alerts import IllegalParameter

Random = Callable[[int], bytes]


class KeyShare(Protocol):
    """Our side of one key exchange."""

    @property
    def public(self) -> bytes:
        """The public key in the group's wire format."""

    def exchange(self, peer: bytes) -> bytes:
        """Return the shared secret; raise `IllegalParameter` if `peer` is not a valid public key."""


class _X25519Share:
    __slots__ = ("_private",)

    def __init__(self, random: Random) -> None:
        self._private = x25519.X25519PrivateKey.from_private_bytes(random(32))

    @property
    def public(self) -> bytes:
        return self._private.public_key().public_bytes_raw()

    def exchange(self, peer: bytes) -> bytes:
        try:
            # An all-zero result (a point of small order, RFC 8422 section 5.11) raises ValueError too.
            return self._private.exchange(x25519.X25519PublicKey.from_public_bytes(peer))
        except ValueError:
            raise IllegalParameter("not an X25519 public key") from None


class _CurveShare:
    __slots__ = ("_curve", "_private")

    def __init__(self, random: Random, curve: ec.EllipticCurve, order: int) -> None:
        self._curve = curve
        self._private = ec.derive_private_key(scalar(random, order), curve)

    @property
    def public(self) -> bytes:
        return self._private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def exchange(self, peer: bytes) -> bytes:
        try:
            if peer[:1] != b"\x04":
                # RFC 8422 section 5.1.2 allows only the uncompressed format.
                raise ValueError("compressed")
            point = ec.EllipticCurvePublicKey.from_encoded_point(self._curve, peer)
        except ValueError:
            raise IllegalParameter(f"not a point of {self._curve.name}") from None
        return self._private.exchange(ec.ECDH(), point)


def scalar(random: Random, order: int) -> int:
    """Return a private scalar in [1, order): FIPS 186-5 A.2.1, from 64 extra bits, then reduced."""
    wide = int.from_bytes(random((order.bit_length() + 7) // 8 + 8), "big")
    return wide % (order - 1) + 1


# The orders of the base points (SEC 2 sections 2.4.2 and 2.5.1).
P256_ORDER = int("FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551", 16)
P384_ORDER = int(
    "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973", 16
)


@dataclass(frozen=True, slots=True)
class NamedGroup:
    """A row: the group's code, its name, and how to make our side of an exchange in it."""

    code: int
    name: str
    share: Callable[[Random], KeyShare]


X25519 = NamedGroup(29, "x25519", _X25519Share)
SECP256R1 = NamedGroup(23, "secp256r1", lambda random: _CurveShare(random, ec.SECP256R1(), P256_ORDER))
SECP384R1 = NamedGroup(24, "secp384r1", lambda random: _CurveShare(random, ec.SECP384R1(), P384_ORDER))

GROUPS: Mapping[int, NamedGroup] = {group.code: group for group in (X25519, SECP256R1, SECP384R1)}
"""All supported groups by code, the cheapest first: the server's order of preference."""
