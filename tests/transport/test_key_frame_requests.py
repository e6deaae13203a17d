"""Requests for key frames are merged, throttled, sent again, and ended by a key frame."""

from hypothesis import given
from hypothesis import strategies as st

from sfu.transport.key_frame_requests import (
    BUDGET,
    MAX_INTERVAL,
    MIN_INTERVAL,
    KeyFrameBudget,
    KeyFrameRequests,
)


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


def passed(budget: KeyFrameBudget, begin: float, end: float, step: float = 0.125) -> list[float]:
    """Request every `step` seconds; return the times of the requests that are passed on."""
    count = round((end - begin) / step)
    return [now for now in (begin + index * step for index in range(count)) if budget.take(now)]


def test_a_receiver_that_never_stops_requesting_is_slowed_down_to_one_request_in_10_seconds() -> None:
    budget = KeyFrameBudget()
    # More often within half a second is merged by `KeyFrameRequests`, while there is a budget.
    assert passed(budget, 0.0, 2.0, 0.5) == [0.0, 0.5, 1.0, 1.5]
    assert passed(budget, 2.0, 60.0) == [2.0, 3.0, 5.0, 9.0, 17.0, 27.0, 37.0, 47.0, 57.0]


def test_a_receiver_that_has_been_quiet_for_10_seconds_has_its_whole_budget_again() -> None:
    budget = KeyFrameBudget()
    passed(budget, 0.0, 60.0)
    assert not budget.take(60.0)
    assert not budget.take(62.0)  # not quiet yet
    assert passed(budget, 72.0, 74.0, 0.5) == [72.0, 72.5, 73.0, 73.5]


def test_a_receiver_that_loses_packets_every_3_seconds_is_never_refused() -> None:
    budget = KeyFrameBudget()
    assert len(passed(budget, 0.0, 300.0, 3.0)) == 100


def test_no_rhythm_gets_more_than_one_request_in_2_seconds_for_long() -> None:
    for quiet in (0.5, 1.0, 3.0, 5.0, 10.0):
        for burst in range(1, 12):
            budget, now, count = KeyFrameBudget(), 0.0, 0
            while now < 300.0:
                for _ in range(burst):
                    count += budget.take(now)
                    now += 0.5
                now += quiet - 0.5
            assert count <= BUDGET + 300.0 / 2, (quiet, burst)


def test_a_receiver_that_key_frames_help_is_never_refused() -> None:
    budget = KeyFrameBudget()
    for begin in (0.0, 12.0, 24.0, 36.0):
        # A loss, and again while the key frame is on its way.
        assert all(budget.take(begin + after) for after in (0.0, 0.2, 0.4, 0.7, 1.3))
