"""Rooms where clients come and go, and large ones: descriptions and memory depend on what is there now."""

import gc
import re
from collections.abc import Generator
from typing import Any

import msgspec
import pytest
from support.browser_model import CHROMIUM, FIREFOX, Numbers, vector
from support.pure_conference import PureClient, PureConference

from sfu.conference.envelope import parse
from sfu.conference.limits import Limits
from sfu.conference.messages import MAX_SDP, Offer
from sfu.conference.peer import Peer
from sfu.sdp import SessionDescription
from sfu.shell.config.settings import Settings

LIMITS = Limits(max_peers_per_room=200, messages_per_second=100_000, messages_burst=100_000)


class Passer(PureClient):
    """A client that negotiates and never connects."""

    def connect(self, sdp: str) -> None:
        """Do nothing: these tests are about descriptions."""


def enter(conference: PureConference, user: str, numbers: Numbers = CHROMIUM) -> Passer:
    """Let in a client that only negotiates."""
    peer = conference.enter(user, numbers=numbers).peer
    conference.clients[-1] = client = Passer(conference, peer, numbers, None)
    return client


def only(*payload_types: int) -> Numbers:
    """A browser with only these video codecs."""
    named = [f":{number} " for number in payload_types]
    video = tuple(line for line in CHROMIUM.lines["video"] if any(name in line for name in named))
    audio = tuple(line for line in CHROMIUM.lines["audio"] if ":111 " in line)
    formats = {"audio": "111", "video": " ".join(map(str, payload_types))}
    return CHROMIUM._replace(formats=formats, lines={"audio": audio, "video": video})


SETS = [CHROMIUM, FIREFOX, only(96, 97), only(98, 99), only(108, 109)]


def measure(conference: PureConference, bob: PureClient) -> dict[str, int]:
    """What must not grow: Bob's last offer, the slots and streams of his connection, all objects there are."""
    sdp = bob.heard("offer")[-1]["sdp"]
    connection = bob.peer.connection
    bob.messages.clear()
    gc.collect()
    return {
        "m-lines": sdp.count("\r\nm="),
        "characters": len(sdp),
        "slots": len(connection.sdp.send_slots),
        "streams": len(list(connection.transport.senders)),
        "preferences": len(bob.peer.preferences),
        "subscriptions": len(connection.subscriptions),
        "objects": len(gc.get_objects()),
    }


def compare(early: dict[str, int], late: dict[str, int]) -> None:
    """Check that nothing has grown. Object counts may vary by a few (other tests), and versions by digits."""
    for name, value in late.items():
        assert value <= early[name] + {"characters": 4, "objects": 300}.get(name, 0), (name, early, late)


def test_two_hundred_cycles_of_subscribing_leave_nothing() -> None:
    conference = PureConference(LIMITS)
    alice, bob = enter(conference, "alice"), enter(conference, "bob")
    alice.publish("audio", "video")
    conference.run(2.0)
    requests = [
        {"trackId": track["trackId"], "peerId": alice.peer.id} for track in alice.heard("track-published")
    ]
    readings = []
    for cycle in range(200):
        for request in requests:
            bob.say("unsubscribe", **request)
        for request in requests[:: 1 - 2 * (cycle % 2)]:
            bob.say("subscribe", **request, layer="hml"[cycle % 3])
        assert len([line for line in bob.browser.lines if line.track]) == 2
        if cycle in (9, 199):
            readings.append(measure(conference, bob))
    compare(*readings)
    assert readings[0]["m-lines"] == 2
    assert not bob.heard("error")


def test_two_hundred_joins_and_leaves_of_others_leave_nothing() -> None:
    """Each has other codecs, and up to three are there at a time."""
    conference = PureConference(LIMITS, auto_subscribe=False)
    bob = enter(conference, "bob")
    conference.run(2.0)
    readings = []
    crowd = visitors(conference)
    for visit in range(200):
        for track in next(crowd).tracks.values():
            bob.say("subscribe", trackId=track.id, peerId=track.publisher_id)
        if (visit % 15 == 14 and visit < 30) or visit == 194:
            readings.append(measure(conference, bob))
    # The peak is reached in the first fifteen, and the codecs then repeat.
    compare(readings[1], readings[2])
    assert readings[0]["m-lines"] <= 6
    assert not bob.heard("error")
    conference.run(1.0)
    crowd.close()
    conference.deliver()
    assert bob.peer.connection.subscriptions == ()
    assert set(conference.machine.rooms["room"].peers) == {bob.peer.id}
    statistics = bob.peer.connection.statistics()
    assert statistics.subscribed == statistics.unsubscribed == 400


