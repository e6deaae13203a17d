"""The RTP header extensions of WebRTC: their URIs and what their bytes mean.

SDP binds a URI to an id (``a=extmap:<id> <uri>``); `RtpPacket.extensions` holds (id, data); a row here turns
that data into a value and back: ``MID.decode(packet.extension(mid_id))``. To add an extension, add its row.

Every `decode` raises `BadPacket` for data that is not of its format, every `encode` `ValueError` for a value
that does not fit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from typing import Any, Final, Generic, NamedTuple, TypeVar

from sfu.errors import BadPacket
from sfu.rtp.video_layers_allocation import VideoLayersAllocation

T = TypeVar("T")

_TIME_AND_OFFSET: Final = Struct(">Qq")

_ABS_SEND_TIME_UNIT: Final = 2**18
"""Units in a second: the wire has 6 bits of seconds and 18 of their fraction."""


@dataclass(frozen=True, slots=True)
class HeaderExtension(Generic[T]):
    """One kind of header extension."""

    uri: str
    """Its name in SDP."""
    decode: Callable[[bytes], T]
    encode: Callable[[T], bytes]


class AudioLevel(NamedTuple):
    """How loud the audio in this packet is (RFC 6464)."""

    voice: bool
    """Whether the sender thinks that it is speech; browsers send their guess."""
    level: int
    """-dBov: 0 is the loudest possible, 127 silence."""


class VideoOrientation(NamedTuple):
    """How to turn a picture to show it upright (3GPP TS 26.114 section 7.4.5)."""

    back_camera: bool
    """The picture is from the camera that faces away from the user."""
    flipped: bool
    """Mirrored left to right, before the rotation."""
    rotation: int
    """0, 90, 180 or 270 degrees clockwise, which the receiver has to undo."""


class PlayoutDelay(NamedTuple):
    """Bounds on the receiver's delay from capture to rendering, in ms: multiples of 10, 0 … 40950."""

    minimum_ms: int
    maximum_ms: int


class AbsoluteCaptureTime(NamedTuple):
    """When the frame was captured."""

    capture_time: int
    """64-bit NTP time in the clock of the system that made this extension, see `sfu.rtp.ntp`."""
    clock_offset: int | None
    """What to add for the time in the original capturer's clock, in 2**-32 s, signed; `None` if unknown."""


def _exact(data: bytes, size: int, reason: str) -> None:
    if len(data) != size:
        raise BadPacket(reason, f"{len(data)} bytes instead of {size}")


