"""Where receivers can start, in recorded streams."""

from typing import Any

import pytest

from sfu.rtp.codecs.av1 import SEQUENCE_HEADER, Av1Payload
from sfu.rtp.codecs.h264 import starting_units
from sfu.rtp.codecs.vp8 import Vp8Descriptor, key_frame_size
from sfu.rtp.codecs.vp9 import Vp9Descriptor
from sfu.rtp.key_frame import is_key_frame
from sfu.rtp.packet import RtpPacket

VIDEO = {"VP8", "VP9", "H264", "AV1"}


def test_codec_names_are_compared_without_case() -> None:
    assert is_key_frame("vp8", bytes.fromhex("10500200"))
    assert not is_key_frame("VP8", bytes.fromhex("10510200"))


@pytest.mark.parametrize("codec", ["opus", "red", "telephone-event"])
def test_audio_can_start_anywhere(codec: str) -> None:
    assert is_key_frame(codec, b"")


@pytest.mark.parametrize("codec", sorted(VIDEO))
def test_video_cannot_start_with_nothing(codec: str) -> None:
    assert not is_key_frame(codec, b"")


def test_every_recorded_video_stream_starts_with_a_key_frame(described_capture: Any) -> None:
    if "nack" in described_capture.name:
        return  # the first packet may be among those that were dropped on purpose
    started: dict[int, bool] = {}
    for data in described_capture.media:
        packet = RtpPacket.parse(data)
        codec = described_capture.codec(packet).upper()
        if codec in VIDEO and packet.payload and packet.ssrc not in started:
            started[packet.ssrc] = is_key_frame(codec, packet.payload)
    assert all(started.values())


def test_a_picture_loss_indication_brings_a_key_frame(counted_capture: Any) -> None:
    """The recorder sent a PLI to every video stream after four seconds of each recording longer than that."""
    if counted_capture.about["sec"] < 6:
        return
    counts: dict[int, int] = {}
    for data in counted_capture.media:
        packet = RtpPacket.parse(data)
        codec = counted_capture.codec(packet).upper()
        if codec in VIDEO and packet.payload:
            counts.setdefault(packet.ssrc, 0)
            counts[packet.ssrc] += is_key_frame(codec, packet.payload)
    for ssrc, count in counts.items():
        frames = counted_capture.about["ssrcs"][str(ssrc)]["marker"]
        assert 0 < count < frames / 10, ssrc


def test_recorded_payloads_parse_whole_and_cut(described_capture: Any) -> None:
    for payload in described_capture.payloads("VP8"):
        descriptor = Vp8Descriptor.parse(payload)
        if descriptor.starts_frame and not payload[descriptor.size] & 1:
            width, height = key_frame_size(payload) or (0, 0)
            assert width * 9 == height * 16 or width * 3 == height * 4
    for payload in described_capture.payloads("VP9"):
        vp9 = Vp9Descriptor.parse(payload)
        if is_key_frame("VP9", payload):
            assert vp9.scalability is not None
    for payload in described_capture.payloads("H264"):
        assert set(starting_units(payload)) <= {1, 5, 7, 8}
    for payload in described_capture.payloads("AV1"):
        obus = Av1Payload.parse(payload).starting_obus()
        assert is_key_frame("AV1", payload) == any(obu.obu_type == SEQUENCE_HEADER for obu in obus)
