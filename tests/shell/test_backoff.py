"""When a failed operation is tried and logged again."""

from sfu.shell.backoff import MAX_DOUBLINGS, ReportTimes, retry_delay


def test_delay_doubles_up_to_the_longest() -> None:
    longest = [retry_delay(failures, 1.0, 30.0, lambda count: b"\xff" * count) for failures in range(7)]
    assert [round(delay) for delay in longest] == [1, 2, 4, 8, 16, 30, 30]
    assert retry_delay(10_000, 0.001, 1e9, bytes) == 0.001 * (1 << MAX_DOUBLINGS) / 2


def test_delay_is_shortened_by_half_at_most() -> None:
    assert retry_delay(0, 2.0, 30.0, bytes) == 1.0
    assert 1.99 < retry_delay(0, 2.0, 30.0, lambda count: b"\xff" * count) < 2.0


def test_a_failure_is_logged_once_per_interval_and_kind() -> None:
    reports = ReportTimes(60.0)
    assert reports.is_due("connect", 100.0)
    assert not reports.is_due("connect", 159.0)
    assert reports.is_due("status", 159.0)
    assert reports.is_due("connect", 160.0)
    assert not reports.is_due("connect", 219.0)


def test_a_failure_after_a_success_is_logged_at_once() -> None:
    reports = ReportTimes(60.0)
    assert reports.is_due("connect", 100.0)
    reports.clear()
    assert reports.is_due("connect", 101.0)
