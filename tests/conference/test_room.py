"""A room with clients that negotiate, connect and send: what each is told, and what each receives."""

import json

import pytest
from support.browser_model import FIREFOX
from support.media import DELTA_FRAME, KEY_FRAME
from support.pure_conference import SERVER, PureClient, PureConference

from sfu.conference.limits import Limits
from sfu.conference.negotiation import ANSWER_TIMEOUT
from sfu.ice.path import Address, IcePath
from sfu.rtp.rtcp import GenericNack, PictureLossIndication, ReceiverReport, SenderReport


def pictures(conference: PureConference, *users: str) -> tuple[PureClient, ...]:
    """Clients that publish a video each, all connected."""
    clients = tuple(conference.enter(user) for user in users)
    for client in clients:
        client.publish("video")
    conference.run(1.0)
    assert all(client.machine.connected for client in clients)
    return clients


def test_a_join_sends_the_room_state_and_is_announced() -> None:
    conference = PureConference()
    alice = conference.enter("alice")
    assert [message["type"] for message in alice.messages] == ["join", "room-state"]
    (joined,) = alice.heard("join")
    assert (joined["peerId"], joined["roomId"], joined["resumed"]) == (alice.peer.id, "room", False)
    assert alice.heard("room-state") == [{"peers": [], "subscriptions": []}]
    alice.say("media-state", micEnabled=True, cameraEnabled=False, screenEnabled=False)
    (transceiver,) = alice.publish("audio")
    track = alice.heard("track-published")[0]
    assert track == {
        "trackId": track["trackId"],
        "kind": "audio",
        "peerId": alice.peer.id,
        "source": "mic",
        "layers": [],
        "mid": transceiver.mid,
    }

    bob = conference.enter("bob")
    assert alice.heard("peer-joined") == [{"peerId": bob.peer.id, "userId": "bob", "name": "Bob"}]
    assert bob.heard("room-state") == [
        {
            "peers": [
                {
                    "peerId": alice.peer.id,
                    "userId": "alice",
                    "name": "Alice",
                    "mediaState": {"micEnabled": True, "cameraEnabled": False, "screenEnabled": False},
                    "suspended": False,
                    "tracks": [{"trackId": track["trackId"], "kind": "audio", "source": "mic", "layers": []}],
                }
            ],
            "subscriptions": [{"trackId": track["trackId"], "peerId": alice.peer.id, "layer": None}],
        }
    ]
    conference.leave(bob)
    assert alice.heard("peer-left") == [{"peerId": bob.peer.id, "userId": "bob", "name": "Bob"}]


def test_media_goes_from_each_to_the_other_and_not_back() -> None:
    conference = PureConference()
    alice, bob = pictures(conference, "alice", "bob")
    for sender, receiver in ((alice, bob), (bob, alice)):
        receiver.machine.rtp.clear()
        sender.machine.rtp.clear()
        sender.send_frames(sender.browser.transceivers[0], 10)
        assert [packet.payload for packet in receiver.received()] == [KEY_FRAME] + [DELTA_FRAME] * 9
        numbers = [packet.sequence_number for packet in receiver.received()]
        assert numbers == list(range(numbers[0], numbers[0] + 10))
        assert len({packet.ssrc for packet in receiver.received()}) == 1
        assert not sender.received()


def test_a_forwarded_track_is_named_by_its_publisher_and_its_id() -> None:
    conference = PureConference()
    alice, bob = pictures(conference, "alice", "bob")
    track = alice.heard("track-published")[0]["trackId"]
    assert [line.track for line in bob.browser.lines if line.track] == [f"{alice.peer.id} {track}"]


def test_tracks_are_in_the_answer_if_the_first_offer_has_m_lines_for_them() -> None:
    conference = PureConference()
    (alice,) = pictures(conference, "alice")
    bob = conference.enter("bob")
    bob.browser.add("video", sends=False)
    bob.publish("video")
    conference.run(1.0)
    assert bob.heard("offer") == []
    alice.send_frames(alice.browser.transceivers[0], 3)
    assert len(bob.received()) == 3


