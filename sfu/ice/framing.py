"""Datagrams on a TCP connection (RFC 4571): each one behind its length.

+------------------+-----------------------------------
| LENGTH (2 bytes) |  STUN, DTLS, SRTP or SRTCP ...
+------------------+-----------------------------------
"""

import struct
from collections.abc import Iterator
from typing import Final

from sfu.errors import BadPacket

LENGTH: Final = struct.Struct("!H")
"""What stands before each datagram."""

MAX_FRAME: Final = 2048
"""Bytes of the longest datagram that is taken, as from UDP. Read as a length, the first two letters of an HTTP
request are over 16 KiB and the first bytes of a TLS handshake over 5 KiB, so whoever is at the wrong port is
known by two bytes."""


class Deframer:
    """Cuts a stream of bytes into datagrams, however the bytes come. Keeps at most one incomplete datagram."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def receive(self, data: bytes) -> Iterator[bytes]:
        """Take bytes of the stream and yield the datagrams that they complete.

        The iterator is to be used up before the next call. A frame of no bytes is passed over (section 2 calls
        it a null packet).
        Raises `BadPacket("frame-too-long", …)` for a length beyond `MAX_FRAME`, behind the datagrams before it,
        and again at each further call: where the next frame begins is not known any more.
        """
        buffer = self._buffer
        buffer += data
        start = 0
        try:
            while len(buffer) >= start + LENGTH.size:
                (size,) = LENGTH.unpack_from(buffer, start)
                if size > MAX_FRAME:
                    raise BadPacket("frame-too-long", f"{size} bytes")
                end = start + LENGTH.size + size
                if end > len(buffer):
                    break
                if size:
                    yield bytes(buffer[start + LENGTH.size : end])
                start = end
        finally:
            del buffer[:start]
