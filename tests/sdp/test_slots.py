"""We offer: slots, their lines, and the client's answers."""

import pytest
from support.browser_model import CHROMIUM, FIREFOX, Browser, local_transport, make_session, vector

from sfu.sdp import (
    BundleSession,
    Codec,
    LocalTransport,
    MediaKind,
    SdpError,
    SendSlot,
    SessionDescription,
    SignalingState,
    TooManyLines,
)
from sfu.sdp.attributes import Msid, SsrcAttribute, SsrcGroup
from sfu.sdp.lines import DescriptionLimits
from sfu.sdp.numbering import DYNAMIC

NACKS = frozenset({"nack", "nack pli", "ccm fir"})
OPUS = Codec(111, "opus", 48000, 2, {"minptime": "10", "useinbandfec": "1"})
VP8 = Codec(96, "VP8", 90000, rtx_payload_type=97)
H264 = Codec(
    108, "H264", 90000, 1, {"packetization-mode": "1", "profile-level-id": "42e01f"}, rtx_payload_type=109
)
CODECS = {"audio": [OPUS], "video": [VP8, H264]}


def acquire(session: BundleSession, kind: MediaKind, track: str = "track") -> SendSlot:
    return session.acquire_slot(kind, "peer", track, CODECS[kind], "cname")


def exchange(session: BundleSession, browser: Browser) -> SessionDescription:
    """One offer of ours and its answer; returns our offer."""
    offer = session.create_offer()
    session.apply_answer(browser.answer(offer))
    return SessionDescription.parse(offer)


def browser_offers(session: BundleSession, browser: Browser) -> SessionDescription:
    """One offer of the client and our answer, which is returned."""
    session.apply_offer(browser.offer())
    answer = session.create_answer()
    browser.receive_answer(answer)
    return SessionDescription.parse(answer)


def test_a_new_slot_is_offered_and_carries_media_after_the_answer() -> None:
    session, browser = make_session(), Browser()
    assert not session.needs_offer
    audio, video = acquire(session, "audio", "a"), acquire(session, "video", "v")
    assert session.needs_offer
    assert session.send_slots == [audio, video]
    assert (video.mid, video.codecs, video.active, session.remote) == (None, (), False, None)
    offer = exchange(session, browser)
    first, second = offer.media
    assert (first.direction, first.setup, first.mid, first.port) == ("sendonly", "actpass", "s0", 9)
    assert second.msids == (Msid("peer", "v"),)
    assert second.ssrc_groups == (SsrcGroup("FID", (2, 3)),)
    assert second.ssrc_attributes == (
        SsrcAttribute(2, "cname", "cname"),
        SsrcAttribute(2, "msid", "peer v"),
        SsrcAttribute(3, "cname", "cname"),
        SsrcAttribute(3, "msid", "peer v"),
    )
    assert offer.extmap_allow_mixed
    assert (audio.ssrc, audio.rtx_ssrc, audio.mid, audio.active) == (1, None, "s0", True)
    assert (video.ssrc, video.rtx_ssrc, video.mid, video.active) == (2, 3, "s1", True)
    assert [codec.payload_type for codec in video.codecs] == [96, 108]
    assert video.codecs[0].feedback == NACKS
    assert video.codecs[0].rtx_payload_type == 97
    assert video.extensions["urn:ietf:params:rtp-hdrext:sdes:mid"] == 4
    assert "active=True" in repr(video)
    assert not session.needs_offer
    assert session.dtls_role == "server"
    assert session.remote is not None
    assert session.remote.setup == "active"
    assert session.receivers == []


def test_a_client_that_offered_gets_its_own_numbers() -> None:
    session, browser = make_session(), Browser(FIREFOX)
    browser.add("video")
    browser_offers(session, browser)
    video = acquire(session, "video")
    offer = exchange(session, browser)
    # H264 is nothing that this Firefox has: it gets a number that is free, and is not accepted.
    assert offer.media[1].formats == ("120", "124", "108", "109")
    assert [row.text for row in offer.media[1].fmtps if row.format == "120"] == ["max-fs=12288;max-fr=60"]
    assert video.codecs[0].payload_type == 120
    assert set(video.extensions.values()) == {3, 6}
    # What it publishes stays offered as it offered it, both ways consistent.
    assert offer.media[0].direction == "recvonly"
    assert offer.media[0].formats == ("120", "124", "121", "125")
    assert session.receivers[0].active


