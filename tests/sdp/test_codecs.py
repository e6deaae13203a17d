import pytest
from support.browser_model import vector

from sfu.sdp import Codec, MediaDescription, SessionDescription, codecs_of, find
from sfu.sdp.codecs import describe, h264_profile


def media(name: str, index: int) -> MediaDescription:
    return SessionDescription.parse(vector(name)).media[index]


def from_lines(formats: str, *rows: str) -> list[Codec]:
    text = f"v=0\no=- 1 1 IN IP4 x\ns=-\nt=0 0\nm=video 9 UDP/TLS/RTP/SAVPF {formats}\n"
    return codecs_of(SessionDescription.parse(text + "".join(f"a={row}\n" for row in rows)).media[0])


def test_codecs_of_an_offer() -> None:
    codecs = codecs_of(media("chromium-offer-audio-video", 1))
    assert [codec.payload_type for codec in codecs] == [96, 102, 104, 108, 114, 116, 39, 45, 98, 100, 118, 120]
    assert codecs[0] == Codec(
        96, "VP8", 90000, feedback=frozenset({"goog-remb", "transport-cc", "ccm fir", "nack", "nack pli"}),
        rtx_payload_type=97,
    )  # fmt: skip
    assert codecs[-3].parameters == {"profile-id": "2"}
    opus, red, *rest = codecs_of(media("chromium-offer-audio-video", 0))
    assert (opus.name, opus.channels, opus.parameters["useinbandfec"]) == ("opus", 2, "1")
    assert opus.rtx_payload_type is None
    assert opus.feedback == {"transport-cc"}
    assert (red.name, red.parameters) == ("red", {"": "111/111"})
    assert len(rest) == 6


def test_feedback_for_all_formats_and_odd_lines() -> None:
    codecs = from_lines(
        "97 96 97 98 95 webrtc",
        "rtpmap:96 VP8/90000",
        "rtpmap:97 VP9/90000",
        "rtpmap:98 rtx/90000",  # no apt: repeats nothing
        "rtpmap:99 AV1/90000",  # not in the m-line
        "rtcp-fb:* nack",
        "rtcp-fb:96 ccm fir",
        "rtpmap:96 H264/90000",  # the first one counts
    )
    assert [(codec.payload_type, codec.name, codec.rtx_payload_type) for codec in codecs] == [
        (97, "VP9", None),
        (96, "VP8", None),
    ]
    assert [codec.feedback for codec in codecs] == [{"nack"}, {"nack", "ccm fir"}]


@pytest.mark.parametrize(
    ("profile_level_id", "profile"),
    [
        ("42e01f", "constrained-baseline"),
        ("42C02A", "constrained-baseline"),
        ("4d801f", "constrained-baseline"),
        ("58c01f", "constrained-baseline"),
        ("42001f", "baseline"),
        ("58a01f", "baseline"),
        ("4d001f", "main"),
        ("4d401f", "main"),
        ("58201f", "extended"),
        ("640c1f", "640c"),
        ("64001f", "6400"),
        ("42011f", "4201"),
        ("xyz", "xyz"),
        ("4", "4"),
        ("", ""),
    ],
)
def test_h264_profiles(profile_level_id: str, profile: str) -> None:
    assert h264_profile(profile_level_id) == profile


def codec(name: str, payload_type: int = 96, **parameters: str) -> Codec:
    return Codec(
        payload_type, name, 90000, parameters={key.replace("_", "-"): v for key, v in parameters.items()}
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (codec("VP8"), codec("vp8", 120, max_fs="12288")),
        (codec("VP9"), codec("VP9", 98, profile_id="0")),
        (codec("AV1"), codec("AV1", 45, profile="0", level_idx="5")),
        (
            codec("H264", packetization_mode="1", profile_level_id="42e01f"),
            codec("H264", 108, packetization_mode="1", profile_level_id="42c02a", level_asymmetry_allowed="1"),
        ),
        (codec("H264"), codec("H264", profile_level_id="42001f", packetization_mode="0")),
    ],
)
def test_the_same_codec_in_other_numbers(one: Codec, other: Codec) -> None:
    assert one.identity == other.identity
    assert find([codec("opus"), other], one) is other


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (codec("VP8"), codec("VP9")),
        (codec("VP9"), codec("VP9", profile_id="2")),
        (codec("AV1"), codec("AV1", profile="1")),
        (codec("H264", packetization_mode="1"), codec("H264", packetization_mode="0")),
        (codec("H264", profile_level_id="42e01f"), codec("H264", profile_level_id="4d001f")),
        (Codec(111, "opus", 48000, 2), Codec(111, "opus", 48000, 1)),
        (Codec(111, "opus", 48000, 2), Codec(111, "opus", 16000, 2)),
    ],
)
def test_other_codecs(one: Codec, other: Codec) -> None:
    assert one.identity != other.identity
    assert find([other], one) is None


def test_printed_codecs_parse_to_the_same_codecs() -> None:
    for name in ("chromium-offer-audio-video", "firefox-offer-audio-video"):
        for line in SessionDescription.parse(vector(name)).media:
            codecs = codecs_of(line)
            printed = describe(codecs)
            again = MediaDescription(
                kind=line.kind,
                port=9,
                protocol="UDP/TLS/RTP/SAVPF",
                formats=printed.formats,
                rtpmaps=printed.rtpmaps,
                fmtps=printed.fmtps,
                rtcp_feedback=printed.rtcp_feedback,
            )
            assert codecs_of(again) == codecs


def test_codecs_can_be_set_members() -> None:
    assert len({codec("VP8"), codec("VP8"), codec("VP9")}) == 2


def test_parameters_are_part_of_the_hash() -> None:
    """All sessions look codecs up in shared caches. With equal hashes a look-up takes seconds."""
    assert len({hash(codec("H264", x=str(number))) for number in range(500)}) == 500
    assert hash(codec("H264", x="1", y="2")) == hash(codec("H264", y="2", x="1"))
