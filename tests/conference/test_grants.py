"""What grants allow, also where a track does not come by an offer."""

import pytest
from support.pure_conference import PureConference

from sfu.conference.grants import Grants

SCREEN = Grants(frozenset({"screen"}))


def test_a_track_is_a_screen_if_the_client_says_so() -> None:
    assert SCREEN.may_publish("video", "screen")
    assert SCREEN.may_publish("audio", "screen")
    assert not SCREEN.may_publish("video", "camera")
    assert not SCREEN.may_publish("audio", "mic")


def test_an_offer_need_not_repeat_a_known_source() -> None:
    conference = PureConference()
    alice = conference.enter("alice")
    alice.peer.grants = SCREEN
    alice.publish("video", source="screen")
    alice.sources.clear()
    alice.offer()
    assert not alice.heard("error")
    assert [track.source for track in alice.peer.tracks.values()] == ["screen"]


@pytest.mark.parametrize("stops_by_answer", [True, False])
def test_an_answer_publishes_no_new_track(*, stops_by_answer: bool) -> None:
    """Grants are checked at offers, so nothing can be published in another way."""
    conference = PureConference()
    alice, bob = conference.enter("alice"), conference.enter("bob")
    (video,) = alice.publish("video")
    conference.run(1.0)
    video.sends = False
    if stops_by_answer:
        bob.publish("audio")
        conference.run(1.0)
    else:
        alice.offer()
    assert not alice.peer.tracks
    video.sends = True
    answers = alice.peer.connection.statistics().negotiation.offers_sent
    bob.publish("video")
    conference.run(1.0)
    assert alice.peer.connection.statistics().negotiation.offers_sent > answers
    assert not alice.peer.tracks