def test_a_client_that_publishes_nothing_is_offered_the_tracks_after_a_moment() -> None:
    conference = PureConference()
    (alice,) = pictures(conference, "alice")
    bob = conference.enter("bob")
    assert bob.heard("offer") == []
    conference.run(2.0)
    assert len(bob.heard("offer")) == 1
    alice.send_frames(alice.browser.transceivers[0], 3)
    assert len(bob.received()) == 3


def test_a_late_receiver_starts_at_a_key_frame_that_is_requested_at_once() -> None:
    conference = PureConference()
    (alice,) = pictures(conference, "alice")
    camera = alice.browser.transceivers[0]
    alice.send_frames(camera, 30)
    alice.machine.rtcp.clear()
    bob = conference.enter("bob")
    bob.publish("video")
    conference.run(0.5)
    alice.send_frames(camera, 1, key_frame=False)
    assert not bob.received()
    assert any(isinstance(packet, PictureLossIndication) for packet in alice.machine.rtcp)
    alice.send_frames(camera, 3)
    assert [packet.payload for packet in bob.received()] == [KEY_FRAME, DELTA_FRAME, DELTA_FRAME]


def test_a_receivers_picture_loss_indication_reaches_the_publisher() -> None:
    conference = PureConference()
    alice, bob = pictures(conference, "alice", "bob")
    camera = alice.browser.transceivers[0]
    alice.send_frames(camera, 60)
    alice.machine.rtcp.clear()
    ssrc = bob.received()[0].ssrc
    bob.machine.send_rtcp([ReceiverReport(1, ()), PictureLossIndication(1, ssrc)])
    conference.deliver()
    conference.run(0.1)  # without another packet of alice
    (request,) = [packet for packet in alice.machine.rtcp if isinstance(packet, PictureLossIndication)]
    assert request.media_ssrc == camera.ssrc


def test_loss_is_repaired_on_both_sides_of_the_server() -> None:
    conference = PureConference()
    alice, bob = pictures(conference, "alice", "bob")
    camera = alice.browser.transceivers[0]
    alice.send_frames(camera, 5)
    # Between alice and the server: the server asks for what is missing.
    alice.machine.rtcp.clear()
    alice.send(camera, DELTA_FRAME, skip=2)
    conference.run(0.2)
    lost = [packet.lost for packet in alice.machine.rtcp if isinstance(packet, GenericNack)]
    assert (6, 7) in lost
    # Between the server and bob: the server has kept what bob misses, and sends it as RTX.
    first = bob.received()[0]
    bob.machine.rtp.clear()
    bob.machine.send_rtcp([ReceiverReport(1, ()), GenericNack(1, first.ssrc, (first.sequence_number + 1,))])
    conference.deliver()
    (repeated,) = bob.received()
    assert repeated.ssrc != first.ssrc
    assert repeated.payload == (first.sequence_number + 1).to_bytes(2) + DELTA_FRAME


def test_reports_let_the_receiver_play_in_sync() -> None:
    conference = PureConference()
    alice, bob = pictures(conference, "alice", "bob")
    camera = alice.browser.transceivers[0]
    alice.send_frames(camera, 5)
    ntp = 0xE000_0000_8000_0000
    alice.machine.send_rtcp([SenderReport(camera.ssrc, ntp, 5 * 3000, 5, 50)])
    conference.deliver()
    alice.send_frames(camera, 60, key_frame=False)
    reports = [packet for packet in bob.machine.rtcp if isinstance(packet, SenderReport)]
    assert reports
    last = reports[-1]
    assert last.ssrc == bob.received()[0].ssrc
    # The publisher's clock: what it showed plus the time since.
    assert 0 < (last.ntp_time - ntp) / 2**32 < 3
    receiver_reports = [packet for packet in alice.machine.rtcp if isinstance(packet, ReceiverReport)]
    blocks = [block for report in receiver_reports for block in report.reports]
    assert any(block.ssrc == camera.ssrc and block.last_sender_report for block in blocks)


