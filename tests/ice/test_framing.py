"""RFC 4571: the same datagrams are found however the stream is cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.errors import BadPacket
from sfu.ice.framing import LENGTH, MAX_FRAME, Deframer

DATAGRAMS = st.lists(st.binary(max_size=60) | st.just(bytes(MAX_FRAME)), max_size=8)


def framed(*datagrams: bytes) -> bytes:
    """The stream of these datagrams."""
    return b"".join(LENGTH.pack(len(data)) + data for data in datagrams)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    """A stream cut into chunks, some of them empty."""
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


def received(pieces: list[bytes]) -> tuple[list[bytes], str | None]:
    """The datagrams found, and the reason if an error ends the stream."""
    deframer = Deframer()
    datagrams: list[bytes] = []
    try:
        for piece in pieces:
            for data in deframer.receive(piece):
                datagrams.append(data)  # noqa: PERF402 - those before an error are kept
    except BadPacket as error:
        return datagrams, error.reason
    return datagrams, None


@given(DATAGRAMS, st.lists(st.integers(0, 20_000), max_size=20))
def test_any_chunking_gives_the_same_datagrams(datagrams: list[bytes], places: list[int]) -> None:
    stream = framed(*datagrams)
    assert received(cut(stream, places)) == ([data for data in datagrams if data], None)


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=20))
def test_any_bytes_in_any_chunking_give_the_same(stream: bytes, places: list[int]) -> None:
    whole = received([stream])
    assert received(cut(stream, places)) == whole
    assert received([bytes([byte]) for byte in stream]) == whole


def test_a_byte_at_a_time() -> None:
    deframer = Deframer()
    out = [list(deframer.receive(bytes([byte]))) for byte in framed(b"one", b"", b"three")]
    assert out == [[], [], [], [], [b"one"], [], [], [], [], [], [], [], [], [b"three"]]


@pytest.mark.parametrize(
    "start", [b"GET / HTTP/1.1\r\n", b"PRI * HTTP/2.0", b"\x16\x03\x01\x02\x00\x01", b"SSH-2.0-", b"\x08\x01"]
)
def test_other_protocols_are_detected_by_two_bytes(start: bytes) -> None:
    deframer = Deframer()
    assert list(deframer.receive(framed(b"before") + start[:1])) == [b"before"]
    for byte in start[1:]:
        with pytest.raises(BadPacket, match="frame-too-long"):
            list(deframer.receive(bytes([byte])))


def test_at_most_one_incomplete_frame_is_kept() -> None:
    deframer = Deframer()
    for _ in range(100):
        assert len(list(deframer.receive(framed(*[bytes(100)] * 20)))) == 20
    assert list(deframer.receive(framed(bytes(MAX_FRAME))[:-1])) == []
    assert len(deframer._buffer) == LENGTH.size + MAX_FRAME - 1
    assert list(deframer.receive(b"\0")) == [bytes(MAX_FRAME)]
    assert not deframer._buffer