def test_a_released_slot_goes_inactive_and_is_used_again() -> None:
    session, browser = make_session(), Browser()
    video = acquire(session, "video", "one")
    exchange(session, browser)
    session.release_slot(video)
    assert not video.active
    assert session.needs_offer
    line = exchange(session, browser).media[0]
    assert (line.direction, line.msids, line.mid) == ("inactive", (), "s0")
    # libwebrtc keeps the stream, and what shows it, only for as long as its SSRCs are named.
    assert line.ssrc_attributes == (SsrcAttribute(1, "cname", "cname"), SsrcAttribute(2, "cname", "cname"))
    assert line.ssrc_groups == (SsrcGroup("FID", (1, 2)),)
    assert not session.needs_offer
    assert acquire(session, "audio") is not video
    assert acquire(session, "video", "two") is video
    assert not video.active
    line = exchange(session, browser).media[0]
    assert (line.direction, line.msids, line.ssrc_attributes[0].ssrc) == ("sendonly", (Msid("peer", "two"),), 1)
    assert video.active


def test_another_track_on_a_slot_waits_until_the_client_knows() -> None:
    session, browser = make_session(), Browser()
    video = acquire(session, "video", "one")
    exchange(session, browser)
    session.release_slot(video)
    assert acquire(session, "video", "two") is video
    assert not video.active  # the client would show it as the first track
    assert session.needs_offer
    exchange(session, browser)
    assert video.active
    assert browser.lines[0].track == "peer two"


def test_a_slot_that_gets_its_old_track_back_needs_no_offer() -> None:
    session, browser = make_session(), Browser()
    video = acquire(session, "video", "one")
    exchange(session, browser)
    session.release_slot(video)
    acquire(session, "video", "one")
    assert not session.needs_offer
    assert video.active


def test_slots_that_the_client_knows_as_free_are_taken_first() -> None:
    session, browser = make_session(), Browser()
    one, two = acquire(session, "video", "one"), acquire(session, "video", "two")
    session.release_slot(two)
    exchange(session, browser)
    session.release_slot(one)
    assert acquire(session, "video", "three") is two


def test_the_answer_uses_lines_on_which_the_client_only_receives() -> None:
    session, browser = make_session(), Browser()
    browser.add("video", sends=False)
    browser.add("audio", sends=False)
    session.apply_offer(browser.offer())
    video = acquire(session, "video", "v")
    answer = session.create_answer()
    browser.receive_answer(answer)
    first, second = SessionDescription.parse(answer).media
    assert (first.direction, first.msids, first.formats) == (
        "sendonly",
        (Msid("peer", "v"),),
        ("96", "97", "108", "109"),
    )
    assert (second.direction, second.msids) == ("inactive", ())
    assert video.active
    assert (video.mid, video.codecs[0].feedback) == ("0", NACKS)
    assert not session.needs_offer
    # The other one is found later on, by an offer of ours.
    audio = acquire(session, "audio", "a")
    assert len(session.send_slots) == 2
    exchange(session, browser)
    assert (audio.mid, audio.active) == ("1", True)


def test_a_receiving_line_without_a_codec_of_the_track_is_not_used() -> None:
    session, browser = make_session(), Browser(FIREFOX)
    browser.add("video", sends=False)
    browser_offers(session, browser)
    sender = session.acquire_slot("video", "peer", "t", [H264], "cname")
    exchange(session, browser)
    assert sender.mid == "s0"


