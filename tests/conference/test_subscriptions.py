"""Clients receive the tracks that they subscribe to, and no others; the layer that they prefer is kept."""

from typing import Any

import pytest
from support.browser_model import FIREFOX, Browser
from support.media import KEY_FRAME
from support.pure_conference import PureClient, PureConference

from sfu.conference.grants import Grants
from sfu.conference.records import SubscriptionRecord


def call(conference: PureConference, *kinds: str) -> tuple[PureClient, PureClient]:
    """Alice publishes, Bob receives."""
    alice, bob = conference.enter("alice"), conference.enter("bob")
    alice.publish(*kinds)
    conference.run(2.0)
    return alice, bob


def track_of(client: PureClient, index: int = 0) -> str:
    """The id of a track that a client publishes."""
    track_id: str = client.heard("track-published")[index]["trackId"]
    return track_id


def arrives(conference: PureConference, sender: PureClient, receiver: PureClient, index: int = 0) -> int:
    """Return how many of three packets of a track arrive."""
    receiver.machine.rtp.clear()
    sender.send_frames(sender.browser.transceivers[index], 3)
    return len(receiver.received())


def named(client: PureClient) -> list[str]:
    """Return the tracks that the client's m-lines carry."""
    return [line.track.split()[1] for line in client.browser.lines if line.track]


def ask(client: PureClient, message_type: str, **data: Any) -> dict[str, Any]:
    """Send a request; return its acknowledgement."""
    before = len(client.heard("subscription-ack"))
    client.say(message_type, **data)
    (answer,) = client.heard("subscription-ack")[before:]
    return answer


# --- with the default of receiving everything ---


def test_an_unsubscribed_track_stops_at_once_and_comes_back_when_subscribed_to() -> None:
    conference = PureConference()
    alice, bob = call(conference, "video")
    track = track_of(alice)
    assert arrives(conference, alice, bob) == 3
    request = {"trackId": track, "peerId": alice.peer.id}
    assert ask(bob, "unsubscribe", **request) == {"trackId": track, "success": True}
    assert arrives(conference, alice, bob) == 0
    conference.run(1.0)
    assert named(bob) == []
    assert ask(bob, "subscribe", **request) == {"trackId": track, "success": True}
    conference.run(1.0)
    assert named(bob) == [track]
    assert arrives(conference, alice, bob) == 3
    assert bob.received()[0].payload == KEY_FRAME
    # The same m-line, and the same SSRC.
    assert len(bob.browser.lines) == 1
    assert len(bob.browser.ssrc_of_mid) == 1


def test_a_preference_for_one_track_does_not_apply_to_others() -> None:
    conference = PureConference()
    alice, bob = call(conference, "audio", "video")
    ask(bob, "unsubscribe", trackId=track_of(alice), peerId=alice.peer.id)
    conference.run(1.0)
    assert named(bob) == [track_of(alice, 1)]
    alice.publish("audio")
    conference.run(1.0)
    assert set(named(bob)) == {track_of(alice, 1), track_of(alice, 2)}


@pytest.mark.parametrize("transport", ["keep", "new"])
def test_a_preference_holds_across_a_resume(transport: str) -> None:
    conference = PureConference()
    alice, bob = call(conference, "audio", "video")
    audio, video = track_of(alice), track_of(alice, 1)
    ask(bob, "unsubscribe", trackId=audio, peerId=alice.peer.id)
    ask(bob, "layer-switch", trackId=video, targetRid="m")
    conference.machine.suspend(bob.peer, conference.now)
    conference.run(1.0)
    resume(conference, bob, transport)
    (state,) = bob.heard("room-state")[1:]
    assert state["subscriptions"] == [{"trackId": video, "peerId": alice.peer.id, "layer": "m"}]
    conference.run(3.0)
    assert named(bob) == [video]
    assert arrives(conference, alice, bob, 1) == 3
    assert arrives(conference, alice, bob, 0) == 0


