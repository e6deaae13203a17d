from support.browser_model import vector

from sfu.sdp import Codec, SessionDescription
from sfu.sdp.capabilities import MID
from sfu.sdp.numbering import DYNAMIC, ExtensionIds, PayloadTypes

VP8 = Codec(120, "VP8", 90000, feedback=frozenset({"nack"}), rtx_payload_type=124)
OPUS = Codec(109, "opus", 48000, 2, {"stereo": "1"})
RED = Codec(33, "red", 48000, 2, {"": "109/109"})
HEAD = "v=0\no=- 1 1 IN IP4 x\ns=-\nt=0 0\n"


def description(*rows: str, kind: str = "video", port: int = 9) -> SessionDescription:
    formats = " ".join(row.split(":")[1].split(" ")[0] for row in rows if row.startswith("rtpmap"))
    lines = "".join(f"a={row}\n" for row in rows)
    return SessionDescription.parse(f"{HEAD}m={kind} {port} UDP/TLS/RTP/SAVPF {formats or 0}\n{lines}")


def test_a_client_that_never_offered_gets_usual_numbers() -> None:
    (vp8,) = PayloadTypes().assign("video", [VP8])
    assert (vp8.payload_type, vp8.rtx_payload_type) == (96, 97)
    assert vp8.feedback == {"nack"}


def test_what_the_client_offered_keeps_its_numbers_and_parameters() -> None:
    numbers = PayloadTypes()
    numbers.learn(SessionDescription.parse(vector("firefox-offer-audio-video")))
    (vp8,) = numbers.assign("video", [Codec(96, "VP8", 90000)])
    assert (vp8.payload_type, vp8.rtx_payload_type) == (120, 124)
    assert vp8.parameters == {"max-fs": "12288", "max-fr": "60"}
    (opus,) = numbers.assign("audio", [Codec(111, "opus", 48000, 2, {"usedtx": "1"})])
    assert (opus.payload_type, opus.parameters["stereo"]) == (109, "1")


def test_usual_numbers_that_the_client_uses_for_something_else_are_avoided() -> None:
    numbers = PayloadTypes()
    numbers.learn(description("rtpmap:96 telephone-event/8000", "rtpmap:98 x/1", "rtpmap:99 y/1"))
    (vp8,) = numbers.assign("video", [VP8])
    assert (vp8.payload_type, vp8.rtx_payload_type) == (97, 100)
    assert numbers.assign("video", [VP8]) == [vp8]
    (odd,) = numbers.assign("video", [Codec(96, "VP9", 90000, parameters={"profile-id": "1"})])
    assert (odd.payload_type, odd.rtx_payload_type) == (101, None)
    assert odd.parameters == {"profile-id": "1"}


def test_a_flavour_that_chromium_does_not_number_keeps_the_publishers_number_if_free() -> None:
    (odd,) = PayloadTypes().assign("video", [Codec(37, "VP9", 90000, parameters={"profile-id": "1"})])
    assert odd.payload_type == 37


def test_the_same_codec_twice_is_one() -> None:
    assert len(PayloadTypes().assign("video", [VP8, VP8])) == 1


def test_our_numbers_stay_unambiguous_if_a_client_gives_one_number_two_meanings() -> None:
    text = f"{HEAD}m=video 9 UDP/TLS/RTP/SAVPF 50\na=rtpmap:50 VP8/90000\na=extmap:7 {MID}\n"
    text += "m=video 9 UDP/TLS/RTP/SAVPF 50\na=rtpmap:50 VP9/90000\na=extmap:7 urn:3gpp:video-orientation\n"
    numbers, ids = PayloadTypes(), ExtensionIds()
    numbers.learn(SessionDescription.parse(text))
    ids.learn(SessionDescription.parse(text))
    first, second = numbers.assign("video", [VP8, Codec(50, "VP9", 90000)])
    assert (first.payload_type, second.payload_type) == (50, 98)
    assert [entry.id for entry in ids.downstream("video")] == [7]


def test_a_codec_that_is_not_forwarded_gets_no_number() -> None:
    assert PayloadTypes().assign("audio", [Codec(9, "G722", 8000)]) == []