def test_a_slot_on_a_line_whose_codecs_do_not_fit_is_not_sent_on() -> None:
    session, browser = make_session(), Browser(FIREFOX)
    browser.add("video", sends=False)
    session.apply_offer(browser.offer())
    sender = acquire(session, "video", "t")
    first = session.create_answer()
    session.release_slot(sender)
    assert session.acquire_slot("video", "peer", "u", [H264], "cname") is sender
    browser.receive_answer(first)
    session.apply_offer(browser.offer())
    answer = SessionDescription.parse(session.create_answer())
    assert answer.media[0].direction == "inactive"
    assert not sender.active
    assert not session.needs_offer  # it was told, and offering it again would change nothing


def test_a_client_may_publish_on_our_line_and_stop_again() -> None:
    session, browser = make_session(), Browser()
    video = acquire(session, "video")
    exchange(session, browser)
    browser.transceivers[0].sends = True
    answer = browser_offers(session, browser)
    assert answer.media[0].direction == "sendrecv"
    assert video.active
    assert (session.receivers[0].mid, session.receivers[0].active) == ("s0", True)
    assert session.receivers[0].rtx_ssrcs
    session.release_slot(video)
    assert exchange(session, browser).media[0].direction == "recvonly"
    assert session.receivers[0].active
    acquire(session, "video", "again")
    offer = exchange(session, browser)
    assert offer.media[0].direction == "sendrecv"
    assert video.active
    browser.transceivers[0].sends = False
    browser_offers(session, browser)
    assert not session.receivers[0].active
    assert video.active


def test_an_answer_may_start_or_stop_publishing() -> None:
    session, browser = make_session(), Browser()
    mine = browser.add("video")
    browser_offers(session, browser)
    mine.sends = False
    exchange(session, browser)
    assert not session.receivers[0].active
    mine.sends = True
    assert exchange(session, browser).media[0].direction == "inactive"  # that it wants to is its offer's to say
    browser_offers(session, browser)
    assert session.receivers[0].active


def test_a_line_that_the_client_refuses_to_receive_on_is_not_offered_again() -> None:
    session, browser = make_session(), Browser()
    video = acquire(session, "video")
    exchange(session, browser)
    browser.transceivers[0].receives = False
    browser_offers(session, browser)
    assert not video.active
    assert not session.needs_offer
    exchange(session, browser)
    assert not video.active
    # Its slot is no place for another track either.
    session.release_slot(video)
    assert acquire(session, "video", "other") is not video
    browser.transceivers[0].receives = True
    browser_offers(session, browser)
    assert acquire(session, "video", "third") is video


def test_a_line_that_the_client_rejects_is_gone_and_its_place_is_used_again() -> None:
    session, browser = make_session(), Browser(refused_codecs=frozenset({"H264"}))
    h264 = session.acquire_slot("video", "peer", "t", [H264], "cname")
    exchange(session, browser)
    assert h264.stopped
    assert not h264.active
    assert session.send_slots == []
    assert not session.needs_offer
    assert session.remote is None
    session.release_slot(h264)  # harmless
    video = acquire(session, "video")
    assert video is not h264
    offer = exchange(session, browser)
    assert len(offer.media) == 1
    assert (offer.media[0].mid, video.active) == ("s1", True)
    assert [codec.name for codec in video.codecs] == ["VP8"]


def test_a_client_stops_our_line() -> None:
    session, browser = make_session(), Browser()
    audio, video = acquire(session, "audio"), acquire(session, "video")
    exchange(session, browser)
    browser.transceivers[0].wants_stop = True
    browser_offers(session, browser)
    assert audio.stopped
    assert session.send_slots == [video]
    again = acquire(session, "audio")
    offer = exchange(session, browser)
    assert [media.mid for media in offer.media] == ["s2", "s1"]
    assert again.active
    assert offer.media[0].candidates  # now the tagged line


