"""A track keeps its id across a change of m-line and across a break of the connection."""

import json

from support.browser_model import CHROMIUM, Browser, Numbers
from support.pure_conference import PureClient, PureConference


def call(conference: PureConference) -> tuple[PureClient, PureClient]:
    """Alice publishes audio and video, and Bob receives them."""
    alice, bob = conference.enter("alice"), conference.enter("bob")
    alice.publish("audio", "video")
    conference.run(2.0)
    return alice, bob


def published(client: PureClient) -> list[str]:
    """Return the track ids that a client was told it publishes."""
    return [track["trackId"] for track in client.heard("track-published")]


def keep(conference: PureConference, client: PureClient) -> None:
    """Break the WebSocket, and resume at once."""
    conference.machine.suspend(client.peer, conference.now)
    client.join_again(keep=True)
    conference.deliver()


def test_a_source_that_moves_to_another_m_line_is_the_same_track() -> None:
    conference = PureConference()
    alice, bob = call(conference)
    (audio, video) = published(alice)
    camera = alice.browser.transceivers[1]
    camera.sends = False
    (again,) = alice.publish("video")
    assert published(alice) == [audio, video, video]
    assert alice.heard("track-published")[-1]["mid"] == again.mid
    assert alice.heard("track-unpublished") == bob.heard("track-unpublished") == []
    offers = len(bob.heard("offer"))
    conference.run(1.0)
    assert len(bob.heard("offer")) == offers
    bob.machine.rtp.clear()
    alice.send_frames(again, 3)
    assert len(bob.received()) == 3


def test_a_track_does_not_receive_the_media_of_another_that_took_its_m_line() -> None:
    conference = PureConference()
    alice, bob = conference.enter("alice"), conference.enter("bob")
    first, second = alice.publish("video", "video")
    alice.sources = {"0": "camera", "1": "screen"}
    alice.offer()
    conference.run(2.0)
    for line in (first, second):
        alice.send_frames(line, 2)
    second.sends = False
    alice.browser.add("video", receives=False)
    alice.sources = {"0": "screen", "2": "camera"}
    alice.offer()
    bob.machine.rtp.clear()
    alice.send_frames(first, 3)
    (screen,) = [track for track in alice.peer.tracks.values() if track.mid == "0"]
    assert [packet.ssrc for packet in bob.received()] == [screen.senders[0].ssrc] * 3


def only(*payload_types: int) -> Numbers:
    """A browser with only these video codecs."""
    lines = tuple(
        line for line in CHROMIUM.lines["video"] if any(f":{number} " in line for number in payload_types)
    )
    formats = CHROMIUM.formats | {"video": " ".join(map(str, payload_types))}
    return CHROMIUM._replace(formats=formats, lines=CHROMIUM.lines | {"video": lines})


VP8, VP9, VP9_KEY_FRAME = only(96, 97), only(98, 99), b"\x8a\x80\x01" + bytes(20)


def test_an_m_line_with_other_codecs_is_received_with_those() -> None:
    """As after `setCodecPreferences`. The track is the same."""
    conference = PureConference()
    alice, bob = conference.enter("alice", numbers=VP8), conference.enter("bob")
    (camera,) = alice.publish("video")
    conference.run(2.0)
    alice.send_frames(camera, 2)
    assert len(bob.received()) == 2
    alice.browser.numbers = VP9
    alice.offer()
    conference.run(0.1)
    bob.machine.rtp.clear()
    alice.send(camera, VP9_KEY_FRAME)
    assert [packet.payload for packet in bob.received()] == [VP9_KEY_FRAME]
    assert bob.heard("track-unpublished") == []


def test_an_m_line_with_fewer_codecs_for_a_while_causes_no_negotiation() -> None:
    conference = PureConference()
    alice, bob = call(conference)
    offers = len(bob.heard("offer"))
    for numbers in (VP8, CHROMIUM):
        alice.browser.numbers = numbers
        alice.offer()
        conference.run(1.0)
    assert len(bob.heard("offer")) == offers


