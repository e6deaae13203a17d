"""Header extensions: what each one's bytes mean, and what is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.errors import BadPacket
from sfu.rtp import extensions
from sfu.rtp.extensions import (
    BY_URI,
    AbsoluteCaptureTime,
    AudioLevel,
    HeaderExtension,
    PlayoutDelay,
    VideoOrientation,
)
from sfu.rtp.packet import RtpPacket

EXAMPLES: list[tuple[HeaderExtension[Any], str, Any]] = [
    (extensions.MID, "30", "0"),
    (extensions.RID, "68", "h"),
    (extensions.REPAIRED_RID, "6c6f77", "low"),
    (extensions.AUDIO_LEVEL, "ff", AudioLevel(voice=True, level=127)),
    (extensions.AUDIO_LEVEL, "0a", AudioLevel(voice=False, level=10)),
    (extensions.CSRC_AUDIO_LEVEL, "007f05", (0, 127, 5)),
    (extensions.ABS_SEND_TIME, "040000", 1.0),
    (extensions.ABS_SEND_TIME, "ffffff", 64 - 2**-18),
    (extensions.TRANSPORT_SEQUENCE_NUMBER, "1234", 0x1234),
    (extensions.VIDEO_ORIENTATION, "00", VideoOrientation(False, False, 0)),
    (extensions.VIDEO_ORIENTATION, "0f", VideoOrientation(True, True, 270)),
    (extensions.VIDEO_ORIENTATION, "05", VideoOrientation(False, True, 90)),
    (extensions.PLAYOUT_DELAY, "00a064", PlayoutDelay(100, 1000)),
    (extensions.PLAYOUT_DELAY, "000fff", PlayoutDelay(0, 40950)),
    (extensions.ABS_CAPTURE_TIME, "0123456789abcdef", AbsoluteCaptureTime(0x0123456789ABCDEF, None)),
    (extensions.ABS_CAPTURE_TIME, "00" * 8 + "ff" * 8, AbsoluteCaptureTime(0, -1)),
    (extensions.TRANSMISSION_OFFSET, "000762", 1890),
    (extensions.TRANSMISSION_OFFSET, "ffffff", -1),
    (extensions.VIDEO_CONTENT_TYPE, "01", b"\x01"),
    (extensions.COLOR_SPACE, "06060610", b"\x06\x06\x06\x10"),
]


@pytest.mark.parametrize(("extension", "data", "value"), EXAMPLES)
def test_meaning_of_the_bytes(extension: HeaderExtension[Any], data: str, value: Any) -> None:
    assert extension.decode(bytes.fromhex(data)) == value
    assert extension.encode(value) == bytes.fromhex(data)


@pytest.mark.parametrize(
    ("extension", "data", "reason"),
    [
        (extensions.MID, "", "rtp-ext-text"),
        (extensions.MID, "c3a4", "rtp-ext-text"),
        (extensions.AUDIO_LEVEL, "", "rtp-ext-audio-level"),
        (extensions.AUDIO_LEVEL, "0000", "rtp-ext-audio-level"),
        (extensions.CSRC_AUDIO_LEVEL, "", "rtp-ext-csrc-audio-level"),
        (extensions.CSRC_AUDIO_LEVEL, "00" * 16, "rtp-ext-csrc-audio-level"),
        (extensions.ABS_SEND_TIME, "0000", "rtp-ext-abs-send-time"),
        (extensions.TRANSPORT_SEQUENCE_NUMBER, "00", "rtp-ext-transport-cc"),
        (extensions.VIDEO_ORIENTATION, "0000", "rtp-ext-video-orientation"),
        (extensions.PLAYOUT_DELAY, "00", "rtp-ext-playout-delay"),
        (extensions.PLAYOUT_DELAY, "001000", "rtp-ext-playout-delay"),
        (extensions.ABS_CAPTURE_TIME, "00" * 15, "rtp-ext-abs-capture-time"),
        (extensions.TRANSMISSION_OFFSET, "00000000", "rtp-ext-toffset"),
    ],
)
def test_bytes_of_another_format_are_refused(extension: HeaderExtension[Any], data: str, reason: str) -> None:
    with pytest.raises(BadPacket) as caught:
        extension.decode(bytes.fromhex(data))
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("extension", "value"),
    [
        (extensions.MID, ""),
        (extensions.MID, "ä"),
        (extensions.MID, "x" * 256),
        (extensions.AUDIO_LEVEL, AudioLevel(False, 128)),
        (extensions.CSRC_AUDIO_LEVEL, ()),
        (extensions.CSRC_AUDIO_LEVEL, (-1,)),
        (extensions.TRANSPORT_SEQUENCE_NUMBER, 0x10000),
        (extensions.VIDEO_ORIENTATION, VideoOrientation(False, False, 45)),
        (extensions.VIDEO_ORIENTATION, VideoOrientation(False, False, 360)),
        (extensions.PLAYOUT_DELAY, PlayoutDelay(20, 10)),
        (extensions.PLAYOUT_DELAY, PlayoutDelay(0, 40960)),
        (extensions.ABS_CAPTURE_TIME, AbsoluteCaptureTime(1 << 64, None)),
        (extensions.ABS_CAPTURE_TIME, AbsoluteCaptureTime(0, 1 << 63)),
        (extensions.TRANSMISSION_OFFSET, 1 << 23),
    ],
)
def test_values_that_do_not_fit_are_the_callers_error(extension: HeaderExtension[Any], value: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        extension.encode(value)


def test_a_send_time_wraps_after_64_seconds() -> None:
    assert extensions.ABS_SEND_TIME.decode(extensions.ABS_SEND_TIME.encode(1000.25)) == 1000.25 - 15 * 64


def test_reserved_bits_are_ignored() -> None:
    assert extensions.CSRC_AUDIO_LEVEL.decode(b"\x85") == (5,)
    assert extensions.VIDEO_ORIENTATION.decode(b"\xf1") == VideoOrientation(False, False, 90)


@given(st.sampled_from(sorted(BY_URI)), st.binary(max_size=32))
def test_any_bytes_decode_to_something_that_encodes_or_are_refused(uri: str, data: bytes) -> None:
    extension = BY_URI[uri]
    try:
        value = extension.decode(data)
    except BadPacket:
        return
    assert extension.decode(extension.encode(value)) == value


def test_recorded_extensions_are_known_and_come_back(described_capture: Any) -> None:
    for data in described_capture.media:
        for identifier, element in RtpPacket.parse(data).extensions:
            extension = BY_URI[described_capture.about["extmap"][str(identifier)]]
            assert extension.encode(extension.decode(element)) == element


def test_recorded_streams_have_the_expected_extensions(counted_capture: Any) -> None:
    names = {"mid": extensions.MID, "rid": extensions.RID, "rrid": extensions.REPAIRED_RID}
    seen: dict[int, dict[str, str]] = {}
    for data in counted_capture.media:
        packet = RtpPacket.parse(data)
        said = seen.setdefault(packet.ssrc, {})
        for identifier, element in packet.extensions:
            uri = counted_capture.about["extmap"][str(identifier)]
            for name, extension in names.items():
                if extension.uri == uri:
                    said[name] = extension.decode(element)
    for ssrc, summary in counted_capture.about["ssrcs"].items():
        assert seen[int(ssrc)] == {name: summary[name] for name in names if summary[name] is not None}
