"""Sums over streams: every count, under the name that it has in the streams."""

from collections import Counter
from dataclasses import fields

from sfu.transport.stream_statistics import ReceiveStatistics, ReceiveTotals, SendStatistics, SendTotals


def test_receive_totals() -> None:
    totals = ReceiveTotals()
    one = ReceiveStatistics(1, 2, 3, 4.0, 5.0, 6, 7, 8, 9, 10, {"late": 11})
    totals.add(one)
    totals.add(one)
    assert totals == ReceiveTotals(2, 4, 12, 14, 16, 20, Counter(late=22))


def test_send_totals() -> None:
    totals = SendTotals()
    one = SendStatistics(1, 2, 3, 4, 5, 6, 0.5, 7, 0.1, None, {"codec": 1, "late": 2})
    totals.add(one)
    other = SendTotals()
    other.add(totals)
    other.add(one)
    assert other == SendTotals(2, 4, 6, 8, 10, 12, Counter(codec=2, late=4))


def test_names_are_those_of_the_streams() -> None:
    for totals, statistics in ((ReceiveTotals, ReceiveStatistics), (SendTotals, SendStatistics)):
        assert {row.name for row in fields(totals)} <= {row.name for row in fields(statistics)}
