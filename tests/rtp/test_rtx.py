"""RTX: wrapping and unwrapping undo each other, and recorded repairs fit their streams."""

from typing import Any

import pytest

from sfu.errors import BadPacket
from sfu.rtp.packet import RtpPacket
from sfu.rtp.rtx import unwrap_rtx, wrap_rtx

ORIGINAL = RtpPacket(96, True, 0xABCD, 90000, 1, (7,), ((2, b"x"),), b"frame", 4)


def test_wrapping_puts_the_original_sequence_number_first() -> None:
    rtx = wrap_rtx(ORIGINAL, payload_type=97, ssrc=2, sequence_number=10)
    assert rtx == RtpPacket(97, True, 10, 90000, 2, (7,), ((2, b"x"),), b"\xab\xcdframe")


def test_unwrapping_restores_the_original_without_its_padding() -> None:
    rtx = wrap_rtx(ORIGINAL, payload_type=97, ssrc=2, sequence_number=10)
    restored = unwrap_rtx(rtx, payload_type=96, ssrc=1)
    assert restored == RtpPacket(96, True, 0xABCD, 90000, 1, (7,), ((2, b"x"),), b"frame")


def test_an_original_without_payload_survives() -> None:
    empty = RtpPacket(96, False, 3, 0, 1)
    rtx = wrap_rtx(empty, payload_type=97, ssrc=2, sequence_number=10)
    assert unwrap_rtx(rtx, payload_type=96, ssrc=1) == empty


def test_other_header_extensions_are_carried_over() -> None:
    foreign = RtpPacket(96, False, 3, 0, 1, opaque_extension=(0x1234, b"abcd"))
    rtx = wrap_rtx(foreign, payload_type=97, ssrc=2, sequence_number=10)
    assert unwrap_rtx(rtx, payload_type=96, ssrc=1) == foreign


def test_a_packet_of_only_padding_is_a_probe() -> None:
    assert unwrap_rtx(RtpPacket(97, False, 1, 2, 3, padding_size=224), payload_type=96, ssrc=1) is None


def test_half_a_sequence_number_is_refused() -> None:
    with pytest.raises(BadPacket) as caught:
        unwrap_rtx(RtpPacket(97, False, 1, 2, 3, payload=b"\x01"), payload_type=96, ssrc=1)
    assert caught.value.reason == "rtx-truncated"


def test_recorded_repairs_lie_near_the_stream_that_they_repair(repaired_capture: Any) -> None:
    newest: int | None = None
    repaired = 0
    for data in repaired_capture.media:
        packet = RtpPacket.parse(data)
        codec = repaired_capture.codec(packet)
        if codec == "VP8":
            newest = packet.sequence_number
        elif codec == "rtx":
            original = unwrap_rtx(packet, payload_type=96, ssrc=1)
            if original is not None and newest is not None:
                repaired += 1
                assert (newest - original.sequence_number + 1000) & 0xFFFF < 2000
    assert repaired
