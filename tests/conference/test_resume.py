"""Sessions in a room: suspended, resumed on the old connection or on a new one, expired."""

import pytest
from support.browser_model import Browser
from support.client import ScriptedClient
from support.media import KEY_FRAME
from support.pure_conference import PureClient, PureConference

from sfu.conference.errors import BadRequest
from sfu.conference.limits import Limits
from sfu.conference.messages import Join
from sfu.ice.events import IceState


def call(hall: PureConference, *users: str) -> tuple[PureClient, ...]:
    """Guests that publish a video each, all connected, with media under way."""
    guests = tuple(hall.enter(user) for user in users)
    for guest in guests:
        guest.publish("video")
    hall.run(1.0)
    for guest in guests:
        guest.send_frames(guest.browser.transceivers[0], 2)
    return guests


def come_back(hall: PureConference, guest: PureClient, transport: str = "keep", **changes: str) -> PureClient:
    """Join with what the guest was last told of its session; return who it is now."""
    told = guest.heard("join")[-1]
    fields = {
        "room_id": "room",
        "user_id": guest.peer.user_id,
        "session_id": told["sessionId"],
        "session_token": told["sessionToken"],
    } | changes
    peer = hall.conference.join(Join(transport=transport, **fields), hall.now)  # type: ignore[arg-type]
    if peer is not guest.peer:
        newcomer = PureClient(hall, peer, guest.browser.numbers, guest.client.certificate)
        hall.guests.append(newcomer)
        hall.settle()
        return newcomer
    hall.settle()
    return guest


def reload(hall: PureConference, guest: PureClient) -> None:
    """The guest's page is new: no RTCPeerConnection any more."""
    guest.browser = Browser(numbers=guest.browser.numbers)
    guest.client = ScriptedClient(random=hall.random, now=hall.now, certificate=guest.client.certificate)
    guest.forget_remote()


def test_while_suspended_media_flows_both_ways_and_others_are_told() -> None:
    hall = PureConference()
    alice, bob = call(hall, "alice", "bob")
    hall.conference.suspend(bob.peer, hall.now)
    hall.settle()
    assert alice.heard("peer-suspended") == [{"peerId": bob.peer.id, "userId": "bob", "name": "Bob"}]
    for sender, receiver in ((alice, bob), (bob, alice)):
        receiver.client.rtp.clear()
        sender.send_frames(sender.browser.transceivers[0], 10)
        assert len(receiver.received()) == 10
    carol = hall.enter("carol")
    assert {info["userId"]: info["suspended"] for info in carol.heard("room-state")[0]["peers"]} == {
        "alice": False,
        "bob": True,
    }


def test_an_offer_that_nobody_is_there_for_is_no_reason_to_wake_up() -> None:
    hall = PureConference()
    call(hall, "alice")
    bob = hall.enter("bob")
    bob.say("ping")
    # The first offer is held back for a moment, and bob leaves in that moment.
    hall.conference.suspend(bob.peer, hall.now)
    hall.run(5.0)
    assert bob.heard("offer") == []
    assert bob.peer.next_timeout() == bob.peer.session.deadline
    assert come_back(hall, bob) is bob
    hall.run(2.0)
    assert len(bob.heard("offer")) == 1


def test_a_resume_that_keeps_the_transport_negotiates_nothing() -> None:
    hall = PureConference()
    alice, bob = call(hall, "alice", "bob")
    hall.conference.suspend(bob.peer, hall.now)
    hall.run(5.0)
    before = (len(bob.heard("offer")), len(bob.heard("answer")))
    token = bob.heard("join")[-1]["sessionToken"]
    assert come_back(hall, bob) is bob
    joined = bob.heard("join")[-1]
    assert (joined["resumed"], joined["transport"], joined["peerId"]) == (True, "keep", bob.peer.id)
    assert joined["sessionToken"] != token
    assert alice.heard("peer-resumed") == [{"peerId": bob.peer.id, "userId": "bob", "name": "Bob"}]
    assert [info["userId"] for info in bob.heard("room-state")[-1]["peers"]] == ["alice"]
    hall.run(2.0)
    assert (len(bob.heard("offer")), len(bob.heard("answer"))) == before
    bob.client.rtp.clear()
    alice.send_frames(alice.browser.transceivers[0], 3)
    assert len(bob.received()) == 3


