"""A client's RTCPeerConnection ends while its session goes on: closed by the page, or failed."""

import pytest
from support.pure_conference import PureClient, PureConference

from sfu.conference.limits import Limits
from sfu.conference.negotiation import ANSWER_TIMEOUT
from sfu.conference.publications import RECLAIM_TIMEOUT


def call(conference: PureConference) -> tuple[PureClient, PureClient]:
    """Alice and Bob publish a video each, and receive each other's."""
    alice, bob = conference.enter("alice"), conference.enter("bob")
    for client in (alice, bob):
        client.publish("video")
    conference.run(2.0)
    for client in (alice, bob):
        client.send_frames(client.browser.transceivers[0], 2)
    return alice, bob


def close(conference: PureConference, client: PureClient) -> None:
    """Do what RTCPeerConnection.close() does: close DTLS. The WebSocket stays open."""
    client.machine.close(conference.now)
    conference.deliver()
    assert client.peer.ended is None


def come_back(conference: PureConference, client: PureClient, transport: str) -> None:
    """Resume the session, with another RTCPeerConnection if the server asks for one."""
    client.join_again(keep=transport == "keep")
    client.renew()
    conference.deliver()


def test_tracks_end_unless_they_are_published_again_soon() -> None:
    conference = PureConference()
    alice, bob = call(conference)
    (track,) = bob.peer.tracks
    close(conference, bob)
    conference.run(RECLAIM_TIMEOUT - 0.1)
    assert alice.heard("track-unpublished") == []
    conference.run(0.2)
    assert [told["trackId"] for told in alice.heard("track-unpublished")] == [track]
    assert [told["trackId"] for told in bob.heard("track-unpublished")] == [track]
    assert alice.peer.connection.subscriptions == ()
    conference.leave(bob)
    assert alice.heard("peer-left")


@pytest.mark.parametrize("transport", ["new", "keep"])
def test_a_client_with_a_new_connection_keeps_its_tracks(transport: str) -> None:
    """There is no connection to keep, even if the client asks to keep it."""
    conference = PureConference()
    alice, bob = call(conference)
    (track,) = bob.peer.tracks
    close(conference, bob)
    conference.run(5.0)
    come_back(conference, bob, transport)
    assert bob.heard("join")[-1]["transport"] == "new"
    (camera,) = bob.publish("video")
    conference.run(RECLAIM_TIMEOUT + 1)
    assert bob.heard("track-published")[-1]["trackId"] == track
    assert alice.heard("track-unpublished") == []
    for sender, receiver, line in ((alice, bob, alice.browser.transceivers[0]), (bob, alice, camera)):
        receiver.machine.rtp.clear()
        sender.send_frames(line, 3)
        assert len(receiver.received()) == 3


def test_nothing_is_forwarded_or_offered_on_an_ended_connection() -> None:
    conference = PureConference()
    alice, bob = call(conference)
    (track,) = alice.peer.tracks.values()
    offers = len(bob.heard("offer"))
    close(conference, bob)
    assert track.senders == []
    assert bob.peer.connection.subscriptions == ()
    alice.publish("audio")
    conference.run(ANSWER_TIMEOUT + 1)
    assert len(bob.heard("offer")) == offers
    # It is told of the room as before, and its preferences are kept.
    assert len(bob.heard("track-published")) == 3
    bob.say("unsubscribe", trackId=track.id, peerId=alice.peer.id)
    assert bob.heard("subscription-ack")[-1]["success"]
    come_back(conference, bob, "new")
    conference.run(2.0)
    assert [line.track.split()[1] for line in bob.browser.lines if line.track] == [
        one for one in alice.peer.tracks if one != track.id
    ]


@pytest.mark.parametrize("message", ["offer", "answer", "ice-restart-request"])
def test_negotiation_on_an_ended_connection_is_refused(message: str) -> None:
    conference = PureConference()
    _alice, bob = call(conference)
    close(conference, bob)
    before = len(bob.messages)
    data = {} if message == "ice-restart-request" else {"sdp": bob.own(bob.browser.offer())}
    bob.say(message, **data)
    (answer,) = bob.messages[before:]
    assert (answer["type"], answer["data"]["code"], answer["data"]["type"]) == ("error", 409, message)
    bob.say("ice-candidate", candidate="candidate:1 1 udp 1 192.0.2.7 5000 typ host")
    conference.run(ANSWER_TIMEOUT + 1)
    assert len(bob.heard("error")) == 1


def test_a_pending_ice_restart_is_dropped_when_the_connection_ends() -> None:
    conference = PureConference()
    alice, bob = call(conference)
    bob.answers = False
    alice.publish("audio")
    bob.say("ice-restart-request")
    close(conference, bob)
    conference.run(ANSWER_TIMEOUT + 1)
    assert bob.heard("ice-restart-offer") == []
    assert bob.peer.next_timeout() is None


def test_tracks_of_a_disconnected_client_last_as_long_as_its_session() -> None:
    """As at a reload: the page closes DTLS, then its WebSocket, and then opens the next one."""
    conference = PureConference(Limits(session_ttl=30.0))
    alice, bob = call(conference)
    (track,) = bob.peer.tracks
    close(conference, bob)
    conference.run(1.0)
    conference.machine.suspend(bob.peer, conference.now)
    conference.run(25.0)
    assert alice.heard("track-unpublished") == []
    come_back(conference, bob, "new")
    conference.run(1.0)
    conference.machine.suspend(bob.peer, conference.now)  # once more, before it has published anything
    conference.run(25.0)
    come_back(conference, bob, "new")
    bob.publish("video")
    conference.run(RECLAIM_TIMEOUT + 1)
    assert bob.heard("track-published")[-1]["trackId"] == track
    assert alice.heard("track-unpublished") == []


def test_a_connection_that_ends_while_its_client_is_disconnected_starts_no_timer() -> None:
    conference = PureConference(Limits(session_ttl=30.0))
    alice, bob = call(conference)
    conference.machine.suspend(bob.peer, conference.now)
    close(conference, bob)
    conference.run(RECLAIM_TIMEOUT + 5)
    assert alice.heard("track-unpublished") == []
    come_back(conference, bob, "keep")
    conference.run(RECLAIM_TIMEOUT + 1)
    assert len(alice.heard("track-unpublished")) == 1


def test_counts_of_an_ended_connection_are_added_once() -> None:
    conference = PureConference()
    _alice, bob = call(conference)
    close(conference, bob)
    counted = conference.machine.totals.received.packets
    assert counted == 2
    conference.leave(bob)
    assert conference.machine.totals.received.packets == counted
