"""The client offers: how recorded offers are answered, and which offers are refused."""

import re

import pytest
from support.browser_model import VECTOR_NAMES, local_transport, make_session, vector

from sfu.sdp import (
    BundleSession,
    MediaDescription,
    SdpError,
    SessionDescription,
    SignalingState,
    WrongState,
    codecs_of,
)
from sfu.sdp.attributes import ExtMap, Fingerprint, Msid, Rid, Simulcast
from sfu.sdp.capabilities import MID
from sfu.sdp.grammar import receives, sends

OFFERS = [name for name in VECTOR_NAMES if "-offer" in name and re.search("m=(audio|video)", vector(name))]
DATA_OFFERS = [name for name in VECTOR_NAMES if "-offer" in name and name not in OFFERS]


def answered(name: str, *, simulcast: bool = False) -> tuple[BundleSession, SessionDescription]:
    session = make_session(simulcast=simulcast)
    session.apply_offer(vector(name))
    return session, SessionDescription.parse(session.create_answer())


def reoffered(session: BundleSession, text: str) -> str:
    """Answer the client's next offer with the same lines. It confirms the previous answer."""
    origin = SessionDescription.parse(text).origin
    text = text.replace(f"o={origin}", f"o={origin._replace(version=origin.version + 1)}")
    session.apply_offer(text)
    session.create_answer()
    return text


def failure(text: str, session: BundleSession | None = None) -> SdpError:
    session = session or make_session()
    before = (session.remote, session.receivers, session.send_slots)
    with pytest.raises(SdpError) as caught:
        session.apply_offer(text)
    assert (session.remote, session.receivers, session.send_slots) == before
    assert session.state is SignalingState.STABLE
    return caught.value


def check_line(offer: MediaDescription, answer: MediaDescription) -> None:
    """RFC 3264 section 6, RFC 8285 section 6, RFC 9143 section 7.3."""
    assert (answer.kind, answer.protocol, answer.mid) == (offer.kind, offer.protocol, offer.mid)
    if answer.stopped:
        assert answer.formats == offer.formats
        return
    assert not offer.stopped
    assert receives(offer.direction) or not sends(answer.direction)
    assert sends(offer.direction) or not receives(answer.direction)
    names = [name for name in offer.formats if name in answer.formats]
    assert names == list(answer.formats)
    offered = {codec.payload_type: codec for codec in codecs_of(offer)}
    for codec in codecs_of(answer):
        theirs = offered[codec.payload_type]
        assert codec.identity == theirs.identity
        assert codec.parameters == theirs.parameters
        assert codec.feedback <= theirs.feedback
        assert not {"goog-remb", "transport-cc"} <= codec.feedback
        assert codec.rtx_payload_type == theirs.rtx_payload_type
    flipped = {None: None, "sendonly": "recvonly", "recvonly": "sendonly"}
    extensions = {(entry.id, entry.uri): entry.direction for entry in offer.extensions}
    for entry in answer.extensions:
        assert entry.direction == flipped[extensions[entry.id, entry.uri]]
    assert offer.rtcp_rsize or not answer.rtcp_rsize
    assert answer.rtcp_mux
    assert not answer.msids


def check_answer(text: str, answer_text: str) -> None:
    offer, answer = SessionDescription.parse(text), SessionDescription.parse(answer_text)
    assert len(offer.media) == len(answer.media)
    assert set(answer.bundle()) == {media.mid for media in answer.media if not media.stopped}
    assert [mid for mid in offer.bundle() if mid in answer.bundle()] == list(answer.bundle())
    assert answer.ice_lite
    for ours, theirs in zip(answer.media, offer.media, strict=True):
        check_line(offer.effective(theirs), ours)
        if not ours.stopped:
            assert ours.setup == "passive"
            assert bool(ours.candidates) == (ours.mid == answer.bundle()[0])


@pytest.mark.parametrize("name", OFFERS)
@pytest.mark.parametrize("simulcast", [False, True])
def test_recorded_offers_are_answered_by_the_rules(name: str, simulcast: bool) -> None:
    session = make_session(simulcast=simulcast)
    session.apply_offer(vector(name))
    check_answer(vector(name), session.create_answer())
    assert not session.needs_offer
    assert session.dtls_role == "server"


@pytest.mark.parametrize("name", DATA_OFFERS)
def test_recorded_offers_of_only_a_data_channel_are_refused(name: str) -> None:
    with pytest.raises(SdpError):
        make_session().apply_offer(vector(name))