def test_a_preference_ends_with_its_track() -> None:
    conference = PureConference()
    alice, bob = call(conference, "audio")
    ask(bob, "unsubscribe", trackId=track_of(alice), peerId=alice.peer.id)
    alice.browser.transceivers[0].sends = False
    alice.offer()
    assert bob.peer.preferences == {}
    alice.browser.transceivers[0].sends = True
    alice.offer()
    conference.run(1.0)
    assert named(bob) == [track_of(alice, 1)]


def test_a_preference_for_a_dormant_track_holds_until_it_is_published_again() -> None:
    conference = PureConference()
    alice, bob = call(conference, "audio", "video")
    audio, video = track_of(alice), track_of(alice, 1)
    conference.machine.suspend(alice.peer, conference.now)
    resume(conference, alice, "new")
    ask(bob, "unsubscribe", trackId=audio, peerId=alice.peer.id)
    ask(bob, "subscribe", trackId=video, peerId=alice.peer.id, layer="l")
    alice.publish("audio", "video")
    conference.run(2.0)
    assert named(bob) == [video]
    assert arrives(conference, alice, bob, 1) == 3
    assert bob.peer.record().subscriptions == (
        SubscriptionRecord(audio, alice.peer.id, wanted=False),
        SubscriptionRecord(video, alice.peer.id, "l"),
    )


def test_a_subscription_to_a_suspended_peer_stays() -> None:
    conference = PureConference()
    alice, bob = call(conference, "video")
    conference.machine.suspend(alice.peer, conference.now)
    conference.run(5.0)
    assert len(bob.peer.connection.subscriptions) == 1
    assert arrives(conference, alice, bob) == 3


# --- asked for only ---


def test_without_auto_subscribe_only_subscribed_tracks_are_received() -> None:
    conference = PureConference(auto_subscribe=False)
    alice, bob = call(conference, "audio", "video")
    carol = conference.enter("carol")
    conference.run(2.0)
    video = track_of(alice, 1)
    assert {track["trackId"] for track in bob.heard("track-published")} == {track_of(alice), video}
    for client in (bob, carol):
        assert client.heard("offer") == []
        assert client.heard("room-state")[0]["subscriptions"] == []
    assert ask(carol, "subscribe", trackId=video, peerId=alice.peer.id)["success"]
    conference.run(1.0)
    assert (named(carol), named(bob)) == ([video], [])
    assert arrives(conference, alice, carol, 1) == 3
    # A track without receivers is not forwarded.
    (track,) = [track for track in alice.peer.tracks.values() if track.kind == "audio"]
    assert track.senders == []
    sent = conference.egress.count
    assert arrives(conference, alice, carol, 0) == 0
    assert conference.egress.count == sent


@pytest.mark.parametrize("transport", ["keep", "new"])
def test_subscribed_tracks_are_received_after_a_resume_without_a_request(transport: str) -> None:
    conference = PureConference(auto_subscribe=False)
    alice, bob = call(conference, "audio", "video")
    video = track_of(alice, 1)
    ask(bob, "subscribe", trackId=video, peerId=alice.peer.id, layer="h")
    conference.machine.suspend(bob.peer, conference.now)
    conference.run(1.0)
    resume(conference, bob, transport)
    state = bob.heard("room-state")[-1]
    assert state["subscriptions"] == [{"trackId": video, "peerId": alice.peer.id, "layer": "h"}]
    conference.run(3.0)
    assert named(bob) == [video]
    assert arrives(conference, alice, bob, 1) == 3


# --- again, and not at all ---


def test_a_second_subscribe_changes_only_the_layer() -> None:
    conference = PureConference()
    alice, bob = call(conference, "video")
    request = {"trackId": track_of(alice), "peerId": alice.peer.id}
    offers = len(bob.heard("offer"))
    for layer in ("h", "l", None):
        assert ask(bob, "subscribe", **request, **({"layer": layer} if layer else {}))["success"]
        conference.run(0.5)
        (preference,) = bob.peer.record().subscriptions
        assert preference.layer == layer
    assert len(bob.heard("offer")) == offers
    for _ in range(2):
        assert ask(bob, "unsubscribe", **request)["success"]
        conference.run(0.5)
    assert len(bob.heard("offer")) == offers + 1
    ledger = bob.peer.connection.statistics()
    assert (ledger.subscribed, ledger.unsubscribed) == (1, 1)


