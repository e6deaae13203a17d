import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.captures import VECTORS

from sfu.errors import BadPacket
from sfu.ice.candidate import MAX_LENGTH, Candidate, host_candidates, parse_trickled, tcp_passive_candidates
from sfu.ice.path import Address

LINES = (VECTORS / "ice" / "candidates.txt").read_text().splitlines()


@pytest.mark.parametrize("line", LINES)
def test_lines_of_real_clients_survive_a_round_trip(line: str) -> None:
    candidate = Candidate.parse(line)
    assert Candidate.parse(str(candidate)) == candidate
    assert str(candidate).lower() == line.removeprefix("a=").lower()


@pytest.mark.parametrize("file", sorted((VECTORS / "sdp").glob("*.sdp")), ids=lambda file: file.stem)
def test_every_candidate_of_recorded_descriptions_parses(file: Path) -> None:
    for line in file.read_text().splitlines():
        if line.startswith("a=candidate:"):
            candidate = Candidate.parse(line)
            assert candidate.type in {"host", "srflx", "relay"}
            assert str(candidate).lower() == line.removeprefix("a=").lower()


def test_fields_of_a_reflexive_candidate() -> None:
    candidate = Candidate.parse(
        "candidate:842163049 1 udp 1677729535 203.0.113.7 46154 typ srflx raddr 192.0.2.2 rport 46155"
        " generation 0 ufrag abcd network-cost 999"
    )
    assert candidate == Candidate(
        foundation="842163049",
        component=1,
        transport="udp",
        priority=1677729535,
        address=Address("203.0.113.7", 46154),
        type="srflx",
        related=Address("192.0.2.2", 46155),
        extensions=(("generation", "0"), ("ufrag", "abcd"), ("network-cost", "999")),
    )
    assert candidate.tcp_type is None
    assert Candidate.parse(str(candidate)) == candidate


def test_fields_of_a_tcp_candidate() -> None:
    candidate = Candidate.parse("a=candidate:3 2 TCP 2105524479 fd00::2 9 typ host tcptype active\r\n")
    assert candidate.transport == "tcp"
    assert candidate.component == 2
    assert candidate.address == Address("fd00::2", 9)
    assert candidate.tcp_type == "active"


GOOD = "candidate:1 1 udp 2130706431 192.0.2.2 40000 typ host"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "candidate",
        "1 1 udp 2130706431 192.0.2.2 40000 typ host",
        "candidate:1 1 udp 2130706431 192.0.2.2 40000 typ",
        "candidate:1 1 udp 2130706431 192.0.2.2 40000 kind host",
        GOOD + " generation",
        GOOD.replace("candidate:1", "candidate:1-2"),
        GOOD.replace("candidate:1", "candidate:" + "1" * 33),
        GOOD.replace("1 udp", "0 udp"),
        GOOD.replace("1 udp", "257 udp"),
        GOOD.replace("1 udp", "one udp"),
        GOOD.replace("1 udp", "-1 udp"),
        GOOD.replace("1 udp", "\N{ARABIC-INDIC DIGIT ONE} udp"),
        GOOD.replace("udp", "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}"),  # two characters in lower case
        GOOD.replace("2130706431", "0"),
        GOOD.replace("2130706431", str(2**32)),
        GOOD.replace("40000", "65536"),
        GOOD.replace("40000", "9" * 400),
        GOOD + " raddr 192.0.2.2 rport x",
        GOOD + " x" * MAX_LENGTH,
    ],
)
def test_bad_lines_are_refused(line: str) -> None:
    with pytest.raises(BadPacket, match="candidate"):
        Candidate.parse(line)


def test_every_cut_parses_or_is_refused() -> None:
    for line in LINES:
        for size in range(len(line)):
            with contextlib.suppress(BadPacket):
                Candidate.parse(line[:size])


@given(st.text(max_size=200), st.booleans())
def test_random_text_parses_or_is_refused(text: str, prefixed: bool) -> None:
    try:
        candidate = Candidate.parse("candidate:" + text if prefixed else text)
    except BadPacket:
        return
    assert Candidate.parse(str(candidate)) == candidate


@pytest.mark.parametrize("text", ["", " ", "a=end-of-candidates", "end-of-candidates"])
def test_end_of_candidates(text: str) -> None:
    assert parse_trickled(text) is None


def test_trickled_candidate() -> None:
    assert parse_trickled(GOOD) == Candidate.parse(GOOD)
    with pytest.raises(BadPacket):
        parse_trickled("candidate:")


def test_host_candidates_are_in_the_order_given() -> None:
    first, second = host_candidates(["192.0.2.1", "2001:DB8::1"], 7882)
    assert str(first) == "candidate:1 1 udp 2130706431 192.0.2.1 7882 typ host"
    assert str(second) == "candidate:2 1 udp 2130706175 2001:db8::1 7882 typ host"
    assert Candidate.parse(str(second)) == second


def test_tcp_candidates_come_after_every_udp_candidate() -> None:
    first, second = tcp_passive_candidates(["192.0.2.1", "2001:DB8::1"], 7881, first_foundation=3)
    assert str(first) == "candidate:3 1 tcp 1520435199 192.0.2.1 7881 typ host tcptype passive"
    assert str(second) == "candidate:4 1 tcp 1520434943 2001:db8::1 7881 typ host tcptype passive"
    assert first.tcp_type == "passive"
    assert Candidate.parse(str(second)) == second
    # RFC 6544 section 4.2: the local preference begins with three bits for the direction.
    local_preference = (first.priority >> 8) & 0xFFFF
    assert (local_preference >> 13, local_preference & 0x1FFF) == (4, 0x1FFF)
    udp = host_candidates([f"192.0.2.{number}" for number in range(1, 100)], 7882)
    assert first.priority < min(candidate.priority for candidate in udp)


def test_tcp_candidates_are_addresses() -> None:
    with pytest.raises(ValueError, match="example"):
        tcp_passive_candidates(["example.org"], 7881, first_foundation=1)


def test_host_candidates_are_addresses() -> None:
    with pytest.raises(ValueError, match="example"):
        host_candidates(["example.org"], 7882)
