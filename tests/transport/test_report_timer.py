"""The schedule of reports stays within RFC 3550's bounds."""

from hypothesis import given
from hypothesis import strategies as st

from sfu.transport.report_timer import INTERVAL, ReportTimer


@given(st.binary(min_size=2, max_size=2))
def test_intervals_vary_around_the_mean(chance: bytes) -> None:
    timer = ReportTimer(lambda size: chance[:size])
    assert timer.next_timeout() is None
    assert not timer.take_due(5.0)
    timer.start(10.0)
    first = timer.next_timeout()
    assert first is not None
    assert 10.0 + 0.25 * INTERVAL <= first <= 10.0 + 0.75 * INTERVAL
    assert not timer.take_due(first - 0.001)
    assert timer.take_due(first)
    second = timer.next_timeout()
    assert second is not None
    assert first + 0.5 * INTERVAL <= second <= first + 1.5 * INTERVAL
    timer.stop()
    assert not timer.take_due(second)
