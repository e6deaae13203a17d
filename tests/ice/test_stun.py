import contextlib
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.errors import BadPacket
from sfu.ice import attributes as a
from sfu.ice.path import Address
from sfu.ice.stun import MessageClass, StunError, StunMessage, UnknownAttributesError, local_ufrag

TRANSACTION = bytes(range(12))
PASSWORD = b"VOkJxbRl1RmTxUk/WvJxBt"  # of RFC 5769


def request(*attributes: tuple[Any, Any]) -> StunMessage:
    return StunMessage(MessageClass.REQUEST, TRANSACTION, attributes)


def raw(body: bytes, message_type: int = 0x0001, cookie: int = 0x2112A442) -> bytes:
    return struct.pack("!HHI", message_type, len(body), cookie) + TRANSACTION + body


def reason(data: bytes) -> str:
    with pytest.raises(BadPacket) as caught:
        StunMessage.parse(data)
    return caught.value.reason


# The RFC's own samples


def test_request_of_rfc5769(vectors: dict[str, bytes]) -> None:
    message = StunMessage.parse(vectors["rfc5769-request"])
    assert message.message_class is MessageClass.REQUEST
    assert message.method == 1
    assert message.transaction_id.hex() == "b7e7a701bc34d686fa87dfae"
    assert message.get(a.SOFTWARE) == "STUN test client"
    assert message.get(a.PRIORITY) == 0x6E0001FF
    assert message.get(a.ICE_CONTROLLED) == 0x932FF9B151263B36
    assert message.get(a.USERNAME) == "evtj:h6vY"
    assert message.get(a.USE_CANDIDATE) is None
    assert message.has_integrity(PASSWORD)
    assert not message.has_integrity(b"VOkJxbRl1RmTxUk/WvJxBu")


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("rfc5769-ipv4-response", Address("192.0.2.1", 32853)),
        ("rfc5769-ipv6-response", Address("2001:db8:1234:5678:11:2233:4455:6677", 32853)),
    ],
)
def test_responses_of_rfc5769(vectors: dict[str, bytes], name: str, address: Address) -> None:
    message = StunMessage.parse(vectors[name])
    assert message.message_class is MessageClass.SUCCESS
    assert message.get(a.XOR_MAPPED_ADDRESS) == address
    assert message.get(a.SOFTWARE) == "test vector"
    assert message.has_integrity(PASSWORD)


def test_vectors_are_equal_after_a_round_trip(vectors: dict[str, bytes]) -> None:
    for data in vectors.values():
        message = StunMessage.parse(data)
        again = StunMessage.parse(message.serialize(PASSWORD))
        assert again == message
        assert again.has_integrity(PASSWORD)


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
def test_checks_of_browsers(vectors: dict[str, bytes], browser: str) -> None:
    for name, nominates in ((f"{browser}-check", None), (f"{browser}-nominating-check", True)):
        data = vectors[name]
        message = StunMessage.parse(data)
        ufrag = message.get(a.USERNAME)
        assert ufrag is not None
        assert ufrag.startswith(local_ufrag(data) + ":")
        assert message.get(a.USE_CANDIDATE) is nominates
        assert message.get(a.ICE_CONTROLLING) is not None
        assert message.get(a.PRIORITY) is not None
        assert message.unknown_required() == ()
        assert not message.has_integrity(b"a guess")


def test_every_cut_and_every_tail_is_refused(vectors: dict[str, bytes]) -> None:
    for data in vectors.values():
        for size in range(len(data)):
            assert reason(data[:size]) in {"stun-truncated", "stun-length"}
        assert reason(data + b"\0") == "stun-length"
        assert reason(data + bytes(4)) == "stun-length"


