"""A member that requests key frames without end: publisher and other receivers hardly notice."""

from support.pure_conference import PureClient, PureConference

from sfu.rtp.rtcp import PictureLossIndication


def requests_to(publisher: PureClient) -> int:
    """Return how many key frames the publisher was asked for since the last call."""
    count = sum(isinstance(packet, PictureLossIndication) for packet in publisher.machine.rtcp)
    publisher.machine.rtcp.clear()
    return count


def test_endless_requests_of_a_receiver_cost_few_key_frames_and_nobody_elses_requests() -> None:
    """Requests that key frames do not end are passed on once in 10 seconds; others' are passed on at once."""
    conference = PureConference()
    alice, bob, mallory = (conference.enter(user) for user in ("alice", "bob", "mallory"))
    for client in (alice, bob, mallory):
        client.publish("video")
    conference.run(1.0)
    camera = alice.browser.transceivers[0]
    alice.send_frames(camera, 30)
    by_mallory, by_bob = mallory.received()[0].ssrc, bob.received()[0].ssrc
    requests_to(alice)
    asked = 0
    for _ in range(600):  # a minute of 10 requests a second; each one that arrives gets its key frame
        mallory.machine.send_rtcp([PictureLossIndication(1, by_mallory)])
        conference.run(0.1)
        count = requests_to(alice)
        asked += count
        alice.send_frames(camera, 1, key_frame=count > 0)
    assert 5 <= asked <= 15
    senders = mallory.peer.connection.transport.senders
    stream = next(sender for sender in senders if sender.ssrc == by_mallory)
    assert stream.statistics().dropped["key-frame-budget"] > 500

    bob.machine.send_rtcp([PictureLossIndication(1, by_bob)])
    conference.run(0.6)
    assert requests_to(alice) >= 1