def test_browsers_with_different_payload_types_receive_each_other() -> None:
    conference = PureConference()
    chromium = conference.enter("chromium")
    firefox = conference.enter("firefox", numbers=FIREFOX)
    for client in (chromium, firefox):
        client.publish("audio", "video")
    conference.run(2.5)
    for sender, receiver in ((chromium, firefox), (firefox, chromium)):
        for transceiver in sender.browser.transceivers[:2]:
            sender.send_frames(transceiver, 3)
        types = {packet.payload_type for packet in receiver.received()}
        assert types == {int(receiver.browser.numbers.formats[kind].split()[0]) for kind in ("audio", "video")}


def test_unpublishing_ends_the_track_and_frees_its_slot() -> None:
    conference = PureConference()
    alice, bob = pictures(conference, "alice", "bob")
    camera = alice.browser.transceivers[0]
    track = alice.heard("track-published")[0]["trackId"]
    lines = len(bob.browser.lines)
    camera.sends = False
    alice.offer()
    conference.run(0.5)
    assert bob.heard("track-unpublished")[0]["trackId"] == track
    assert [line.track for line in bob.browser.lines if line.track] == []
    # Another track takes the same slot.
    camera.sends = True
    alice.offer("screen")
    conference.run(0.5)
    again = bob.heard("track-published")[-1]
    assert again["source"] == "screen"
    assert again["trackId"] != track
    assert len(bob.browser.lines) == lines
    alice.send_frames(camera, 3)
    assert len(bob.received()) == 3


def test_the_descriptions_do_not_grow_with_clients_that_come_and_go() -> None:
    conference = PureConference()
    alice, bob = pictures(conference, "alice", "bob")
    sizes = []
    for _ in range(12):
        conference.leave(bob)
        conference.clients.remove(bob)
        conference.run(0.1)
        bob = conference.enter("bob", certificate=bob.machine.certificate)
        bob.publish("video")
        conference.run(0.5)
        sizes.append(len(alice.browser.lines))
        bob.send_frames(bob.browser.transceivers[0], 2)
        assert len(alice.received()) == 2
        alice.machine.rtp.clear()
    assert set(sizes) == {2}


def test_the_same_track_with_another_source_is_another_track() -> None:
    conference = PureConference()
    alice, bob = pictures(conference, "alice", "bob")
    camera = alice.browser.transceivers[0]
    alice.send_frames(camera, 3)
    alice.offer("screen")
    conference.run(0.5)
    assert bob.heard("track-published")[-1]["source"] == "screen"
    bob.machine.rtp.clear()
    alice.send_frames(camera, 3)
    assert len(bob.received()) == 3


def test_crossing_offers_end_in_one_state() -> None:
    conference = PureConference()
    alice, bob = pictures(conference, "alice", "bob")
    bob.answers = False
    alice.publish("audio")
    (offer,) = bob.heard("offer")[-1:]
    # bob's offer crosses the server's, loses, and is made again after bob has answered.
    bob.browser.add("audio", receives=False)
    bob.say("offer", sdp=bob.own(bob.browser.offer()), type="offer")
    assert bob.peer.connection.negotiation.statistics().offers_ignored == 1
    bob.say("answer", sdp=bob.own(bob.browser.answer(offer["sdp"])), type="answer")
    bob.answers = True
    bob.offer()
    conference.run(0.5)
    assert {track["kind"] for track in alice.heard("track-published") if track["peerId"] == bob.peer.id} == {
        "audio",
        "video",
    }
    assert sum(1 for line in bob.browser.lines if line.track) == 2


