"""Transport-wide feedback: every arrival is reported once, with its time, and losses between."""

from hypothesis import given
from hypothesis import strategies as st

from sfu.rtp import arrivals
from sfu.rtp.arrivals import ArrivalRecorder
from sfu.rtp.rtcp import TransportWideFeedback


def feedback(recorder: ArrivalRecorder, now: float) -> list[TransportWideFeedback]:
    return recorder.take_feedback(now, sender_ssrc=1, media_ssrc=2)


def test_feedback_comes_an_interval_after_the_first_arrival() -> None:
    recorder = ArrivalRecorder()
    assert recorder.next_timeout() is None
    assert feedback(recorder, 5.0) == []
    recorder.record(65535, 5.0)
    recorder.record(1, 5.02)
    recorder.record(1, 5.04)  # a duplicate: the first arrival counts
    assert recorder.next_timeout() == 5.0 + arrivals.INTERVAL
    assert feedback(recorder, 5.09) == []
    (message,) = feedback(recorder, 5.1)
    assert (message.sender_ssrc, message.media_ssrc, message.feedback_count) == (1, 2, 0)
    assert (message.base_sequence_number, message.status_count) == (65535, 3)
    assert list(message.arrivals()) == [(65535, 5.0), (1, 5.02)]
    assert recorder.next_timeout() is None


def test_a_loss_on_the_boundary_of_two_messages_is_reported() -> None:
    recorder = ArrivalRecorder()
    recorder.record(1, 0.0)
    feedback(recorder, 0.1)
    recorder.record(3, 0.2)
    (message,) = feedback(recorder, 0.31)
    assert message.feedback_count == 1
    assert (message.base_sequence_number, message.status_count, len(message.received)) == (2, 2, 1)


def test_a_late_packet_is_reported_with_its_neighbours() -> None:
    recorder = ArrivalRecorder()
    for number in (1, 3, 4):
        recorder.record(number, 0.0)
    feedback(recorder, 0.1)
    recorder.record(2, 0.15)
    (message,) = feedback(recorder, 0.25)
    assert [number for number, _ in message.arrivals()] == [2, 3, 4]


def test_many_packets_do_not_wait() -> None:
    recorder = ArrivalRecorder()
    for number in range(arrivals.PACKETS):
        recorder.record(number, 1.0)
    assert recorder.next_timeout() == 1.0
    assert sum(len(message.received) for message in feedback(recorder, 1.0)) == arrivals.PACKETS


def test_memory_is_bounded_by_count_and_time() -> None:
    recorder = ArrivalRecorder()
    for number in range(2 * arrivals.MAX_ARRIVALS):
        recorder.record(number & 0xFFFF, 1.0)
    reported = [item for message in feedback(recorder, 1.0) for item in message.arrivals()]
    assert len(reported) == arrivals.MAX_ARRIVALS
    # After MEMORY a straggler stands alone.
    recorder.record(4100, 2.0)
    assert [number for m in feedback(recorder, 2.1) for number, _ in m.arrivals()] == [4100]
    recorder.record(4095, 2.7)
    assert [number for m in feedback(recorder, 2.85) for number, _ in m.arrivals()] == [4095, 4100]


@given(st.lists(st.tuples(st.integers(0, 65535), st.floats(0, 2.0)), max_size=40))
def test_any_arrivals_encode(steps: list[tuple[int, float]]) -> None:
    recorder, now = ArrivalRecorder(), 0.0
    for number, wait in steps:
        now += wait
        recorder.record(number, now)
        for message in feedback(recorder, now + (wait > 1)):
            assert TransportWideFeedback.decode(message.encode()[4:]).received == message.received