def test_what_happened_meanwhile_is_offered_at_the_resume() -> None:
    hall = PureConference()
    alice, bob = call(hall, "alice", "bob")
    hall.conference.suspend(bob.peer, hall.now)
    hall.settle()
    alice.publish("audio")
    hall.run(1.0)
    assert not bob.heard("track-published")[2:]
    come_back(hall, bob)
    hall.run(1.0)
    assert sum(1 for line in bob.browser.lines if line.track) == 2


def test_an_offer_that_was_lost_with_the_connection_is_made_again() -> None:
    hall = PureConference()
    alice, bob = call(hall, "alice", "bob")
    bob.answers = False
    alice.publish("audio")
    hall.conference.suspend(bob.peer, hall.now)
    hall.settle()
    bob.answers = True
    come_back(hall, bob)
    hall.run(0.1)
    assert sum(1 for line in bob.browser.lines if line.track) == 2


def test_a_new_transport_brings_back_tracks_and_subscriptions() -> None:
    hall = PureConference()
    alice, bob = call(hall, "alice", "bob")
    (track,) = bob.peer.tracks
    offers = len(alice.heard("offer"))
    hall.conference.suspend(bob.peer, hall.now)
    hall.settle()
    old = bob.peer.connection
    reload(hall, bob)
    come_back(hall, bob, "new")
    assert old.transport.ended
    joined = bob.heard("join")[-1]
    assert (joined["resumed"], joined["transport"]) == (True, "new")
    bob.publish("video")
    hall.run(2.0)
    assert bob.client.connected
    # The track keeps its id, and for alice nothing has to be negotiated.
    assert bob.heard("track-published")[-1]["trackId"] == track
    assert not alice.heard("track-unpublished")
    assert len(alice.heard("offer")) == offers
    for sender, receiver in ((alice, bob), (bob, alice)):
        receiver.client.rtp.clear()
        sender.send_frames(sender.browser.transceivers[0], 3)
        assert len(receiver.received()) == 3
        assert receiver.received()[0].payload == KEY_FRAME


def test_the_stream_that_others_see_goes_on_without_a_break_in_its_numbers() -> None:
    hall = PureConference()
    alice, bob = call(hall, "alice", "bob")
    hall.conference.suspend(bob.peer, hall.now)
    reload(hall, bob)
    come_back(hall, bob, "new")
    bob.publish("video")
    hall.run(2.0)
    last = alice.received()[-1]
    bob.send_frames(bob.browser.transceivers[0], 1)
    first = alice.received()[-1]
    assert first.ssrc == last.ssrc
    assert (first.sequence_number - last.sequence_number) & 0xFFFF == 1


def test_a_track_that_is_not_published_again_ends() -> None:
    hall = PureConference()
    alice, bob = call(hall, "alice", "bob")
    hall.conference.suspend(bob.peer, hall.now)
    reload(hall, bob)
    come_back(hall, bob, "new")
    hall.run(9.0)
    assert not alice.heard("track-unpublished")
    hall.run(2.0)
    assert alice.heard("track-unpublished")


def test_a_session_that_does_not_come_back_expires() -> None:
    hall = PureConference(Limits(session_ttl=30))
    alice, bob = call(hall, "alice", "bob")
    hall.conference.suspend(bob.peer, hall.now)
    hall.run(29.0)
    assert bob.peer.ended is None
    hall.run(2.0)
    assert bob.peer.ended == "expired"
    assert alice.heard("peer-left")
    again = come_back(hall, bob)
    assert again.peer is not bob.peer
    assert again.heard("join")[0]["resumed"] is False


def test_a_client_may_resume_before_the_server_has_missed_it() -> None:
    hall = PureConference()
    alice, bob = call(hall, "alice", "bob")
    assert come_back(hall, bob) is bob
    assert not alice.heard("peer-suspended")
    assert not alice.heard("peer-resumed")