def test_a_rollback_loses_no_change_and_keeps_mids_and_places() -> None:
    session, browser = make_session(), Browser()
    one, two = acquire(session, "video", "one"), acquire(session, "video", "two")
    lost = SessionDescription.parse(session.create_offer())
    assert session.state is SignalingState.HAVE_LOCAL_OFFER
    session.release_slot(one)
    session.rollback()
    assert session.needs_offer
    assert (one.mid, two.mid, two.active) == (None, None, False)
    offer = exchange(session, browser)
    # The client may have applied the lost offer: its lines come at the same places.
    assert [media.mid for media in offer.media] == [media.mid for media in lost.media]
    assert [media.direction for media in offer.media] == ["inactive", "sendonly"]
    assert offer.origin.version == lost.origin.version + 1
    assert two.active


@pytest.mark.parametrize("applied", [False, True])
def test_the_client_offers_after_our_rollback(applied: bool) -> None:
    session, browser = make_session(), Browser()
    video = acquire(session, "video")
    offer = session.create_offer()
    if applied:
        browser.answer(offer)
    session.rollback()
    browser.add("audio")
    answer = browser_offers(session, browser)
    assert video.active == applied
    assert len(answer.media) == 1 + applied
    if not applied:
        exchange(session, browser)
    assert video.active
    assert video.mid == "s0"


def test_a_mid_that_the_client_took_meanwhile_is_not_used_twice() -> None:
    session = make_session()
    video = acquire(session, "video")
    session.create_offer()
    session.rollback()
    text = vector("chromium-offer-opus-dtx-red")
    session.apply_offer(text.replace("a=mid:0", "a=mid:s0").replace("BUNDLE 0", "BUNDLE s0"))
    session.create_answer()
    offer = SessionDescription.parse(session.create_offer())
    assert [media.mid for media in offer.media] == ["s0", "s1"]
    assert video.mid is None
    session.rollback()
    other = make_session()
    other.apply_offer(text.replace("a=mid:0", "a=mid:s0").replace("BUNDLE 0", "BUNDLE s0"))
    other.create_answer()
    acquire(other, "video")
    assert [media.mid for media in SessionDescription.parse(other.create_offer()).media] == ["s0", "s1"]


def test_changes_between_offer_and_answer_are_in_the_next_offer() -> None:
    session, browser = make_session(), Browser()
    browser.add("audio", sends=False)
    browser_offers(session, browser)
    one = acquire(session, "video", "one")
    offer = session.create_offer()
    audio = acquire(session, "audio", "spare")
    session.release_slot(one)
    two = acquire(session, "video", "two")
    three = acquire(session, "video", "three")
    assert two is one
    session.apply_answer(browser.answer(offer))
    assert (audio.active, two.active, three.active) == (False, False, False)
    assert session.needs_offer
    exchange(session, browser)
    assert (audio.active, two.active, three.active) == (True, True, True)
    assert not session.needs_offer


def test_a_spare_line_may_be_rejected_in_the_answer_that_a_slot_waits_for() -> None:
    session, browser = make_session(), Browser()
    line = browser.add("audio", sends=False)
    browser_offers(session, browser)
    acquire(session, "video")
    offer = session.create_offer()
    audio = acquire(session, "audio")
    line.wants_stop = True
    session.apply_answer(browser.answer(offer))
    assert audio.stopped


def test_our_ice_restart() -> None:
    session, browser = make_session(), Browser()
    acquire(session, "audio")
    exchange(session, browser)
    session.restart_ice(local_transport(5))
    assert session.needs_offer
    session.create_offer()
    session.rollback()
    assert session.needs_offer
    assert session.transport == local_transport(0)
    offer = SessionDescription.parse(session.create_offer())
    assert offer.media[0].ice_ufrag == "lite5"
    browser.ice += 1
    session.apply_answer(browser.answer(str(offer).replace("o=- 4711 2", "o=- 4711 9")))
    assert session.transport == local_transport(5)
    assert session.remote is not None
    assert session.remote.ufrag == "user1"
    assert not session.needs_offer


def test_candidates_may_come_with_their_prefix() -> None:
    transport = LocalTransport("abcd", "x" * 22, "sha-256 AA", ("candidate:1 1 udp 1 192.0.2.2 9 typ host",))
    session = BundleSession(transport, session_id=1, make_ssrc=iter(range(9)).__next__)
    acquire(session, "audio")
    assert "a=candidate:1 1 udp 1 192.0.2.2 9 typ host\r\na=end-of-candidates\r\n" in session.create_offer()


