"""Handshake messages in records: the 12-byte header, fragmentation, and reassembly.

::

     0          1            4             6                 9                 12
     +----------+------------+-------------+-----------------+-----------------+-------
     | msg_type | length(24) | message_seq | frag_offset(24) | frag_length(24) | body…
     +----------+------------+-------------+-----------------+-----------------+-------

RFC 6347 section 4.2.2. Fragments may arrive in any order, twice, or overlapping: a peer may retransmit with
another path MTU. Messages are returned strictly in message_seq order.
"""

from struct import Struct
from typing import NamedTuple

from sfu.errors import BadPacket

HEADER = Struct("!BBHHBHBH")
"""Each of the three 24-bit fields is written as a high byte and a low 16-bit half."""

MAX_MESSAGE = 16384
"""The longest handshake message accepted, bytes. The longest real ones are certificate chains of a few KiB, and
ClientHellos with post-quantum key shares (1.5 KiB in browsers)."""

MAX_AHEAD = 8
"""Messages that are kept, counted from the next one. The longest flight of DTLS 1.2 has five."""

MAX_BUFFERED = 2 * MAX_MESSAGE
"""Bytes of incomplete or early messages that one connection may hold."""


class Fragment(NamedTuple):
    """A part of a handshake message, or all of it."""

    message_type: int
    length: int
    """The length of the whole message, bytes."""
    message_seq: int
    offset: int
    body: bytes

    def serialize(self) -> bytes:
        """Encode header and body."""
        size = len(self.body)
        return (
            HEADER.pack(
                self.message_type,
                self.length >> 16,
                self.length & 0xFFFF,
                self.message_seq,
                self.offset >> 16,
                self.offset & 0xFFFF,
                size >> 16,
                size & 0xFFFF,
            )
            + self.body
        )


class HandshakeMessage(NamedTuple):
    """A whole handshake message."""

    message_type: int
    message_seq: int
    body: bytes

    def serialize(self) -> bytes:
        """Encode as one fragment, as in the transcript hash (RFC 6347 section 4.2.6)."""
        return self.fragment(0, len(self.body)).serialize()

    def fragment(self, offset: int, size: int) -> Fragment:
        """Return the fragment of `size` bytes at `offset`."""
        return Fragment(
            self.message_type, len(self.body), self.message_seq, offset, self.body[offset : offset + size]
        )


def parse_fragment(data: bytes, offset: int = 0) -> tuple[Fragment, int]:
    """Decode the fragment at `offset` of a record's plaintext and return it with the offset after it.

    Raises `BadPacket` ``dtls-fragment-truncated`` when the data ends too early, ``dtls-fragment-range`` when
    the fragment ends after its message, ``dtls-message-length`` when the message is too long.
    """
    start = offset + HEADER.size
    if start > len(data):
        raise BadPacket("dtls-fragment-truncated", f"{len(data) - offset} bytes")
    (
        message_type,
        length_high,
        length_low,
        message_seq,
        offset_high,
        offset_low,
        size_high,
        size_low,
    ) = HEADER.unpack_from(data, offset)
    length = length_high << 16 | length_low
    fragment_offset = offset_high << 16 | offset_low
    size = size_high << 16 | size_low
    if fragment_offset + size > length:
        raise BadPacket("dtls-fragment-range", f"{fragment_offset}+{size} of {length}")
    if length > MAX_MESSAGE:
        raise BadPacket("dtls-message-length", f"{length} bytes")
    end = start + size
    if end > len(data):
        raise BadPacket("dtls-fragment-truncated", f"{len(data) - start} of {size} bytes")
    return Fragment(message_type, length, message_seq, fragment_offset, data[start:end]), end


class _Partial:
    """A message of which some bytes may be missing."""

    __slots__ = ("body", "message_type", "missing", "present")

    def __init__(self, message_type: int, length: int) -> None:
        self.message_type = message_type
        self.body = bytearray(length)
        self.present = bytearray(length)  # 1 where the byte has arrived: linear time, however it is cut
        self.missing = length

    def add(self, fragment: Fragment) -> None:
        start, end = fragment.offset, fragment.offset + len(fragment.body)
        self.missing -= self.present.count(0, start, end)
        self.body[start:end] = fragment.body
        self.present[start:end] = b"\1" * (end - start)


class Reassembler:
    """Collects fragments and returns whole messages in message_seq order. Its memory is bounded."""

    __slots__ = ("_partials", "next_seq")

    def __init__(self) -> None:
        self.next_seq = 0
        """The message_seq of the next message."""
        self._partials: dict[int, _Partial] = {}

    def add(self, fragment: Fragment) -> None:
        """Take a fragment of the next message or of one of those after it.

        Raises `BadPacket`: ``dtls-message-repeated`` for a message that was already returned,
        ``dtls-message-ahead`` for one that is too far ahead or for which there is no room,
        ``dtls-fragment-mismatch`` when its type or total length contradicts an earlier fragment.
        """
        seq = fragment.message_seq
        if seq < self.next_seq:
            raise BadPacket("dtls-message-repeated", f"message_seq {seq}")
        if seq >= self.next_seq + MAX_AHEAD:
            raise BadPacket("dtls-message-ahead", f"message_seq {seq}, next is {self.next_seq}")
        partial = self._partials.get(seq)
        if partial is None:
            self._make_room(seq, fragment.length)
            partial = self._partials[seq] = _Partial(fragment.message_type, fragment.length)
        elif (partial.message_type, len(partial.body)) != (fragment.message_type, fragment.length):
            raise BadPacket("dtls-fragment-mismatch", f"message_seq {seq}")
        partial.add(fragment)

    def _make_room(self, seq: int, length: int) -> None:
        """Drop later messages in favor of earlier ones, so that the next message always fits."""
        while self.buffered + length > MAX_BUFFERED:
            last = max(self._partials)
            if last < seq:
                raise BadPacket("dtls-message-ahead", f"no room for {length} bytes")
            del self._partials[last]

    @property
    def buffered(self) -> int:
        """Bytes reserved for incomplete and early messages."""
        return sum(len(partial.body) for partial in self._partials.values())

    def pop(self) -> HandshakeMessage | None:
        """Return the next message if all of it has arrived."""
        partial = self._partials.get(self.next_seq)
        if partial is None or partial.missing:
            return None
        del self._partials[self.next_seq]
        message = HandshakeMessage(partial.message_type, self.next_seq, bytes(partial.body))
        self.next_seq += 1
        return message

    def discard(self) -> None:
        """Drop every incomplete or early message."""
        self._partials.clear()
