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


def call(conference: PureConference, *users: str) -> tuple[PureClient, ...]:
    """Clients that publish a video each, all connected and receiving media."""
    clients = tuple(conference.enter(user) for user in users)
    for client in clients:
        client.publish("video")
    conference.run(1.0)
    for client in clients:
        client.send_frames(client.browser.transceivers[0], 2)
    return clients


def come_back(
    conference: PureConference, client: PureClient, transport: str = "keep", **changes: str
) -> PureClient:
    """Join with the client's last session token; return the client that it is now."""
    told = client.heard("join")[-1]
    fields = {
        "room_id": "room",
        "user_id": client.peer.user_id,
        "session_id": told["sessionId"],
        "session_token": told["sessionToken"],
    } | changes
    peer = conference.join(Join(transport=transport, **fields))  # type: ignore[arg-type]
    if peer is not client.peer:
        newcomer = PureClient(conference, peer, client.browser.numbers, client.machine.certificate)
        conference.clients.append(newcomer)
        conference.deliver()
        return newcomer
    conference.deliver()
    return client


def reload(conference: PureConference, client: PureClient) -> None:
    """Reload the client's page: its RTCPeerConnection is gone."""
    client.browser = Browser(numbers=client.browser.numbers)
    client.machine = ScriptedClient(
        random=conference.random, now=conference.now, certificate=client.machine.certificate
    )
    client.forget_remote()


def test_while_suspended_media_flows_both_ways_and_others_are_told() -> None:
    conference = PureConference()
    alice, bob = call(conference, "alice", "bob")
    conference.machine.suspend(bob.peer, conference.now)
    conference.deliver()
    assert alice.heard("peer-suspended") == [{"peerId": bob.peer.id, "userId": "bob", "name": "Bob"}]
    for sender, receiver in ((alice, bob), (bob, alice)):
        receiver.machine.rtp.clear()
        sender.send_frames(sender.browser.transceivers[0], 10)
        assert len(receiver.received()) == 10
    carol = conference.enter("carol")
    assert {info["userId"]: info["suspended"] for info in carol.heard("room-state")[0]["peers"]} == {
        "alice": False,
        "bob": True,
    }


def test_a_suspended_peer_has_no_negotiation_deadline() -> None:
    conference = PureConference()
    call(conference, "alice")
    bob = conference.enter("bob")
    bob.say("ping")
    # The first offer is held back for a moment, and bob leaves in that moment.
    conference.machine.suspend(bob.peer, conference.now)
    conference.run(5.0)
    assert bob.heard("offer") == []
    assert bob.peer.next_timeout() == bob.peer.session.deadline
    assert come_back(conference, bob) is bob
    conference.run(2.0)
    assert len(bob.heard("offer")) == 1


def test_a_resume_that_keeps_the_transport_negotiates_nothing() -> None:
    conference = PureConference()
    alice, bob = call(conference, "alice", "bob")
    conference.machine.suspend(bob.peer, conference.now)
    conference.run(5.0)
    before = (len(bob.heard("offer")), len(bob.heard("answer")))
    token = bob.heard("join")[-1]["sessionToken"]
    assert come_back(conference, bob) is bob
    joined = bob.heard("join")[-1]
    assert (joined["resumed"], joined["transport"], joined["peerId"]) == (True, "keep", bob.peer.id)
    assert joined["sessionToken"] != token
    assert alice.heard("peer-resumed") == [{"peerId": bob.peer.id, "userId": "bob", "name": "Bob"}]
    assert [info["userId"] for info in bob.heard("room-state")[-1]["peers"]] == ["alice"]
    conference.run(2.0)
    assert (len(bob.heard("offer")), len(bob.heard("answer"))) == before
    bob.machine.rtp.clear()
    alice.send_frames(alice.browser.transceivers[0], 3)
    assert len(bob.received()) == 3