def test_every_flipped_bit_before_the_fingerprint_is_noticed(vectors: dict[str, bytes]) -> None:
    for data in vectors.values():
        for bit in range((len(data) - 8) * 8):
            damaged = bytearray(data)
            damaged[bit // 8] ^= 1 << bit % 8
            with pytest.raises(BadPacket):
                StunMessage.parse(bytes(damaged))


# Round trips

rows: list[tuple[a.Attribute[Any], st.SearchStrategy[Any]]] = [
    (a.USERNAME, st.text(max_size=120)),
    (a.REALM, st.text(max_size=120)),
    (a.NONCE, st.text(max_size=120)),
    (a.SOFTWARE, st.text(max_size=120)),
    (a.PRIORITY, st.integers(0, 2**32 - 1)),
    (a.ICE_CONTROLLED, st.integers(0, 2**64 - 1)),
    (a.ICE_CONTROLLING, st.integers(0, 2**64 - 1)),
    (a.USE_CANDIDATE, st.just(True)),
    (a.UNKNOWN_ATTRIBUTES, st.lists(st.integers(0, 0xFFFF)).map(tuple)),
    (a.ERROR_CODE, st.builds(a.ErrorCode, st.integers(300, 699), st.text(max_size=100))),
    *(
        (row, st.builds(Address, st.ip_addresses().map(str), st.integers(0, 0xFFFF)))
        for row in (a.MAPPED_ADDRESS, a.XOR_MAPPED_ADDRESS)
    ),
]
known = st.sampled_from(rows).flatmap(lambda row: st.tuples(st.just(row[0]), row[1]))
unknown = st.tuples(
    st.integers(0, 0xFFFF).filter(lambda type_: type_ not in a.ATTRIBUTES), st.binary(max_size=40)
)
messages = st.builds(
    StunMessage,
    st.sampled_from(MessageClass),
    st.binary(min_size=12, max_size=12),
    st.lists(known | unknown, max_size=8).map(tuple),
    st.integers(0, 0xFFF),
)


@given(messages, st.none() | st.binary(max_size=32))
def test_parse_undoes_serialize(message: StunMessage, key: bytes | None) -> None:
    again = StunMessage.parse(message.serialize(key))
    assert again == message
    if key is None:
        assert not again.has_integrity(b"")
    else:
        assert again.has_integrity(key)
        assert not again.has_integrity(key + b"x")


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_with_a_bad_packet(data: bytes) -> None:
    with pytest.raises(BadPacket):
        StunMessage.parse(data)


@given(st.binary(max_size=60).map(lambda body: raw(body + bytes(-len(body) % 4))))
def test_random_attributes_parse_or_are_refused_with_a_bad_packet(data: bytes) -> None:
    try:
        message = StunMessage.parse(data)
    except BadPacket:
        return
    assert StunMessage.parse(message.serialize()) == message


# Rules


def test_header_must_be_stun() -> None:
    assert reason(raw(b"", message_type=0x4001)) == "stun-header"
    assert reason(raw(b"", cookie=0x2112A443)) == "stun-header"
    assert reason(b"") == "stun-truncated"
    assert reason(struct.pack("!HHI", 1, 2, 0x2112A442) + TRANSACTION + b"\0\0") == "stun-length"


def test_attribute_must_end_within_the_message() -> None:
    assert reason(raw(b"\x80\x22\x00\x05abcd")) == "stun-attribute"
    assert StunMessage.parse(raw(b"\x80\x22\x00\x04abcd")).get(a.SOFTWARE) == "abcd"


@pytest.mark.parametrize(
    "attribute",
    [
        "0006 0001 ff000000",  # USERNAME that is not UTF-8
        "0006 01fd" + "61" * 509 + "000000",  # USERNAME of 509 bytes
        "0008 0013" + "00" * 20,  # MESSAGE-INTEGRITY of 19 bytes
        "0009 0003 00000400",  # ERROR-CODE without its number
        "0009 0004 00000200",  # 200
        "0009 0004 00000700",  # 700
        "0009 0004 00000464",  # 4 and 100
        "000a 0003 00010200",  # UNKNOWN-ATTRIBUTES of one and a half types
        "0020 0003 00010000",  # XOR-MAPPED-ADDRESS without a whole header
        "0020 0008 0002 0000 00000000",  # IPv6 of four bytes
        "0020 0008 0003 0000 00000000",  # family 3
        "0020 000c 0001 0000 0000000000000000",  # IPv4 of eight bytes
        "0024 0003 00000000",  # PRIORITY of three bytes
        "0025 0001 00000000",  # USE-CANDIDATE with a value
        "8029 0004 00000000",  # ICE-CONTROLLED of four bytes
    ],
)
def test_impossible_values_are_refused(attribute: str) -> None:
    assert reason(raw(bytes.fromhex(attribute))) == "stun-attribute"


def test_error_phrase_in_a_wrong_encoding_keeps_its_code() -> None:
    message = StunMessage.parse(raw(bytes.fromhex("0009 0005 00000401 ff000000")))
    error = message.get(a.ERROR_CODE)
    assert error is not None
    assert error.code == 401


def test_the_first_of_equal_attributes_is_used() -> None:
    message = StunMessage.parse(request((a.PRIORITY, 1), (a.PRIORITY, 2)).serialize())
    assert message.get(a.PRIORITY) == 1


def test_attributes_after_the_integrity_are_ignored() -> None:
    signed = request((a.PRIORITY, 1)).serialize(b"key")[:-8]
    tail = b"\x00\x25\x00\x00"
    smuggled = signed[:2] + (len(signed) - 20 + len(tail)).to_bytes(2, "big") + signed[4:] + tail
    message = StunMessage.parse(smuggled)
    assert message.has_integrity(b"key")
    assert message.get(a.USE_CANDIDATE) is None


def test_second_integrity_does_not_replace_the_first() -> None:
    inner = request((a.PRIORITY, 1)).serialize(b"key")[20:-8]
    attacker = request((a.PRIORITY, 1), (a.MESSAGE_INTEGRITY, inner[-20:])).serialize(b"other")
    message = StunMessage.parse(attacker)
    assert not message.has_integrity(b"other")


def test_fingerprint_must_be_right_and_last() -> None:
    data = request().serialize()
    assert reason(data[:-1] + bytes([data[-1] ^ 1])) == "stun-fingerprint"
    after = data[:2] + (len(data) - 16).to_bytes(2, "big") + data[4:] + b"\x80\x22\x00\x00"
    assert reason(after) == "stun-fingerprint"
    assert StunMessage.parse(data[:2] + b"\0\0" + data[4:20]) == request()


def test_unknown_attributes_are_kept_and_the_required_ones_named() -> None:
    network_cost, private = (0xC057, b"\0\x01\0\x0a"), (0x7FFF, b"?")
    message = StunMessage.parse(request(network_cost, private).serialize())
    assert message.attributes == (network_cost, private)
    assert message.unknown_required() == (0x7FFF,)


def test_error_classes_are_wire_codes() -> None:
    assert issubclass(UnknownAttributesError, StunError)
    assert UnknownAttributesError.code == 420
    assert UnknownAttributesError((0x7FFF,)).detail == "0x7fff"


# Routing


def test_local_ufrag_is_the_part_before_the_colon(vectors: dict[str, bytes]) -> None:
    assert local_ufrag(vectors["rfc5769-request"]) == "evtj"
    assert local_ufrag(request((a.PRIORITY, 1), (a.USERNAME, "ours:theirs:more")).serialize()) == "ours"


@pytest.mark.parametrize("name", ["rfc5769-ipv4-response", "rfc5769-ipv6-response"])
def test_local_ufrag_is_only_in_requests(vectors: dict[str, bytes], name: str) -> None:
    with pytest.raises(BadPacket, match="stun-not-a-request"):
        local_ufrag(vectors[name])


@pytest.mark.parametrize("message", [request(), request((a.USERNAME, "nobody"))])
def test_local_ufrag_needs_a_user_name(message: StunMessage) -> None:
    with pytest.raises(BadPacket, match="stun-no-username"):
        local_ufrag(message.serialize())


@given(st.binary(max_size=60))
def test_local_ufrag_raises_nothing_else(data: bytes) -> None:
    for candidate in (data, raw(data + bytes(-len(data) % 4))):
        with contextlib.suppress(BadPacket):
            local_ufrag(candidate)
