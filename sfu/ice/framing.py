"""Datagrams on a TCP connection (RFC 4571): each one after its length.

+------------------+-----------------------------------
| LENGTH (2 bytes) |  STUN, DTLS, SRTP or SRTCP ...
+------------------+-----------------------------------
"""

import struct
from collections.abc import Iterator
from typing import Final

from sfu.errors import BadPacket

LENGTH: Final = struct.Struct("!H")
"""The length before each datagram."""

MAX_FRAME: Final = 2048
"""The longest datagram accepted, in bytes, as for UDP. Read as a length, the first two letters of an HTTP
request are more than 16 KiB and the first bytes of a TLS handshake more than 5 KiB. So two bytes are enough to
detect another protocol on this port."""


class Deframer:
    """Splits a stream of bytes into datagrams, however it is chunked. Keeps at most one incomplete datagram."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def receive(self, data: bytes) -> Iterator[bytes]:
        """Take bytes of the stream and yield the completed datagrams.

        The iterator must be used up before the next call. Empty frames are skipped (section 2 calls them null
        packets). Raises `BadPacket("frame-too-long", …)` for a length above `MAX_FRAME`, after the datagrams
        before it, and again at each further call: the start of the next frame is unknown.
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