def test_changes_made_meanwhile_are_offered_at_the_resume() -> None:
    conference = PureConference()
    alice, bob = call(conference, "alice", "bob")
    conference.machine.suspend(bob.peer, conference.now)
    conference.deliver()
    alice.publish("audio")
    conference.run(1.0)
    assert not bob.heard("track-published")[2:]
    come_back(conference, bob)
    conference.run(1.0)
    assert sum(1 for line in bob.browser.lines if line.track) == 2


def test_an_offer_lost_with_the_websocket_is_made_again() -> None:
    conference = PureConference()
    alice, bob = call(conference, "alice", "bob")
    bob.answers = False
    alice.publish("audio")
    conference.machine.suspend(bob.peer, conference.now)
    conference.deliver()
    bob.answers = True
    come_back(conference, bob)
    conference.run(0.1)
    assert sum(1 for line in bob.browser.lines if line.track) == 2


def test_a_new_transport_brings_back_tracks_and_subscriptions() -> None:
    conference = PureConference()
    alice, bob = call(conference, "alice", "bob")
    (track,) = bob.peer.tracks
    offers = len(alice.heard("offer"))
    conference.machine.suspend(bob.peer, conference.now)
    conference.deliver()
    old = bob.peer.connection
    reload(conference, bob)
    come_back(conference, bob, "new")
    assert old.transport.ended
    joined = bob.heard("join")[-1]
    assert (joined["resumed"], joined["transport"]) == (True, "new")
    bob.publish("video")
    conference.run(2.0)
    assert bob.machine.connected
    # The track keeps its id, and for alice nothing has to be negotiated.
    assert bob.heard("track-published")[-1]["trackId"] == track
    assert not alice.heard("track-unpublished")
    assert len(alice.heard("offer")) == offers
    for sender, receiver in ((alice, bob), (bob, alice)):
        receiver.machine.rtp.clear()
        sender.send_frames(sender.browser.transceivers[0], 3)
        assert len(receiver.received()) == 3
        assert receiver.received()[0].payload == KEY_FRAME


def test_the_forwarded_stream_goes_on_without_a_gap_in_its_sequence_numbers() -> None:
    conference = PureConference()
    alice, bob = call(conference, "alice", "bob")
    conference.machine.suspend(bob.peer, conference.now)
    reload(conference, bob)
    come_back(conference, bob, "new")
    bob.publish("video")
    conference.run(2.0)
    last = alice.received()[-1]
    bob.send_frames(bob.browser.transceivers[0], 1)
    first = alice.received()[-1]
    assert first.ssrc == last.ssrc
    assert (first.sequence_number - last.sequence_number) & 0xFFFF == 1


def test_a_track_that_is_not_published_again_ends() -> None:
    conference = PureConference()
    alice, bob = call(conference, "alice", "bob")
    conference.machine.suspend(bob.peer, conference.now)
    reload(conference, bob)
    come_back(conference, bob, "new")
    conference.run(9.0)
    assert not alice.heard("track-unpublished")
    conference.run(2.0)
    assert alice.heard("track-unpublished")


def test_a_session_that_is_not_resumed_expires() -> None:
    conference = PureConference(Limits(session_ttl=30))
    alice, bob = call(conference, "alice", "bob")
    conference.machine.suspend(bob.peer, conference.now)
    conference.run(29.0)
    assert bob.peer.ended is None
    conference.run(2.0)
    assert bob.peer.ended == "expired"
    assert alice.heard("peer-left")
    again = come_back(conference, bob)
    assert again.peer is not bob.peer
    assert again.heard("join")[0]["resumed"] is False