def test_ssrcs_are_unique_even_if_the_random_source_repeats() -> None:
    numbers = iter([846267631, 3491793106, 7, 7, 8, 7, 8, 9])
    session = BundleSession(local_transport(), session_id=1, make_ssrc=numbers.__next__)
    session.apply_offer(vector("chromium-offer-audio-video"))
    session.create_answer()
    video, audio = acquire(session, "video"), acquire(session, "audio")
    assert (video.ssrc, video.rtx_ssrc, audio.ssrc) == (7, 8, 9)


def test_a_client_without_retransmissions_is_offered_none() -> None:
    session = make_session()
    session.apply_offer(vector("other-ndc-offer"))
    session.create_answer()
    acquire(session, "video")
    line = SessionDescription.parse(session.create_offer()).media[1]
    assert line.formats == ("96", "102", "103") or "rtx" in {row.name for row in line.rtpmaps}
    session.rollback()
    only = make_session()
    only.apply_offer(vector("other-ndc-offer"))
    only.create_answer()
    only.acquire_slot("video", "peer", "t", [VP8], "cname")
    line = SessionDescription.parse(only.create_offer()).media[1]
    assert (line.formats, line.ssrc_groups) == (("96",), ())
    assert {entry.ssrc for entry in line.ssrc_attributes} == {1}


def test_a_client_that_gives_one_number_two_meanings_never_gets_it_twice_on_a_line() -> None:
    session, browser = make_session(), Browser()
    browser.add("video")
    browser_offers(session, browser)
    video = session.acquire_slot("video", "peer", "t", [VP8], "cname")
    exchange(session, browser)
    browser.transceivers[1].sends = True
    head, first, second = browser.offer().split("m=")
    # VP8 is 96 on the first line; on the second, on which both send, VP9 is 96 and there is no VP8.
    second = second.replace(":96 VP8", ":96 VP9").replace(":98 VP9", ":98 x")
    session.apply_offer("m=".join([head, first, second]))
    session.create_answer()
    assert not video.active
    line = SessionDescription.parse(session.create_offer()).media[1]
    assert (line.direction, line.formats) == ("recvonly", ("96", "97", "108", "109"))


def test_on_a_line_with_both_directions_we_send_with_the_codecs_of_our_track() -> None:
    session, browser = make_session(), Browser()
    video = session.acquire_slot("video", "peer", "t", [H264], "cname")
    exchange(session, browser)
    browser.transceivers[0].sends = True
    browser_offers(session, browser)
    assert [codec.name for codec in video.codecs] == ["H264"]
    session.restart_ice(local_transport(1))
    line = exchange(session, browser).media[0]
    assert line.direction == "sendrecv"
    assert [codec.name for codec in video.codecs] == ["H264"]
    assert [codec.name for codec in session.receivers[0].codecs] == ["VP8", "VP9", "H264"]


def test_a_slot_refused_in_an_answer_is_not_given_to_the_next_track() -> None:
    session, browser = make_session(), Browser()
    video = acquire(session, "video", "one")
    exchange(session, browser)
    session.release_slot(video)
    exchange(session, browser)
    acquire(session, "video", "two")
    browser.transceivers[0].receives = False
    exchange(session, browser)
    assert not video.active
    assert not session.needs_offer
    session.release_slot(video)
    assert acquire(session, "video", "three") is not video


def test_slots_of_lost_offers_keep_their_order_before_waiting_slots() -> None:
    session = make_session()
    early = acquire(session, "audio", "early")
    acquire(session, "video")
    session.release_slot(early)
    first = SessionDescription.parse(session.create_offer())
    assert [media.kind for media in first.media] == ["video"]
    session.rollback()
    assert acquire(session, "audio", "again") is early
    for _ in range(2):
        offer = SessionDescription.parse(session.create_offer())
        assert [(media.kind, media.mid) for media in offer.media] == [("video", "s0"), ("audio", "s1")]
        session.rollback()


