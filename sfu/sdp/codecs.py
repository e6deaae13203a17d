"""Codecs of an m-line: collected from its attributes, compared, and printed back.

Two peers number the same codec differently, so a codec is recognised by `identity`. Codecs with
equal identity may exchange packets. Profiles are part of it; levels and bit rates are not.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType

from sfu.sdp.attributes import Fmtp, RtcpFb, RtpMap
from sfu.sdp.model import MediaDescription

Identity = tuple[str | int, ...]
"""Equal for two codecs that differ only in their payload types."""


@dataclass(frozen=True, slots=True)
class Codec:
    """One codec as one m-line numbers it."""

    payload_type: int
    name: str
    clock_rate: int
    """In Hz."""
    channels: int = 1
    parameters: Mapping[str, str] = field(default_factory=dict, hash=False)
    """The fmtp parameters; a parameter without a name (RED's ``111/111``) has the empty name."""
    feedback: frozenset[str] = frozenset()
    """RTCP feedback agreed for it: ``nack``, ``nack pli``, ``ccm fir``, ``transport-cc``, ``goog-remb`` ..."""
    rtx_payload_type: int | None = None
    """Payload type of its retransmissions (RFC 4588), or None."""
    identity: Identity = field(init=False, repr=False, compare=False)
    """Equal for two codecs whose packets may be exchanged; only the payload types differ then."""
    # A mapping has no hash. Without one over its content, clients could make hundreds of codecs with equal
    # hashes.
    _parameters_hash: int = field(init=False, repr=False, compare=False, hash=True)

    def __post_init__(self) -> None:
        name = self.name.lower()
        identity = (name, self.clock_rate, self.channels, *_profile(name, self.parameters))
        object.__setattr__(self, "identity", identity)
        object.__setattr__(self, "_parameters_hash", hash(frozenset(self.parameters.items())))

    @property
    def numbers(self) -> set[int]:
        """The payload types that it uses."""
        return {number for number in (self.payload_type, self.rtx_payload_type) if number is not None}


def _profile(name: str, parameters: Mapping[str, str]) -> Identity:
    match name:
        case "vp9":  # RFC 9628 section 7
            return (parameters.get("profile-id", "0"),)
        case "av1":  # AV1 RTP payload format, section 7.2.1
            return (parameters.get("profile", "0"),)
        case "h264":  # RFC 6184 sections 8.1 and 8.2.2
            profile = h264_profile(parameters.get("profile-level-id", "42000a"))
            return (profile, parameters.get("packetization-mode", "0"))
    return ()


H264_PROFILES = (
    # profile_idc, bits of profile-iop that count, their value; RFC 6184 section 8.1, table 5
    (0x42, 0b0100_1111, 0b0100_0000, "constrained-baseline"),
    (0x4D, 0b1000_1111, 0b1000_0000, "constrained-baseline"),
    (0x58, 0b1100_1111, 0b1100_0000, "constrained-baseline"),
    (0x42, 0b0100_1111, 0b0000_0000, "baseline"),
    (0x58, 0b1100_1111, 0b1000_0000, "baseline"),
    (0x4D, 0b1010_1111, 0b0000_0000, "main"),
    (0x58, 0b1100_1111, 0b0000_0000, "extended"),
)


def h264_profile(profile_level_id: str) -> str:
    """Return the profile of a profile-level-id, without its level: several spellings mean the same profile.

    A value that is not in the table (the High family needs its exact flags) is its own profile.
    """
    first_four = profile_level_id[:4].lower()
    try:
        idc, iop = bytes.fromhex(first_four)
    except ValueError:
        return first_four
    for profile_idc, mask, value, name in H264_PROFILES:
        if idc == profile_idc and iop & mask == value:
            return name
    return first_four


CACHED_CODECS = 512
"""Codecs kept to be shared. Browsers of one version all offer the same dozen codecs; without sharing, each
session would keep 20 KiB of copies."""


@lru_cache(CACHED_CODECS)
def shared(codec: Codec) -> Codec:
    """Return one object for all equal codecs: sessions negotiate the same few, and keep them."""
    return codec


@lru_cache(CACHED_CODECS)
def _make_codec(
    rtpmap: RtpMap, fmtp: Fmtp | None, feedback: frozenset[str], rtx_payload_type: int | None
) -> Codec:
    return Codec(
        payload_type=rtpmap.payload_type,
        name=rtpmap.name,
        clock_rate=rtpmap.clock_rate,
        channels=rtpmap.channels or 1,
        parameters=MappingProxyType(fmtp.parameters() if fmtp else {}),
        feedback=feedback,
        rtx_payload_type=rtx_payload_type,
    )


def codecs_of(media: MediaDescription) -> list[Codec]:
    r"""The codecs of an RTP m-line in order of preference, with retransmission formats folded into their
    codecs.

    Formats without an rtpmap are ignored: no WebRTC codec has a static payload type.

    >>> lines = "m=video 9 X 96 97\na=rtpmap:96 VP8/90000\na=rtpmap:97 rtx/90000\na=fmtp:97 apt=96\n"
    >>> from sfu.sdp.model import SessionDescription
    >>> text = "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nt=0 0\n" + lines
    >>> [codec] = codecs_of(SessionDescription.parse(text).media[0])
    >>> codec.name, codec.payload_type, codec.rtx_payload_type
    ('VP8', 96, 97)
    """
    maps = {str(row.payload_type): row for row in reversed(media.rtpmaps)}
    fmtps = {row.format: row for row in reversed(media.fmtps)}
    feedback: dict[int | None, set[str]] = {}
    for entry in media.rtcp_feedback:
        feedback.setdefault(entry.payload_type, set()).add(entry.value)
    formats = [maps[name] for name in dict.fromkeys(media.formats) if name in maps]
    rtx: dict[str, int] = {}
    for row in formats:
        fmtp = fmtps.get(str(row.payload_type))
        if row.name.lower() == "rtx" and fmtp is not None:
            rtx.setdefault(fmtp.parameters().get("apt", ""), row.payload_type)
    return [
        _make_codec(
            row,
            fmtps.get(str(row.payload_type)),
            frozenset(feedback.get(row.payload_type, set()) | feedback.get(None, set())),
            rtx.get(str(row.payload_type)),
        )
        for row in formats
        if row.name.lower() != "rtx"
    ]


def find(codecs: Iterable[Codec], wanted: Codec) -> Codec | None:
    """Return the codec in another numbering that accepts the packets of `wanted`, or None."""
    identity = wanted.identity
    return next((codec for codec in codecs if codec.identity == identity), None)


@dataclass(frozen=True, slots=True)
class CodecLines:
    """Codecs as the fields of a `MediaDescription`."""

    formats: tuple[str, ...]
    rtpmaps: tuple[RtpMap, ...]
    fmtps: tuple[Fmtp, ...]
    rtcp_feedback: tuple[RtcpFb, ...]


def describe(codecs: Sequence[Codec]) -> CodecLines:
    """Print codecs: each followed by its retransmission format, feedback in a fixed order."""
    rtpmaps: list[RtpMap] = []
    fmtps: list[Fmtp] = []
    feedback: list[RtcpFb] = []
    for codec in codecs:
        channels = codec.channels if codec.channels > 1 else None
        rtpmaps.append(RtpMap(codec.payload_type, codec.name, codec.clock_rate, channels))
        if codec.parameters:
            text = ";".join(f"{name}={value}" if name else value for name, value in codec.parameters.items())
            fmtps.append(Fmtp(str(codec.payload_type), text))
        feedback += [RtcpFb(codec.payload_type, value) for value in sorted(codec.feedback)]
        if codec.rtx_payload_type is not None:
            rtpmaps.append(RtpMap(codec.rtx_payload_type, "rtx", codec.clock_rate))
            fmtps.append(Fmtp(str(codec.rtx_payload_type), f"apt={codec.payload_type}"))
    return CodecLines(
        tuple(str(row.payload_type) for row in rtpmaps), tuple(rtpmaps), tuple(fmtps), tuple(feedback)
    )
