import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.browser_model import VECTOR_NAMES, vector

from sfu.errors import BadPacket
from sfu.sdp.attributes import ExtMap, Fingerprint, Group
from sfu.sdp.errors import SdpError
from sfu.sdp.lines import DescriptionLimits
from sfu.sdp.model import Origin, SessionDescription

HEAD = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
VIDEO = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\n"


def parsed(text: str) -> SessionDescription:
    return SessionDescription.parse(text)


def failure(text: str) -> SdpError:
    with pytest.raises(SdpError) as caught:
        parsed(text)
    return caught.value


def check_whole(text: str) -> None:
    description = parsed(text)
    printed = str(description)
    assert parsed(printed) == description
    assert str(parsed(printed)) == printed
    # Nothing is lost or made up: only the order of attributes may change.
    assert sorted(printed.split("\r\n")) == sorted(text.replace("\r\n", "\n").split("\n"))


@pytest.mark.parametrize("name", VECTOR_NAMES)
def test_vectors_survive_reading_and_printing(name: str) -> None:
    check_whole(vector(name))
    assert parsed(vector(name).replace("\r\n", "\n")) == parsed(vector(name))


@pytest.mark.parametrize("name", ["chromium-offer-opus-dtx-red", "other-ndc-offer"])
def test_cut_at_every_character_it_parses_or_names_the_line(name: str) -> None:
    text = vector(name)
    lines = []
    for end in range(len(text)):
        try:
            description = parsed(text[:end])
        except SdpError as error:
            lines.append(error.line)
        else:
            assert parsed(str(description)) == description
    assert all(line is not None and 1 <= line <= text.count("\n") for line in lines)


@pytest.mark.parametrize("tail", ["\r\n", "x", "m=\r\n", "a=mid:0\r\na=mid:1\r\n", "v=0\r\n"])
def test_text_after_the_end_is_not_ignored(tail: str) -> None:
    text = vector("other-ndc-offer")
    assert failure(text + tail).line is not None


def test_typed_attributes_and_the_rest() -> None:
    description = parsed(
        HEAD
        + "a=group:BUNDLE 0\r\na=ice-lite\r\na=msid-semantic: WMS *\r\na=sendrecv\r\n"
        + VIDEO
        + "b=AS:100\r\na=mid:0\r\na=recvonly\r\na=candidate:1 1 udp 1 192.0.2.2 9 typ host\r\na=x-flag\r\n"
        + "a=sctp-port:5000\r\na=max-message-size:262144\r\na=sendonly:what\r\n"
    )
    assert description.groups == (Group("BUNDLE", ("0",)),)
    assert description.ice_lite
    assert description.others == (("msid-semantic", " WMS *"),)
    assert description.direction == "sendrecv"
    (media,) = description.media
    assert (media.kind, media.port, media.formats, media.mid) == ("video", 9, ("96",), "0")
    assert media.direction == "recvonly"
    assert media.candidates == ("1 1 udp 1 192.0.2.2 9 typ host",)
    assert media.others == (("x-flag", None), ("sendonly", "what"))
    assert media.other_lines == (("c", "IN IP4 0.0.0.0"), ("b", "AS:100"))
    assert (media.sctp_port, media.max_message_size) == (5000, 262144)
    assert media.line == 9


def test_inheritance_from_the_session_part() -> None:
    description = parsed(
        HEAD
        + "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\na=ice-options:trickle\r\na=setup:actpass\r\n"
        + "a=fingerprint:sha-256 AA\r\na=extmap-allow-mixed\r\na=extmap:1 urn:a\r\na=recvonly\r\n"
        + VIDEO
        + VIDEO
        + "a=ice-ufrag:efgh\r\na=setup:active\r\na=extmap:2 urn:b\r\na=fingerprint:sha-1 BB\r\na=inactive\r\n"
    )
    first, second = map(description.effective, description.media)
    assert (first.ice_ufrag, first.setup, first.direction) == ("abcd", "actpass", "recvonly")
    assert first.fingerprints == (Fingerprint("sha-256", "AA"),)
    assert first.extmap_allow_mixed
    assert first.ice_options == ("trickle",)
    assert (second.ice_ufrag, second.setup, second.direction) == ("efgh", "active", "inactive")
    assert second.ice_pwd == "abcdefghijklmnopqrstuv"
    assert second.fingerprints == (Fingerprint("sha-1", "BB"),)
    assert second.extensions == (ExtMap(1, "urn:a"), ExtMap(2, "urn:b"))
    assert parsed(HEAD + VIDEO).effective(parsed(HEAD + VIDEO).media[0]).direction == "sendrecv"


