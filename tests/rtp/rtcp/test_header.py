"""Splitting a compound packet: lengths, versions, padding."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.errors import BadPacket
from sfu.rtp.rtcp.header import RawPacket, join, split


def test_packets_are_split_by_their_lengths() -> None:
    data = bytes.fromhex("81c90001 01020304 9fcf0000")
    assert split(data) == [RawPacket(201, 1, bytes.fromhex("01020304")), RawPacket(207, 31, b"")]


@pytest.mark.parametrize(
    ("data", "body"),
    [
        ("a0cd0001 00000004", ""),
        ("a0cd0002 aabbccdd 00000004", "aabbccdd"),
        ("a0cd0001 aabbcc01", "aabbcc"),  # what browsers do, RFC 3550 notwithstanding
        ("a0cd0002 aabbccdd 99020003", "aabbccdd99"),
    ],
)
def test_padding_is_taken_off(data: str, body: str) -> None:
    assert split(bytes.fromhex(data)) == [RawPacket(205, 0, bytes.fromhex(body))]


def test_padding_before_the_last_packet_is_taken_off_too() -> None:
    data = bytes.fromhex("a0cd0001 aabbcc01 80cd0000")
    assert split(data) == [RawPacket(205, 0, bytes.fromhex("aabbcc")), RawPacket(205, 0, b"")]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "rtcp-truncated"),
        ("80c900", "rtcp-truncated"),
        ("80c90001 010203", "rtcp-truncated"),
        ("80c90000 80", "rtcp-truncated"),
        ("00c90000", "rtcp-version"),
        ("c0c90000", "rtcp-version"),
        ("80c90000 40c90000", "rtcp-version"),
        ("a0c90001 00000000", "rtcp-padding"),
        ("a0c90001 00000005", "rtcp-padding"),
        ("a0000000", "rtcp-padding"),
    ],
)
def test_what_does_not_add_up_is_refused(data: str, reason: str) -> None:
    with pytest.raises(BadPacket) as caught:
        split(bytes.fromhex(data))
    assert caught.value.reason == reason


@given(st.integers(0, 255), st.integers(0, 31), st.binary(max_size=40))
def test_split_undoes_join(packet_type: int, five_bits: int, body: bytes) -> None:
    data = join(packet_type, five_bits, body)
    assert len(data) % 4 == 0
    assert split(data) == [RawPacket(packet_type, five_bits, body)]


@pytest.mark.parametrize(("five_bits", "body"), [(32, b""), (-1, b""), (0, bytes(4 * 0x10000))])
def test_parts_that_do_not_fit_are_the_callers_error(five_bits: int, body: bytes) -> None:
    with pytest.raises(ValueError, match="RTCP"):
        join(200, five_bits, body)