def test_a_client_may_resume_before_the_server_notices_the_loss() -> None:
    conference = PureConference()
    alice, bob = call(conference, "alice", "bob")
    assert come_back(conference, bob) is bob
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
def test_a_join_that_does_not_prove_the_session_is_a_fresh_join(changes: dict[str, str]) -> None:
    conference = PureConference()
    _alice, bob = call(conference, "alice", "bob")
    conference.machine.suspend(bob.peer, conference.now)
    newcomer = come_back(conference, bob, **({"user_id": "mallory"} | changes))
    joined = newcomer.heard("join")[0]
    assert joined["resumed"] is False
    assert joined["peerId"] != bob.peer.id
    assert joined["sessionId"] != bob.peer.session.id
    assert bob.peer.ended is None
    assert conference.machine.statistics().failed_resumes == 1
    # The holder of the real token is not affected.
    assert come_back(conference, bob) is bob


def test_if_two_clients_use_one_token_one_of_them_remains() -> None:
    conference = PureConference()
    _alice, bob = call(conference, "alice", "bob")
    told = bob.heard("join")[-1]
    conference.machine.suspend(bob.peer, conference.now)
    come_back(conference, bob)
    bob.say("ping")  # the reply arrived
    thief = come_back(
        conference, bob, session_id=told["sessionId"], session_token=told["sessionToken"], user_id="bob2"
    )
    assert thief.peer is not bob.peer
    assert bob.peer.ended is None


def test_a_network_change_restarts_ice_and_media_goes_on_meanwhile() -> None:
    conference = PureConference()
    alice, bob = call(conference, "alice", "bob")
    ufrags = bob.peer.connection.transport.ufrags()
    bob.answers = False
    bob.say("ice-restart-request")
    (offer,) = bob.heard("ice-restart-offer")
    assert len(bob.peer.connection.transport.ufrags()) == len(ufrags) + 1
    bob.machine.rtp.clear()
    alice.send_frames(alice.browser.transceivers[0], 3)
    assert len(bob.received()) == 3
    bob.machine.restart_ice()
    bob.say("answer", sdp=bob.own(bob.browser.answer(offer["sdp"])), type="answer")
    bob.connect(offer["sdp"])
    conference.run(1.0)
    assert not set(bob.peer.connection.transport.ufrags()) & set(ufrags)
    before = bob.received()[-1]
    alice.send_frames(alice.browser.transceivers[0], 3, key_frame=False)
    after = bob.received()[-3]
    assert (after.ssrc, after.sequence_number) == (before.ssrc, before.sequence_number + 1)


def test_lost_consent_restarts_ice_while_the_client_is_connected() -> None:
    conference = PureConference()
    _alice, bob = call(conference, "alice", "bob")
    bob.machine.stop_checking()
    conference.run(40.0)
    assert bob.peer.ended is None
    assert bob.heard("ice-restart-offer")


def test_consent_lost_while_the_client_was_disconnected_restarts_ice_at_the_resume() -> None:
    conference = PureConference(Limits(session_ttl=300))
    alice, bob = call(conference, "alice", "bob")
    conference.machine.suspend(bob.peer, conference.now)
    bob.machine.stop_checking()
    conference.run(40.0)
    assert bob.peer.connection.transport.state is IceState.FAILED
    bob.machine.restart_ice()
    come_back(conference, bob)
    assert bob.heard("join")[-1]["transport"] == "keep"
    conference.run(1.0)
    assert len(bob.heard("ice-restart-offer")) == 1
    bob.machine.rtp.clear()
    alice.send_frames(alice.browser.transceivers[0], 3)
    assert len(bob.received()) == 3


def test_a_name_may_change_at_a_resume_and_has_the_same_limit() -> None:
    conference = PureConference(Limits(max_id_length=10))
    alice, bob = call(conference, "alice", "bob")
    conference.machine.suspend(bob.peer, conference.now)
    with pytest.raises(BadRequest):
        come_back(conference, bob, name="B" * 11)
    assert bob.peer.suspended
    come_back(conference, bob, name="Robert")
    assert alice.heard("peer-resumed")[-1]["name"] == "Robert"
    assert conference.machine.statistics().failed_resumes == 0