def test_what_a_chromium_publishes() -> None:
    session, answer = answered("chromium-offer-audio-video")
    assert [media.direction for media in answer.media] == ["recvonly", "recvonly"]
    audio, video = session.receivers
    assert (audio.mid, audio.kind, audio.active, audio.ssrcs) == ("0", "audio", True, (1084569719,))
    assert audio.msid == Msid("f464a8be-913e-4688-857e-430cf84756f9", "6935678c-5c50-4887-9b4b-b5f9fc5c6f29")
    assert (video.ssrcs, video.rtx_ssrcs) == ((846267631,), {846267631: 3491793106})
    assert video.extensions[3].endswith("transport-wide-cc-extensions-01")
    assert {codec.name for codec in video.codecs} == {"VP8", "VP9", "H264", "AV1"}
    assert [codec.name for codec in audio.codecs] == ["opus", "red"]
    remote = session.remote
    assert remote is not None
    assert (remote.ufrag, remote.pwd, remote.setup) == ("SthF", "3RK1w8q1Dg37omtyhmqCuV1l", "actpass")
    assert remote.fingerprints[0].algorithm == "sha-256"
    assert answer.media[0].candidates == ("1 1 udp 2130706431 192.0.2.2 7882 typ host",)


def test_the_password_stays_out_of_logs() -> None:
    session, _ = answered("chromium-offer-audio-video")
    assert "3RK1w8q1Dg37" not in repr(session.remote)
    assert "password" not in repr(session.transport)


def test_the_answer_to_firefox_has_its_session_fingerprint_and_flipped_extensions() -> None:
    session, answer = answered("firefox-offer-simulcast-vp8")
    assert session.remote is not None
    assert session.remote.fingerprints[0].value.startswith("37:59:E8")
    entries = {entry.uri.rpartition(":")[2]: entry for entry in answer.media[1].extensions}
    assert entries["rtp-stream-id"] == ExtMap(9, "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", "recvonly")
    assert not any("csrc-audio-level" in entry.uri for entry in answer.media[0].extensions)
    assert not any("playout-delay" in entry.uri for entry in answer.media[1].extensions)
    # extmap-allow-mixed is answered on the level on which it was said (RFC 8285 section 6).
    assert not answer.extmap_allow_mixed
    assert answer.media[0].extmap_allow_mixed


def test_simulcast_keeps_the_best_encoding_unless_all_are_wanted() -> None:
    session, answer = answered("chromium-offer-simulcast-vp8")
    assert session.receivers[1].rids == ("h",)
    assert answer.media[1].rids == (Rid("h", "recv"),)
    assert answer.media[1].simulcast == Simulcast(recv=(("h",),))
    session, answer = answered("chromium-offer-simulcast-vp8", simulcast=True)
    assert session.receivers[1].rids == ("h", "m", "l")
    assert answer.media[1].simulcast == Simulcast(recv=(("h",), ("m",), ("l",)))
    assert answer.media[0].simulcast is None


def test_simulcast_alternatives_paused_streams_and_rids_without_simulcast() -> None:
    text = vector("chromium-offer-simulcast-vp8")
    session = make_session(simulcast=True)
    session.apply_offer(text.replace("a=simulcast:send h;m;l", "a=simulcast:send ~m,h;l;x"))
    assert session.receivers[1].rids == ("m", "l")
    session = make_session(simulcast=True)
    session.apply_offer(text.replace("a=simulcast:send h;m;l\r\n", "").replace("a=rid:m send", "a=rid:m recv"))
    assert session.receivers[1].rids == ("h", "l")
    assert SessionDescription.parse(session.create_answer()).media[1].simulcast is None


def test_restrictions_of_a_rid_are_answered_unchanged() -> None:
    session = make_session()
    session.apply_offer(vector("chromium-offer-simulcast-vp8").replace("a=rid:h send", "a=rid:h send pt=96"))
    assert "a=rid:h recv pt=96\r\n" in session.create_answer()


def test_a_data_channel_is_rejected_on_any_line() -> None:
    _, answer = answered("chromium-offer-av-datachannel")
    assert [(media.kind, media.stopped) for media in answer.media] == [
        ("audio", False),
        ("video", False),
        ("application", True),
    ]
    assert answer.bundle() == ("0", "1")
    text = vector("firefox-offer-av-datachannel")
    head, audio, video, data = text.split("m=")
    first = "m=".join([head.replace("BUNDLE 0 1 2", "BUNDLE 2 0 1"), data, audio, video])
    session = make_session()
    session.apply_offer(first)
    answer = SessionDescription.parse(session.create_answer())
    assert [media.stopped for media in answer.media] == [True, False, False]
    assert answer.bundle() == ("0", "1")
    assert answer.media[1].candidates