@pytest.mark.parametrize(
    ("request_type", "changes", "code"),
    [
        ("subscribe", {"trackId": "nonsense"}, 404),
        ("subscribe", {"peerId": "nonsense"}, 404),
        ("unsubscribe", {"trackId": "nonsense"}, 404),
        ("unsubscribe", {"peerId": "nonsense"}, 404),
        ("layer-switch", {"trackId": "nonsense"}, 404),
        ("subscribe", {"own": True}, 409),
        ("unsubscribe", {"own": True}, 409),
        ("layer-switch", {"own": True}, 409),
    ],
)
def test_a_refused_request_is_acknowledged_with_its_reason_and_counted(
    request_type: str, changes: dict[str, Any], code: int
) -> None:
    conference = PureConference()
    alice, bob = call(conference, "video")
    bob.publish("video")
    conference.run(1.0)
    owner = bob if changes.pop("own", False) else alice
    track = bob.heard("track-published")[-1]["trackId"] if owner is bob else track_of(alice)
    fields = {"trackId": track, "peerId": owner.peer.id, "targetRid": "m"} | changes
    before = (bob.peer.record(), bob.peer.connection.subscriptions)
    answer = ask(bob, request_type, **fields)
    assert (answer["trackId"], answer["success"]) == (fields["trackId"], False)
    assert answer["reason"]
    assert bob.heard("error") == []
    assert (bob.peer.record(), bob.peer.connection.subscriptions) == before
    assert conference.machine.statistics().messages[request_type, str(code)] == 1


def test_a_client_without_the_grant_cannot_subscribe() -> None:
    conference = PureConference()
    alice, bob = call(conference, "video")
    carol = conference.enter("carol")
    carol.peer.grants = Grants(subscribe=False)
    dave = conference.enter("dave")
    dave.publish("video")
    request = {"trackId": track_of(dave), "peerId": dave.peer.id}
    answer = ask(carol, "subscribe", **request)
    assert not answer["success"]
    assert conference.machine.statistics().messages["subscribe", "403"] == 1
    assert ask(carol, "unsubscribe", **request)["success"]
    assert not ask(carol, "layer-switch", trackId=track_of(dave), targetRid="m")["success"]
    publishers = {one.track.publisher_id for one in bob.peer.connection.subscriptions}
    assert publishers == {alice.peer.id, dave.peer.id}


def test_a_layer_switch_of_a_track_that_is_not_received_is_refused() -> None:
    conference = PureConference()
    alice, bob = call(conference, "video")
    ask(bob, "unsubscribe", trackId=track_of(alice), peerId=alice.peer.id)
    assert not ask(bob, "layer-switch", trackId=track_of(alice), targetRid="m")["success"]
    (preference,) = bob.peer.record().subscriptions
    assert not preference.wanted


@pytest.mark.parametrize(
    ("message_type", "data"),
    [
        ("subscribe", {"trackId": "x"}),
        ("subscribe", {"trackId": "x", "peerId": "y", "layer": "no rid"}),
        ("unsubscribe", {"peerId": "y"}),
        ("layer-switch", {"trackId": "x"}),
        ("layer-switch", {"trackId": "x", "targetRid": ""}),
        ("subscription-ack", {"trackId": "x", "success": True}),
    ],
)
def test_a_malformed_request_is_an_error(message_type: str, data: dict[str, Any]) -> None:
    conference = PureConference()
    bob = conference.enter("bob")
    bob.say(message_type, **data)
    (error,) = bob.heard("error")
    assert (error["code"], error["type"]) == (400, message_type)
    assert bob.heard("subscription-ack") == []


# --- what a client cannot play ---


