"""RED payloads: blocks, and recorded ones against the stream whose frames they carry again."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.errors import BadPacket
from sfu.rtp.packet import RtpPacket
from sfu.rtp.red import RedBlock, parse_red, serialize_red

TWO = "ef 0f0003 6f aabbcc ddee"  # block of PT 111, 960 ticks old, 3 bytes; primary of PT 111


def test_blocks_are_split_by_their_headers() -> None:
    assert parse_red(bytes.fromhex(TWO)) == (
        RedBlock(111, 960, b"\xaa\xbb\xcc"),
        RedBlock(111, 0, b"\xdd\xee"),
    )


def test_a_primary_alone_has_one_byte_of_header() -> None:
    assert parse_red(bytes.fromhex("6f dd")) == (RedBlock(111, 0, b"\xdd"),)
    assert parse_red(bytes.fromhex("6f")) == (RedBlock(111, 0, b""),)


def test_a_payload_cut_before_its_primary_is_refused() -> None:
    whole = bytes.fromhex(TWO)
    for end in range(8):
        with pytest.raises(BadPacket) as caught:
            parse_red(whole[:end])
        assert caught.value.reason == "red-truncated"
    assert parse_red(whole[:8])[1].data == b""


blocks = st.builds(RedBlock, st.integers(0, 127), st.integers(0, 0x3FFF), st.binary(max_size=30))


@given(
    st.lists(blocks, max_size=4), st.builds(RedBlock, st.integers(0, 127), st.just(0), st.binary(max_size=30))
)
def test_parse_undoes_serialize(redundant: list[RedBlock], primary: RedBlock) -> None:
    assert parse_red(serialize_red([*redundant, primary])) == (*redundant, primary)


@given(st.binary(max_size=40))
def test_any_bytes_parse_to_what_comes_back_or_are_refused(payload: bytes) -> None:
    try:
        parsed = parse_red(payload)
    except BadPacket:
        return
    assert serialize_red(parsed) == payload


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        [RedBlock(1, 5, b"")],
        [RedBlock(128, 0, b"")],
        [RedBlock(-1, 0, b""), RedBlock(1, 0, b"")],
        [RedBlock(1, 0x4000, b""), RedBlock(1, 0, b"")],
        [RedBlock(1, 1, bytes(1024)), RedBlock(1, 0, b"")],
    ],
)
def test_blocks_that_do_not_fit_are_the_callers_error(wrong: list[RedBlock]) -> None:
    with pytest.raises(ValueError, match=r"."):
        serialize_red(wrong)


def test_recorded_redundancy_repeats_earlier_frames(described_capture: Any) -> None:
    primaries: dict[int, bytes] = {}
    for data in described_capture.media:
        packet = RtpPacket.parse(data)
        if described_capture.codec(packet) != "red" or not packet.payload:
            continue
        parsed = parse_red(packet.payload)
        assert serialize_red(parsed) == packet.payload
        for block in parsed[:-1]:
            repeated = primaries.get((packet.timestamp - block.timestamp_offset) & 0xFFFF_FFFF)
            assert repeated in (None, block.data)
        primaries[packet.timestamp] = parsed[-1].data