@pytest.mark.parametrize(
    "changes",
    [
        {"session_token": "0" * 64},
        {"session_token": ""},
        {"session_id": "0" * 32},
        {"session_id": ""},
        {"room_id": "another"},
        {"user_id": "mallory"},
    ],
)
def test_what_does_not_prove_the_session_is_a_fresh_join_and_no_takeover(changes: dict[str, str]) -> None:
    hall = PureConference()
    _alice, bob = call(hall, "alice", "bob")
    hall.conference.suspend(bob.peer, hall.now)
    newcomer = come_back(hall, bob, **({"user_id": "mallory"} | changes))
    joined = newcomer.heard("join")[0]
    assert joined["resumed"] is False
    assert joined["peerId"] != bob.peer.id
    assert joined["sessionId"] != bob.peer.session.id
    assert bob.peer.ended is None
    assert hall.conference.statistics().failed_resumes == 1
    # Who holds the real token is not hurt.
    assert come_back(hall, bob) is bob


def test_one_token_used_by_two_clients_leaves_one_of_them() -> None:
    hall = PureConference()
    _alice, bob = call(hall, "alice", "bob")
    told = bob.heard("join")[-1]
    hall.conference.suspend(bob.peer, hall.now)
    come_back(hall, bob)
    bob.say("ping")  # the reply arrived
    thief = come_back(
        hall, bob, session_id=told["sessionId"], session_token=told["sessionToken"], user_id="bob2"
    )
    assert thief.peer is not bob.peer
    assert bob.peer.ended is None


def test_a_network_change_restarts_ice_and_media_goes_on_meanwhile() -> None:
    hall = PureConference()
    alice, bob = call(hall, "alice", "bob")
    ufrags = bob.peer.ufrags()
    bob.answers = False
    bob.say("ice-restart-request")
    (offer,) = bob.heard("ice-restart-offer")
    assert len(bob.peer.ufrags()) == len(ufrags) + 1
    bob.client.rtp.clear()
    alice.send_frames(alice.browser.transceivers[0], 3)
    assert len(bob.received()) == 3
    bob.client.restart_ice()
    bob.say("answer", sdp=bob.own(bob.browser.answer(offer["sdp"])), type="answer")
    bob.connect(offer["sdp"])
    hall.run(1.0)
    assert not set(bob.peer.ufrags()) & set(ufrags)
    before = bob.received()[-1]
    alice.send_frames(alice.browser.transceivers[0], 3, key_frame=False)
    after = bob.received()[-3]
    assert (after.ssrc, after.sequence_number) == (before.ssrc, before.sequence_number + 1)


def test_lost_consent_restarts_ice_while_signaling_lives() -> None:
    hall = PureConference()
    _alice, bob = call(hall, "alice", "bob")
    bob.client.stop_checking()
    hall.run(40.0)
    assert bob.peer.ended is None
    assert bob.heard("ice-restart-offer")


def test_consent_that_was_lost_while_the_client_was_away_restarts_ice_when_it_is_back() -> None:
    hall = PureConference(Limits(session_ttl=300))
    alice, bob = call(hall, "alice", "bob")
    hall.conference.suspend(bob.peer, hall.now)
    bob.client.stop_checking()
    hall.run(40.0)
    assert bob.peer.connection.transport.state is IceState.FAILED
    bob.client.restart_ice()
    come_back(hall, bob)
    assert bob.heard("join")[-1]["transport"] == "keep"
    hall.run(1.0)
    assert len(bob.heard("ice-restart-offer")) == 1
    bob.client.rtp.clear()
    alice.send_frames(alice.browser.transceivers[0], 3)
    assert len(bob.received()) == 3


def test_a_name_may_change_at_a_resume_and_is_as_long_as_at_a_join() -> None:
    hall = PureConference(Limits(max_id_length=10))
    alice, bob = call(hall, "alice", "bob")
    hall.conference.suspend(bob.peer, hall.now)
    with pytest.raises(BadRequest):
        come_back(hall, bob, name="B" * 11)
    assert bob.peer.suspended
    come_back(hall, bob, name="Robert")
    assert alice.heard("peer-resumed")[-1]["name"] == "Robert"
    assert hall.conference.statistics().failed_resumes == 0
