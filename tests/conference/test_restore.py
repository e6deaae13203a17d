"""Sessions of another server, or from before a restart: restored, resumed, claimed, handed over."""

from dataclasses import replace
from random import Random
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.browser_model import CHROMIUM
from support.pure_conference import PureClient, PureConference
from support.sessions import accepts

from sfu.conference.grants import Grants
from sfu.conference.limits import Limits
from sfu.conference.messages import Join, Joined
from sfu.conference.peer import Peer
from sfu.conference.records import Proof, SessionRecord, SubscriptionRecord, resume_record
from sfu.conference.session import Departure, SessionState, hash_of

TTL = 30.0


def call(conference: PureConference, *users: str) -> list[PureClient]:
    """Clients that publish audio and video each."""
    clients = [conference.enter(user) for user in users]
    for client in clients:
        client.publish("audio", "video")
    conference.run(1.0)
    return clients


def next_incarnation(records: list[SessionRecord], **options: Any) -> tuple[PureConference, list[Peer | None]]:
    """A server that has just started, and the peer that each record was restored as."""
    conference = PureConference(seed=2, **options)
    now = conference.now
    return conference, [conference.machine.admission.restore(record, now + TTL, now) for record in records]


def request_of(record: SessionRecord, token: str, transport: Literal["new", "keep"] = "new") -> Join:
    """Return the join that resumes a session."""
    return Join(
        room_id=record.room_id,
        user_id=record.user_id,
        session_id=record.session_id,
        session_token=token,
        transport=transport,
    )


def come_back(
    conference: PureConference,
    client: PureClient,
    claimed: SessionRecord | None = None,
    transport: Literal["new", "keep"] = "new",
) -> PureClient:
    """Resume the session of a client from before a restart, with a new page."""
    token = client.heard("join")[-1]["sessionToken"]
    request = request_of(client.peer.record(), token, transport)
    proof = Proof.of_claimed(claimed, "following") if claimed else conference.machine.admission.prove(request)
    peer = conference.machine.admission.join(request, proof, conference.now)
    back = PureClient(conference, peer, CHROMIUM, None)
    conference.clients.append(back)
    conference.deliver()
    return back


def claim(conference: PureConference, record: SessionRecord, transport: Literal["new", "keep"] = "new") -> None:
    """A client resumes a session that was claimed from the store."""
    proof = Proof.of_claimed(record, "following")
    conference.machine.admission.join(request_of(record, "", transport), proof, conference.now)


def published(client: PureClient) -> dict[str, str]:
    """Return the sources, by track id, of the tracks that a client was told it publishes."""
    return {track["trackId"]: track["source"] for track in client.heard("track-published") if "mid" in track}


def test_a_restart_restores_peers_tracks_and_subscriptions() -> None:
    before = PureConference()
    alice, bob = call(before, "alice", "bob")
    alice.say("media-state", micEnabled=True, cameraEnabled=True, screenEnabled=False)
    (audio, video) = published(bob)
    alice.say("layer-switch", trackId=video, targetRid="m")
    alice.say("unsubscribe", trackId=audio, peerId=bob.peer.id)
    records = [alice.peer.record(), bob.peer.record()]

    conference, _ = next_incarnation(records)
    again = come_back(conference, alice)
    (joined,) = again.heard("join")
    assert (joined["resumed"], joined["transport"]) == (True, "new")
    assert (joined["peerId"], joined["sessionId"]) == (alice.peer.id, alice.peer.session.id)
    (state,) = again.heard("room-state")
    (other,) = state["peers"]
    assert (other["peerId"], other["userId"], other["name"], other["suspended"]) == (
        bob.peer.id,
        "bob",
        "Bob",
        True,
    )
    assert {track["trackId"]: track["source"] for track in other["tracks"]} == published(bob)
    assert state["subscriptions"] == [{"trackId": video, "peerId": bob.peer.id, "layer": "m"}]

    third = conference.enter("carol")
    (info,) = [one for one in third.heard("room-state")[0]["peers"] if one["userId"] == "alice"]
    assert info["mediaState"] == {"micEnabled": True, "cameraEnabled": True, "screenEnabled": False}


