"""The DTLS record header (RFC 6347 section 4.1).

::

     0      1         3         5                     11       13
     +------+---------+---------+----------------------+--------+------------
     | type | version | epoch   | sequence number (48) | length | fragment…
     +------+---------+---------+----------------------+--------+------------

A datagram contains one or more records. Epoch and sequence number together are one 64-bit number that is used
only once under a key. It is called `number` here: nonces, additional data and the replay window use it in that
form.
"""

from enum import IntEnum
from struct import Struct
from typing import NamedTuple

from sfu.errors import BadPacket

HEADER = Struct("!BHQH")

DTLS_1_0 = 0xFEFF
"""The record of a first ClientHello may have this version: the peer does not know ours yet."""

DTLS_1_2 = 0xFEFD

MAX_PLAINTEXT = 1 << 14
"""The longest fragment before protection, bytes (RFC 5246 section 6.2.1)."""

MAX_FRAGMENT = MAX_PLAINTEXT + 2048
"""The longest protected fragment, bytes (RFC 5246 section 6.2.3)."""


class ContentType(IntEnum):
    """The kinds of content of a record (RFC 5246 section 6.2.1)."""

    CHANGE_CIPHER_SPEC = 20
    ALERT = 21
    HANDSHAKE = 22
    APPLICATION_DATA = 23


class Record(NamedTuple):
    """One record as on the wire. `fragment` is protected if the epoch is not 0."""

    content_type: int
    version: int
    number: int
    """Epoch (16 bits) and sequence number (48 bits)."""
    fragment: bytes

    @property
    def epoch(self) -> int:
        """The keys that protect the record: 0 for none, 1 for those of the first handshake."""
        return self.number >> 48

    @property
    def sequence_number(self) -> int:
        """The record's number within its epoch."""
        return self.number & 0xFFFF_FFFF_FFFF

    def serialize(self) -> bytes:
        """Encode header and fragment."""
        return HEADER.pack(self.content_type, self.version, self.number, len(self.fragment)) + self.fragment


def parse_record(data: bytes, offset: int = 0) -> tuple[Record, int]:
    """Decode the record at `offset` and return it with the offset after it.

    Type, version and epoch are not checked here: the length of an unknown record is still needed to find the
    next one. Raises `BadPacket` ``dtls-record-truncated`` or ``dtls-record-length``, after which the rest of
    the datagram cannot be read.
    """
    start = offset + HEADER.size
    if start > len(data):
        raise BadPacket("dtls-record-truncated", f"{len(data) - offset} bytes")
    content_type, version, number, length = HEADER.unpack_from(data, offset)
    if length > MAX_FRAGMENT:
        raise BadPacket("dtls-record-length", f"{length} bytes")
    end = start + length
    if end > len(data):
        raise BadPacket("dtls-record-truncated", f"{len(data) - start} of {length} bytes")
    return Record(content_type, version, number, data[start:end]), end
