"""tshark and our parser read the same in recorded STUN messages, and in messages made here."""

from pathlib import Path

import pytest
from support.tshark import TSHARK, Row, dissect

from sfu.ice import attributes as a
from sfu.ice.path import Address
from sfu.ice.stun import HEADER, MessageClass, StunMessage

pytestmark = pytest.mark.skipif(not TSHARK, reason="tshark is not installed")

FIELDS = [
    "stun.type.class",
    "stun.type.method",
    "stun.length",
    "stun.id",
    "stun.att.type",
    "stun.att.username",
    "stun.att.priority",
    "stun.att.tie-breaker",
    "stun.att.software",
    "stun.att.realm",
    "stun.att.nonce",
    "stun.att.ipv4",
    "stun.att.ipv6",
    "stun.att.port",
    "stun.att.error.class",
    "stun.att.error",
    "stun.att.error.reason",
    "stun.att.unknown",
    "stun.att.hmac",
    "stun.att.crc32.status",
]
MADE = [
    StunMessage(
        MessageClass.SUCCESS, b"abcdefghijkl", ((a.XOR_MAPPED_ADDRESS, Address("203.0.113.9", 61000)),)
    ),
    StunMessage(
        MessageClass.SUCCESS, b"abcdefghijkl", ((a.XOR_MAPPED_ADDRESS, Address("2001:db8::7", 61000)),)
    ),
    StunMessage(MessageClass.SUCCESS, b"abcdefghijkl", ((a.MAPPED_ADDRESS, Address("203.0.113.9", 61000)),)),
    StunMessage(
        MessageClass.ERROR,
        b"abcdefghijkl",
        ((a.ERROR_CODE, a.ErrorCode(420, "Unknown Attribute")), (a.UNKNOWN_ATTRIBUTES, (0x7FFE, 0x7FFF))),
    ),
    StunMessage(MessageClass.ERROR, b"abcdefghijkl", ((a.ERROR_CODE, a.ErrorCode(487, "Role Conflict")),)),
    StunMessage(MessageClass.INDICATION, b"abcdefghijkl", ((a.SOFTWARE, "trio-sfu"),)),
    StunMessage(MessageClass.REQUEST, b"abcdefghijkl", ((a.REALM, "a realm"), (a.NONCE, "a nonce")), 0x003),
    StunMessage(MessageClass.REQUEST, b"abcdefghijkl", ((a.ICE_CONTROLLED, 2**64 - 2), (a.USERNAME, "a:bc"))),
]


def test_stun(vectors: dict[str, bytes], tmp_path: Path) -> None:
    datagrams = [*vectors.values(), *(message.serialize(b"password") for message in MADE)]
    for data, row in zip(datagrams, dissect(datagrams, "stun", FIELDS, tmp_path), strict=True):
        check(StunMessage.parse(data), data, row)


def check(message: StunMessage, data: bytes, row: Row) -> None:
    """Compare every field that we decode."""

    def numbers(field: str) -> list[int]:
        return [int(value, 0) for value in row[field]]

    def text(attribute: a.Attribute[str]) -> list[str]:
        value = message.get(attribute)
        return [] if value is None else [value]

    # The two bits of the class as two hexadecimal digits.
    assert row["stun.type.class"] == [f"0x{message.message_class:04b}"]
    assert numbers("stun.type.method") == [message.method]
    assert numbers("stun.length") == [len(data) - HEADER.size]
    assert row["stun.id"] == [message.transaction_id.hex()]
    types = [kind if isinstance(kind, int) else kind.type for kind, _ in message.attributes]
    assert numbers("stun.att.type") == [*types, a.MESSAGE_INTEGRITY.type, a.FINGERPRINT.type]
    assert row["stun.att.username"] == text(a.USERNAME)
    assert row["stun.att.software"] == text(a.SOFTWARE)
    assert row["stun.att.realm"] == text(a.REALM)
    assert row["stun.att.nonce"] == text(a.NONCE)
    assert numbers("stun.att.priority") == [value for value in [message.get(a.PRIORITY)] if value is not None]
    tie_breakers = [message.get(a.ICE_CONTROLLING), message.get(a.ICE_CONTROLLED)]
    assert row["stun.att.tie-breaker"] == [f"{value:016x}" for value in tie_breakers if value is not None]
    check_addresses(message, row)
    error = message.get(a.ERROR_CODE)
    if error is not None:
        [hundreds], [rest] = numbers("stun.att.error.class"), numbers("stun.att.error")
        assert (hundreds * 100 + rest, row["stun.att.error.reason"]) == (error.code, [error.phrase])
    assert tuple(numbers("stun.att.unknown")) == (message.get(a.UNKNOWN_ATTRIBUTES) or ())
    assert len(row["stun.att.hmac"]) == 1
    assert row["stun.att.crc32.status"] == ["1"], "a good checksum"


def check_addresses(message: StunMessage, row: Row) -> None:
    address = message.get(a.XOR_MAPPED_ADDRESS) or message.get(a.MAPPED_ADDRESS)
    hosts = row["stun.att.ipv4"] + row["stun.att.ipv6"]
    assert hosts == ([] if address is None else [address.host])
    assert [int(port) for port in row["stun.att.port"]] == ([] if address is None else [address.port])