def test_media_flows_again_under_the_same_track_ids() -> None:
    before = PureConference()
    alice, bob = call(before, "alice", "bob")
    records = [alice.peer.record(), bob.peer.record()]
    conference, _ = next_incarnation(records)
    back = [come_back(conference, client) for client in (alice, bob)]
    for client in back:
        client.publish("audio", "video")
    conference.run(3.0)
    for old, new in zip((alice, bob), back, strict=True):
        assert published(new) == published(old)
        assert not new.heard("track-unpublished")
    for sender, receiver in (back, back[::-1]):
        sender.send_frames(sender.browser.transceivers[1], 3)
        assert len(receiver.received()) == 3
    assert back[0].heard("peer-resumed") == [{"peerId": bob.peer.id, "userId": "bob", "name": "Bob"}]


def test_a_restored_session_cannot_keep_its_transport() -> None:
    (alice,) = call(PureConference(), "alice")
    conference, _ = next_incarnation([alice.peer.record()])
    again = come_back(conference, alice, transport="keep")
    assert again.heard("join")[0]["transport"] == "new"
    again.publish("audio", "video")
    conference.run(1.0)
    assert again.machine.connected


def test_a_session_that_is_not_resumed_expires_and_leaves_nothing() -> None:
    alice, bob = call(PureConference(), "alice", "bob")
    conference, peers = next_incarnation([alice.peer.record(), bob.peer.record()])
    back = come_back(conference, alice)
    conference.clients += [
        PureClient(conference, peer, CHROMIUM, None) for peer in peers if peer and peer is not back.peer
    ]
    conference.machine.take_changed()
    conference.run(TTL - 1)
    assert back.heard("peer-left") == []
    conference.run(2.0)
    assert back.heard("peer-left") == [{"peerId": bob.peer.id, "userId": "bob", "name": "Bob"}]
    assert conference.machine.take_changed().ended == [bob.peer.session.id]
    assert conference.machine.directory.find_session(bob.peer.session.id) is None
    assert back.peer.connection.subscriptions == ()
    conference.leave(back)
    statistics = conference.machine.statistics()
    assert (statistics.peers, statistics.routes) == (0, 0)


def test_peers_in_the_room_are_told_of_restored_ones() -> None:
    (bob,) = call(PureConference(), "bob")
    conference = PureConference(seed=2)
    alice = conference.enter("alice")
    conference.machine.admission.restore(bob.peer.record(), conference.now + TTL, conference.now)
    conference.deliver()
    kinds = [message["type"] for message in alice.messages[2:]]
    assert kinds == ["peer-joined", "track-published", "track-published", "peer-suspended"]
    assert {track["trackId"] for track in alice.heard("track-published")} == set(published(bob))
    assert len(alice.peer.connection.subscriptions) == 2


def test_a_preference_waits_for_its_publisher() -> None:
    alice, bob = call(PureConference(), "alice", "bob")
    (_, video) = published(bob)
    alice.say("subscribe", trackId=video, peerId=bob.peer.id, layer="l")
    conference, _ = next_incarnation([alice.peer.record()], auto_subscribe=False)
    back = come_back(conference, alice)
    assert back.heard("room-state")[0] == {"peers": [], "subscriptions": []}
    # It can be changed while it waits.
    back.say("layer-switch", trackId=video, targetRid="m")
    assert back.heard("subscription-ack") == [{"trackId": video, "success": True}]
    conference.run(TTL - 1)
    conference.machine.admission.restore(bob.peer.record(), conference.now + TTL, conference.now)
    (subscription,) = back.peer.connection.subscriptions
    assert subscription.track.id == video
    assert back.peer.record().subscriptions == (SubscriptionRecord(video, bob.peer.id, "m"),)
    conference.run(TTL - 1)  # the restored session itself expires after TTL
    assert back.peer.record().subscriptions


