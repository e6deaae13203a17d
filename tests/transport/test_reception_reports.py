"""What a receiver reports: loss, jitter, and the round trip by our own record of when a report left."""

from sfu.rtp.ntp import compact_ntp
from sfu.rtp.rtcp import ReportBlock
from sfu.transport.reception_reports import SENT_REMEMBERED, ReceptionReports

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
    reports.receive(ReportBlock(1, 0, 0, 0, 0, compact_ntp(NTP) + 1, 0), 99.0)  # no report of ours
    assert reports.round_trip == 0.25
    reports.receive(ReportBlock(1, 0, 0, 0, 0, compact_ntp(NTP), 65536 * 60), 11.25)  # a lie, or a bad clock
    assert reports.round_trip == 0.0


def test_only_the_latest_reports_are_remembered() -> None:
    reports = ReceptionReports()
    for count in range(SENT_REMEMBERED + 1):
        reports.sent(NTP + (count << 32), float(count))
    reports.receive(ReportBlock(1, 0, 0, 0, 0, compact_ntp(NTP), 0), 99.0)
    assert reports.round_trip is None
