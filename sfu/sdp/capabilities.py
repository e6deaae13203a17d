"""What this end can forward: codecs, feedback and header extensions, one row each.

*Upstream* is media that a client sends to us, *downstream* is media that we send to it. The server never
decodes, so a codec needs only a row here and key-frame detection in `sfu.rtp`. The numbers are those that
Chromium uses in its offers; they serve clients that have not yet offered their own numbers.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from sfu.sdp.attributes import ExtMap
from sfu.sdp.codecs import CACHED_CODECS, Codec
from sfu.sdp.grammar import Direction, receives, sends

LOSS_FEEDBACK = frozenset({"nack", "nack pli", "ccm fir"})
"""Feedback about loss: accepted from subscribers, sent to publishers."""


class CodecRow(NamedTuple):
    """One codec that we forward."""

    kind: str
    name: str
    clock_rate: int
    channels: int
    upstream: frozenset[str]
    """Feedback that we may send to its publisher."""
    downstream: frozenset[str]
    """Feedback that a subscriber may send to us."""
    usual: tuple[tuple[int, int | None, dict[str, str]], ...]
    """Per flavour of the codec: Chromium's payload type, that of its retransmissions, parameters."""
    profile: Mapping[str, re.Pattern[str]] = MappingProxyType({})
    """The parameters that distinguish flavours, with their allowed values. For a flavour without a usual
    number, only these pass from one client's description into another's."""


def _h264(profile_level_id: str, packetization_mode: int) -> dict[str, str]:
    return {
        "level-asymmetry-allowed": "1",
        "packetization-mode": str(packetization_mode),
        "profile-level-id": profile_level_id,
    }


_VP9_PROFILE = {"profile-id": re.compile("[0-3]")}
_AV1_PROFILE = {"profile": re.compile("[0-2]")}
_H264_PROFILE = {
    "profile-level-id": re.compile("[0-9A-Fa-f]{6}"),
    # Mode 2, interleaved, needs a receiver that reorders; no browser has it.
    "packetization-mode": re.compile("[01]"),
    "level-asymmetry-allowed": re.compile("[01]"),
}

_CONTROL = frozenset({"transport-cc", "goog-remb"})
_VIDEO_UP, _VIDEO_DOWN = LOSS_FEEDBACK | _CONTROL, LOSS_FEEDBACK
_AUDIO_UP, _AUDIO_DOWN = frozenset({"nack", "transport-cc"}), frozenset[str]()

CODECS = (
    CodecRow(
        "audio", "opus", 48000, 2, _AUDIO_UP, _AUDIO_DOWN,
        ((111, None, {"minptime": "10", "useinbandfec": "1"}),),
    ),
    CodecRow("audio", "red", 48000, 2, _AUDIO_UP, _AUDIO_DOWN, ((63, None, {"": "111/111"}),)),
    CodecRow("video", "VP8", 90000, 1, _VIDEO_UP, _VIDEO_DOWN, ((96, 97, {}),)),
    CodecRow(
        "video", "VP9", 90000, 1, _VIDEO_UP, _VIDEO_DOWN,
        ((98, 99, {"profile-id": "0"}), (100, 101, {"profile-id": "2"})), _VP9_PROFILE,
    ),
    CodecRow(
        "video", "H264", 90000, 1, _VIDEO_UP, _VIDEO_DOWN,
        (
            (102, 103, _h264("42001f", 1)),
            (104, 107, _h264("42001f", 0)),
            (108, 109, _h264("42e01f", 1)),
            (114, 115, _h264("42e01f", 0)),
            (116, 117, _h264("4d001f", 1)),
            (39, 40, _h264("4d001f", 0)),
        ),
        _H264_PROFILE,
    ),
    CodecRow(
        "video", "AV1", 90000, 1, _VIDEO_UP, _VIDEO_DOWN,
        ((45, 46, {"level-idx": "5", "profile": "0", "tier": "0"}),), _AV1_PROFILE,
    ),
)  # fmt: skip

RTCP_RANGE = frozenset(range(64, 96))
"""Payload types that rtcp-mux leaves to RTCP (RFC 5761 section 4)."""

KINDS = frozenset(row.kind for row in CODECS)
"""Media kinds that we forward; m-lines of others are rejected."""

_ROWS = {(row.kind, row.name.lower(), row.clock_rate, row.channels): row for row in CODECS}


def codec_row(kind: str, codec: Codec) -> CodecRow | None:
    """The row of a codec, None if we do not forward it."""
    row = _ROWS.get((kind, codec.name.lower(), codec.clock_rate, codec.channels))
    if row is None or not RTCP_RANGE.isdisjoint((codec.payload_type, codec.rtx_payload_type)):
        return None
    given = ((pattern, codec.parameters.get(name)) for name, pattern in row.profile.items())
    return row if all(value is None or pattern.fullmatch(value) for pattern, value in given) else None


def usual_codec(row: CodecRow, wanted: Codec) -> Codec:
    """`wanted` with the numbers and parameters that Chromium would give it.

    A flavour that Chromium does not have keeps its numbers and the parameters that distinguish it.
    """
    for payload_type, rtx, parameters in row.usual:
        codec = replace(wanted, payload_type=payload_type, rtx_payload_type=rtx, parameters=parameters)
        if codec.identity == wanted.identity:
            return codec
    parameters = {name: value for name, value in wanted.parameters.items() if name in row.profile}
    return replace(wanted, parameters=parameters)