def test_a_preference_is_dropped_if_its_publisher_is_not_restored() -> None:
    alice, bob = call(PureConference(), "alice", "bob")
    for track in published(bob):
        alice.say("unsubscribe", trackId=track, peerId=bob.peer.id)
    conference, _ = next_incarnation([alice.peer.record()])
    back = come_back(conference, alice)
    conference.machine.take_changed()
    conference.run(TTL - 1)
    assert len(back.peer.record().subscriptions) == 2
    conference.run(2.0)
    assert back.peer.record().subscriptions == ()
    assert back.peer in conference.machine.take_changed().changed
    assert back.peer.preferences_deadline is None


def test_a_preference_is_dropped_at_once_if_its_publisher_leaves() -> None:
    alice, bob = call(PureConference(), "alice", "bob")
    (audio, video) = published(bob)
    alice.say("unsubscribe", trackId=audio, peerId=bob.peer.id)
    alice.say("subscribe", trackId=video, peerId=bob.peer.id, layer="l")
    gone = replace(bob.peer.record(), tracks=())
    conference, peers = next_incarnation([alice.peer.record(), gone])
    (first, second) = peers
    assert first is not None
    assert second is not None
    conference.machine.remove(second, "left", conference.now)
    assert first.record().subscriptions == ()


def test_a_session_that_is_here_is_not_restored() -> None:
    conference = PureConference()
    (alice,) = call(conference, "alice")
    assert (
        conference.machine.admission.restore(alice.peer.record(), conference.now + TTL, conference.now) is None
    )
    assert conference.machine.take_changed().ended == []
    assert alice.peer.ended is None


def test_a_session_is_not_restored_if_its_user_has_joined_again() -> None:
    (alice,) = call(PureConference(), "alice")
    conference = PureConference(seed=2)
    fresh = conference.enter("alice")
    assert (
        conference.machine.admission.restore(alice.peer.record(), conference.now + TTL, conference.now) is None
    )
    assert fresh.peer.ended is None
    # Nothing must be left of a session that cannot be resumed.
    assert conference.machine.take_changed().ended == [alice.peer.session.id]


@pytest.mark.parametrize("limits", [Limits(max_rooms=1), Limits(max_rooms=0), Limits(max_peers_per_room=1)])
def test_limits_hold_for_restored_sessions(limits: Limits) -> None:
    before = PureConference()
    records = [before.enter("alice").peer.record(), before.enter("bob").peer.record()]
    records.append(before.enter("carol", "other").peer.record())
    conference, peers = next_incarnation(records, limits=limits)
    rooms = conference.machine.rooms
    assert len(rooms) <= limits.max_rooms
    assert all(0 < len(room.peers) <= limits.max_peers_per_room for room in rooms.values())
    assert sum(peer is not None for peer in peers) == sum(len(room.peers) for room in rooms.values())
    assert None in peers
    assert conference.machine.take_changed().ended == []


# --- in any order ---


def incarnation() -> list[SessionRecord]:
    """The records of a busy room. Two are of one user, who joined again without resuming the session."""
    conference = PureConference(seed=5)
    alice, bob, carol = call(conference, "alice", "bob", "carol")
    (audio, video) = published(bob)
    alice.say("unsubscribe", trackId=audio, peerId=bob.peer.id)
    alice.say("subscribe", trackId=video, peerId=bob.peer.id, layer="l")
    carol.say("layer-switch", trackId=video, targetRid="m")
    bob.say("unsubscribe", trackId=next(iter(published(alice))), peerId=alice.peer.id)
    old = carol.peer.record()
    reloaded = conference.enter("carol")
    reloaded.publish("video")
    other = conference.enter("dave", "other")
    return [client.peer.record() for client in (alice, bob, reloaded, other)] + [old]


INCARNATION = incarnation()


def shape(conference: PureConference) -> object:
    """Everything that must not depend on the order."""
    return {
        room.id: {
            peer.id: (
                replace(peer.record(), subscriptions=()),
                frozenset(peer.record().subscriptions),
                frozenset(subscription.track.id for subscription in peer.connection.subscriptions),
                peer.session.deadline,
                peer.preferences_deadline,
            )
            for peer in room.peers.values()
        }
        for room in conference.machine.rooms.values()
    }


