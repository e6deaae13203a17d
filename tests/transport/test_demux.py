import pytest

from sfu.ice import attributes as a
from sfu.ice.events import (
    CredentialsAdded,
    CredentialsRetired,
    IceState,
    PathRetired,
    PathValidated,
    StateChanged,
)
from sfu.ice.path import Address, IcePath
from sfu.ice.stun import MessageClass, StunMessage
from sfu.transport.demux import PacketKind, RouteTable, kind_of

A, B = (IcePath(None, Address("192.0.2.1", port)) for port in (1, 2))
MEDIA = b"\x80\x60" + bytes(20)


def keeps_nothing(owner: str, path: IcePath, now: float) -> bool:
    """No owner has consent for any of its paths."""
    return False


def check(ufrag: str) -> bytes:
    return StunMessage(MessageClass.REQUEST, bytes(12), ((a.USERNAME, f"{ufrag}:them"),)).serialize(b"?")


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        (0, PacketKind.STUN),
        (3, PacketKind.STUN),
        (4, None),
        (16, None),
        (19, None),
        (20, PacketKind.DTLS),
        (63, PacketKind.DTLS),
        (64, None),
        (79, None),
        (127, None),
        (128, PacketKind.RTP),
        (191, PacketKind.RTP),
        (192, None),
        (255, None),
    ],
)
def test_first_byte_says_what_it_is(first: int, kind: PacketKind | None) -> None:
    assert kind_of(bytes([first, 96])) is kind


@pytest.mark.parametrize(
    ("second", "kind"),
    [
        (96, PacketKind.RTP),
        (127, PacketKind.RTP),
        (191, PacketKind.RTP),
        (192, PacketKind.RTCP),
        (223, PacketKind.RTCP),
        (224, PacketKind.RTP),
    ],
)
def test_second_byte_tells_rtcp_from_rtp(second: int, kind: PacketKind) -> None:
    assert kind_of(bytes([0x80, second])) is kind


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x80"])
def test_a_datagram_of_less_than_two_bytes_has_no_kind(data: bytes) -> None:
    assert kind_of(data) is None


def test_checks_are_routed_by_fragment_and_media_by_validated_path() -> None:
    one, two = "peer 1", "peer 2"
    table: RouteTable[str] = RouteTable(keeps_nothing)
    table.add(one, ["one"])
    table.add(two, ["two"])
    assert table.route(check("one"), A, 0.0) is one
    assert table.route(check("two"), A, 0.0) is two
    assert table.route(MEDIA, A, 0.0) is None
    table.apply(one, [StateChanged(IceState.CONNECTED), PathValidated(A)])
    assert table.route(MEDIA, A, 0.0) is one
    assert table.route(MEDIA, IcePath(None, Address("192.0.2.1", 1)), 0.0) is one
    assert table.route(MEDIA, B, 0.0) is None
    assert table.drops == {"unknown-source": 2}
    assert len(table) == 2
    assert one in table


def test_datagrams_from_unknown_sources_are_counted() -> None:
    table: RouteTable[str] = RouteTable(keeps_nothing)
    for data in (
        b"",
        b"\x00\x01",
        check("nobody"),
        StunMessage(MessageClass.INDICATION, bytes(12)).serialize(),
        MEDIA,
        b"\xff\xff",
    ):
        assert table.route(data, A, 0.0) is None
    assert table.drops == {
        "stun-truncated": 2,
        "unknown-ufrag": 1,
        "stun-not-a-request": 1,
        "unknown-source": 2,
    }
    assert table.routes() == 0


def test_routes_follow_events() -> None:
    one = "peer 1"
    table: RouteTable[str] = RouteTable(keeps_nothing)
    table.add(one, ["one"])
    table.apply(one, [PathValidated(A), PathValidated(B), CredentialsAdded("new")])
    assert table.routes() == 4
    assert table.owner(A) is one
    table.apply(one, [PathRetired(A), CredentialsRetired("one")])
    assert table.owner(A) is None
    assert table.route(MEDIA, A, 0.0) is None
    assert table.route(MEDIA, B, 0.0) is one
    assert table.route(check("one"), B, 0.0) is None
    assert table.route(check("new"), A, 0.0) is one


