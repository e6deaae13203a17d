"""A receiver gets retransmissions, but not many times what it is sent anyway."""

from sfu.transport.retransmission import (
    BURST,
    MAX_LOOKUPS,
    MAX_RETRANSMISSIONS,
    MAX_TRACKED,
    MIN_INTERVAL,
    RetransmissionLimit,
)


def test_the_retransmissions_of_one_packet_are_limited() -> None:
    limit = RetransmissionLimit()
    now = 1.0
    assert limit.take(7, 100, 0, now)
    assert not limit.take(7, 100, 0, now + MIN_INTERVAL / 2)
    assert limit.take(8, 100, 0, now)
    for _ in range(MAX_RETRANSMISSIONS - 1):
        now += MIN_INTERVAL
        assert limit.take(7, 100, 0, now)
    assert not limit.take(7, 100, 0, now + 100)


def test_the_interval_follows_the_round_trip() -> None:
    limit = RetransmissionLimit()
    limit.set_round_trip(0.2)
    assert limit.take(7, 100, 0, 0.0)
    assert not limit.take(7, 100, 0, 0.09)
    assert limit.take(7, 100, 0, 0.1)
    limit.set_round_trip(0.0)
    assert limit.interval == MIN_INTERVAL


def test_all_retransmissions_together_stay_below_what_is_sent() -> None:
    limit = RetransmissionLimit()
    repeated = sum(1000 for number in range(10_000) if limit.take(number, 1000, 0, 0.0))
    assert BURST - 1000 < repeated <= BURST
    assert not limit.take(99_999, 1000, 500, 0.0)
    assert limit.take(99_999, 1000, 2000, 0.0)


def test_lookups_are_limited_by_what_is_sent() -> None:
    limit = RetransmissionLimit()
    assert limit.take_lookups(MAX_LOOKUPS - 1, 0) == MAX_LOOKUPS - 1
    assert limit.take_lookups(10, 0) == 1
    assert limit.take_lookups(10, 0) == 0
    assert limit.take_lookups(25, 2) == 2 * MAX_RETRANSMISSIONS
    assert limit.take_lookups(10_000, 1_000_000) == MAX_LOOKUPS


def test_the_number_of_remembered_packets_is_limited() -> None:
    limit = RetransmissionLimit()
    for number in range(MAX_TRACKED + 1):
        assert limit.take(number, 1, 0, 0.0)
    assert limit.take(0, 1, 0, 0.0)  # forgotten
    assert not limit.take(MAX_TRACKED, 1, 0, 0.0)