def visitors(conference: PureConference) -> Generator[Peer, None, None]:
    """Clients that join, publish audio and video, and leave when two more have joined."""
    inside: list[Passer] = []
    visit = 0
    try:
        while True:
            client = enter(conference, f"visitor-{visit}", SETS[visit % len(SETS)])
            client.publish("audio", "video")
            inside.append(client)
            if len(inside) > 2:
                conference.leave(inside[0])
                conference.clients.remove(inside.pop(0))
            visit += 1
            yield client.peer
    finally:
        for client in inside:
            conference.leave(client)
            conference.clients.remove(client)


def test_a_client_that_keeps_stopping_m_lines_does_not_make_descriptions_grow() -> None:
    conference = PureConference(LIMITS)
    alice, bob = enter(conference, "alice"), enter(conference, "bob")
    alice.publish("video")
    bob.publish("audio")
    conference.run(2.0)
    readings = []
    for cycle in range(60):
        (line,) = [line for line in bob.browser.lines if line.track]
        line.wants_stop = True
        bob.offer()
        assert len([line for line in bob.browser.lines if line.track]) == 1
        if cycle in (9, 59):
            readings.append(measure(conference, bob))
    compare(*readings)


@pytest.mark.parametrize("mine", [True, False])
def test_one_client_receives_audio_and_video_of_a_hundred(mine: bool) -> None:
    conference = PureConference(LIMITS, auto_subscribe=False)
    for number in range(100):
        enter(conference, f"speaker-{number}").publish("audio", "video")
    conference.clients.clear()
    bob = enter(conference, "bob")
    if mine:
        bob.publish("audio", "video")
    for peer in tuple(conference.machine.rooms["room"].peers.values()):
        for track in peer.tracks.values() if peer is not bob.peer else ():
            text = f'{{"type": "subscribe", "data": {{"trackId": "{track.id}", "peerId": "{peer.id}"}}}}'
            conference.machine.receive_message(bob.peer, text, conference.now)
    conference.run(2.0)
    assert all(answer["success"] for answer in bob.heard("subscription-ack"))
    assert len(bob.heard("subscription-ack")) == 200
    assert bob.peer.connection.statistics().subscriptions == 200
    assert len({line.track for line in bob.browser.lines if line.track}) == 200
    # And it can go on negotiating, with all of that in its own offers.
    bob.publish("video", source="screen")
    assert bob.heard("error") == []
    assert len(bob.peer.tracks) == (3 if mine else 1)


def chromium_offer(people: int) -> str:
    """An offer as long as Chromium's when it receives audio and video of so many peers."""
    head, *sections = re.split(r"(?m)^(?=m=)", vector("chromium-offer-recvonly"))
    mids = " ".join(str(number) for number in range(2 * people))
    head = re.sub(r"(?m)^a=group:BUNDLE.*(?=\r)", f"a=group:BUNDLE {mids}", head)
    lines = [
        re.sub(r"(?m)^a=mid:.*(?=\r)", f"a=mid:{2 * person + index}", section)
        for person in range(people)
        for index, section in enumerate(sections[:2])
    ]
    return head + "".join(lines)


def test_an_offer_with_140_peers_is_parsed_as_a_message_and_as_a_description() -> None:
    sdp = chromium_offer(140)
    assert 800_000 < len(sdp) <= MAX_SDP
    description = SessionDescription.parse(sdp)
    assert len(description.media) == 280
    message: Any = parse(serialized(sdp))
    assert isinstance(message, Offer)
    assert message.sdp == sdp


def test_the_longest_description_fits_into_a_message() -> None:
    """A longer one is refused by an error message, whatever else is wrong with it."""
    assert len(serialized("\r\n" * (MAX_SDP // 2))) <= Settings().max_message_bytes
    assert len(serialized('"' * MAX_SDP)) <= Settings().max_message_bytes


def serialized(sdp: str) -> bytes:
    """An offer as a client writes it."""
    return msgspec.json.encode({"type": "offer", "data": {"sdp": sdp, "type": "offer"}})