def test_removal_leaves_nothing() -> None:
    one, two = "peer 1", "peer 2"
    table: RouteTable[str] = RouteTable(keeps_nothing)
    table.add(one, ["one"])
    table.add(two, ["two"])
    table.apply(one, [PathValidated(A), CredentialsAdded("new")])
    table.apply(two, [PathValidated(B)])
    table.remove(one)
    table.remove(one)
    assert one not in table
    assert table.route(check("one"), A, 0.0) is None
    assert table.route(check("new"), A, 0.0) is None
    assert table.route(MEDIA, A, 0.0) is None
    assert table.route(MEDIA, B, 0.0) is two
    table.apply(one, [PathValidated(A), CredentialsAdded("late")])
    table.remove(two)
    assert table.routes() == len(table) == 0


def test_a_path_stays_with_its_owner_until_consent_ends() -> None:
    """A check of another owner on that path is dropped and counted, and changes nothing."""
    one, two = "peer 1", "peer 2"
    consent_until = {(one, A): 30.0}
    table: RouteTable[str] = RouteTable(lambda owner, path, now: now < consent_until[owner, path])
    table.add(one, ["one"])
    table.add(two, ["two"])
    table.apply(one, [PathValidated(A)])
    assert table.route(check("two"), A, 29.9) is None
    assert table.drops == {"path-of-another": 1}
    assert table.route(MEDIA, A, 29.9) is one
    assert table.route(check("one"), A, 29.9) is one
    assert table.route(check("two"), B, 29.9) is two
    assert table.route(check("two"), A, 30.0) is two
    assert table.drops == {"path-of-another": 1}


def test_a_flood_of_checks_is_dropped_before_it_is_authenticated() -> None:
    table: RouteTable[str] = RouteTable(keeps_nothing)
    table.add("peer 1", ["one"])
    assert [table.route(check("one"), A, 0.0) for _ in range(60)] == ["peer 1"] * 50 + [None] * 10
    assert table.drops == {"check-flood": 10}
    assert table.route(check("one"), B, 0.0) == "peer 1"
    assert table.route(check("one"), A, 0.1) == "peer 1"


def test_checks_of_others_do_not_use_up_the_budget_of_the_owner() -> None:
    table: RouteTable[str] = RouteTable(lambda owner, path, now: True)
    table.add("peer 1", ["one"])
    table.add("peer 2", ["two"])
    table.apply("peer 1", [PathValidated(A)])
    for _ in range(1000):
        assert table.route(check("two"), A, 0.0) is None
    assert table.route(check("one"), A, 0.0) == "peer 1"
    assert table.drops == {"path-of-another": 1000}


def test_a_path_without_consent_passes_to_the_owner_that_is_validated_on_it() -> None:
    one, two = "peer 1", "peer 2"
    table: RouteTable[str] = RouteTable(keeps_nothing)
    table.add(one, ["one"])
    table.add(two, ["two"])
    table.apply(one, [PathValidated(A)])
    table.apply(two, [PathValidated(A)])
    assert table.route(MEDIA, A, 0.0) is two
    table.apply(one, [PathRetired(A)])
    assert table.route(MEDIA, A, 0.0) is two
    table.remove(one)
    assert table.route(MEDIA, A, 0.0) is two
    table.remove(two)
    assert table.routes() == 0


def test_misuse_raises_and_changes_nothing() -> None:
    one = "peer 1"
    table: RouteTable[str] = RouteTable(keeps_nothing)
    table.add(one, ["one"])
    with pytest.raises(ValueError, match="already"):
        table.add(one, ["one"])
    with pytest.raises(ValueError, match="taken"):
        table.add("peer 2", ["other", "one"])
    assert (len(table), table.routes()) == (1, 1)
    with pytest.raises(ValueError, match="taken"):
        table.apply(one, [CredentialsAdded("one")])
