import pytest

from sfu.sdp.attributes import (
    ExtMap,
    Fingerprint,
    Fmtp,
    Group,
    Msid,
    Rid,
    RtcpFb,
    RtpMap,
    Simulcast,
    SsrcAttribute,
    SsrcGroup,
)
from sfu.sdp.grammar import direction_of, ice_pwd, ice_ufrag, number, receives, rid, sends, setup, token, word

ROUND_TRIPS = [
    (Group, "BUNDLE 0 1 audio", Group("BUNDLE", ("0", "1", "audio"))),
    (Group, "BUNDLE", Group("BUNDLE", ())),
    (Fingerprint, "sha-256 AB:CD:01", Fingerprint("sha-256", "AB:CD:01")),
    (Msid, "stream track", Msid("stream", "track")),
    (Msid, "-", Msid("-", None)),
    (Msid, "{6f03} user@host:1", Msid("{6f03}", "user@host:1")),
    (RtpMap, "111 opus/48000/2", RtpMap(111, "opus", 48000, 2)),
    (RtpMap, "96 VP8/90000", RtpMap(96, "VP8", 90000)),
    (Fmtp, "63 111/111", Fmtp("63", "111/111")),
    (Fmtp, "webrtc-datachannel max=1", Fmtp("webrtc-datachannel", "max=1")),
    (RtcpFb, "96 nack pli", RtcpFb(96, "nack pli")),
    (RtcpFb, "* transport-cc", RtcpFb(None, "transport-cc")),
    (ExtMap, "4 urn:x", ExtMap(4, "urn:x")),
    (ExtMap, "9/sendonly urn:x", ExtMap(9, "urn:x", "sendonly")),
    (ExtMap, "4100/recvonly urn:x some attributes", ExtMap(4100, "urn:x", "recvonly", "some attributes")),
    (SsrcAttribute, "4294967295 cname:a b", SsrcAttribute(4294967295, "cname", "a b")),
    (SsrcAttribute, "0 previous-ssrc", SsrcAttribute(0, "previous-ssrc")),
    (SsrcGroup, "FID 1 2", SsrcGroup("FID", (1, 2))),
    (SsrcGroup, "SIM", SsrcGroup("SIM", ())),
    (Rid, "h send", Rid("h", "send")),
    (Rid, "a-b_1 recv pt=96;max-width=1280", Rid("a-b_1", "recv", "pt=96;max-width=1280")),
    (Simulcast, "send h;m;~l", Simulcast((("h",), ("m",), ("~l",)))),
    (Simulcast, "send 1,~2;3 recv a", Simulcast((("1", "~2"), ("3",)), (("a",),))),
    (Simulcast, "recv a", Simulcast((), (("a",),))),
]


@pytest.mark.parametrize(("kind", "text", "value"), ROUND_TRIPS)
def test_text_to_value_and_back(kind: type, text: str, value: object) -> None:
    assert kind.parse(text) == value  # type: ignore[attr-defined]
    assert str(value) == text


def test_spellings_are_normalised() -> None:
    assert RtcpFb.parse("96 nack ") == RtcpFb(96, "nack")
    assert Fingerprint.parse("SHA-256 ab:cd") == Fingerprint("sha-256", "AB:CD")
    assert Group.parse("BUNDLE 0 ") == Group("BUNDLE", ("0",))
    assert Simulcast.parse("recv a send b") == Simulcast((("b",),), (("a",),))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Group, ""),
        (Group, "BUNDLE  0"),
        (Fingerprint, "sha-256"),
        (Fingerprint, "sha-256 ABC"),
        (Fingerprint, "sha-256 AB:"),
        (Fingerprint, " AB"),
        (Msid, ""),
        (Msid, "stream "),
        (Msid, "a b c"),
        (Msid, "ströme"),
        (RtpMap, "96"),
        (RtpMap, "96 VP8"),
        (RtpMap, "128 VP8/90000"),
        (RtpMap, "96 VP8/0"),
        (RtpMap, "96 VP8/90000/1/1"),
        (RtpMap, "96 VP8/90000/"),
        (RtpMap, "٩٦ VP8/90000"),
        (Fmtp, ""),
        (RtcpFb, "96"),
        (RtcpFb, "96 "),
        (RtcpFb, "200 nack"),
        (ExtMap, "4"),
        (ExtMap, "0 urn:x"),
        (ExtMap, "4/both urn:x"),
        (ExtMap, "4/ urn:x"),
        (SsrcAttribute, "1"),
        (SsrcAttribute, "4294967296 cname:x"),
        (SsrcGroup, "FID a"),
        (Rid, "h"),
        (Rid, "h both"),
        (Rid, "h,m send"),
        (Simulcast, ""),
        (Simulcast, "send"),
        (Simulcast, "send a send b"),
        (Simulcast, "send a;;b"),
        (Simulcast, "send a recv"),
        (Simulcast, "sendrecv a"),
    ],
)
def test_text_that_breaks_the_grammar_is_a_value_error(kind: type, text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        kind.parse(text)  # type: ignore[attr-defined]


def test_a_direction_says_who_sends_and_who_receives() -> None:
    for direction in ("sendrecv", "sendonly", "recvonly", "inactive"):
        assert direction_of(sends=sends(direction), receives=receives(direction)) == direction
    assert sends(None)
    assert receives(None)


def test_fmtp_parameters() -> None:
    assert Fmtp("1", "a=1; b = 2;;c=x=y").parameters() == {"a": "1", "b": "2", "c": "x=y"}
    assert Fmtp("63", "111/111").parameters() == {"": "111/111"}
    assert Fmtp("63", "").parameters() == {}


def test_grammar_of_simple_values() -> None:
    assert number("007", 0, 9) == 7
    assert (token("a!b"), word("a/b"), setup("actpass"), rid("0")) == ("a!b", "a/b", "actpass", "0")
    assert (ice_ufrag("a+/9"), ice_pwd("x" * 22)) == ("a+/9", "x" * 22)
    for reader, text in (
        (ice_ufrag, "abc"),
        (ice_ufrag, "abc="),
        (ice_ufrag, "x" * 257),
        (ice_pwd, "x" * 21),
        (setup, "Active"),
        (token, "a:b"),
        (word, "a b"),
        (rid, "x" * 256),
    ):
        with pytest.raises(ValueError, match=r"."):
            reader(text)
    for text in ("", "-1", "+1", "1.0", "1" * 21, "10"):
        with pytest.raises(ValueError, match="not a number"):
            number(text, 0, 9)
