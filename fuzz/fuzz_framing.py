"""RFC 4571 framing: only BadPacket escapes; however a stream is cut, the same comes out, and little is kept.

The first bytes say where the rest is cut: each is the length of a piece, up to the one that is zero.
"""

from collections.abc import Iterable, Iterator

from sfu.errors import BadPacket
from sfu.ice.framing import LENGTH, MAX_FRAME, Deframer


def one_input(data: bytes) -> None:
    """Check the invariants on one stream."""
    sizes, _, stream = data.partition(b"\0")
    whole, reason = deframe([stream])
    assert deframe(pieces(stream, sizes)) == (whole, reason)
    printed = b"".join(LENGTH.pack(len(datagram)) + datagram for datagram in whole)
    assert deframe([printed]) == (whole, None)
    assert len(printed) <= len(stream)


def pieces(stream: bytes, sizes: bytes) -> Iterator[bytes]:
    """Cut a stream; what is left behind the last cut is the last piece."""
    start = 0
    for size in sizes:
        yield stream[start : start + size]
        start += size
    yield stream[start:]


def deframe(stream: Iterable[bytes]) -> tuple[list[bytes], str | None]:
    """Return the datagrams that come out, and the reason if the stream cannot go on."""
    deframer, datagrams = Deframer(), list[bytes]()
    try:
        for piece in stream:
            for datagram in deframer.receive(piece):
                assert 0 < len(datagram) <= MAX_FRAME
                datagrams.append(datagram)
            assert len(deframer._buffer) < LENGTH.size + MAX_FRAME
    except BadPacket as error:
        assert error.reason == "frame-too-long"
        return datagrams, error.reason
    return datagrams, None