def test_a_lost_answer_is_requested_by_a_new_offer() -> None:
    conference = PureConference()
    alice, bob = pictures(conference, "alice", "bob")
    bob.answers = False
    alice.publish("audio")
    conference.run(1.0)
    bob.answers = True
    conference.run(ANSWER_TIMEOUT)
    assert sum(1 for line in bob.browser.lines if line.track) == 2
    alice.send_frames(alice.browser.transceivers[-1], 3)
    assert {packet.payload for packet in bob.received()} == {b"opus"}


def test_an_answer_that_does_not_fit_is_refused_and_the_room_goes_on() -> None:
    conference = PureConference()
    alice, bob = pictures(conference, "alice", "bob")
    bob.answers = False
    alice.publish("audio")
    bob.say("answer", sdp="v=0\r\n", type="answer")
    assert bob.heard("error")[-1]["code"] == 400
    assert bob.heard("error")[-1]["type"] == "answer"
    bob.answers = True
    bob.publish("audio")
    conference.run(1.0)
    assert sum(1 for line in bob.browser.lines if line.track) == 2


def test_an_answer_to_no_offer_is_counted_and_changes_nothing() -> None:
    conference = PureConference()
    alice = conference.enter("alice")
    alice.say("answer", sdp="v=0\r\n", type="answer")
    assert alice.heard("error") == []
    assert alice.peer.connection.negotiation.statistics().answers_ignored == 1


@pytest.mark.parametrize(
    ("message_type", "data", "code"),
    [
        ("offer", {"sdp": "v=0\r\n"}, 400),
        ("offer", {"sdp": "x" * 300_000}, 400),
        ("offer", {}, 400),
        ("ice-candidate", {"candidate": "candidate:nonsense", "sdpMid": "0"}, 400),
        ("join", {"roomId": "r", "userId": "u"}, 409),
        ("subscribe-to-everything", {}, 400),
    ],
)
def test_a_wrong_message_is_answered_by_an_error_and_the_peer_stays(
    message_type: str, data: dict[str, str], code: int
) -> None:
    conference = PureConference()
    alice, bob = pictures(conference, "alice", "bob")
    bob.say(message_type, **data)
    (error,) = bob.heard("error")
    assert (error["code"], error["type"]) == (code, message_type)
    assert bob.peer.ended is None
    alice.send_frames(alice.browser.transceivers[0], 2)
    assert len(bob.received()) == 2


def test_candidates_of_clients_are_parsed_and_need_no_answer() -> None:
    conference = PureConference()
    alice = conference.enter("alice")
    before = len(alice.messages)
    alice.say("ice-candidate", candidate="candidate:1 1 udp 2122260223 abc.local 50000 typ host", sdpMid="0")
    alice.say("ice-candidate", candidate="", sdpMid="0")
    assert len(alice.messages) == before


def test_a_ping_is_answered_and_a_pong_is_not() -> None:
    conference = PureConference()
    alice = conference.enter("alice")
    alice.say("ping", number=7)
    alice.say("pong")
    assert alice.heard("pong") == [{"number": 7}]


def test_a_flood_of_messages_is_refused_and_ends_nobody() -> None:
    conference = PureConference()
    alice = conference.enter("alice")
    for _ in range(60):
        alice.say("ping")
    assert len(alice.heard("pong")) == 40
    assert {error["code"] for error in alice.heard("error")} == {429}
    conference.run(1.0)
    alice.say("ping")
    assert len(alice.heard("pong")) == 41
    counts = conference.machine.statistics().messages
    assert counts["ping", "ok"] == 41
    assert counts["ping", "429"] == 20


def test_a_message_over_the_rate_is_refused_with_its_type() -> None:
    conference = PureConference()
    alice = conference.enter("alice")
    for _ in range(40):
        alice.say("ping")
    alice.say("offer", sdp="v=0", type="offer")
    alice.say("media-state", micEnabled=True, cameraEnabled=True, screenEnabled=False)
    refused = [(error["code"], error["type"]) for error in alice.heard("error")]
    assert refused == [(429, "offer"), (429, "media-state")]
    alice.say("subscribe", trackId="some", peerId="body")
    (ack,) = alice.heard("subscription-ack")
    assert (ack["trackId"], ack["success"]) == ("some", False)
    assert "too many" in ack["reason"]
    assert conference.machine.statistics().messages["offer", "429"] == 1


