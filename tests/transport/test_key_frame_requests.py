"""Requests for key frames are merged, throttled, sent again, and ended by a key frame."""

from hypothesis import given
from hypothesis import strategies as st

from sfu.transport.key_frame_requests import MAX_INTERVAL, MIN_INTERVAL, KeyFrameRequests


def test_many_requests_of_subscribers_are_one_to_the_publisher() -> None:
    requests = KeyFrameRequests()
    assert requests.next_timeout() is None
    assert not requests.take_due(0.0)
    for now in (1.0, 1.0, 1.01):
        requests.request(now)
    assert requests.next_timeout() == 1.0
    assert requests.is_new
    assert requests.take_due(1.01)
    assert not requests.is_new
    assert not requests.take_due(1.02)
    requests.arrived()
    assert requests.next_timeout() is None
    assert requests.sent == 1


def test_a_request_soon_after_another_waits_and_is_dropped_at_a_key_frame() -> None:
    requests = KeyFrameRequests()
    requests.request(1.0)
    assert requests.take_due(1.0)
    requests.arrived()
    requests.request(1.1)
    assert requests.next_timeout() == 1.0 + MIN_INTERVAL
    assert requests.is_new
    assert not requests.take_due(1.2)
    requests.arrived()
    assert not requests.take_due(2.0)


def test_unanswered_requests_are_sent_again_at_growing_intervals() -> None:
    requests = KeyFrameRequests()
    requests.request(0.0)
    at = []
    for _ in range(6):
        now = requests.next_timeout()
        assert now is not None
        assert requests.take_due(now)
        assert not requests.is_new
        at.append(now)
    assert at == [0.0, 0.5, 1.5, 3.5, 7.5, 11.5]
    assert at[-1] - at[-2] == MAX_INTERVAL


def test_a_new_request_does_not_wait_for_a_long_interval() -> None:
    requests = KeyFrameRequests()
    requests.request(0.0)
    for now in (0.0, 0.5, 1.5):
        assert requests.take_due(now)
    requests.request(1.6)
    assert requests.next_timeout() == 1.5 + MIN_INTERVAL


@given(st.lists(st.tuples(st.sampled_from(["want", "arrived", "due"]), st.floats(0, 1.0)), max_size=60))
def test_never_two_requests_within_the_minimum(steps: list[tuple[str, float]]) -> None:
    requests, now, asked = KeyFrameRequests(), 0.0, [float("-inf")]
    for step, wait in steps:
        now += wait
        if step == "want":
            requests.request(now)
        elif step == "arrived":
            requests.arrived()
        elif requests.take_due(now):
            assert now >= asked[-1] + MIN_INTERVAL
            asked.append(now)