def test_another_source_on_another_m_line_is_another_track() -> None:
    conference = PureConference()
    alice, bob = call(conference)
    ids = published(alice)
    alice.browser.transceivers[1].sends = False
    alice.publish("video", source="screen")  # which makes the audio that of the screen too
    assert [track["trackId"] for track in bob.heard("track-unpublished")] == ids
    assert not set(published(alice)[2:]) & set(ids)


def test_a_track_that_an_answer_stops_soon_after_a_resume_may_move_to_another_m_line() -> None:
    """As when our answer is lost with the WebSocket: the client has rolled back the m-lines that it offered."""
    conference = PureConference()
    alice, bob = call(conference)
    ids = published(alice)
    keep(conference, alice)
    give_up_by_answer(conference, alice, bob)
    assert bob.heard("track-unpublished") == []
    assert all(track.mid is None for track in alice.peer.tracks.values())
    cameras = alice.publish("audio", "video")
    assert published(alice)[-2:] == ids
    conference.run(12.0)
    assert bob.heard("track-unpublished") == []
    bob.machine.rtp.clear()
    alice.send_frames(cameras[1], 3)
    assert len(bob.received()) == 3


def test_a_track_that_an_answer_stops_later_has_ended() -> None:
    conference = PureConference()
    alice, bob = call(conference)
    ids = published(alice)
    keep(conference, alice)
    conference.run(11.0)
    give_up_by_answer(conference, alice, bob)
    assert [track["trackId"] for track in bob.heard("track-unpublished")] == ids


def test_a_track_that_is_not_published_after_a_resume_ends() -> None:
    conference = PureConference()
    alice, bob = call(conference)
    ids = published(alice)
    keep(conference, alice)
    conference.run(5.0)
    give_up_by_answer(conference, alice, bob)
    conference.run(6.0)
    assert [track["trackId"] for track in bob.heard("track-unpublished")] == ids
    assert alice.peer.tracks == {}
    assert bob.peer.connection.subscriptions == ()


def test_a_track_that_an_offer_stops_after_a_resume_has_ended() -> None:
    conference = PureConference()
    alice, bob = call(conference)
    keep(conference, alice)
    alice.browser.transceivers[1].sends = False
    alice.offer()
    assert [track["trackId"] for track in bob.heard("track-unpublished")] == published(alice)[1:2]


def give_up_by_answer(conference: PureConference, alice: PureClient, bob: PureClient) -> None:
    """Alice answers the server's next offer with all her own m-lines inactive."""
    for transceiver in alice.browser.transceivers:
        transceiver.sends = False
    bob.publish("audio")
    conference.run(0.5)


def test_a_reused_mid_with_another_kind_is_another_track() -> None:
    """As may happen when the answer to an offer is lost. Receivers must not get the wrong kind."""
    conference = PureConference()
    alice, bob = conference.enter("alice"), conference.enter("bob")
    before = Browser()
    before.add("audio", receives=False)
    before.offer()
    before.rollback()
    text = json.dumps({"type": "offer", "data": {"sdp": alice.own(before.offer()), "type": "offer"}})
    conference.machine.receive_message(alice.peer, text, conference.now)
    alice.peer.take_messages()  # lost
    conference.deliver()
    [(microphone, track)] = alice.peer.tracks.items()
    assert track.mid == "1"
    _, video = alice.publish("audio", "video")
    assert {track.mid: track.kind for track in alice.peer.tracks.values()} == {"0": "audio", "1": "video"}
    assert alice.peer.tracks[microphone].mid == "0"
    conference.run(2.0)
    alice.send_frames(video, 2)
    assert {line.kind for line in bob.browser.lines if line.track} == {"audio", "video"}
    assert len(bob.machine.rtp) == 2
    assert bob.peer.ended is None