# --- misuse and limits ---


@pytest.mark.parametrize("text", ["", "a b", "a\r\nb", "a:b", "ä"])
def test_ids_must_be_tokens(text: str) -> None:
    session = make_session()
    for arguments in ((text, "t", "c"), ("s", text, "c"), ("s", "t", text)):
        with pytest.raises(ValueError, match="not a token"):
            session.acquire_slot("audio", arguments[0], arguments[1], [OPUS], arguments[2])
    assert session.send_slots == []


def test_a_track_with_no_codec_that_we_forward_is_refused() -> None:
    with pytest.raises(ValueError, match="video"):
        make_session().acquire_slot("video", "s", "t", [OPUS], "c")


def test_lines_are_limited_but_free_and_stopped_ones_are_used_again() -> None:
    ssrcs = iter(range(1, 100))
    session = BundleSession(
        local_transport(), session_id=1, make_ssrc=ssrcs.__next__, limits=DescriptionLimits(media=2)
    )
    one, _ = acquire(session, "video"), acquire(session, "audio")
    with pytest.raises(TooManyLines):
        acquire(session, "video")
    session.release_slot(one)
    assert acquire(session, "video") is one


def test_slots_without_a_payload_type_left_do_not_cause_endless_offers() -> None:
    session = make_session()
    rows = "".join(f"a=rtpmap:{number} x{number}/8000\r\n" for number in DYNAMIC if number != 111)
    formats = " ".join(map(str, DYNAMIC))
    text = vector("chromium-offer-opus-dtx-red")
    text = text.replace(text.split("\r\n")[7], f"m=audio 9 UDP/TLS/RTP/SAVPF {formats}", 1)
    text = text.replace("a=rtpmap:63 red/48000/2\r\n", rows)
    assert "m=audio 9" in text
    session.apply_offer(text)
    session.create_answer()
    video = acquire(session, "video")
    assert session.needs_offer
    offer = SessionDescription.parse(session.create_offer())
    assert len(offer.media) == 1
    answer = text.replace("a=setup:actpass", "a=setup:active").replace("a=sendrecv", "a=sendonly")
    session.apply_answer(answer)
    assert not session.needs_offer
    assert not video.active
    session.release_slot(video)
    assert session.needs_offer
    session.create_offer()
    session.apply_answer(answer)
    assert not session.needs_offer


@pytest.mark.parametrize("numbers", [CHROMIUM, FIREFOX])
def test_descriptions_do_not_grow_as_participants_come_and_go(numbers: object) -> None:
    session, browser = make_session(), Browser(numbers)  # type: ignore[arg-type]
    browser.add("audio")
    browser.add("video")
    browser_offers(session, browser)
    sizes = []
    for turn in range(200):
        slots = [acquire(session, kind, f"{kind}{turn}") for kind in ("audio", "video", "video")]
        sizes.append(len(str(exchange(session, browser))))
        assert all(slot.active for slot in slots)
        for slot in slots:
            session.release_slot(slot)
        if turn % 3 == 0:
            exchange(session, browser)
        if turn % 7 == 0:
            browser_offers(session, browser)
    assert len(browser.lines) == 5
    assert max(sizes) - sizes[0] < 100


# --- answers that do not fit ---

ANSWERS = [
    ("a=mid:s0", "a=mid:x", "sdp-mismatch", "mid 's0'"),
    ("m=audio", "m=video", "sdp-mismatch", "audio with mid"),
    ("a=rtcp-mux\r\n", "", "sdp-unsupported", "rtcp-mux"),
    ("a=recvonly", "a=sendonly", "sdp-mismatch", "direction"),
    ("a=recvonly", "a=sendrecv", "sdp-mismatch", "direction"),
    ("a=recvonly\r\n", "", "sdp-mismatch", "direction"),
    ("a=group:BUNDLE s0", "a=group:BUNDLE", "sdp-unsupported", "BUNDLE"),
    ("a=setup:active", "a=setup:actpass", "sdp-mismatch", "actpass"),
    ("a=fingerprint", "a=x", "sdp-unsupported", "fingerprint"),
    ("opus", "speex", "sdp-mismatch", "none of the codecs"),
    ("s=-", "a=-", "sdp-syntax", "order"),
    ("m=audio", "m=audio 0 UDP/TLS/RTP/SAVPF 0\r\nm=audio", "sdp-mismatch", "1 m-lines were offered"),
]