def test_a_rejected_line_needs_neither_mid_nor_bundle() -> None:
    text = (
        vector("firefox-offer-av-datachannel")
        .replace("a=mid:2\r\n", "")
        .replace("BUNDLE 0 1 2", "BUNDLE 0 1 0")
    )
    session = make_session()
    session.apply_offer(text)
    answer = SessionDescription.parse(session.create_answer())
    assert (answer.media[2].stopped, answer.media[2].mid, answer.bundle()) == (True, None, ("0", "1"))


def test_an_offer_of_only_a_data_channel_is_refused() -> None:
    error = failure(vector("chromium-offer-datachannel"))
    assert error.reason == "sdp-unsupported"
    assert "nothing to negotiate" in error.detail


def test_bundle_only_lines_use_the_transport_of_the_tagged_line() -> None:
    session, answer = answered("other-gst-offer")
    assert [media.stopped for media in answer.media] == [False, False]
    assert session.receivers[0].msid == Msid("user3436614100@host-ce1f829a", "webrtctransceiver0")
    assert session.receivers[1].codecs[0].name == "opus"
    text = vector("chromium-offer-av-datachannel")
    head, audio, video, data = text.split("m=")

    def bare(section: str) -> str:
        drop = ("a=ice-", "a=fingerprint", "a=setup", "a=candidate")
        rows = [row for row in section.split("\r\n") if not row.startswith(drop)]
        return "\r\n".join([rows[0].replace(rows[0].split()[1], "0", 1), "c=IN IP4 0.0.0.0", *rows[2:]])

    only = [bare(audio) + "a=bundle-only\r\n", bare(video) + "a=bundle-only\r\n"]
    session = make_session()
    session.apply_offer("m=".join([head.replace("BUNDLE 0 1 2", "BUNDLE 2 0 1"), *only, data]))
    assert session.remote is not None
    assert session.remote.ufrag in data


def test_attributes_of_the_session_part_apply_to_all_m_lines() -> None:
    head, audio = vector("chromium-offer-av-datachannel").split("m=")[:2]
    mid = next(row for row in audio.split("\r\n") if "sdes:mid" in row)
    audio = audio.replace(mid + "\r\n", "").replace("a=sendrecv\r\n", "")
    text = "m=".join([head.replace("BUNDLE 0 1 2", "BUNDLE 0") + f"{mid}\r\na=sendonly\r\n", audio])
    session = make_session()
    session.apply_offer(text)
    [media] = SessionDescription.parse(session.create_answer()).media
    assert media.direction == "recvonly"
    assert mid.removeprefix("a=extmap:") in map(str, media.extensions)
    assert MID in session.receivers[0].extensions.values()


def test_an_msid_in_an_ssrc_attribute_is_read() -> None:
    text = vector("other-gst-offer")
    for value, msid in (("msid:a b", Msid("a", "b")), ("msid:a b c", None), ("msid", None)):
        session = make_session()
        session.apply_offer(text.replace("msid:user3436614100@host-ce1f829a webrtctransceiver0", value))
        assert session.receivers[0].msid == msid


@pytest.mark.parametrize(
    ("name", "old", "new", "reason", "detail"),
    [
        ("chromium-offer-audio-video", "a=group:BUNDLE 0 1\r\n", "", "sdp-unsupported", "no BUNDLE"),
        ("chromium-offer-audio-video", "a=rtcp-mux\r\n", "", "sdp-unsupported", "rtcp-mux"),
        ("chromium-offer-audio-video", "a=fingerprint", "a=x-fingerprint", "sdp-unsupported", "fingerprint"),
        ("chromium-offer-audio-video", "a=setup:actpass", "a=setup:holdconn", "sdp-unsupported", "a=setup"),
        ("chromium-offer-audio-video", "a=setup:actpass\r\n", "", "sdp-unsupported", "a=setup"),
        ("chromium-offer-audio-video", "a=ice-pwd", "a=x-pwd", "sdp-unsupported", "pair"),
        ("chromium-offer-audio-video", "a=ice-ufrag", "a=x-ufrag", "sdp-unsupported", "pair"),
        ("chromium-offer-audio-video", "a=ice-", "a=x-ice-", "sdp-unsupported", "no ICE"),
        ("chromium-offer-audio-video", "a=mid:0\r\n", "", "sdp-unsupported", "mid"),
        ("chromium-offer-audio-video", "a=mid:1", "a=mid:0", "sdp-mismatch", "two m-lines"),
        ("chromium-offer-audio-video", "t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n", "sdp-unsupported", "ICE-lite"),
        ("chromium-offer-audio-video", "v=0", "v=1", "sdp-syntax", "v=0"),
    ],
)
def test_offers_that_are_refused(name: str, old: str, new: str, reason: str, detail: str) -> None:
    assert old in vector(name)
    error = failure(vector(name).replace(old, new))
    assert error.reason == reason
    assert detail in error.detail