def upstream_codecs(kind: str, offered: Iterable[Codec]) -> list[Codec]:
    """The codecs of an offer that we accept from a publisher: in its order, numbers and parameters; our
    feedback.

    goog-remb only without transport-cc: the publisher's congestion controller needs one of them, not both.
    """
    taken = (_upstream_codec(kind, codec) for codec in offered)
    return [codec for codec in taken if codec is not None]


@lru_cache(CACHED_CODECS)
def _upstream_codec(kind: str, codec: Codec) -> Codec | None:
    row = codec_row(kind, codec)
    if row is None:
        return None
    feedback = codec.feedback & row.upstream
    if "transport-cc" in feedback:
        feedback -= {"goog-remb"}
    return replace(codec, name=row.name, feedback=feedback)


def downstream_codecs(kind: str, codecs: Iterable[Codec]) -> list[Codec]:
    """Of these codecs, those that we may send, each with the feedback that we understand.

    Retransmissions exist for video only: a slot for audio has no SSRC for them.
    """
    taken = []
    for codec in codecs:
        row = codec_row(kind, codec)
        if row:
            rtx = codec.rtx_payload_type if kind == "video" else None
            taken.append(replace(codec, name=row.name, feedback=row.downstream, rtx_payload_type=rtx))
    return taken


class ExtensionRow(NamedTuple):
    """One RTP header extension that we understand or pass on."""

    uri: str
    usual: int
    """Chromium's number for it; where two share one, they never meet on one of our m-lines."""
    upstream: frozenset[str]
    """Kinds on which a publisher may send it to us."""
    downstream: frozenset[str]
    """Kinds on which we send it to subscribers."""


_BOTH, _AUDIO, _VIDEO, _NEVER = (
    frozenset({"audio", "video"}),
    frozenset({"audio"}),
    frozenset({"video"}),
    frozenset[str](),
)

_EXPERIMENT = "http://www.webrtc.org/experiments/rtp-hdrext/"
MID = "urn:ietf:params:rtp-hdrext:sdes:mid"

EXTENSIONS = (
    ExtensionRow("urn:ietf:params:rtp-hdrext:ssrc-audio-level", 1, _AUDIO, _AUDIO),
    # Times and sequence numbers of one hop: a forwarder must not copy them, and writes its own with the
    # congestion controller.
    ExtensionRow(_EXPERIMENT + "abs-send-time", 2, _BOTH, _NEVER),
    ExtensionRow(
        "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01", 3, _BOTH, _NEVER
    ),
    ExtensionRow(MID, 4, _BOTH, _BOTH),
    ExtensionRow(_EXPERIMENT + "playout-delay", 5, _VIDEO, _VIDEO),
    ExtensionRow(_EXPERIMENT + "video-content-type", 6, _VIDEO, _VIDEO),
    ExtensionRow(_EXPERIMENT + "video-timing", 7, _VIDEO, _VIDEO),
    ExtensionRow(_EXPERIMENT + "color-space", 8, _VIDEO, _VIDEO),
    ExtensionRow(_EXPERIMENT + "video-layers-allocation00", 9, _VIDEO, _NEVER),
    ExtensionRow("urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", 10, _VIDEO, _NEVER),
    ExtensionRow("urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id", 11, _VIDEO, _NEVER),
    ExtensionRow(
        "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
        12, _VIDEO, _VIDEO,
    ),
    ExtensionRow("urn:3gpp:video-orientation", 13, _VIDEO, _VIDEO),
    ExtensionRow("urn:ietf:params:rtp-hdrext:toffset", 14, _VIDEO, _NEVER),
    ExtensionRow(_EXPERIMENT + "abs-capture-time", 9, _BOTH, _BOTH),
)  # fmt: skip

MAX_ID = 14
"""Greatest extension id that we agree to: 15 is reserved in one-byte headers, and anything above needs two-byte
headers on every packet (RFC 8285 sections 4.2 and 4.3)."""

EXTENSIONS_BY_URI = {row.uri: row for row in EXTENSIONS}

FLIPPED: dict[Direction | None, Direction | None] = {
    None: None,
    "sendrecv": "sendrecv",
    "sendonly": "recvonly",
    "recvonly": "sendonly",
    "inactive": "inactive",
}
"""A direction as the other side says it (RFC 3264 section 6.1, RFC 8285 section 6)."""


def accepted_extensions(kind: str, offered: Iterable[ExtMap], direction: Direction) -> list[ExtMap]:
    """The extensions of an offer that our answer repeats, on an m-line with `direction`.

    An extension stays if the m-line has a direction in which we know the extension. On an
    inactive m-line both directions count, since either may start later. The answer flips a direction,
    and omits it where the offer omits it.
    """
    we_receive = direction != "sendonly"
    we_send = direction != "recvonly"
    taken: dict[str, ExtMap] = {}
    ids: set[int] = set()
    for extension in offered:
        row = EXTENSIONS_BY_URI.get(extension.uri)
        if row is None or extension.id > MAX_ID or extension.uri in taken or extension.id in ids:
            continue
        upstream = we_receive and kind in row.upstream and sends(extension.direction)
        downstream = we_send and kind in row.downstream and receives(extension.direction)
        if upstream or downstream:
            ids.add(extension.id)
            taken[extension.uri] = ExtMap(extension.id, extension.uri, FLIPPED[extension.direction])
    return list(taken.values())
