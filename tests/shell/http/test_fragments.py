"""Counting the fragments of a WebSocket message by its frame headers."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from sfu.shell.http.fragments import Fragments


def frame(opcode: int, payload: bytes = b"", *, last: bool = False) -> bytes:
    """Return a frame of a client (RFC 6455 section 5.2) with masking key 0."""
    if len(payload) < 126:
        length = bytes([len(payload)])
    elif len(payload) < 1 << 16:
        length = b"\x7e" + len(payload).to_bytes(2, "big")
    else:
        length = b"\x7f" + len(payload).to_bytes(8, "big")
    return bytes([opcode | (0x80 if last else 0), 0x80 | length[0]]) + length[1:] + bytes(4) + payload


@given(st.data())
def test_fragments_are_counted_however_they_arrive(data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.sampled_from([0, 1, 125, 126, 300, 0xFFFF, 0x10000]), max_size=5))
    sent = frame(1, b"a whole message", last=True) + frame(2, b"begins")
    for length in lengths:
        sent += frame(0, bytes(length)) + frame(9, b"between two", last=True)
    cuts = data.draw(st.lists(st.integers(0, len(sent)), max_size=5).map(sorted))
    fragments = Fragments()
    assert fragments.size == 0
    counts = [fragments.count(sent[start:end]) for start, end in itertools.pairwise([0, *cuts, len(sent)])]
    assert counts[-1] == 1 + len(lengths)
    assert fragments.size == len(b"begins") + sum(lengths)
    assert fragments.count(frame(0, b"ends", last=True)) == 0