def test_too_many_ssrcs_on_one_line() -> None:
    text = vector("chromium-offer-opus-dtx-red")
    assert failure(text + "".join(f"a=ssrc:{n} cname:x\r\n" for n in range(40))).reason == "sdp-too-large"


def test_unusable_lines_are_rejected_and_the_others_accepted() -> None:
    text = vector("chromium-offer-audio-video")
    for changed in (
        text.replace("BUNDLE 0 1", "BUNDLE 1"),
        text.replace("m=audio 55059 UDP/TLS/RTP/SAVPF", "m=audio 55059 RTP/AVP"),
        text.replace("opus/48000/2", "speex/16000").replace("red/48000/2", "red/8000"),
        text.replace("m=audio", "m=text"),
    ):
        session = make_session()
        session.apply_offer(changed)
        answer = SessionDescription.parse(session.create_answer())
        assert [media.stopped for media in answer.media] == [True, False]
        assert answer.bundle() == ("1",)
        assert [receiver.mid for receiver in session.receivers] == ["1"]


def test_a_client_that_wants_to_be_the_dtls_server_gets_a_dtls_client() -> None:
    session = make_session()
    session.apply_offer(vector("chromium-offer-audio-video").replace("a=setup:actpass", "a=setup:passive"))
    answer = SessionDescription.parse(session.create_answer())
    assert answer.media[0].setup == "active"
    assert session.dtls_role == "client"
    # From then on the role stays, whatever the client leaves open (RFC 8842 section 5.3).
    session.apply_offer(vector("chromium-offer-audio-video"))
    assert SessionDescription.parse(session.create_answer()).media[0].setup == "active"
    assert session.remote is not None
    assert session.remote.setup == "passive"
    # … or says.
    session.apply_offer(vector("chromium-offer-audio-video").replace("a=setup:actpass", "a=setup:active"))
    assert SessionDescription.parse(session.create_answer()).media[0].setup == "active"
    assert session.remote.setup == "passive"


def test_versions_count_up_and_the_session_id_stays() -> None:
    session = make_session()
    for version in range(3):
        session.apply_offer(vector("chromium-offer-audio-video"))
        origin = SessionDescription.parse(session.create_answer()).origin
        assert (origin.session_id, origin.version) == (4711, version)


# --- one connection of a Chromium, recorded ---


def test_ice_restart_by_the_client() -> None:
    session, first = answered("chromium-offer-audio-video")
    before = session.remote
    session.apply_offer(vector("chromium-offer-ice-restart"))
    assert session.remote_restarted
    assert session.remote is not None
    assert before is not None
    assert session.remote.fingerprints == before.fingerprints
    assert session.remote.ufrag == "p1ag"
    with pytest.raises(WrongState, match="restart_ice"):
        session.create_answer()
    session.restart_ice(local_transport(1))
    answer = SessionDescription.parse(session.create_answer())
    assert (first.media[0].ice_ufrag, answer.media[0].ice_ufrag) == ("lite0", "lite1")
    assert session.transport == local_transport(1)
    assert not session.remote_restarted
    assert not session.needs_offer
    # An offer without a restart is answered with what there is.
    session.apply_offer(vector("chromium-offer-ice-restart"))
    assert not session.remote_restarted
    assert SessionDescription.parse(session.create_answer()).media[0].ice_ufrag == "lite1"


def test_a_restart_of_ours_waits_for_an_offer_of_ours() -> None:
    session, _ = answered("chromium-offer-audio-video")
    assert not session.restarts_ice
    session.restart_ice(local_transport(1))
    assert session.needs_offer
    assert session.restarts_ice
    session.apply_offer(vector("chromium-offer-audio-video"))
    assert SessionDescription.parse(session.create_answer()).media[0].ice_ufrag == "lite0"
    assert session.needs_offer