def restored(order: list[int], *, automatic: bool, first: int | None) -> tuple[object, set[str]]:
    """Restore in an order. Then the client of session number `first` resumes."""
    conference = PureConference(seed=2, auto_subscribe=automatic)
    for index in order:
        # What was replaced had been stored before what replaced it.
        expires = conference.now + (20 if index == 4 else TTL)
        conference.machine.admission.restore(INCARNATION[index], expires, conference.now)
    if first is not None:
        record = INCARNATION[first]
        claim(conference, replace(record, generation=record.generation + 1))
    return shape(conference), set(conference.machine.take_changed().ended)


@given(st.permutations(range(len(INCARNATION))), st.booleans(), st.sampled_from([None, 0, 1]))
@settings(max_examples=60, deadline=None)
def test_the_order_of_restoring_does_not_matter(order: list[int], automatic: bool, first: int | None) -> None:
    assert restored(order, automatic=automatic, first=first) == restored(
        list(range(len(INCARNATION))), automatic=automatic, first=first
    )


@given(st.permutations(range(4)), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_a_client_that_resumes_before_the_others_are_restored_receives_the_same(
    order: list[int], at: int
) -> None:
    """As when sessions move one after the other, and are not restored when a server starts."""

    def subscribed(order: list[int]) -> object:
        conference = PureConference(seed=2, auto_subscribe=False)
        for position, index in enumerate(order):
            record = INCARNATION[index]
            if position == at:
                claim(conference, replace(record, generation=2))
            else:
                conference.machine.admission.restore(record, conference.now + TTL, conference.now)
        for record in INCARNATION[:4]:
            claim(conference, record)
        rooms = conference.machine.rooms.values()
        return {
            peer.id: frozenset(subscription.track.id for subscription in peer.connection.subscriptions)
            for room in rooms
            for peer in room.peers.values()
        }

    assert subscribed(order) == subscribed(list(range(4)))


# --- proof from the store ---


def test_a_claim_proves_a_session_that_this_server_never_saw() -> None:
    (alice,) = call(PureConference(), "alice")
    record, token = alice.peer.record(), alice.heard("join")[-1]["sessionToken"]
    successor = resume_record(record, request_of(record, token), "following")
    assert successor is not None
    conference = PureConference(seed=2)
    back = come_back(conference, alice, successor)
    (joined,) = back.heard("join")
    assert (joined["resumed"], joined["peerId"]) == (True, alice.peer.id)
    assert joined["sessionToken"] == "following"
    assert back.peer.session.generation == 2
    assert accepts(back.peer.session, "following")
    assert accepts(back.peer.session, token)
    back.say("ping")
    assert not accepts(back.peer.session, token)
    assert conference.machine.statistics().resumes == 1


def test_a_claim_of_a_session_that_is_here_keeps_what_is_here() -> None:
    conference = PureConference()
    (alice,) = call(conference, "alice")
    stored = alice.peer.record()
    alice.say("media-state", micEnabled=True, cameraEnabled=False, screenEnabled=False)
    successor = resume_record(stored, request_of(stored, alice.heard("join")[-1]["sessionToken"]), "following")
    conference.machine.suspend(alice.peer, conference.now)
    request = request_of(stored, alice.heard("join")[-1]["sessionToken"], "keep")
    assert successor is not None
    proof = Proof.of_claimed(successor, "following")
    peer = conference.machine.admission.join(request, proof, conference.now)
    conference.deliver()
    assert peer is alice.peer
    assert alice.heard("join")[-1]["transport"] == "keep"
    assert peer.media_state.mic_enabled
    assert peer.session.state is SessionState.ACTIVE
    assert (peer.session.generation, accepts(peer.session, "following")) == (2, True)


def test_without_a_proof_a_session_that_is_here_is_not_resumed() -> None:
    """Another server may have the session by now, and what is known here be old."""
    conference = PureConference()
    (alice,) = call(conference, "alice")
    conference.machine.suspend(alice.peer, conference.now)
    request = request_of(alice.peer.record(), alice.heard("join")[-1]["sessionToken"])
    fresh = conference.machine.admission.join(request, None, conference.now)
    conference.deliver()
    (joined, _) = conference.take_messages(fresh)
    assert isinstance(joined, Joined)
    assert not joined.resumed
    assert fresh is not alice.peer
    assert conference.machine.statistics().failed_resumes == 1


@pytest.mark.parametrize("changes", [{"room_id": "another"}, {"user_id": "mallory"}, {"session_id": "0" * 32}])
def test_a_claim_of_another_session_is_not_proven(changes: dict[str, str]) -> None:
    conference = PureConference()
    (alice,) = call(conference, "alice")
    record = alice.peer.record()
    request = request_of(replace(record, **changes), "")  # type: ignore[arg-type]
    assert resume_record(record, request, "following") is None
    peer = conference.join(request)
    assert peer is not alice.peer
    assert not accepts(alice.peer.session, "following")


def test_a_claim_that_finds_its_user_here_is_a_fresh_join() -> None:
    (alice,) = call(PureConference(), "alice")
    record = alice.peer.record()
    conference = PureConference(seed=2)
    newer = conference.enter("alice")
    back = come_back(conference, alice, record)
    assert back.heard("join")[0]["resumed"] is False
    assert newer.peer.ended == "replaced"
    assert set(conference.machine.take_changed().ended) == {alice.peer.session.id, newer.peer.session.id}


@pytest.mark.parametrize(
    "changes",
    [
        {"session_token": "0" * 64},
        {"session_token": None},
        {"room_id": "another"},
        {"user_id": "mallory"},
        {"session_id": "0" * 32},
        {"session_id": None},
    ],
)
def test_a_stored_session_is_resumed_only_by_its_own_proof(changes: dict[str, str | None]) -> None:
    (alice,) = call(PureConference(), "alice")
    record, token = alice.peer.record(), alice.heard("join")[-1]["sessionToken"]
    fields: dict[str, Any] = {
        "room_id": "room",
        "user_id": "alice",
        "session_id": record.session_id,
        "session_token": token,
    }
    good = resume_record(record, Join(**fields), "following")
    assert good is not None
    assert good == replace(record, tokens=good.tokens, generation=record.generation + 1, suspended=False)
    assert (good.tokens.current, good.tokens.previous) == (hash_of("following"), hash_of(token))
    assert resume_record(record, Join(**fields | changes), "following") is None


# --- what is stored, and when ---


def test_changes_are_reported_once_and_only_of_stored_fields() -> None:
    conference = PureConference()
    machine = conference.machine
    alice, bob = conference.enter("alice"), conference.enter("bob")

    def changed() -> set[str]:
        changes = machine.take_changed()
        assert changes.ended == []
        return {peer.user_id for peer in changes.changed}

    assert changed() == {"alice", "bob"}
    assert changed() == set()
    (_, camera) = alice.publish("audio", "video")
    assert changed() == {"alice"}
    conference.run(5.0)
    alice.send_frames(camera, 10)
    bob.say("ping")
    bob.say("offer", sdp="nonsense")
    assert changed() == set()
    bob.say("media-state", micEnabled=True, cameraEnabled=False, screenEnabled=False)
    assert changed() == {"bob"}
    (audio, _) = published(alice)
    for _ in range(2):
        bob.say("unsubscribe", trackId=audio, peerId=alice.peer.id)
    assert changed() == {"bob"}
    bob.say("unsubscribe", trackId=audio, peerId=alice.peer.id)
    assert changed() == set()
    camera.sends = False
    alice.offer()
    assert changed() == {"alice"}
    alice.browser.transceivers[0].sends = False
    alice.offer()
    # Bob's preference for the track has ended with it.
    assert changed() == {"alice", "bob"}
    machine.suspend(bob.peer, conference.now)
    assert changed() == {"bob"}
    told = bob.heard("join")[-1]
    record = bob.peer.record()
    conference.join(request_of(record, told["sessionToken"], "keep"))
    assert changed() == {"bob"}
    conference.deliver()
    bob.say("ping")  # it has the new token, so the old one is invalid
    assert changed() == {"bob"}
    bob.say("leave")
    changes = machine.take_changed()
    assert changes == ([], [bob.peer.session.id])


def test_a_replaced_session_has_ended() -> None:
    conference = PureConference()
    alice = conference.enter("alice")
    conference.enter("alice")
    assert conference.machine.take_changed().ended == [alice.peer.session.id]


def test_a_session_handed_over_is_gone_here_and_stays_stored() -> None:
    conference = PureConference()
    alice, bob = call(conference, "alice", "bob")
    (audio, video) = published(bob)
    alice.say("subscribe", trackId=video, peerId=bob.peer.id, layer="l")
    conference.machine.take_changed()
    record, token = bob.peer.record(), bob.heard("join")[-1]["sessionToken"]
    conference.machine.remove(bob.peer, "claimed elsewhere", conference.now, Departure.MOVED)
    conference.deliver()
    assert conference.machine.take_changed() == ([], [])
    assert bob.peer.ended == "claimed elsewhere"
    assert bob.peer.connection.transport.ended
    assert conference.machine.directory.find_session(record.session_id) is None
    assert alice.heard("peer-left")
    assert {track["trackId"] for track in alice.heard("track-unpublished")} == {audio, video}
    # If it comes back, it is received as before.
    successor = resume_record(record, request_of(record, token), "following")
    back = come_back(conference, bob, successor)
    # Removing the old peer once more does not remove the new one, which has the same id.
    conference.machine.remove(bob.peer, "server stopping", conference.now, Departure.MOVED)
    assert conference.machine.rooms[alice.peer.room_id].peers[record.peer_id] is back.peer
    preferences = {info["trackId"]: info["layer"] for info in _subscriptions(conference, alice)}
    assert preferences == {audio: None, video: "l"}


def _subscriptions(conference: PureConference, client: PureClient) -> list[dict[str, Any]]:
    """Return the subscriptions that a client is sent when it resumes."""
    record = client.peer.record()
    claim(conference, record, "keep")
    conference.deliver()
    result: list[dict[str, Any]] = client.heard("room-state")[-1]["subscriptions"]
    return result


def test_draining_is_announced_to_connected_clients() -> None:
    conference = PureConference()
    alice, bob = conference.enter("alice"), conference.enter("bob", "other")
    carol = conference.enter("carol")
    conference.machine.suspend(carol.peer, conference.now)
    conference.machine.drain(5000)
    conference.deliver()
    for client in (alice, bob):
        assert client.heard("server-draining") == [{"deadlineMs": 5000}]
    assert carol.heard("server-draining") == []


def test_messages_before_the_join_can_be_counted() -> None:
    conference = PureConference()
    conference.machine.count_message("ping", "ok")
    conference.machine.count_message("invented", "400")
    conference.machine.count_message(None, "429")
    assert conference.machine.statistics().messages == {("ping", "ok"): 1, ("?", "400"): 1, ("?", "429"): 1}


def test_grants_and_names_are_restored() -> None:
    conference = PureConference()
    alice = conference.enter("alice")
    record = replace(alice.peer.record(), grants=Grants(frozenset({"audio"}), subscribe=False), name="Alice A.")
    after, peers = next_incarnation([record])
    (peer,) = peers
    assert peer is not None
    assert (peer.grants, peer.name, peer.restored) == (record.grants, "Alice A.", True)
    assert peer.record() == replace(record, suspended=True)
    assert after.machine.statistics().suspended == 1


@given(st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_a_restored_session_has_the_record_that_it_was_made_from(shuffle: Random) -> None:
    order = list(range(4))
    shuffle.shuffle(order)
    _, peers = next_incarnation([INCARNATION[index] for index in order])
    assert [peer and peer.record() for peer in peers] == [
        replace(INCARNATION[index], suspended=True) for index in order
    ]
