"""AV1 payloads: OBU elements, their headers, key frames."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.errors import BadPacket
from sfu.rtp.codecs.av1 import SEQUENCE_HEADER, Av1Payload, ObuHeader, is_key_frame


def parse(payload: str) -> Av1Payload:
    return Av1Payload.parse(bytes.fromhex(payload))


@pytest.mark.parametrize(
    ("payload", "elements"),
    [
        ("10 3010", ("3010",)),  # W=1: the last element has no length
        ("20 02 0a0b 3010", ("0a0b", "3010")),
        ("30 01 0a 01 0b 30", ("0a", "0b", "30")),
        ("00 02 0a0b 02 3010", ("0a0b", "3010")),  # W=0: all have one
        ("00 8200 0a0b", ("0a0b",)),  # LEB128 may be longer than need be
        ("00 00", ("",)),
    ],
)
def test_elements_are_split(payload: str, elements: tuple[str, ...]) -> None:
    assert parse(payload).elements == tuple(map(bytes.fromhex, elements))


def test_long_elements_have_long_lengths() -> None:
    assert Av1Payload.parse(b"\0\x80\x02" + bytes(256)).elements == (bytes(256),)


def test_flags() -> None:
    first = parse("18 0a0b")
    assert (first.continues_previous, first.continued_in_next, first.starts_sequence) == (False, False, True)
    middle = parse("d0 0a0b")
    assert (middle.continues_previous, middle.continued_in_next, middle.starts_sequence) == (True, True, False)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ("", "av1-truncated"),
        ("10", "av1-truncated"),
        ("00 03 0a0b", "av1-truncated"),
        ("20 02 0a0b", "av1-truncated"),
        ("30 01 0a 01 0b", "av1-truncated"),
        ("00 80", "leb128"),
        ("00 808080808080808001", "leb128"),
        ("98 0a0b", "av1-header"),
    ],
)
def test_malformed_payloads_are_refused(payload: str, reason: str) -> None:
    with pytest.raises(BadPacket) as caught:
        parse(payload)
    assert caught.value.reason == reason


def test_obus_that_start_here_say_their_layers() -> None:
    assert parse("20 02 0a0b 34 68 00").starting_obus() == (
        ObuHeader(SEQUENCE_HEADER, None, None),
        ObuHeader(6, 3, 1),
    )


def test_the_rest_of_an_obu_is_not_a_start() -> None:
    assert parse("90 34 68").starting_obus() == ()
    assert parse("a0 01 ff 30").starting_obus() == (ObuHeader(6, None, None),)


@pytest.mark.parametrize("payload", ["00 00", "10 34"])
def test_elements_too_short_for_an_obu_are_refused(payload: str) -> None:
    with pytest.raises(BadPacket) as caught:
        parse(payload).starting_obus()
    assert caught.value.reason == "av1-obu"


@pytest.mark.parametrize(
    ("payload", "expected"), [("18 0a", True), ("10 0a", False), ("98 0a", False), ("18", False), ("", False)]
)
def test_a_sequence_starts_with_a_key_frame(payload: str, expected: bool) -> None:
    assert is_key_frame(bytes.fromhex(payload)) == expected


@given(st.binary(max_size=40))
def test_any_bytes_parse_or_are_refused(payload: bytes) -> None:
    try:
        parsed = Av1Payload.parse(payload)
    except BadPacket:
        return
    assert sum(map(len, parsed.elements)) < len(payload)
