"""A track keeps its id for as long as can be: over a change of m-line and over a break of the connection."""

from support.conference import Guest, Hall


def call(hall: Hall) -> tuple[Guest, Guest]:
    """Alice publishes audio and video, Bob listens."""
    alice, bob = hall.enter("alice"), hall.enter("bob")
    alice.publish("audio", "video")
    hall.run(2.0)
    return alice, bob


def published(guest: Guest) -> list[str]:
    """The ids in a guest's own announcements."""
    return [track["trackId"] for track in guest.heard("track-published")]


def keep(hall: Hall, guest: Guest) -> None:
    """The WebSocket breaks, and the client is back at once."""
    hall.conference.suspend(guest.peer, hall.now)
    guest.join_again(keep=True)
    hall.settle()


def test_a_source_that_moves_to_another_line_is_the_same_track() -> None:
    hall = Hall()
    alice, bob = call(hall)
    (audio, video) = published(alice)
    camera = alice.browser.transceivers[1]
    camera.sends = False
    (again,) = alice.publish("video")
    assert published(alice) == [audio, video, video]
    assert alice.heard("track-published")[-1]["mid"] == again.mid
    assert alice.heard("track-unpublished") == bob.heard("track-unpublished") == []
    offers = len(bob.heard("offer"))
    hall.run(1.0)
    assert len(bob.heard("offer")) == offers
    bob.client.rtp.clear()
    alice.send_frames(again, 3)
    assert len(bob.received()) == 3


def test_another_source_on_another_line_is_another_track() -> None:
    hall = Hall()
    alice, bob = call(hall)
    ids = published(alice)
    alice.browser.transceivers[1].sends = False
    alice.publish("video", source="screen")  # which makes the audio that of the screen too
    assert [track["trackId"] for track in bob.heard("track-unpublished")] == ids
    assert not set(published(alice)[2:]) & set(ids)


def test_what_an_answer_gives_up_soon_after_a_resume_may_come_on_other_lines() -> None:
    """As when our answer got lost with the WebSocket: the client knows nothing of the lines that it offered."""
    hall = Hall()
    alice, bob = call(hall)
    ids = published(alice)
    keep(hall, alice)
    give_up_by_answer(hall, alice, bob)
    assert bob.heard("track-unpublished") == []
    assert all(track.mid is None for track in alice.peer.tracks.values())
    cameras = alice.publish("audio", "video")
    assert published(alice)[-2:] == ids
    hall.run(12.0)
    assert bob.heard("track-unpublished") == []
    bob.client.rtp.clear()
    alice.send_frames(cameras[1], 3)
    assert len(bob.received()) == 3


def test_what_an_answer_gives_up_later_has_ended() -> None:
    hall = Hall()
    alice, bob = call(hall)
    ids = published(alice)
    keep(hall, alice)
    hall.run(11.0)
    give_up_by_answer(hall, alice, bob)
    assert [track["trackId"] for track in bob.heard("track-unpublished")] == ids


def test_what_does_not_come_again_after_a_resume_ends() -> None:
    hall = Hall()
    alice, bob = call(hall)
    ids = published(alice)
    keep(hall, alice)
    hall.run(5.0)
    give_up_by_answer(hall, alice, bob)
    hall.run(6.0)
    assert [track["trackId"] for track in bob.heard("track-unpublished")] == ids
    assert alice.peer.tracks == {}
    assert bob.peer.connection.subscriptions == ()


def test_what_an_offer_gives_up_after_a_resume_has_ended() -> None:
    hall = Hall()
    alice, bob = call(hall)
    keep(hall, alice)
    alice.browser.transceivers[1].sends = False
    alice.offer()
    assert [track["trackId"] for track in bob.heard("track-unpublished")] == published(alice)[1:2]


def give_up_by_answer(hall: Hall, alice: Guest, bob: Guest) -> None:
    """Alice answers the server's next offer with all her own lines inactive."""
    for transceiver in alice.browser.transceivers:
        transceiver.sends = False
    bob.publish("audio")
    hall.run(0.5)
