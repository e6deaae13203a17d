"""What is asked for again, when, and when no more."""

from hypothesis import given
from hypothesis import strategies as st

from sfu.rtp import nack
from sfu.rtp.nack import MissingPackets


def test_a_gap_is_asked_for_after_a_moment_and_once_per_round_trip() -> None:
    missing = MissingPackets(asks=True)
    assert missing.receive(10, 0.0)
    assert missing.next_timeout() is None
    assert missing.take_due(0.0) == ()
    assert missing.receive(13, 0.0)
    assert missing.next_timeout() == nack.REORDERING_WAIT
    assert missing.take_due(0.004) == ()
    assert missing.take_due(0.005) == (11, 12)
    missing.set_round_trip(0.05)
    assert missing.take_due(0.1) == ()
    assert missing.take_due(0.11) == (11, 12)
    assert missing.receive(12, 0.12)
    assert missing.take_due(0.2) == (11,)
    assert missing.receive(11, 0.21)
    assert missing.take_due(0.3) == ()
    assert missing.next_timeout() is None
    assert (missing.requested, missing.recovered, missing.given_up, len(missing)) == (5, 2, 0, 0)


def test_reordering_alone_requests_nothing() -> None:
    missing = MissingPackets(asks=True)
    for number, now in ((1, 0.0), (3, 0.001), (2, 0.002), (4, 0.003)):
        assert missing.receive(number, now)
    assert missing.take_due(1.0) == ()
    assert missing.requested == missing.recovered == 0


def test_gaps_found_at_different_times_have_their_own_deadlines() -> None:
    missing = MissingPackets(asks=True)
    for number, now in ((1, 0.0), (3, 0.0), (5, 0.003)):
        missing.receive(number, now)
    assert missing.take_due(0.005) == (2,)
    assert missing.next_timeout() == 0.008
    assert missing.take_due(0.008) == (4,)


def test_duplicates_and_given_up_packets_are_not_new() -> None:
    missing = MissingPackets(asks=False)
    assert missing.receive(1, 0.0)
    assert not missing.receive(1, 0.0)
    assert missing.receive(4, 0.0)
    assert missing.receive(2, 0.5)
    assert not missing.receive(2, 0.5)
    assert missing.receive(6, nack.MAX_AGE)  # which gives up number 3
    assert not missing.receive(3, nack.MAX_AGE)
    assert missing.given_up == 1
    assert missing.take_due(99.0) == ()
    assert missing.next_timeout() is None


def test_requests_are_limited() -> None:
    missing = MissingPackets(asks=True)
    missing.set_round_trip(0.0)
    missing.receive(1, 0.0)
    missing.receive(3, 0.0)
    now, asked = 0.0, 0
    while (deadline := missing.next_timeout()) is not None:
        assert deadline >= now
        now = deadline
        asked += len(missing.take_due(now))
    assert asked == nack.MAX_REQUESTS
    assert now == nack.MAX_AGE
    assert missing.given_up == 1


def test_a_gap_too_wide_asks_for_a_key_frame() -> None:
    missing = MissingPackets(asks=True)
    missing.receive(0, 0.0)
    missing.receive(5, 0.0)
    missing.receive(5 + nack.MAX_MISSING, 0.0)  # one more than there is room for
    assert missing.key_frame_needed
    assert len(missing) == 0
    assert missing.take_due(1.0) == ()
    assert missing.given_up == 4 + nack.MAX_MISSING - 1
    assert not missing.receive(3, 0.0)
    assert missing.receive(6 + nack.MAX_MISSING, 0.0)


def test_restart_forgets_the_old_numbering() -> None:
    missing = MissingPackets(asks=True)
    missing.receive(10, 0.0)
    missing.receive(12, 0.0)
    missing.restart()
    assert missing.take_due(1.0) == ()
    assert missing.receive(3, 1.0)
    assert missing.highest == 3


@given(st.lists(st.tuples(st.integers(0, 700), st.floats(0, 0.3)), max_size=60))
def test_any_arrivals(arrivals: list[tuple[int, float]]) -> None:
    missing, seen, now = MissingPackets(asks=True), set[int](), 0.0
    for number, wait in arrivals:
        now += wait
        if missing.receive(number, now):
            assert number not in seen
            seen.add(number)
        else:
            assert number <= max(seen)
        assert len(missing) <= nack.MAX_MISSING
        asked = missing.take_due(now)
        assert list(asked) == sorted(set(asked))
        assert seen.isdisjoint(asked)
        deadline = missing.next_timeout()
        assert deadline is None or deadline > now
