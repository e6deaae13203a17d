"""WebSocket frame headers: nothing raises, a stream's cuts change nothing, and real frames are counted right.

The first bytes say where the rest is cut: each is the length of a piece, up to the one that is zero. The rest
is read as a stream, and as a program: each two bytes of it make one masked frame, by first byte and length.
"""

from collections.abc import Iterator

from sfu.shell.http.fragments import Fragments

LENGTHS = (0, 1, 125, 126, 127, 65_535, 65_536)
"""Payload lengths around the changes of form (RFC 6455 section 5.2)."""

MAX_FRAMES = 40


def one_input(data: bytes) -> None:
    """Check the invariants on one stream."""
    sizes, _, rest = data.partition(b"\0")
    assert counted(rest, sizes) == counted(rest, b"")
    stream, expected = b"", 0
    for start, size in zip(rest[: 2 * MAX_FRAMES : 2], rest[1 : 2 * MAX_FRAMES : 2], strict=False):
        stream += frame(start, LENGTHS[size % len(LENGTHS)] if size >= 128 else size)
        if start & 0x0F < 8:
            expected = 0 if start & 0x80 else expected + 1
    assert counted(stream, b"") == expected
    assert counted(stream, sizes) == expected


def frame(start: int, length: int) -> bytes:
    """Return a frame with the masking key 0."""
    if length < 126:
        head = bytes([start, 0x80 | length])
    elif length < 1 << 16:
        head = bytes([start, 0xFE]) + length.to_bytes(2, "big")
    else:
        head = bytes([start, 0xFF]) + length.to_bytes(8, "big")
    return head + bytes(4 + length)


def counted(stream: bytes, sizes: bytes) -> int:
    """Return the fragments of the message that is not complete at the end of a stream."""
    fragments, count = Fragments(), 0
    for piece in pieces(stream, sizes):
        count = fragments.count(piece)
        assert count >= 0
    return count


def pieces(stream: bytes, sizes: bytes) -> Iterator[bytes]:
    """Cut a stream; what is left behind the last cut is the last piece."""
    start = 0
    for size in sizes:
        yield stream[start : start + size]
        start += size
    yield stream[start:]
