"""Totals keep the counts of connections that have ended, so no total ever goes down."""

from dataclasses import fields
from typing import Any

from support.browser_model import Transceiver
from support.pure_conference import PureClient, PureConference

from sfu.conference.totals import ConnectionTotals
from sfu.transport.stream_statistics import ReceiveTotals, SendTotals


def totals(conference: PureConference) -> dict[str, int]:
    """Return what is reported: the totals, and the connections that are open."""
    sums = ConnectionTotals()
    for name in (row.name for row in fields(ConnectionTotals)):
        value = getattr(conference.machine.totals, name)
        match value:
            case int():
                setattr(sums, name, value)
            case ReceiveTotals() | SendTotals():
                getattr(sums, name).add(value)
            case _:
                getattr(sums, name).update(value)
    for room in conference.machine.rooms.values():
        for peer in room.peers.values():
            sums.add(peer.connection.statistics())
    return dict(flat("", sums))


def flat(name: str, value: Any) -> list[tuple[str, int]]:
    """Return every number in a dataclass by a dotted name."""
    if isinstance(value, int):
        return [(name, value)]
    if isinstance(value, dict):
        return [(f"{name}.{key}", count) for key, count in value.items()]
    return [item for row in fields(value) for item in flat(f"{name}.{row.name}", getattr(value, row.name))]


def call(conference: PureConference) -> tuple[PureClient, PureClient, Transceiver]:
    """Alice sends a video to Bob."""
    alice, bob = conference.enter("alice"), conference.enter("bob")
    (video,) = alice.publish("video")
    conference.run(2.0)
    alice.send_frames(video, 10)
    return alice, bob, video


def test_totals_count_what_happened() -> None:
    conference = PureConference()
    call(conference)
    sums = totals(conference)
    assert sums[".rtp_packets"] == sums[".received.packets"] == 10
    assert sums[".sent.packets"] == 10
    assert sums[".subscribed"] == 1
    assert sums[".unsubscribed"] == 0
    assert sums[".offers_sent"] >= 1
    assert sums[".received.key_frame_requests"] >= 1
    assert conference.machine.statistics().handshakes == {"ok": 2}


def test_no_total_goes_down_when_a_peer_leaves() -> None:
    conference = PureConference()
    alice, bob, _ = call(conference)
    before = totals(conference)
    conference.leave(bob)
    after = totals(conference)
    assert all(after[name] >= count for name, count in before.items())
    assert after[".unsubscribed"] == 1
    conference.leave(alice)
    assert all(totals(conference)[name] >= count for name, count in after.items())
    assert totals(conference)[".rtp_packets"] == 10


def test_no_total_goes_down_when_a_track_ends() -> None:
    conference = PureConference()
    alice, _, video = call(conference)
    before = totals(conference)
    video.sends = False
    alice.offer()
    conference.run(1.0)
    assert not alice.peer.tracks
    after = totals(conference)
    assert all(after[name] >= count for name, count in before.items())


def test_each_connection_is_counted_once() -> None:
    conference = PureConference()
    alice, bob, _ = call(conference)
    for client in (alice, bob, alice):
        conference.leave(client)
    assert totals(conference)[".subscribed"] == totals(conference)[".unsubscribed"] == 1
    assert totals(conference)[".rtp_packets"] == 10


def test_a_handshake_that_fails_has_its_reason() -> None:
    conference = PureConference()
    alice = conference.enter("alice")
    alice.fingerprint = "sha-256 " + ":".join(["00"] * 32)
    alice.publish("audio")
    conference.run(2.0)
    assert conference.machine.statistics().handshakes == {"fingerprint-mismatch": 1}