def test_port_zero_means_stopped_unless_bundle_only() -> None:
    stopped, waiting = parsed(
        HEAD + "m=audio 0 UDP/TLS/RTP/SAVPF 0\r\nm=audio 0/2 UDP/TLS/RTP/SAVPF 0\r\na=bundle-only\r\n"
    ).media
    assert stopped.stopped
    assert not waiting.stopped
    assert waiting.port_count == 2


def test_bundle_is_the_first_group_of_that_name() -> None:
    assert parsed(HEAD + "a=group:LS 0\r\na=group:BUNDLE 1 2\r\n").bundle() == ("1", "2")
    assert parsed(HEAD).bundle() == ()


def test_an_attribute_given_twice_counts_once_but_two_values_are_an_error() -> None:
    assert parsed(HEAD + VIDEO + "a=mid:0\r\na=mid:0\r\n").media[0].mid == "0"
    error = failure(HEAD + VIDEO + "a=mid:0\r\na=mid:1\r\n")
    assert (error.reason, error.line) == ("sdp-syntax", 8)
    assert failure(HEAD + VIDEO + "a=sendonly\r\na=recvonly\r\n").line == 8


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("v=1\r\n" + HEAD[5:], 1),
        ("o=- 1 2 IN IP4 x\r\ns=-\r\nt=0 0\r\n", 1),
        ("v=0\r\no=- 1 2 IN IP4 x\r\ns=-\r\n", 3),
        (HEAD.replace("o=- 1 2", "o=- 1"), 2),
        (HEAD.replace("o=- 1 2", "o=- x 2"), 2),
        (HEAD.replace("o=- 1 2", "o=-  1 2"), 2),
        (HEAD + "m=video 9 UDP\r\n", 5),
        (HEAD + "m=video  9 UDP 96\r\n", 5),
        (HEAD + "m=video 65536 UDP 96\r\n", 5),
        (HEAD + "m=video 9/0 UDP 96\r\n", 5),
        (HEAD + "m=vid:eo 9 UDP 96\r\n", 5),
        (HEAD + "a=\r\n", 5),
        (HEAD + "a=:x\r\n", 5),
        (HEAD + VIDEO + "a=rtpmap:x\r\n", 7),
        (HEAD + VIDEO + "a=sctp-port:65536\r\n", 7),
        (HEAD + VIDEO + "a=max-message-size:-1\r\n", 7),
    ],
)
def test_errors_name_the_line(text: str, line: int) -> None:
    error = failure(text)
    assert (error.reason, error.line) == ("sdp-syntax", line)
    assert f"line {line}: " in str(error)


def test_limits_reach_the_parser() -> None:
    with pytest.raises(SdpError) as caught:
        SessionDescription.parse(HEAD, DescriptionLimits(characters=10))
    assert caught.value.reason == "sdp-too-large"
    assert "line" not in caught.value.detail


def test_an_attribute_may_not_stand_too_often_in_one_section() -> None:
    extension = "a=extmap:1 urn:x\r\n"
    assert len(parsed(HEAD + VIDEO + extension * 1024).media[0].extensions) == 1024
    error = failure(HEAD + VIDEO + extension * 1025)
    assert (error.reason, error.line) == ("sdp-too-large", 4 + VIDEO.count("\n") + 1025)


def test_in_the_session_part_an_attribute_holds_for_all_lines_and_may_stand_there_less_often() -> None:
    extension = "a=extmap:1 urn:x\r\n"
    assert len(parsed(HEAD + extension * 64).extensions) == 64
    error = failure(HEAD + extension * 65)
    assert (error.reason, error.line) == ("sdp-too-large", 4 + 65)


def test_errors_are_bad_packets() -> None:
    assert isinstance(failure(""), BadPacket)


def test_origin() -> None:
    origin = parsed(HEAD).origin
    assert origin == Origin("-", 1, 2, "IN", "IP4", "127.0.0.1")
    assert str(origin) == "- 1 2 IN IP4 127.0.0.1"


ROWS = sorted({row for name in VECTOR_NAMES for row in vector(name).split("\r\n") if row})


@given(st.lists(st.sampled_from(ROWS) | st.text(max_size=40), max_size=12))
def test_any_mixture_of_lines_parses_stably_or_fails_as_documented(rows: list[str]) -> None:
    for text in ("\r\n".join(rows), HEAD + "\r\n".join(rows), HEAD + VIDEO + "\n".join(rows)):
        try:
            description = parsed(text)
        except SdpError:
            continue
        assert parsed(str(description)) == description


@given(st.data())
def test_a_damaged_offer_parses_or_fails_as_documented(data: st.DataObject) -> None:
    text = vector(data.draw(st.sampled_from(VECTOR_NAMES)))
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 200)))
    damaged = text[:start] + data.draw(st.text(max_size=20)) + text[end:]
    try:
        description = parsed(damaged)
    except SdpError:
        return
    assert parsed(str(description)) == description