@pytest.mark.parametrize(("old", "new", "reason", "detail"), ANSWERS)
def test_answers_that_are_refused_leave_the_offer_pending(old: str, new: str, reason: str, detail: str) -> None:
    session, browser = make_session(), Browser()
    audio = acquire(session, "audio")
    answer = browser.answer(session.create_offer())
    assert old in answer
    with pytest.raises(SdpError) as caught:
        session.apply_answer(answer.replace(old, new))
    assert caught.value.reason == reason
    assert detail in caught.value.detail
    assert (session.state, session.remote, audio.mid) == (SignalingState.HAVE_LOCAL_OFFER, None, None)
    session.apply_answer(answer)
    assert audio.active


def test_a_stopped_line_cannot_be_accepted_in_an_answer() -> None:
    session, browser = make_session(), Browser()
    acquire(session, "audio")
    acquire(session, "video")
    exchange(session, browser)
    browser.transceivers[0].wants_stop = True
    browser_offers(session, browser)
    session.restart_ice(local_transport(1))
    answer = browser.answer(session.create_offer())
    bad = answer.replace("m=audio 0 UDP/TLS/RTP/SAVPF 0", "m=audio 9 UDP/TLS/RTP/SAVPF 0")
    with pytest.raises(SdpError, match="offered as stopped"):
        session.apply_answer(bad)
    session.apply_answer(answer.replace("a=mid:s0\r\n", ""))  # a rejected line needs no mid


@pytest.mark.parametrize(
    ("role", "setup", "other"), [("client", "passive", "active"), ("server", "active", "passive")]
)
def test_the_first_answer_decides_the_dtls_roles(role: str, setup: str, other: str) -> None:
    session, browser = make_session(), Browser()
    audio = acquire(session, "audio")
    session.apply_answer(browser.answer(session.create_offer()).replace("setup:active", f"setup:{setup}"))
    assert session.dtls_role == role
    session.release_slot(audio)
    # With the same certificate it is the same association, whatever the answer says.
    session.apply_answer(browser.answer(session.create_offer()).replace("setup:active", f"setup:{other}"))
    assert session.dtls_role == role
    assert session.remote is not None
    assert session.remote.setup == setup


def test_another_certificate_is_refused() -> None:
    session, browser = make_session(), Browser()
    acquire(session, "audio")
    session.apply_answer(browser.answer(session.create_offer()))
    acquire(session, "audio")
    answer = browser.answer(session.create_offer())
    with pytest.raises(SdpError, match="certificate"):
        session.apply_answer(answer.replace("CD:CD", "CD:CE"))


def test_an_answer_with_numbers_and_formats_of_its_own() -> None:
    session, browser = make_session(), Browser()
    audio = acquire(session, "audio")
    answer = browser.answer(session.create_offer())
    answer = answer.replace("SAVPF 111", "SAVPF 100 9").replace(
        "rtpmap:111", "rtpmap:9 G722/8000\r\na=rtpmap:100"
    )
    session.apply_answer(answer.replace("fmtp:111", "fmtp:100"))
    # RFC 3264 section 6.1: we send with the numbers that the answerer wants to receive.
    assert [codec.payload_type for codec in audio.codecs] == [100]


def test_extensions_that_are_not_answered_are_not_sent() -> None:
    session, browser = make_session(), Browser()
    audio = acquire(session, "audio")
    answer = browser.answer(session.create_offer())
    assert len(audio.extensions) == 0
    session.apply_answer(answer.replace("a=extmap:1 ", "a=x-extmap:1 ").replace("a=extmap:4 ", "a=extmap:4 "))
    assert list(audio.extensions.values()) == [4, 9]