def test_before_the_first_description_new_credentials_just_replace_the_old() -> None:
    session = make_session()
    session.restart_ice(local_transport(1))
    assert not session.needs_offer
    assert not session.restarts_ice
    session.apply_offer(vector("chromium-offer-audio-video"))
    assert SessionDescription.parse(session.create_answer()).media[0].ice_ufrag == "lite1"


def test_later_descriptions_contain_candidates_found_later() -> None:
    session = make_session()
    session.add_candidates("lite0", ("1 1 udp 1 192.0.2.9 9 typ host",), complete=False)
    session.apply_offer(vector("chromium-offer-audio-video"))
    media = SessionDescription.parse(session.create_answer()).media[0]
    assert [candidate.partition(" udp ")[2] for candidate in media.candidates] == ["1 192.0.2.9 9 typ host"]
    assert not media.end_of_candidates
    session.restart_ice(local_transport(1))
    session.add_candidates("lite1", ("1 1 udp 1 192.0.2.10 9 typ host",), complete=True)
    session.add_candidates("released long ago", (), complete=True)
    media = SessionDescription.parse(session.create_offer()).media[0]
    assert (media.ice_ufrag, len(media.candidates), media.end_of_candidates) == ("lite1", 1, True)
    assert "192.0.2.10" in media.candidates[0]


def test_a_stray_answer_makes_an_offer_necessary() -> None:
    session = make_session()
    session.note_stray_answer()  # nothing is agreed yet
    assert not session.needs_offer
    session.apply_offer(vector("chromium-offer-audio-video"))
    session.create_answer()
    assert not session.needs_offer
    session.note_stray_answer()
    assert session.needs_offer


def test_an_ice_restart_keeps_the_certificate() -> None:
    session = make_session()
    with pytest.raises(ValueError, match="certificate"):
        session.restart_ice(local_transport(1).__class__("abcd", "x" * 22, "sha-256 00"))


def test_a_stopped_line_and_an_added_one() -> None:
    session, _ = answered("chromium-offer-audio-video")
    session.apply_offer(vector("chromium-offer-ice-restart"))
    session.restart_ice(local_transport(1))
    session.create_answer()
    session.apply_offer(vector("chromium-offer-renegotiate-stopped-and-added"))
    answer = SessionDescription.parse(session.create_answer())
    assert [(media.stopped, media.direction) for media in answer.media] == [
        (False, "recvonly"),
        (True, "inactive"),
        (False, "inactive"),
    ]
    assert [(receiver.mid, receiver.active) for receiver in session.receivers] == [("0", True)]


def test_a_line_turned_inactive_stays_a_receiver_that_is_not_active() -> None:
    session, _ = answered("chromium-offer-audio-video")
    text = vector("chromium-offer-audio-video")
    session.apply_offer(text.replace("a=sendrecv", "a=inactive"))
    session.create_answer()
    assert [(receiver.mid, receiver.active) for receiver in session.receivers] == [("0", False), ("1", False)]
    session.apply_offer(text)
    session.create_answer()
    assert all(receiver.active for receiver in session.receivers)


def test_a_replaced_track_has_another_msid() -> None:
    session, _ = answered("chromium-offer-audio-video")
    text = vector("chromium-offer-audio-video")
    session.apply_offer(text.replace("b8241cce-757d-43fd-add8-d24c1da4d161", "other"))
    session.create_answer()
    assert session.receivers[1].msid == Msid("f464a8be-913e-4688-857e-430cf84756f9", "other")


def test_a_stopped_line_may_be_used_again_by_another_mid_and_kind() -> None:
    session, _ = answered("chromium-offer-audio-video")
    text = vector("chromium-offer-audio-video")
    head, _, video = text.split("m=")
    stopped = "m=audio 0 UDP/TLS/RTP/SAVPF 0\r\n"
    session.apply_offer(head.replace("BUNDLE 0 1", "BUNDLE 1") + stopped + "m=" + video)
    answer = SessionDescription.parse(session.create_answer())
    assert (answer.media[0].stopped, answer.media[0].mid, answer.bundle()) == (True, None, ("1",))
    again = video.replace("a=mid:1", "a=mid:7").replace("846267631", "5").replace("3491793106", "6")
    session.apply_offer(head.replace("BUNDLE 0 1", "BUNDLE 7 1") + "m=" + again + "m=" + video)
    answer = SessionDescription.parse(session.create_answer())
    assert answer.bundle() == ("7", "1")
    assert [receiver.ssrcs for receiver in session.receivers] == [(5,), (846267631,)]


