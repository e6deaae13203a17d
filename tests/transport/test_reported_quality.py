"""What a peer's reports say, counted as they come."""

from sfu.transport.reception_reports import Progress
from sfu.transport.reported_quality import ReportedQuality


def test_reports_add_up() -> None:
    quality = ReportedQuality()
    quality.add(Progress(100, 5, 0.030), 0.0045)
    quality.add(Progress(50, -1, None), 0.021)
    statistics = quality.statistics()
    assert (statistics.expected, statistics.lost) == (150, 4)
    assert statistics.jitter.counts == (0, 1, 0, 0, 1, 0, 0, 0)
    assert statistics.round_trip.counts == (0, 0, 1, 0, 0, 0, 0, 0)


def test_a_report_about_nothing_says_nothing_of_jitter() -> None:
    quality = ReportedQuality()
    quality.add(Progress(0, 0, 0.2), 0.5)
    statistics = quality.statistics()
    assert (statistics.expected, statistics.lost) == (0, 0)
    assert sum(statistics.jitter.counts) == 0
    assert sum(statistics.round_trip.counts) == 1