def mismatched(conference: PureConference) -> tuple[PureClient, PureClient]:
    """Alice publishes video in a codec that Bob does not have. Bob publishes audio."""
    alice = conference.enter("alice")
    alice.browser.numbers = ONLY_H264
    bob = conference.enter("bob", numbers=NO_H264)
    bob.browser.refused_codecs = frozenset({"H264"})
    alice.publish("video")
    bob.publish("audio")
    conference.run(3.0)
    return alice, bob


H264_LINES = tuple(
    line for line in Browser().numbers.lines["video"] if any(f":{n} " in line for n in (108, 109))
)
ONLY_H264 = Browser().numbers._replace(
    formats={"audio": "111 63 126", "video": "108 109"},
    lines={"audio": Browser().numbers.lines["audio"], "video": H264_LINES},
)
NO_H264 = FIREFOX
H264_KEY_FRAME = b"\x65\x88\x84"
"""An IDR slice (RFC 6184 section 1.3)."""


def test_a_track_that_a_client_rejected_is_not_offered_again() -> None:
    conference = PureConference()
    alice, bob = mismatched(conference)
    assert [line.stopped for line in bob.browser.lines] == [False, True]
    offers = len(bob.heard("offer"))
    for _ in range(5):
        alice.publish("audio")
        bob.offer()
        conference.run(1.0)
    later = bob.heard("offer")[offers:]
    assert later
    assert not any("H264" in offer["sdp"] for offer in later)
    # Its place is for others.
    assert sum(line.stopped for line in bob.browser.lines) == 1
    # It still counts as wanted.
    assert len(bob.peer.connection.subscriptions) == 6
    assert bob.peer.connection.statistics().subscriptions == 5


def test_a_rejected_track_is_offered_with_codecs_that_fit() -> None:
    conference = PureConference()
    alice, bob = mismatched(conference)
    conference.machine.suspend(alice.peer, conference.now)
    resume(conference, alice, "new")
    alice.publish("video")
    conference.run(2.0)
    assert named(bob) == [track_of(alice)]
    assert arrives(conference, alice, bob) == 3


def test_a_rejected_track_is_offered_once_the_client_names_its_codec() -> None:
    conference = PureConference()
    alice, bob = mismatched(conference)
    offers = len(bob.heard("offer"))
    bob.browser.refused_codecs = frozenset()
    bob.browser.numbers = Browser().numbers
    bob.publish("video")
    conference.run(2.0)
    assert len(bob.heard("offer")) > offers
    assert named(bob) == [track_of(alice)]
    alice.send(alice.browser.transceivers[0], H264_KEY_FRAME)
    assert [packet.payload for packet in bob.received()] == [H264_KEY_FRAME]


def test_an_m_line_that_a_page_stops_is_replaced() -> None:
    """Stopping a transceiver does not mean that its codecs cannot be played."""
    conference = PureConference()
    alice, bob = call(conference, "video")
    bob.publish("audio")
    bob.browser.lines[0].wants_stop = True
    bob.offer()
    conference.run(2.0)
    assert named(bob) == [track_of(alice)]
    assert arrives(conference, alice, bob) == 3


def resume(conference: PureConference, client: PureClient, transport: str) -> None:
    """Resume the session. With a new transport, the page is new too."""
    conference.deliver()
    if transport == "new":
        client.renew()
        client.inbox.clear()
    client.join_again(keep=transport == "keep")
    conference.deliver()


def test_a_track_whose_m_line_an_answer_stops_gets_another() -> None:
    """As when a page stops its camera while we offer, and the camera's m-line also carried a received track."""
    conference = PureConference()
    alice, bob = conference.enter("alice"), conference.enter("bob")
    camera = bob.browser.add("video")
    bob.offer()
    camera.sends = False
    bob.offer()
    alice.publish("video")
    conference.run(1.0)
    assert camera.track is not None
    camera.wants_stop = True
    alice.publish("audio")
    conference.run(1.0)
    assert camera.stopped
    assert {line.kind for line in bob.browser.lines if line.track and not line.stopped} == {"audio", "video"}
