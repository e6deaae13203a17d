"""What receivers report: loss, jitter, and the round trip time since a sender report was sent."""

from sfu.rtp.ntp import compact_ntp
from sfu.rtp.rtcp import ReportBlock
from sfu.transport.reception_reports import (
    PLAUSIBLE_STEP,
    SENT_REMEMBERED,
    Progress,
    ReceptionReports,
    ReportedQuality,
)

NTP = 0xE123_4567_8000_0000


def test_the_latest_block_counts() -> None:
    reports = ReceptionReports()
    assert (reports.fraction_lost, reports.lost, reports.jitter, reports.round_trip) == (0.0, 0, 0, None)
    reports.receive(ReportBlock(1, 128, -3, 0, 900, 0, 0), 1.0)
    assert (reports.fraction_lost, reports.lost, reports.jitter, reports.round_trip) == (0.5, -3, 900, None)


def test_round_trip() -> None:
    reports = ReceptionReports()
    reports.sent(NTP, 10.0)
    reports.sent(NTP + 2**32, 11.0)
    reports.receive(ReportBlock(1, 0, 0, 0, 0, compact_ntp(NTP), 65536), 11.25)
    assert reports.round_trip == 0.25
    reports.receive(
        ReportBlock(1, 0, 0, 0, 0, compact_ntp(NTP) + 1, 0), 99.0
    )  # not one of the server's reports
    assert reports.round_trip == 0.25
    reports.receive(ReportBlock(1, 0, 0, 0, 0, compact_ntp(NTP), 65536 * 60), 11.25)  # a lie, or a bad clock
    assert reports.round_trip == 0.0


def test_only_the_latest_reports_are_remembered() -> None:
    reports = ReceptionReports()
    for count in range(SENT_REMEMBERED + 1):
        reports.sent(NTP + (count << 32), float(count))
    reports.receive(ReportBlock(1, 0, 0, 0, 0, compact_ntp(NTP), 0), 99.0)
    assert reports.round_trip is None


def block(highest: int, lost: int) -> ReportBlock:
    return ReportBlock(1, 0, lost, highest, 0, 0, 0)


def test_progress_is_the_difference_of_two_blocks() -> None:
    reports = ReceptionReports()
    assert reports.receive(block(1000, 7), 1.0) == Progress(0, 0, None)
    assert reports.receive(block(1100, 12), 2.0) == Progress(100, 5, None)
    assert reports.receive(block(1100, 12), 3.0) == Progress(0, 0, None)
    assert reports.receive(block(1110, 10), 4.0) == Progress(10, -2, None)


def test_a_block_that_was_overtaken_counts_nothing_and_nothing_twice() -> None:
    reports = ReceptionReports()
    reports.receive(block(1000, 0), 1.0)
    reports.receive(block(1100, 5), 2.0)
    assert reports.receive(block(1050, 3), 3.0) == Progress(0, 0, None)
    assert reports.receive(block(1120, 6), 4.0) == Progress(20, 1, None)


def test_progress_over_the_wrap_of_the_extended_number() -> None:
    reports = ReceptionReports()
    reports.receive(block(0xFFFF_FFF0, 0), 1.0)
    assert reports.receive(block(0x10, 0), 2.0) == Progress(0x20, 0, None)


def test_an_implausible_jump_counts_nothing_and_is_the_new_start() -> None:
    reports = ReceptionReports()
    reports.receive(block(1000, 0), 1.0)
    assert reports.receive(block(1000 + PLAUSIBLE_STEP, 5), 2.0) == Progress(0, 0, None)
    assert reports.receive(block(1010 + PLAUSIBLE_STEP, 6), 3.0) == Progress(10, 1, None)
    assert reports.receive(block(7, 6), 4.0) == Progress(0, 0, None)
    assert reports.receive(block(9, 7), 5.0) == Progress(2, 1, None)


def test_progress_has_the_round_trip_of_its_own_block_alone() -> None:
    reports = ReceptionReports()
    reports.sent(NTP, 10.0)
    assert reports.receive(ReportBlock(1, 0, 0, 0, 0, compact_ntp(NTP), 0), 10.5).round_trip == 0.5
    assert reports.receive(block(1, 0), 11.0).round_trip is None


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
