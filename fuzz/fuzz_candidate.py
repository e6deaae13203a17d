"""Candidate lines: only BadPacket escapes, and what parses prints to one line that parses to the same.

The text is parsed as a candidate, as a trickled candidate, and after the words at the start of every candidate,
so that the rest of the grammar is reached quickly.
"""

import contextlib

from sfu.errors import BadPacket
from sfu.ice.candidate import MAX_LENGTH, Candidate, parse_trickled

BEGINNINGS = ("", "candidate:", "a=candidate:1 1 udp 2130706431 192.0.2.1 7882 typ ")


def one_input(data: bytes) -> None:
    """Check the invariants on one line."""
    text = data.decode("utf-8", "replace")
    with contextlib.suppress(BadPacket):
        trickled = parse_trickled(text)
        assert trickled is None or trickled == Candidate.parse(text)
    for beginning in BEGINNINGS:
        check(beginning + text)


def check(text: str) -> None:
    """Check one candidate."""
    try:
        candidate = Candidate.parse(text)
    except BadPacket as error:
        assert error.reason == "candidate"
        return
    assert Candidate.parse(str(candidate)) == candidate
    # It may be written into a description, so it must stay one line.
    assert len(str(candidate).splitlines()) == 1
    assert len(str(candidate)) <= MAX_LENGTH
    assert 1 <= candidate.component <= 256
    assert 1 <= candidate.priority < 2**32
    for address in (candidate.address, candidate.related):
        assert address is None or 0 <= address.port < 2**16
    tcp_types = [value for name, value in candidate.extensions if name == "tcptype"]
    assert candidate.tcp_type == (tcp_types[-1] if tcp_types else None)
