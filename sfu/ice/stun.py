"""STUN messages (RFC 8489): parse, serialize, authenticate.

    0                   1                   2                   3
    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
   |0 0|     STUN Message Type     |         Message Length        |
   |                         Magic Cookie                          |
   |                     Transaction ID (96 bits)                  |
   |  Attributes: type (16), length (16), value padded to 4 bytes  |

Message Length counts the attributes with their padding, but not the 20 bytes before them.
"""

import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from struct import Struct
from typing import Any, ClassVar, TypeVar, cast
from zlib import crc32

from sfu.errors import BadPacket
from sfu.ice.attributes import ATTRIBUTES, FINGERPRINT, MAGIC_COOKIE, MESSAGE_INTEGRITY, USERNAME, Attribute

BINDING = 0x001
"""The only STUN method in ICE."""

HEADER = Struct("!HHI12s")
_ATTRIBUTE_HEADER = Struct("!HH")
_INTEGRITY_SIZE = _ATTRIBUTE_HEADER.size + 20
_FINGERPRINT_SIZE = _ATTRIBUTE_HEADER.size + 4
_FINGERPRINT_XOR = 0x5354554E  # the letters "STUN" (section 14.7)
_BINDING_REQUEST = 0x0001

# A receiver must understand all types below this (section 14).
_COMPREHENSION_OPTIONAL = 0x8000

Value = TypeVar("Value")


class MessageClass(IntEnum):
    """The class of a message: the bits C1 and C0 of its type (section 5)."""

    REQUEST = 0b00
    INDICATION = 0b01
    SUCCESS = 0b10
    ERROR = 0b11


class StunError(BadPacket):
    """A request that is answered with an error response. Each subclass is one error code."""

    code: ClassVar[int]
    """The number in ERROR-CODE (RFC 8489 section 14.8)."""
    phrase: ClassVar[str]
    """The reason phrase in ERROR-CODE."""


class UnknownAttributesError(StunError):
    """420: unknown comprehension-required attributes. The answer lists them."""

    code = 420
    phrase = "Unknown Attribute"

    def __init__(self, types: tuple[int, ...]) -> None:
        super().__init__("stun-unknown-attribute", ", ".join(f"{type_:#06x}" for type_ in types))
        self.types = types


class RoleConflictError(StunError):
    """487: both sides act as the controlled agent (RFC 8445 section 7.3.1.1)."""

    code = 487
    phrase = "Role Conflict"

    def __init__(self) -> None:
        super().__init__("ice-role-conflict")


