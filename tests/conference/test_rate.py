"""The rate limit of a client's messages."""

from hypothesis import given
from hypothesis import strategies as st

from sfu.conference.rate import TokenBucket


def test_a_burst_passes_at_once_and_then_the_rate_holds() -> None:
    bucket = TokenBucket(rate=20, burst=40, now=0.0)
    assert sum(bucket.take(0.0) for _ in range(100)) == 40
    assert not bucket.take(0.049)
    assert bucket.take(0.051)
    assert sum(bucket.take(10.0) for _ in range(100)) == 40


def test_after_a_refusal_nothing_is_read_until_a_message_is_allowed() -> None:
    bucket = TokenBucket(rate=20, burst=2, now=0.0)
    assert [(bucket.take(0.0), bucket.pause()) for _ in range(3)] == [(True, 0.0), (True, 0.0), (False, 0.05)]
    assert not bucket.take(0.02)
    assert abs(bucket.pause() - 0.03) < 1e-9
    assert bucket.take(0.051)
    assert bucket.pause() == 0.0


def test_a_heavy_message_passes_at_once_and_is_repaid_by_a_pause() -> None:
    bucket = TokenBucket(rate=20, burst=4, now=0.0)
    assert bucket.take(0.0, 24)
    assert bucket.pause() == 1.05
    assert not bucket.take(1.04)
    assert bucket.take(1.06)
    assert bucket.pause() == 0.0
    assert bucket.take(10.0, 3.0)
    assert bucket.pause() == 0.0


@given(st.lists(st.floats(min_value=0, max_value=5), max_size=200))
def test_no_more_than_the_burst_and_the_rate_passes(gaps: list[float]) -> None:
    bucket = TokenBucket(rate=2, burst=5, now=0.0)
    now = 0.0
    passed = 0
    for gap in gaps:
        now += gap
        passed += bucket.take(now)
    assert passed <= 5 + 2 * now + 1e-6


@given(st.lists(st.tuples(st.floats(min_value=0, max_value=5), st.floats(min_value=1, max_value=50))))
def test_in_the_long_run_weights_pass_at_the_rate(events: list[tuple[float, float]]) -> None:
    bucket = TokenBucket(rate=2, burst=5, now=0.0)
    now = 0.0
    before = 0.0
    for gap, weight in events:
        now += gap
        if bucket.take(now, weight):
            assert before <= 5 + 2 * now + 1e-6
            before += weight