def test_an_offer_of_more_tracks_than_allowed_is_refused_whole() -> None:
    conference = PureConference(Limits(max_tracks_per_peer=2))
    alice = conference.enter("alice")
    alice.publish("audio", "video", "video")
    (error,) = alice.heard("error")
    assert (error["code"], error["type"]) == (403, "offer")
    assert not alice.heard("answer")
    assert not alice.peer.tracks


def test_media_that_cannot_be_forwarded_is_no_track() -> None:
    conference = PureConference(Limits(max_tracks_per_peer=1))
    alice = conference.enter("alice")
    alice.browser.add("video", receives=False)
    channel = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:9\r\na=sctp-port:5000\r\n"
    offer = alice.own(alice.browser.offer()).replace("BUNDLE 0", "BUNDLE 0 9") + channel
    text = json.dumps({"type": "offer", "data": {"sdp": offer}})
    conference.machine.receive_message(alice.peer, text, conference.now)
    answered = [message.message_type for message in alice.peer.take_messages()]
    assert answered == ["answer", "track-published"]


def test_media_state_is_sent_to_the_others() -> None:
    conference = PureConference()
    alice, bob = conference.enter("alice"), conference.enter("bob")
    alice.say("media-state", micEnabled=True, cameraEnabled=True, screenEnabled=False)
    assert bob.heard("media-state") == [
        {"peerId": alice.peer.id, "micEnabled": True, "cameraEnabled": True, "screenEnabled": False}
    ]
    assert alice.heard("media-state") == []


def test_leaving_leaves_nothing() -> None:
    conference = PureConference()
    alice, bob, carol = pictures(conference, "alice", "bob", "carol")
    for client in (alice, bob, carol):
        client.send_frames(client.browser.transceivers[0], 2)
    alice.say("leave")
    assert alice.peer.ended == "left"
    assert alice.peer.connection.transport.ended
    for client in (bob, carol):
        assert not any(alice.peer.id in line.track for line in client.browser.lines if line.track)
        publishers = {subscription.track.publisher_id for subscription in client.peer.connection.subscriptions}
        assert publishers == {bob.peer.id, carol.peer.id} - {client.peer.id}
    for client in (bob, carol):
        conference.leave(client)
    room = conference.machine.rooms["room"]
    assert not room.peers
    conference.machine.directory.forget_room(room)
    statistics = conference.machine.statistics()
    assert (statistics.rooms, statistics.peers, statistics.routes) == (0, 0, 0)


def test_a_user_who_joins_again_replaces_the_old_peer() -> None:
    conference = PureConference()
    alice, bob = pictures(conference, "alice", "bob")
    again = conference.enter("bob")
    assert bob.peer.ended == "replaced"
    assert again.peer.id != bob.peer.id
    assert set(conference.machine.rooms["room"].peers.values()) == {alice.peer, again.peer}


def test_rooms_know_nothing_of_each_other() -> None:
    conference = PureConference()
    alice, bob = conference.enter("alice", "one"), conference.enter("bob", "two")
    for client in (alice, bob):
        client.publish("video")
    conference.run(1.0)
    alice.send_frames(alice.browser.transceivers[0], 3)
    assert not bob.received()
    assert not bob.heard("peer-joined")
    assert not bob.heard("track-published")[1:]


def test_a_wrong_certificate_ends_the_peer_before_any_media() -> None:
    conference = PureConference()
    (bob,) = pictures(conference, "bob")
    mallory = conference.enter("mallory")
    mallory.fingerprint = "sha-256 " + ":".join(["00"] * 32)
    mallory.publish("video")
    conference.run(2.0)
    assert mallory.peer.ended == "fingerprint-mismatch"
    assert not bob.received()
    assert bob.heard("peer-left")