def test_all_lines_may_be_stopped_later() -> None:
    session, _ = answered("chromium-offer-opus-dtx-red")
    remote = session.remote
    head = vector("chromium-offer-opus-dtx-red").split("m=")[0].replace("BUNDLE 0", "BUNDLE")
    session.apply_offer(head + "m=audio 0 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n")
    answer = SessionDescription.parse(session.create_answer())
    assert answer.media[0].stopped
    assert answer.groups == ()
    assert (session.receivers, session.remote) == ([], remote)


def test_later_offers_that_do_not_fit() -> None:
    session, _ = answered("chromium-offer-audio-video")
    text = reoffered(session, vector("chromium-offer-audio-video"))
    head, audio, video = text.split("m=")
    for changed in (
        head + "m=" + audio,  # a line is gone
        text.replace("a=mid:0", "a=mid:5").replace("BUNDLE 0", "BUNDLE 5"),  # a living line changed its mid
        "m=".join([head, video, audio]),  # lines changed places
        text.replace(":70:", ":71:").replace("FA:CF", "FA:CE"),  # another certificate
    ):
        assert failure(changed, session).reason == "sdp-mismatch"
    session.apply_offer(text)
    session.create_answer()


def test_lines_of_an_unconfirmed_offer_may_come_with_other_mids() -> None:
    # The client got no answer and rolled back. libwebrtc then assigns new mids.
    session, _ = answered("chromium-offer-audio-video")
    text = vector("chromium-offer-audio-video")
    changed = text.replace("a=mid:0", "a=mid:5").replace("BUNDLE 0", "BUNDLE 5")
    session.apply_offer(changed)
    session.create_answer()
    assert [receiver.mid for receiver in session.receivers] == ["5", "1"]


def test_lines_of_an_unconfirmed_offer_may_be_gone_with_their_slots() -> None:
    published, _ = answered("chromium-offer-audio-video")
    session = make_session()
    session.apply_offer(vector("chromium-offer-recvonly"))
    sender = session.acquire_slot("video", "bob", "camera", published.receivers[1].codecs, "bob")
    session.create_answer()
    assert sender.active
    head, *lines = vector("chromium-offer-recvonly").split("m=")
    session.apply_offer("m=".join([head, *lines[: int(str(sender.mid))]]))
    session.create_answer()
    assert sender.stopped
    assert session.send_slots == []


def test_a_retransmitted_offer_does_not_show_that_its_answer_arrived() -> None:
    session, _ = answered("chromium-offer-audio-video")
    text = vector("chromium-offer-audio-video")
    offer = SessionDescription.parse(text)
    for _ in range(2):
        assert session.repeats(offer)
        session.apply_offer(offer)
        session.create_answer()
    reoffered(session, text)
    assert not session.repeats(offer)


def test_a_parsed_description_is_accepted_like_text() -> None:
    session = make_session()
    session.apply_offer(SessionDescription.parse(vector("chromium-offer-audio-video")))
    assert session.receivers


def test_calls_in_the_wrong_state_are_refused() -> None:
    session = make_session()
    with pytest.raises(WrongState):
        session.create_answer()
    with pytest.raises(WrongState):
        session.rollback()
    session.apply_offer(vector("chromium-offer-audio-video"))
    assert session.state is SignalingState.HAVE_REMOTE_OFFER
    for verb in (session.create_offer, session.rollback):
        with pytest.raises(WrongState):
            verb()
    with pytest.raises(WrongState, match="have-remote-offer"):
        session.apply_offer(vector("chromium-offer-audio-video"))
    session.create_answer()
    session.create_offer()
    for call in (session.apply_offer, session.restart_ice, session.create_offer):
        with pytest.raises(WrongState):
            call(*([] if call == session.create_offer else [vector("chromium-offer-audio-video")]))  # type: ignore


def test_fingerprints_of_several_hashes() -> None:
    session = make_session()
    text = vector("other-ndc-offer").replace("a=fingerprint", "a=fingerprint:sha-1 AA:BB\r\na=fingerprint")
    session.apply_offer(text)
    assert session.remote is not None
    assert session.remote.fingerprints[0] == Fingerprint("sha-1", "AA:BB")
    assert len(session.remote.fingerprints) == 2
