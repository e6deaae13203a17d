"""STUN attributes (RFC 8489 section 14, RFC 8445 section 16.1): one row each.

A row has the type number, and encodes and decodes the value. To add an attribute, add a row to `ATTRIBUTES`;
nothing else changes. The value of a type without a row stays bytes. `StunMessage.unknown_required` lists those
that a receiver must not ignore.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import Struct
from typing import Any, Generic, NamedTuple, TypeVar

from sfu.errors import BadPacket
from sfu.ice.path import Address

MAGIC_COOKIE = 0x2112A442
"""Bytes 4 to 7 of every STUN message (RFC 8489 section 5)."""

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, eq=False)
class Attribute(Generic[Value]):
    """One kind of attribute. Both functions get the transaction id: some addresses are XORed with it."""

    type: int
    name: str
    decode: Callable[[bytes, bytes], Value] = field(repr=False)
    """(value bytes, transaction id) → value; raises `BadPacket`."""
    encode: Callable[[Value, bytes], bytes] = field(repr=False)
    """(value, transaction id) → value bytes, without padding."""


class ErrorCode(NamedTuple):
    """Value of ERROR-CODE."""

    code: int
    """300 to 699."""
    phrase: str
    """For logs; clients use only the code."""


# The error that decoders raise for a value of impossible size or content.
def _malformed(name: str, value: bytes) -> BadPacket:
    return BadPacket("stun-attribute", f"{name} of {len(value)} bytes: {value[:16].hex()}")


def _text(number: int, name: str, max_bytes: int) -> Attribute[str]:
    """A row for a UTF-8 value of at most `max_bytes` bytes."""

    def decode(value: bytes, _transaction_id: bytes) -> str:
        if len(value) > max_bytes:
            raise _malformed(name, value)
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            raise _malformed(name, value) from None

    def encode(value: str, _transaction_id: bytes) -> bytes:
        return value.encode("utf-8")

    return Attribute(number, name, decode, encode)


def _number(number: int, name: str, size: int) -> Attribute[int]:
    """A row for an unsigned integer of `size` bytes."""

    def decode(value: bytes, _transaction_id: bytes) -> int:
        if len(value) != size:
            raise _malformed(name, value)
        return int.from_bytes(value, "big")

    def encode(value: int, _transaction_id: bytes) -> bytes:
        return value.to_bytes(size, "big")

    return Attribute(number, name, decode, encode)


def _opaque(number: int, name: str, size: int) -> Attribute[bytes]:
    """A row for a value of exactly `size` bytes that is not decoded further."""

    def decode(value: bytes, _transaction_id: bytes) -> bytes:
        if len(value) != size:
            raise _malformed(name, value)
        return value

    def encode(value: bytes, _transaction_id: bytes) -> bytes:
        return value

    return Attribute(number, name, decode, encode)


def _flag(number: int, name: str) -> Attribute[bool]:
    """A row for an attribute without a value: its presence is the information."""

    def decode(value: bytes, _transaction_id: bytes) -> bool:
        if value:
            raise _malformed(name, value)
        return True

    def encode(_value: bool, _transaction_id: bytes) -> bytes:
        return b""

    return Attribute(number, name, decode, encode)


# Addresses (sections 14.1 and 14.2):
#
#    0                   1                   2                   3
#    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
#   |0 0 0 0 0 0 0 0|    Family     |             Port              |
#   |                 Address (32 bits or 128 bits)                 |
_ADDRESS_HEADER = Struct("!xBH")
_FAMILY_IPV4 = 0x01
_FAMILY_IPV6 = 0x02


def _xor(data: bytes, mask: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(data, mask, strict=False))


def _address(number: int, name: str, *, xored: bool) -> Attribute[Address]:
    """A row for an address, `xored` with cookie and transaction id so that no NAT rewrites it."""

    def mask(transaction_id: bytes) -> bytes:
        return MAGIC_COOKIE.to_bytes(4, "big") + transaction_id if xored else bytes(16)

    port_mask = MAGIC_COOKIE >> 16 if xored else 0

    def decode(value: bytes, transaction_id: bytes) -> Address:
        if len(value) < _ADDRESS_HEADER.size:
            raise _malformed(name, value)
        family, port = _ADDRESS_HEADER.unpack_from(value)
        packed = _xor(value[_ADDRESS_HEADER.size :], mask(transaction_id))
        host: IPv4Address | IPv6Address
        if family == _FAMILY_IPV4 and len(value) == 8:
            host = IPv4Address(packed)
        elif family == _FAMILY_IPV6 and len(value) == 20:
            host = IPv6Address(packed)
        else:
            raise _malformed(name, value)
        return Address(str(host), port ^ port_mask)

    def encode(value: Address, transaction_id: bytes) -> bytes:
        host = ip_address(value.host)
        family = _FAMILY_IPV4 if host.version == 4 else _FAMILY_IPV6
        return _ADDRESS_HEADER.pack(family, value.port ^ port_mask) + _xor(host.packed, mask(transaction_id))

    return Attribute(number, name, decode, encode)


# ERROR-CODE (section 14.8): 21 reserved bits, the hundreds digit in 3 bits, the rest in 8, then a phrase.
_ERROR_HEADER = Struct("!xxBB")
_MAX_PHRASE = 763


def _decode_error(value: bytes, _transaction_id: bytes) -> ErrorCode:
    if not _ERROR_HEADER.size <= len(value) <= _ERROR_HEADER.size + _MAX_PHRASE:
        raise _malformed("ERROR-CODE", value)
    hundreds, rest = _ERROR_HEADER.unpack_from(value)
    hundreds &= 0b111
    if not (3 <= hundreds <= 6 and rest <= 99):
        raise _malformed("ERROR-CODE", value)
    # A phrase in a wrong encoding does not change the meaning of the code.
    return ErrorCode(hundreds * 100 + rest, value[_ERROR_HEADER.size :].decode("utf-8", "replace"))


def _encode_error(value: ErrorCode, _transaction_id: bytes) -> bytes:
    return _ERROR_HEADER.pack(*divmod(value.code, 100)) + value.phrase.encode("utf-8")


# UNKNOWN-ATTRIBUTES (section 14.9): a list of 16-bit attribute types.
def _decode_types(value: bytes, _transaction_id: bytes) -> tuple[int, ...]:
    if len(value) % 2:
        raise _malformed("UNKNOWN-ATTRIBUTES", value)
    return tuple(int.from_bytes(value[i : i + 2], "big") for i in range(0, len(value), 2))


def _encode_types(value: tuple[int, ...], _transaction_id: bytes) -> bytes:
    return b"".join(type_.to_bytes(2, "big") for type_ in value)


MAPPED_ADDRESS = _address(0x0001, "MAPPED-ADDRESS", xored=False)
USERNAME = _text(0x0006, "USERNAME", 508)
MESSAGE_INTEGRITY = _opaque(0x0008, "MESSAGE-INTEGRITY", 20)
ERROR_CODE = Attribute(0x0009, "ERROR-CODE", _decode_error, _encode_error)
UNKNOWN_ATTRIBUTES = Attribute(0x000A, "UNKNOWN-ATTRIBUTES", _decode_types, _encode_types)
REALM = _text(0x0014, "REALM", 763)
NONCE = _text(0x0015, "NONCE", 763)
XOR_MAPPED_ADDRESS = _address(0x0020, "XOR-MAPPED-ADDRESS", xored=True)
PRIORITY = _number(0x0024, "PRIORITY", 4)
USE_CANDIDATE = _flag(0x0025, "USE-CANDIDATE")
SOFTWARE = _text(0x8022, "SOFTWARE", 763)
FINGERPRINT = _number(0x8028, "FINGERPRINT", 4)
ICE_CONTROLLED = _number(0x8029, "ICE-CONTROLLED", 8)
ICE_CONTROLLING = _number(0x802A, "ICE-CONTROLLING", 8)

ATTRIBUTES: dict[int, Attribute[Any]] = {
    row.type: row
    for row in (
        MAPPED_ADDRESS,
        USERNAME,
        MESSAGE_INTEGRITY,
        ERROR_CODE,
        UNKNOWN_ATTRIBUTES,
        REALM,
        NONCE,
        XOR_MAPPED_ADDRESS,
        PRIORITY,
        USE_CANDIDATE,
        SOFTWARE,
        FINGERPRINT,
        ICE_CONTROLLED,
        ICE_CONTROLLING,
    )
}
"""All rows by type number."""