def test_a_line_that_was_stopped_in_a_lost_answer_may_be_used_again_by_the_client() -> None:
    session, browser = make_session(), Browser()
    one, two = acquire(session, "video", "one"), acquire(session, "video", "two")
    exchange(session, browser)
    browser.transceivers[1].wants_stop = True
    browser.answer(session.create_offer())
    session.rollback()
    browser.add("video")
    answer = browser_offers(session, browser)
    assert [(media.mid, media.direction) for media in answer.media] == [("s0", "sendonly"), ("0", "recvonly")]
    assert (one.active, two.stopped) == (True, True)
    assert session.send_slots == [one]
    # The next offer shows that the client has the answer: from now on its lines are known again.
    browser_offers(session, browser)
    text = browser.offer()
    with pytest.raises(SdpError, match="with mid '0'"):
        session.apply_offer(text.replace("a=mid:0", "a=mid:7").replace("BUNDLE s0 0", "BUNDLE s0 7"))


def test_a_line_that_the_client_stopped_comes_again_under_another_mid() -> None:
    session, browser = make_session(), Browser()
    browser.add("audio", receives=False)
    video = browser.add("video", receives=False)
    for step in ("offer", "stop", "add"):
        if step == "stop":
            video.wants_stop = True
        elif step == "add":
            browser.add("video", receives=False)
        session.apply_offer(browser.offer())
        browser.receive_answer(session.create_answer())
    assert [line.mid for line in browser.lines] == ["0", "2"]
    assert [(receiver.mid, receiver.kind) for receiver in session.receivers] == [("0", "audio"), ("2", "video")]


def test_a_line_whose_offer_was_rolled_back_is_gone() -> None:
    session, browser = make_session(), Browser()
    browser.add("audio", receives=False)
    browser.add("video", receives=False)
    session.apply_offer(browser.offer())
    session.create_answer()  # the client never gets it, and thinks better of its camera
    browser.rollback()
    del browser.transceivers[1]
    session.apply_offer(browser.offer())
    browser.receive_answer(session.create_answer())
    assert [(receiver.mid, receiver.kind) for receiver in session.receivers] == [
        (browser.lines[0].mid, "audio")
    ]


def test_a_line_that_was_stopped_in_an_offer_whose_answer_was_lost_is_not_used_again() -> None:
    """The client may roll its offer back. Then the line is in use: no other line may take its place."""
    session, browser = make_session(), Browser()
    video = browser.add("video", receives=False)
    browser.add("audio", receives=False)
    browser_offers(session, browser)
    video.wants_stop = True
    session.apply_offer(browser.offer())
    session.create_answer()
    browser.rollback()
    session.note_answer_lost()
    assert not session.needs_offer
    acquire(session, "video")
    exchange(session, browser)
    assert [(line.mid, line.stopped) for line in browser.lines] == [("0", True), ("1", False), ("s0", False)]
    # The answer shows that the client knows that the line is stopped: its place is free.
    acquire(session, "video", "another")
    exchange(session, browser)
    assert [line.mid for line in browser.lines] == ["s1", "1", "s0"]


def test_a_line_that_we_stopped_may_be_gone_after_the_client_rolls_back() -> None:
    session, browser = make_session(), Browser()
    browser.add("audio")
    channel = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:9\r\n"
    session.apply_offer(browser.offer() + channel)
    assert "m=application 0" in session.create_answer()
    browser.rollback()
    browser_offers(session, browser)
    assert [(receiver.mid, receiver.kind) for receiver in session.receivers] == [("1", "audio")]


def test_a_stray_answer_does_not_confirm_an_offer_that_was_rolled_back() -> None:
    """The client has agreed to nothing yet, but it may have applied the offer that was rolled back."""
    session = make_session()
    sender = acquire(session, "audio")
    session.create_offer()
    session.rollback()
    session.release_slot(sender)
    session.note_stray_answer()
    assert session.needs_offer
