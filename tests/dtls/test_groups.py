import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from dtls.support import seeded

from sfu.dtls.alerts import IllegalParameter
from sfu.dtls.groups import GROUPS, P256_ORDER, P384_ORDER, SECP256R1, X25519, NamedGroup, scalar

ALL = pytest.mark.parametrize("group", GROUPS.values(), ids=lambda group: group.name)


@ALL
def test_both_ends_get_the_same_secret(group: NamedGroup) -> None:
    one, other = group.share(seeded(1)), group.share(seeded(2))
    assert one.public != other.public
    assert one.exchange(other.public) == other.exchange(one.public)


@ALL
def test_shares_come_from_the_given_randomness(group: NamedGroup) -> None:
    assert group.share(seeded(1)).public == group.share(seeded(1)).public


@ALL
@pytest.mark.parametrize(
    "peer", [b"", b"\4", bytes(31), bytes(32), bytes(65), b"\4" + bytes(64), b"\4" + bytes(96)]
)
def test_invalid_public_keys_are_refused(group: NamedGroup, peer: bytes) -> None:
    with pytest.raises(IllegalParameter):
        group.share(seeded(1)).exchange(peer)


def test_a_compressed_point() -> None:
    public = SECP256R1.share(seeded(1)).public
    with pytest.raises(IllegalParameter):
        SECP256R1.share(seeded(2)).exchange(bytes([2 + public[-1] % 2]) + public[1:33])


def test_a_point_of_small_order() -> None:
    one = (1).to_bytes(32, "little")
    with pytest.raises(IllegalParameter):
        X25519.share(seeded(1)).exchange(one)


@pytest.mark.parametrize("order", [P256_ORDER, P384_ORDER], ids=["P-256", "P-384"])
def test_scalars_are_in_range(order: int) -> None:
    size = (order.bit_length() + 7) // 8 + 8
    assert scalar(bytes, order) == 1
    assert 1 <= scalar(lambda count: b"\xff" * count, order) < order
    wide = (order - 2).to_bytes(size, "big")
    assert scalar(lambda count: wide[-count:], order) == order - 1


@pytest.mark.parametrize(
    ("curve", "order"), [(ec.SECP256R1(), P256_ORDER), (ec.SECP384R1(), P384_ORDER)], ids=["P-256", "P-384"]
)
def test_orders_are_the_curves(curve: ec.EllipticCurve, order: int) -> None:
    ec.derive_private_key(order - 1, curve)
    with pytest.raises(ValueError, match="EC key"):
        ec.derive_private_key(order, curve)
