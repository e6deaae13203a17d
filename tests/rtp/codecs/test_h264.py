"""H.264 payloads: which NAL units start in a packet, key frames."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.errors import BadPacket
from sfu.rtp.codecs.h264 import is_key_frame, starting_units


@pytest.mark.parametrize(
    ("payload", "units", "key"),
    [
        ("65b8", (5,), True),  # IDR slice
        ("6742", (7,), True),  # sequence parameter set
        ("68ce", (8,), False),  # picture parameter set alone
        ("419a", (1,), False),
        ("41", (1,), False),
        ("78 0002 6742 0001 68", (7, 8), True),  # STAP-A
        ("78 0002 419a 0003 65b800", (1, 5), True),
        ("78 0001 41", (1,), False),
        ("7c 85 b8", (5,), True),  # FU-A, first piece
        ("7c 05 b8", (), False),  # a later one
        ("7c 45 b8", (), False),  # the last
        ("7c 81 9a", (1,), False),
    ],
)
def test_units_that_start(payload: str, units: tuple[int, ...], key: bool) -> None:
    assert starting_units(bytes.fromhex(payload)) == units
    assert is_key_frame(bytes.fromhex(payload)) == key


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ("", "h264-truncated"),
        ("7c85", "h264-truncated"),
        ("7c", "h264-truncated"),
        ("78", "h264-truncated"),
        ("78 00", "h264-truncated"),
        ("78 0003 6742", "h264-truncated"),
        ("78 0000", "h264-truncated"),
        ("78 0001 67 00", "h264-truncated"),
        ("00", "h264-type"),
        ("7900016742", "h264-type"),  # STAP-B, of the interleaved mode
        ("7d85b8", "h264-type"),  # FU-B
        ("7e00", "h264-type"),
        ("7f00", "h264-type"),
    ],
)
def test_what_is_no_such_packet_is_refused(payload: str, reason: str) -> None:
    with pytest.raises(BadPacket) as caught:
        starting_units(bytes.fromhex(payload))
    assert caught.value.reason == reason
    assert not is_key_frame(bytes.fromhex(payload))


@given(st.binary(max_size=40))
def test_any_bytes_parse_or_are_refused(payload: bytes) -> None:
    try:
        units = starting_units(payload)
    except BadPacket:
        return
    assert all(0 <= unit <= 31 for unit in units)
