"""Protection of records with an AEAD: AES-GCM (RFC 5288) and ChaCha20-Poly1305 (RFC 7905).

Both use epoch and sequence number in the nonce, and ``epoch+sequence, type, version, plaintext length`` as
additional data (RFC 5246 section 6.2.3.3). They differ in how the nonce is made:

* AES-GCM: 4 secret bytes, then 8 bytes that are sent at the start of the fragment. We send epoch and sequence
  number there; a peer may send any unique value.
* ChaCha20-Poly1305: 12 secret bytes XOR epoch and sequence number; nothing is sent.
"""

from struct import Struct
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from sfu.dtls.record import DTLS_1_2, MAX_PLAINTEXT, Record
from sfu.errors import BadPacket

TAG_LENGTH = 16
EXPLICIT_NONCE = Struct("!Q")
ADDITIONAL_DATA = Struct("!QBHH")


class RecordProtection(Protocol):
    """The keys of one direction: they seal our records or open the peer's."""

    overhead: int
    """Bytes that a protected fragment is longer than its plaintext."""

    def seal(self, content_type: int, number: int, plaintext: bytes) -> Record:
        """Return the protected record with this epoch and sequence number."""

    def open(self, record: Record) -> bytes:
        """Return the plaintext; raise `BadPacket` ``dtls-record-auth`` if the record is not authentic."""


class GcmProtection:
    """AES-GCM with a 4-byte implicit and an 8-byte explicit nonce (RFC 5288 section 3)."""

    __slots__ = ("_aead", "_salt")
    overhead = EXPLICIT_NONCE.size + TAG_LENGTH

    def __init__(self, key: bytes, salt: bytes) -> None:
        self._aead = AESGCM(key)
        self._salt = salt

    def seal(self, content_type: int, number: int, plaintext: bytes) -> Record:
        """Return the protected record with this epoch and sequence number."""
        explicit = EXPLICIT_NONCE.pack(number)
        extra = ADDITIONAL_DATA.pack(number, content_type, DTLS_1_2, len(plaintext))
        sealed = self._aead.encrypt(self._salt + explicit, plaintext, extra)
        return Record(content_type, DTLS_1_2, number, explicit + sealed)

    def open(self, record: Record) -> bytes:
        """Return the plaintext; raise `BadPacket` ``dtls-record-auth`` if the record is not authentic."""
        fragment = record.fragment
        length = _plaintext_length(record, self.overhead)
        explicit, sealed = fragment[: EXPLICIT_NONCE.size], fragment[EXPLICIT_NONCE.size :]
        extra = ADDITIONAL_DATA.pack(record.number, record.content_type, record.version, length)
        try:
            return self._aead.decrypt(self._salt + explicit, sealed, extra)
        except InvalidTag:
            raise BadPacket("dtls-record-auth") from None


class ChaChaProtection:
    """ChaCha20-Poly1305 with a 12-byte nonce mask (RFC 7905 section 2)."""

    __slots__ = ("_aead", "_mask")
    overhead = TAG_LENGTH

    def __init__(self, key: bytes, mask: bytes) -> None:
        self._aead = ChaCha20Poly1305(key)
        self._mask = int.from_bytes(mask, "big")

    def _nonce(self, number: int) -> bytes:
        return (self._mask ^ number).to_bytes(12, "big")

    def seal(self, content_type: int, number: int, plaintext: bytes) -> Record:
        """Return the protected record with this epoch and sequence number."""
        extra = ADDITIONAL_DATA.pack(number, content_type, DTLS_1_2, len(plaintext))
        return Record(content_type, DTLS_1_2, number, self._aead.encrypt(self._nonce(number), plaintext, extra))

    def open(self, record: Record) -> bytes:
        """Return the plaintext; raise `BadPacket` ``dtls-record-auth`` if the record is not authentic."""
        length = _plaintext_length(record, self.overhead)
        extra = ADDITIONAL_DATA.pack(record.number, record.content_type, record.version, length)
        try:
            return self._aead.decrypt(self._nonce(record.number), record.fragment, extra)
        except InvalidTag:
            raise BadPacket("dtls-record-auth") from None


def _plaintext_length(record: Record, overhead: int) -> int:
    length = len(record.fragment) - overhead
    if not 0 <= length <= MAX_PLAINTEXT:
        raise BadPacket("dtls-record-auth", f"{len(record.fragment)} bytes protected")
    return length
