"""Messages lost at the worst moment, one case per test. `test_negotiation_convergence.py` searches for more."""

from hypothesis import given, settings
from hypothesis import strategies as st
from support.lossy_signaling import LossySignalingCall
from support.pure_conference import PureClient

from sfu.conference.negotiation import ANSWER_TIMEOUT, NegotiationStatistics


def statistics(call: LossySignalingCall) -> NegotiationStatistics:
    """The server's counts."""
    return call.peer.connection.negotiation.statistics()


def another_client_publishes(call: LossySignalingCall, kind: str) -> PureClient:
    """Another client joins and publishes, so that the server has something to offer."""
    client = call.conference.enter(f"client {next(call.conference.ports)}")
    client.publish(kind)
    call.collect()
    return client


def call_with_camera() -> LossySignalingCall:
    """A call in which the client has published its camera, and both ends agree."""
    call = LossySignalingCall()
    call.client.publish("camera", call.conference.now)
    call.calm()
    return call


def test_the_client_keeps_its_track_if_our_answer_and_offer_are_lost_together() -> None:
    call = LossySignalingCall()
    call.client.publish("camera", call.conference.now)
    camera = call.client.published["camera"]
    call.deliver_up(call.client.wire)
    (track,) = call.peer.tracks
    another_client_publishes(call, "audio")
    call.lose_wire()
    call.calm()
    assert call.client.published["camera"] is camera
    assert camera.mid == "0"
    assert call.client.track_ids["camera"] == track
    assert statistics(call).offers_repeated == 1


def test_a_client_offer_without_new_lines_loses_even_if_its_answer_was_lost() -> None:
    call = call_with_camera()
    call.client.restart_ice(call.conference.now)
    call.deliver_up(call.client.wire)
    another_client_publishes(call, "audio")
    call.lose_wire()
    call.calm()
    assert statistics(call).offers_repeated == 0
    assert call.client.published["camera"].mid == "0"


def test_an_ice_restart_waits_for_the_answer_to_the_pending_offer() -> None:
    call = call_with_camera()
    another_client_publishes(call, "audio")
    call.client.ask_for_restart(call.conference.now)
    while call.deliver_up(call.client.wire):
        pass
    # One offer is out: the restart waits for its answer.
    assert statistics(call).offers_sent == 1
    call.calm()
    assert statistics(call).offers_sent == 2
    assert statistics(call).answers_ignored == 0
    assert call.peer.connection.statistics().ice_restarts == 1


def test_an_answer_to_a_rolled_back_offer_leads_to_another_offer() -> None:
    call = call_with_camera()
    client = another_client_publishes(call, "audio")
    call.calm()
    # The line becomes inactive. The answer is late, and meanwhile the line has got another track.
    call.conference.leave(client)
    call.conference.clients.remove(client)
    call.collect()
    call.conference.now += ANSWER_TIMEOUT
    another_client_publishes(call, "audio")
    call.conference.machine.handle_timeout(call.peer, call.conference.now)
    call.collect()
    assert statistics(call).offers_sent == 3
    call.calm()
    assert statistics(call).answers_missed == 1
    assert statistics(call).answers_ignored == 1
    assert statistics(call).offers_sent == 4


def test_an_offer_whose_answer_was_lost_is_followed_by_another_even_without_changes() -> None:
    call = call_with_camera()
    client = another_client_publishes(call, "audio")
    call.deliver_down()
    call.deliver_down()
    call.deliver_down()
    assert call.client.browser.lines[-1].track is not None
    call.lose_wire()
    call.conference.leave(client)
    call.conference.clients.remove(client)
    call.collect()
    call.calm()
    assert call.client.browser.lines[-1].track is None


def test_a_browser_that_rejects_our_answer_may_offer_its_lines_with_new_mids() -> None:
    call = LossySignalingCall()
    call.client.publish("camera", call.conference.now)
    call.client.failing = True
    call.deliver()
    assert call.client.recoveries == 1
    call.calm()
    assert call.client.published["camera"].mid == "1"


def test_a_retransmitted_offer_may_still_be_rolled_back() -> None:
    call = LossySignalingCall()
    call.client.publish("camera", call.conference.now)
    call.deliver_up(call.client.wire)
    call.lose_wire()
    call.break_wire()
    call.reconnect("keep")
    call.client.failing = True  # the answer comes a second time, and the browser rejects it
    call.deliver()
    assert call.client.recoveries == 1
    call.calm()
    assert call.client.published["camera"].mid == "1"


def test_a_connection_that_the_client_does_not_know_is_not_kept() -> None:
    call = call_with_camera()
    call.break_wire()
    call.reconnect("new")
    call.deliver_up(call.client.wire)
    call.lose_wire()  # and with it the reply: the client still has its old connection
    call.break_wire()
    connections = call.client.connections
    call.reconnect("keep")
    call.deliver()
    assert call.client.connections == connections + 1
    call.calm()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["audio", "video", "end"]), max_size=8))
def test_changes_during_a_negotiation_lead_to_one_following_offer(changes: list[str]) -> None:
    call = call_with_camera()
    bob = call.bob
    bob.publish("audio")
    call.collect()
    assert statistics(call).offers_sent == 1
    told = set(call.conference.machine.rooms["room"].peers[bob.peer.id].tracks)
    for change in changes:
        sending = [one for one in bob.browser.transceivers if one.sends]
        if change == "end" and sending:
            sending[0].sends = False
            bob.offer()
        elif change != "end" and len(sending) < 6:
            bob.publish(change)
        call.collect()
        assert statistics(call).offers_sent == 1
    call.calm()
    assert statistics(call).offers_sent == 1 + (set(bob.peer.tracks) != told)
