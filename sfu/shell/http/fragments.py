"""Counting the fragments and bytes of WebSocket messages by their frame headers (RFC 6455 section 5.2)."""

from typing import Final

MAX_FRAGMENTS: Final = 16_384
"""Fragments of one message: the longest message allowed by default, in fragments of 128 bytes. Browsers send
one or a few."""


class Fragments:
    """Counts the fragments and the bytes of the message that a client is sending.

    wsproto and trio-websocket do not limit their number, and each one takes memory until the last has arrived,
    even an empty one. A frame begins with::

        FIN, opcode (8 or more: control) | mask, length or 126 or 127 | length: 0, 2 or 8 bytes | key: 4 bytes

    Bytes that are not such a frame are refused by wsproto later.
    """

    __slots__ = ("_count", "_header", "_is_control", "_size", "_skip")

    def __init__(self) -> None:
        self._header = b""
        """The part of a frame header that has arrived, if it is incomplete."""
        self._skip = 0
        """Bytes of a payload that have not arrived yet."""
        self._count = 0
        self._size = 0
        """Bytes of the message in the frames that have begun, as their headers say."""
        self._is_control = False
        """Whether the latest frame is a control frame, which belongs to no message."""

    @property
    def size(self) -> int:
        """How many bytes of the latest message have arrived."""
        return self._size - (0 if self._is_control else self._skip)

    def count(self, data: bytes) -> int:
        """Read what has arrived; return the number of fragments of the message that is not complete yet."""
        data, at = self._header + data, self._skip
        while at + 2 <= len(data):
            length = data[at + 1] & 0x7F
            extended = {126: 2, 127: 8}.get(length, 0)
            payload = at + 2 + extended + 4
            if payload > len(data):
                break
            if extended:
                length = int.from_bytes(data[at + 2 : at + 2 + extended], "big")
            opcode = data[at] & 0x0F
            self._is_control = opcode >= 8
            if not self._is_control:
                self._size = length + (0 if opcode else self._size)
                self._count = 0 if data[at] & 0x80 else self._count + 1
            at = payload + length
        self._header, self._skip = data[at:], max(at - len(data), 0)
        return self._count