@dataclass(frozen=True, slots=True)
class StunMessage:
    """One STUN message. Its attributes are decoded, in wire order.

    >>> check = StunMessage(MessageClass.REQUEST, b"transaction!", ((USERNAME, "ours:theirs"),))
    >>> again = StunMessage.parse(check.serialize(b"password"))
    >>> again.get(USERNAME), again.has_integrity(b"password"), again.has_integrity(b"guessed")
    ('ours:theirs', True, False)
    """

    message_class: MessageClass
    transaction_id: bytes
    """12 bytes; the answer has the same ones."""
    attributes: tuple[tuple[Attribute[Any] | int, Any], ...] = ()
    """(row, value), or (type number, bytes) for a type without a row. MESSAGE-INTEGRITY and FINGERPRINT are not
    listed here: `serialize` adds them. Attributes after MESSAGE-INTEGRITY are not listed either: they are not
    authenticated (section 14.5)."""
    method: int = BINDING
    _signed: bytes = field(default=b"", repr=False, compare=False)
    _integrity: bytes = field(default=b"", repr=False, compare=False)

    @classmethod
    def parse(cls, data: bytes) -> "StunMessage":
        """Read one datagram. Checks FINGERPRINT if present, but not the integrity: see `has_integrity`.

        Raises `BadPacket` for anything that is not exactly one well-formed message.
        """
        message_type, transaction_id = _parse_header(data)
        attributes: list[tuple[Attribute[Any] | int, Any]] = []
        signed = integrity = b""
        for type_, start, end in _walk(data):
            row = ATTRIBUTES.get(type_)
            value = row.decode(data[start:end], transaction_id) if row else data[start:end]
            before = start - _ATTRIBUTE_HEADER.size
            if row is FINGERPRINT:
                if value != crc32(data[:before]) ^ _FINGERPRINT_XOR or end != len(data):
                    raise BadPacket("stun-fingerprint")
            elif integrity:
                continue
            elif row is MESSAGE_INTEGRITY:
                integrity, signed = data[start:end], data[:before]
            else:
                attributes.append((row or type_, value))
        return cls(
            message_class=MessageClass((message_type >> 7 & 0b10) | (message_type >> 4 & 0b01)),
            transaction_id=transaction_id,
            attributes=tuple(attributes),
            # The two bits of the class are between the twelve bits of the method.
            method=message_type & 0x000F | message_type >> 1 & 0x0070 | message_type >> 2 & 0x0F80,
            _signed=signed,
            _integrity=integrity,
        )

    def serialize(self, key: bytes | None = None) -> bytes:
        """Return the message as bytes, with MESSAGE-INTEGRITY if there is a `key`, and with FINGERPRINT.

        `key` is the password of the side that receives the request, also for the answer (section 9.1).
        """
        body = bytearray()
        for row, value in self.attributes:
            if isinstance(row, Attribute):
                _append(body, row.type, row.encode(value, self.transaction_id))
            else:
                _append(body, row, value)
        if key is not None:
            # The length in the header includes MESSAGE-INTEGRITY itself (section 14.5).
            signed = self._header(len(body) + _INTEGRITY_SIZE) + body
            _append(body, MESSAGE_INTEGRITY.type, hmac.digest(key, signed, "sha1"))
        summed = self._header(len(body) + _FINGERPRINT_SIZE) + body
        _append(body, FINGERPRINT.type, FINGERPRINT.encode(crc32(summed) ^ _FINGERPRINT_XOR, b""))
        return self._header(len(body)) + bytes(body)

    def _header(self, length: int) -> bytes:
        class_bits = (self.message_class & 0b10) << 7 | (self.message_class & 0b01) << 4
        method_bits = self.method & 0x000F | (self.method & 0x0070) << 1 | (self.method & 0x0F80) << 2
        return HEADER.pack(class_bits | method_bits, length, MAGIC_COOKIE, self.transaction_id)

    def get(self, row: Attribute[Value]) -> Value | None:
        """Return the first value of this kind, or `None` (section 14: later ones are ignored)."""
        for kind, value in self.attributes:
            if kind is row:
                return cast(Value, value)
        return None

    def has_integrity(self, key: bytes) -> bool:
        """Return whether MESSAGE-INTEGRITY was made with `key`. Takes the same time for any value.

        Only for messages that come from `parse`. Our own messages are signed in `serialize`.
        """
        if not self._integrity:
            return False
        # The sender computed it with a length that ends after this attribute, without what follows.
        length = len(self._signed) - HEADER.size + _INTEGRITY_SIZE
        signed = self._signed[:2] + length.to_bytes(2, "big") + self._signed[4:]
        return hmac.compare_digest(self._integrity, hmac.digest(key, signed, "sha1"))

    def unknown_required(self) -> tuple[int, ...]:
        """Return unknown types that must be understood (section 6.3.1: the answer is 420)."""
        return tuple(
            kind for kind, _ in self.attributes if isinstance(kind, int) and kind < _COMPREHENSION_OPTIONAL
        )


def local_ufrag(data: bytes) -> str:
    """Return the receiver's user-name fragment in a Binding request: the part of USERNAME before ":".

    It routes a check on a shared socket before the check is authenticated, so it parses only what it needs.
    Raises `BadPacket` if the datagram is not a Binding request or has no USERNAME with ":".
    """
    message_type, transaction_id = _parse_header(data)
    if message_type != _BINDING_REQUEST:
        raise BadPacket("stun-not-a-request", f"type {message_type:#06x}")
    for type_, start, end in _walk(data):
        if type_ == USERNAME.type:
            ufrag, colon, _remote = USERNAME.decode(data[start:end], transaction_id).partition(":")
            if not colon:
                break
            return ufrag
    raise BadPacket("stun-no-username")


def _parse_header(data: bytes) -> tuple[int, bytes]:
    """Return message type and transaction id. Raises `BadPacket` if header or length are wrong."""
    if len(data) < HEADER.size:
        raise BadPacket("stun-truncated", f"{len(data)} bytes")
    message_type, length, cookie, transaction_id = HEADER.unpack_from(data)
    if message_type & 0xC000 or cookie != MAGIC_COOKIE:
        raise BadPacket("stun-header", data[: HEADER.size].hex())
    if length % 4 or length != len(data) - HEADER.size:
        raise BadPacket("stun-length", f"says {length}, has {len(data) - HEADER.size}")
    return message_type, transaction_id


def _walk(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield type, start and end of each attribute's value. The header must have been checked."""
    position = HEADER.size
    # All lengths are multiples of 4, so the next attribute's header is always complete.
    while position < len(data):
        type_, length = _ATTRIBUTE_HEADER.unpack_from(data, position)
        position += _ATTRIBUTE_HEADER.size
        end = position + length
        if end > len(data):
            raise BadPacket(
                "stun-attribute", f"type {type_:#06x} ends {end - len(data)} bytes after the message"
            )
        yield type_, position, end
        position = end + -end % 4


def _append(body: bytearray, type_: int, value: bytes) -> None:
    body += _ATTRIBUTE_HEADER.pack(type_, len(value))
    body += value
    body += bytes(-len(value) % 4)
