"""Reception statistics against RFC 3550's appendix."""

from hypothesis import given
from hypothesis import strategies as st

from sfu.rtp.statistics import MAX_DROPOUT, MAX_MISORDER, ReceptionStatistics


def receive(statistics: ReceptionStatistics, *numbers: int) -> list[int | None]:
    return [statistics.receive(number, 0, 0.0) for number in numbers]


def test_numbers_extend_over_the_wrap_in_both_directions() -> None:
    statistics = ReceptionStatistics(90000)
    assert statistics.extend(3) is None
    assert receive(statistics, 65534, 65535, 1, 0, 65533) == [65534, 65535, 65537, 65536, 65533]
    assert statistics.highest == 65537
    assert statistics.extend(65535) == 65535
    assert statistics.extend(2) == 65538


def test_loss_and_its_fraction() -> None:
    statistics = ReceptionStatistics(90000)
    assert statistics.expected == 0
    receive(statistics, *range(10))
    block = statistics.report_block(7, 1, 2)
    assert (block.ssrc, block.fraction_lost, block.cumulative_lost, block.highest_sequence) == (7, 0, 0, 9)
    assert (block.last_sender_report, block.delay_since_last_sender_report) == (1, 2)
    receive(statistics, 10, 12, 14, 16)  # 3 of 7 lost
    assert statistics.report_block(7, 0, 0).fraction_lost == 3 * 256 // 7
    assert statistics.lost == 3
    receive(statistics, 11, 13)  # they were only late
    block = statistics.report_block(7, 0, 0)
    assert (block.fraction_lost, block.cumulative_lost) == (0, 1)
    receive(statistics, *[16] * 5)  # duplicates make it negative
    assert statistics.report_block(7, 0, 0).cumulative_lost == -4


def test_everything_lost_between_two_reports_stays_in_a_byte() -> None:
    statistics = ReceptionStatistics(90000)
    receive(statistics, 0)
    statistics.report_block(7, 0, 0)
    receive(statistics, MAX_DROPOUT - 1)
    assert statistics.report_block(7, 0, 0).fraction_lost == 255


def test_a_jump_counts_only_when_the_next_packet_follows_it() -> None:
    statistics = ReceptionStatistics(90000)
    receive(statistics, 100, 101)
    assert receive(statistics, 101 + MAX_DROPOUT) == [None]
    assert receive(statistics, 102) == [102]  # it was a stray
    assert receive(statistics, 40000) == [None]
    assert receive(statistics, 40001) == [65536 + 40001]
    assert statistics.restarts == 1
    assert (statistics.expected, statistics.received, statistics.lost) == (1, 1, 0)
    assert receive(statistics, 40002) == [65536 + 40002]


def test_late_up_to_the_limit() -> None:
    statistics = ReceptionStatistics(90000)
    receive(statistics, 5000)
    assert receive(statistics, 5000 - MAX_MISORDER) == [5000 - MAX_MISORDER]
    assert receive(statistics, 5000 - MAX_MISORDER - 1) == [None]


def test_jitter_of_even_spacing_is_zero_and_of_uneven_follows_the_formula() -> None:
    statistics = ReceptionStatistics(8000)
    for n in range(5):
        statistics.receive(n, (0xFFFF_FF00 + n * 160) & 0xFFFF_FFFF, n * 0.02)
    assert statistics.jitter < 1e-6  # also over the timestamp's wrap
    statistics.receive(5, (0xFFFF_FF00 + 5 * 160) & 0xFFFF_FFFF, 5 * 0.02 + 0.01)  # 80 ticks late
    assert round(statistics.jitter, 6) == 80 / 16
    assert round(statistics.jitter_seconds, 9) == 80 / 16 / 8000
    assert statistics.report_block(1, 0, 0).jitter == 5


def test_a_restart_is_no_jitter() -> None:
    statistics = ReceptionStatistics(8000)
    statistics.receive(1, 0, 0.0)
    statistics.receive(30000, 3_000_000_000, 0.02)
    statistics.receive(30001, 3_000_000_160, 0.04)
    statistics.receive(30002, 3_000_000_320, 0.06)
    assert statistics.jitter < 1e-6


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=60))
def test_any_numbers_make_a_report_that_fits_the_wire(numbers: list[int]) -> None:
    statistics = ReceptionStatistics(90000)
    for number in numbers:
        extended = statistics.receive(number, number * 3000, 0.0)
        assert extended is None or extended & 0xFFFF == number
    assert len(statistics.report_block(1, 0, 0).encode()) == 24