def test_a_peer_that_closes_its_connection_stays_until_its_signaling_ends() -> None:
    conference = PureConference()
    alice, bob = pictures(conference, "alice", "bob")
    bob.machine.close(conference.now)
    conference.deliver()
    assert bob.peer.connection.transport.ended
    assert bob.peer.ended is None
    conference.leave(bob)
    assert alice.heard("peer-left")


def test_a_check_of_another_peer_does_not_take_a_path_in_use() -> None:
    """Otherwise a peer could silence others by checks with a forged source address."""
    conference = PureConference()
    alice, mallory = pictures(conference, "alice", "mallory")
    owner, address = conference.machine.table.owner, alice.path
    for _ in range(100):
        conference.receive(mallory.machine.check(nominate=True), address)
        conference.deliver()
    assert owner(address) is alice.peer
    assert alice.peer.connection.transport.selected == address
    assert mallory.peer.connection.transport.selected == mallory.path
    assert conference.machine.statistics().drops["path-of-another"] == 100
    before = len(mallory.received())
    alice.send_frames(alice.browser.transceivers[0], 3)
    assert len(mallory.received()) >= before + 3


def test_a_path_passes_to_another_peer_when_its_owner_has_been_silent_for_30_seconds() -> None:
    """A NAT gives an address to the next client when the one before is gone."""
    conference = PureConference()
    alice, bob = pictures(conference, "alice", "bob")
    address = alice.path
    conference.clients.remove(alice)  # its machine is off, without a word
    conference.run(26.0)
    conference.receive(bob.machine.check(nominate=False), address)
    assert conference.machine.table.owner(address) is alice.peer
    conference.run(5.0)
    conference.receive(bob.machine.check(nominate=False), address)
    assert conference.machine.table.owner(address) is bob.peer


def test_a_spare_path_passes_on_although_its_owner_is_alive_on_another() -> None:
    conference = PureConference()
    alice, bob = pictures(conference, "alice", "bob")
    spare = IcePath(SERVER, Address("192.0.2.99", 9))
    conference.receive(alice.machine.check(nominate=False), spare)
    conference.run(29.0)
    conference.receive(bob.machine.check(nominate=False), spare)
    assert conference.machine.table.owner(spare) is alice.peer
    conference.run(1.1)
    conference.receive(bob.machine.check(nominate=False), spare)
    assert conference.machine.table.owner(spare) is bob.peer
    conference.run(1.0)
    assert alice.peer.connection.transport.selected == alice.path


def test_a_path_is_free_at_once_when_its_owner_leaves() -> None:
    conference = PureConference()
    alice, bob = pictures(conference, "alice", "bob")
    conference.leave(alice)
    conference.receive(bob.machine.check(nominate=False), alice.path)
    assert conference.machine.table.owner(alice.path) is bob.peer


def test_a_resumed_session_uses_the_path_of_its_connection_before() -> None:
    """A page that is loaded again may get the same port, while consent for the old connection lasts."""
    conference = PureConference()
    (alice,) = pictures(conference, "alice")
    conference.machine.suspend(alice.peer, conference.now)
    alice.renew()
    alice.join_again(keep=False)
    conference.deliver()
    alice.publish("video")
    conference.run(1.0)
    assert conference.machine.table.owner(alice.path) is alice.peer
    assert alice.peer.connection.transport.selected == alice.path
    assert conference.machine.statistics().drops.get("path-of-another") is None


def test_a_message_that_comes_after_its_peer_was_replaced_does_nothing() -> None:
    conference = PureConference()
    (bob,) = pictures(conference, "bob")
    ghost = conference.enter("alice")
    conference.enter("alice")
    ghost.publish("video")
    assert [track["peerId"] for track in bob.heard("track-published")] == [bob.peer.id]
    assert bob.peer.connection.subscriptions == ()