def test_red_names_the_payload_type_of_opus() -> None:
    numbers = PayloadTypes()
    red, opus = numbers.assign("audio", [RED, OPUS])
    assert (red.payload_type, red.parameters, opus.payload_type) == (63, {"": "111/111"}, 111)
    numbers.learn(SessionDescription.parse(vector("firefox-offer-audio-video")))
    opus, red = numbers.assign("audio", [OPUS, RED])
    assert (red.payload_type, red.parameters, opus.payload_type) == (63, {"": "109/109"}, 109)


def test_a_later_offer_wins_where_numbers_clash() -> None:
    numbers = PayloadTypes()
    assert [codec.payload_type for codec in numbers.assign("video", [VP8])] == [96]
    numbers.learn(description("rtpmap:97 AV1/90000"))  # takes the retransmissions' number
    (vp8,) = numbers.assign("video", [VP8])
    assert (vp8.payload_type, vp8.rtx_payload_type) == (96, 98)
    numbers.learn(description("rtpmap:120 VP8/90000"))
    assert numbers.assign("video", [VP8])[0].payload_type == 120
    numbers.learn(description("rtpmap:50 H264/90000"))  # no clash: what was known before still holds
    assert numbers.assign("video", [VP8])[0].payload_type == 120


def test_no_numbers_are_learned_from_stopped_lines_and_odd_formats() -> None:
    numbers = PayloadTypes()
    numbers.learn(description("rtpmap:120 VP8/90000", port=0))
    numbers.learn(SessionDescription.parse(HEAD + "m=x 9 y " + "9" * 5000 + " 9999 webrtc\n"))
    assert numbers.assign("video", [VP8])[0].payload_type == 96


def test_when_no_number_is_left_the_codec_is_missing() -> None:
    taken = [f"rtpmap:{number} x{number}/8000" for number in DYNAMIC[:-1]]
    numbers = PayloadTypes()
    numbers.learn(description(*taken))
    assert numbers.assign("video", [VP8]) == []  # one number is left, retransmissions need another
    (opus,) = numbers.assign("audio", [OPUS])
    assert opus.payload_type == DYNAMIC[-1]
    assert numbers.assign("audio", [RED]) == []
    full = PayloadTypes()
    full.learn(description(*taken, f"rtpmap:{DYNAMIC[-1]} x/8000"))
    assert full.assign("audio", [OPUS, RED]) == []


def test_extension_ids_follow_the_client() -> None:
    ids = ExtensionIds()
    assert {entry.uri: entry.id for entry in ids.downstream("video")}[MID] == 4
    ids.learn(SessionDescription.parse(vector("firefox-offer-audio-video")))
    video = {entry.id: entry.uri for entry in ids.downstream("video")}
    assert video == {3: MID, 6: "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"}
    audio = {entry.uri for entry in ids.downstream("audio")}
    assert audio == {MID, "urn:ietf:params:rtp-hdrext:ssrc-audio-level"}


def test_extensions_that_the_client_only_sends_are_not_offered_to_it() -> None:
    ids = ExtensionIds()
    ids.learn(description(f"extmap:4/sendonly {MID}", "extmap:13 urn:3gpp:video-orientation"))
    assert [entry.uri for entry in ids.downstream("video")] == ["urn:3gpp:video-orientation"]


def test_usual_extension_ids_that_are_taken_are_avoided_until_none_is_left() -> None:
    ids = ExtensionIds()
    ids.learn(description(*(f"extmap:{number} urn:x{number}" for number in range(1, 14)), kind="audio"))
    (first,) = ids.downstream("video")
    assert first.id == 14
    assert ids.downstream("video") == [first]


def test_a_clash_of_extension_ids_forgets_the_older() -> None:
    ids = ExtensionIds()
    assert MID in {entry.uri for entry in ids.downstream("audio")}
    ids.learn(description("extmap:4 urn:other", f"extmap:5 {MID}", kind="audio"))
    assert {entry.uri: entry.id for entry in ids.downstream("audio")} == {MID: 5}
    ids.learn(description("extmap:5 urn:third"))
    assert {entry.uri: entry.id for entry in ids.downstream("audio")} == {MID: 4}


def test_ids_that_need_two_byte_headers_are_not_used() -> None:
    ids = ExtensionIds()
    ids.learn(description(f"extmap:20 {MID}", "extmap:13 urn:3gpp:video-orientation"))
    assert [entry.id for entry in ids.downstream("video")] == [13]