def _in_range(value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise ValueError(f"{value} is not in {low} … {high}")
    return value


def _decode_text(data: bytes) -> str:
    # RFC 7941 section 4.1 carries any UTF-8, but mid (RFC 5888) and rid (RFC 8851) are ASCII tokens.
    if not data or not data.isascii():
        raise BadPacket("rtp-ext-text", repr(data))
    return data.decode("ascii")


def _encode_text(text: str) -> bytes:
    data = text.encode("ascii")
    if not 0 < len(data) <= 255:
        raise ValueError(f"a header extension text of {len(data)} bytes")
    return data


def _decode_audio_level(data: bytes) -> AudioLevel:
    _exact(data, 1, "rtp-ext-audio-level")
    return AudioLevel(data[0] >= 0x80, data[0] & 0x7F)


def _encode_audio_level(value: AudioLevel) -> bytes:
    return bytes((value.voice << 7 | _in_range(value.level, 0, 127),))


def _decode_csrc_audio_levels(data: bytes) -> tuple[int, ...]:
    if not 0 < len(data) <= 15:
        raise BadPacket("rtp-ext-csrc-audio-level", f"{len(data)} levels")
    return tuple(level & 0x7F for level in data)  # RFC 6465 section 3: the first bit is reserved, ignored


def _encode_csrc_audio_levels(levels: tuple[int, ...]) -> bytes:
    _in_range(len(levels), 1, 15)
    return bytes(_in_range(level, 0, 127) for level in levels)


def _decode_abs_send_time(data: bytes) -> float:
    _exact(data, 3, "rtp-ext-abs-send-time")
    return int.from_bytes(data) / _ABS_SEND_TIME_UNIT


def _encode_abs_send_time(seconds: float) -> bytes:
    return (round(seconds * _ABS_SEND_TIME_UNIT) & 0xFF_FFFF).to_bytes(3)


def _decode_transport_sequence_number(data: bytes) -> int:
    _exact(data, 2, "rtp-ext-transport-cc")
    return int.from_bytes(data)


def _encode_transport_sequence_number(number: int) -> bytes:
    return _in_range(number, 0, 0xFFFF).to_bytes(2)


def _decode_video_orientation(data: bytes) -> VideoOrientation:
    _exact(data, 1, "rtp-ext-video-orientation")
    return VideoOrientation(bool(data[0] & 8), bool(data[0] & 4), (data[0] & 3) * 90)


def _encode_video_orientation(value: VideoOrientation) -> bytes:
    if value.rotation % 90:
        raise ValueError(f"a rotation of {value.rotation} degrees")
    turns = _in_range(value.rotation // 90, 0, 3)
    return bytes((value.back_camera << 3 | value.flipped << 2 | turns,))


def _decode_playout_delay(data: bytes) -> PlayoutDelay:
    _exact(data, 3, "rtp-ext-playout-delay")
    both = int.from_bytes(data)
    minimum, maximum = both >> 12, both & 0xFFF
    if minimum > maximum:
        raise BadPacket("rtp-ext-playout-delay", f"at least {minimum}0 ms, at most {maximum}0 ms")
    return PlayoutDelay(minimum * 10, maximum * 10)


def _encode_playout_delay(value: PlayoutDelay) -> bytes:
    minimum = _in_range(value.minimum_ms // 10, 0, 0xFFF)
    maximum = _in_range(value.maximum_ms // 10, minimum, 0xFFF)
    return (minimum << 12 | maximum).to_bytes(3)


def _decode_abs_capture_time(data: bytes) -> AbsoluteCaptureTime:
    if len(data) == 8:
        return AbsoluteCaptureTime(int.from_bytes(data), None)
    _exact(data, 16, "rtp-ext-abs-capture-time")
    return AbsoluteCaptureTime(*_TIME_AND_OFFSET.unpack(data))


def _encode_abs_capture_time(value: AbsoluteCaptureTime) -> bytes:
    time = _in_range(value.capture_time, 0, 2**64 - 1).to_bytes(8)
    if value.clock_offset is None:
        return time
    return time + _in_range(value.clock_offset, -(2**63), 2**63 - 1).to_bytes(8, signed=True)


def _decode_transmission_offset(data: bytes) -> int:
    _exact(data, 3, "rtp-ext-toffset")
    return int.from_bytes(data, signed=True)


def _encode_transmission_offset(ticks: int) -> bytes:
    return _in_range(ticks, -(2**23), 2**23 - 1).to_bytes(3, signed=True)


def _opaque(data: bytes) -> bytes:
    return data


_EXPERIMENTS: Final = "http://www.webrtc.org/experiments/rtp-hdrext/"

MID: Final = HeaderExtension("urn:ietf:params:rtp-hdrext:sdes:mid", _decode_text, _encode_text)
"""The m-line that the packet belongs to (RFC 9143 section 15)."""

RID: Final = HeaderExtension("urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", _decode_text, _encode_text)
"""Which of the m-line's simulcast encodings this is (RFC 8852)."""

REPAIRED_RID: Final = HeaderExtension(
    "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id", _decode_text, _encode_text
)
"""On RTX packets: the encoding that they repair (RFC 8852)."""

AUDIO_LEVEL: Final = HeaderExtension(
    "urn:ietf:params:rtp-hdrext:ssrc-audio-level", _decode_audio_level, _encode_audio_level
)
"""How loud the packet is (RFC 6464)."""

CSRC_AUDIO_LEVEL: Final = HeaderExtension(
    "urn:ietf:params:rtp-hdrext:csrc-audio-level", _decode_csrc_audio_levels, _encode_csrc_audio_levels
)
"""How loud each contributing source of a mixed packet is, in -dBov, one level per CSRC (RFC 6465)."""

ABS_SEND_TIME: Final = HeaderExtension(
    f"{_EXPERIMENTS}abs-send-time", _decode_abs_send_time, _encode_abs_send_time
)
"""When the packet was sent, in seconds of the sender's clock modulo 64, in units of 3.8 µs."""

TRANSPORT_SEQUENCE_NUMBER: Final = HeaderExtension(
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    _decode_transport_sequence_number,
    _encode_transport_sequence_number,
)
"""16-bit number that counts over all streams of a transport, for `rtcp.TransportWideFeedback`."""

VIDEO_ORIENTATION: Final = HeaderExtension(
    "urn:3gpp:video-orientation", _decode_video_orientation, _encode_video_orientation
)
"""CVO: on the last packet of a frame, how to turn it."""

PLAYOUT_DELAY: Final = HeaderExtension(
    f"{_EXPERIMENTS}playout-delay", _decode_playout_delay, _encode_playout_delay
)
"""Limits on the delay that the receiver may add."""

ABS_CAPTURE_TIME: Final = HeaderExtension(
    f"{_EXPERIMENTS}abs-capture-time", _decode_abs_capture_time, _encode_abs_capture_time
)
"""Wall clock time of capture, kept through mixers and forwarders."""

TRANSMISSION_OFFSET: Final = HeaderExtension(
    "urn:ietf:params:rtp-hdrext:toffset", _decode_transmission_offset, _encode_transmission_offset
)
"""RTP clock ticks from the packet's timestamp to its sending, signed (RFC 5450)."""

VIDEO_CONTENT_TYPE: Final = HeaderExtension(f"{_EXPERIMENTS}video-content-type", _opaque, _opaque)
"""Camera or screen. Forwarded unchanged."""

VIDEO_TIMING: Final = HeaderExtension(f"{_EXPERIMENTS}video-timing", _opaque, _opaque)
"""Where a frame spent its time inside the sender. Forwarded unchanged."""

COLOR_SPACE: Final = HeaderExtension(f"{_EXPERIMENTS}color-space", _opaque, _opaque)
"""Color space and HDR metadata of key frames. Forwarded unchanged."""

DEPENDENCY_DESCRIPTOR: Final = HeaderExtension(
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
    _opaque,
    _opaque,
)
"""Which frames a frame depends on. Opaque here, since its meaning depends on earlier packets: a stream's
`sfu.rtp.dependency_descriptor.DependencyReader` parses the bytes."""

VIDEO_LAYERS_ALLOCATION: Final = HeaderExtension(
    f"{_EXPERIMENTS}video-layers-allocation00", VideoLayersAllocation.decode, VideoLayersAllocation.encode
)
"""Which layers the sender sends at present, and at which rates."""

BY_URI: Final[dict[str, HeaderExtension[Any]]] = {
    extension.uri: extension
    for extension in (
        MID,
        RID,
        REPAIRED_RID,
        AUDIO_LEVEL,
        CSRC_AUDIO_LEVEL,
        ABS_SEND_TIME,
        TRANSPORT_SEQUENCE_NUMBER,
        VIDEO_ORIENTATION,
        PLAYOUT_DELAY,
        ABS_CAPTURE_TIME,
        TRANSMISSION_OFFSET,
        VIDEO_CONTENT_TYPE,
        VIDEO_TIMING,
        COLOR_SPACE,
        DEPENDENCY_DESCRIPTOR,
        VIDEO_LAYERS_ALLOCATION,
    )
}
"""All rows by URI: what a negotiation may agree to."""
