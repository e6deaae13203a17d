"""RFC 4571 framing: only BadPacket escapes; however a stream is cut, the datagrams are the same, and memory is
bounded.

The first bytes, up to a zero byte, are the lengths of the chunks into which the rest is cut.
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
    """Cut a stream into chunks; the last one is the rest."""
    start = 0
    for size in sizes:
        yield stream[start : start + size]
        start += size
    yield stream[start:]


def deframe(stream: Iterable[bytes]) -> tuple[list[bytes], str | None]:
    """Return the datagrams found, and the reason if an error ends the stream."""
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
