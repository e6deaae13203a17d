"""The table of an outgoing stream's states, and the stream that follows it."""

import pytest
from support.media import KEY_FRAME, Publisher, Subscriber, Wire, published

from sfu.transport.send_state import TRANSITIONS, SendEvent, SendState


def test_every_state_can_be_reached_and_left() -> None:
    reached = {SendState.IDLE}
    for _ in SendState:
        reached |= {following for (state, _), following in TRANSITIONS.items() if state in reached}
    assert reached == set(SendState)
    assert {state for (state, _), following in TRANSITIONS.items() if following is not state} == set(SendState)


def test_an_event_without_a_row_raises() -> None:
    stream = Subscriber().stream
    with pytest.raises(KeyError):
        stream._enter(SendEvent.KEY_FRAME)
    assert stream.state is SendState.IDLE


def test_a_stream_goes_through_its_states() -> None:
    publisher, subscriber, wire = Publisher(published()), Subscriber(connected=False), Wire()
    stream = subscriber.stream
    states = [stream.state]

    def note() -> None:
        states.append(stream.state)

    stream.bind(publisher.stream, 0.0)
    note()
    subscriber.connect()
    stream.forward(publisher.send(), wire.egress, 0.0)
    note()
    stream.forward(publisher.send(KEY_FRAME), wire.egress, 0.0)
    note()
    subscriber.send_context.suspend()
    stream.forward(publisher.send(), wire.egress, 0.0)
    note()
    stream.pause()
    note()
    stream.bind(None, 0.0)
    note()
    stream.resume(0.0)
    note()
    assert states == [
        SendState.IDLE,
        SendState.WAITING,
        SendState.REQUESTED,
        SendState.FORWARDING,
        SendState.WAITING,
        SendState.PAUSED,
        SendState.IDLE_PAUSED,
        SendState.IDLE,
    ]


def test_a_source_that_is_bound_to_a_paused_stream_is_paused() -> None:
    publisher, subscriber, wire = Publisher(published()), Subscriber(), Wire()
    stream = subscriber.stream
    stream.pause()
    stream.bind(publisher.stream, 0.0)
    stream.forward(publisher.send(KEY_FRAME), wire.egress, 0.0)
    assert stream.state is SendState.PAUSED
    assert subscriber.read(wire) == []
    stream.resume(0.0)
    stream.forward(publisher.send(KEY_FRAME), wire.egress, 0.0)
    assert len(subscriber.read(wire)) == 1
