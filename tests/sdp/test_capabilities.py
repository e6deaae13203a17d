import pytest

from sfu.rtp.extensions import BY_URI
from sfu.sdp import Codec
from sfu.sdp.attributes import ExtMap
from sfu.sdp.capabilities import (
    CODECS,
    EXTENSIONS,
    MID,
    accepted_extensions,
    codec_row,
    downstream_codecs,
    upstream_codecs,
    usual_codec,
)
from sfu.sdp.grammar import Direction

ALL_FEEDBACK = frozenset({"nack", "nack pli", "ccm fir", "goog-remb", "transport-cc", "nack rpsi"})
RID = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
ORIENTATION = "urn:3gpp:video-orientation"
LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"


def test_default_numbers_are_distinct() -> None:
    flavours = [flavour for row in CODECS for flavour in row.usual]
    numbers = [number for first, rtx, _ in flavours for number in (first, rtx) if number is not None]
    assert len(set(numbers)) == len(numbers)
    for kind in ("audio", "video"):
        ids = [row.usual for row in EXTENSIONS if kind in row.downstream]
        assert len(set(ids)) == len(ids)


def test_every_extension_is_one_that_rtp_can_read() -> None:
    assert {row.uri for row in EXTENSIONS} <= set(BY_URI)
    assert len({row.uri for row in EXTENSIONS}) == len(EXTENSIONS)


def test_upstream_keeps_what_we_forward_in_the_order_of_the_offer() -> None:
    offered = [
        Codec(100, "ulpfec", 90000),
        Codec(98, "vp9", 90000, feedback=ALL_FEEDBACK, rtx_payload_type=99),
        Codec(96, "VP8", 90000, feedback=ALL_FEEDBACK - {"transport-cc"}),
        Codec(97, "VP8", 8000),
    ]
    vp9, vp8 = upstream_codecs("video", offered)
    assert (vp9.payload_type, vp9.name, vp9.rtx_payload_type) == (98, "VP9", 99)
    assert vp9.feedback == {"nack", "nack pli", "ccm fir", "transport-cc"}
    assert vp8.feedback == {"nack", "nack pli", "ccm fir", "goog-remb"}
    assert upstream_codecs("audio", offered) == []


def test_downstream_has_the_feedback_that_we_answer_and_rtx_for_video_alone() -> None:
    (vp8,) = downstream_codecs("video", [Codec(96, "VP8", 90000, rtx_payload_type=97)])
    assert vp8.feedback == {"nack", "nack pli", "ccm fir"}
    assert vp8.rtx_payload_type == 97
    (opus,) = downstream_codecs("audio", [Codec(109, "OPUS", 48000, 2, {}, ALL_FEEDBACK, 110)])
    assert (opus.name, opus.feedback, opus.rtx_payload_type) == ("opus", frozenset(), None)


def test_usual_codecs() -> None:
    wanted = Codec(33, "VP9", 90000, parameters={"profile-id": "2"}, feedback=frozenset({"nack"}))
    row = codec_row("video", wanted)
    assert row is not None
    found = usual_codec(row, wanted)
    assert (found.payload_type, found.rtx_payload_type) == (100, 101)
    assert found.feedback == {"nack"}
    odd = Codec(33, "VP9", 90000, parameters={"profile-id": "3", "x-advertisement": "buy"})
    assert usual_codec(row, odd) == Codec(33, "VP9", 90000, parameters={"profile-id": "3"})


@pytest.mark.parametrize(
    ("codec", "forwarded"),
    [
        (Codec(96, "VP8", 90000, parameters={"profile-id": "whatever"}), True),
        (Codec(95, "VP8", 90000), False),
        (Codec(96, "VP8", 90000, rtx_payload_type=64), False),
        (Codec(63, "VP8", 90000, rtx_payload_type=96), True),
        (Codec(96, "VP9", 90000), True),
        (Codec(96, "VP9", 90000, parameters={"profile-id": "4"}), False),
        (Codec(96, "AV1", 90000, parameters={"profile": "0\n"}), False),
        (Codec(96, "H264", 90000, parameters={"profile-level-id": "42e01f"}), True),
        (Codec(96, "H264", 90000, parameters={"profile-level-id": "42e0"}), False),
        (Codec(96, "H264", 90000, parameters={"packetization-mode": "2"}), False),
        (Codec(96, "G722", 8000), False),
    ],
)
def test_what_is_forwarded(codec: Codec, forwarded: bool) -> None:
    assert (codec_row("video", codec) is not None) == forwarded


@pytest.mark.parametrize(
    ("offered", "direction", "answered"),
    [
        (ExtMap(9, RID, "sendonly"), "recvonly", ExtMap(9, RID, "recvonly")),
        (ExtMap(9, RID, "recvonly"), "recvonly", None),  # the client would receive what we do not send
        (ExtMap(9, RID), "sendonly", None),  # rids are upstream only
        (ExtMap(9, RID), "inactive", ExtMap(9, RID)),
        (ExtMap(13, ORIENTATION, "recvonly"), "sendonly", ExtMap(13, ORIENTATION, "sendonly")),
        (ExtMap(13, ORIENTATION, "sendonly"), "sendonly", None),
        (ExtMap(13, ORIENTATION, "sendrecv"), "sendrecv", ExtMap(13, ORIENTATION, "sendrecv")),
        (ExtMap(13, ORIENTATION, "inactive"), "sendrecv", None),
        (ExtMap(14, MID), "sendonly", ExtMap(14, MID)),
        (ExtMap(15, MID), "sendonly", None),  # two-byte headers on every packet
        (ExtMap(1, LEVEL), "sendrecv", None),  # audio's, on a video line
        (ExtMap(1, "urn:unknown"), "sendrecv", None),
    ],
)
def test_extensions_are_answered_by_direction(
    offered: ExtMap, direction: Direction, answered: ExtMap | None
) -> None:
    assert accepted_extensions("video", [offered], direction) == ([answered] if answered else [])


def test_an_extension_offered_twice_is_answered_once() -> None:
    assert accepted_extensions("video", [ExtMap(4, MID), ExtMap(5, MID)], "sendrecv") == [ExtMap(4, MID)]
    assert accepted_extensions("video", [ExtMap(4, MID), ExtMap(4, RID)], "sendrecv") == [ExtMap(4, MID)]
