"""The backlog: the newest record of each session is written once, and no change is forgotten."""

import math
import time

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from support.records import record

from sfu.conference.records import SessionRecord
from sfu.state.backlog import LINGER, Action, Backlog, Change, Outcome

GRACE = 20.0
REFRESH_INTERVAL = 15.0
LEASE = GRACE + 2 * REFRESH_INTERVAL


def finish_all(backlog: Backlog, outcome: Outcome, now: float) -> list[Change]:
    """Take all changes that are due, and finish them with one outcome."""
    changes = backlog.take(1000, now)
    for change in changes:
        backlog.finish(change, outcome, now)
    return changes


def test_the_newest_record_is_written_once() -> None:
    backlog = Backlog(10, REFRESH_INTERVAL)
    for generation in range(5):
        backlog.put(record(1, generation=generation), GRACE, 0.0)
    (change,) = finish_all(backlog, Outcome.DONE, 0.0)
    assert (change.action, change.record.generation, change.ttl) == (Action.SAVE, 4, LEASE)
    assert len(backlog) == 0
    assert backlog.take(10, 0.0) == []


def test_a_session_that_changes_while_it_is_written_is_written_again() -> None:
    backlog = Backlog(10, REFRESH_INTERVAL)
    backlog.put(record(1), GRACE, 0.0)
    (change,) = backlog.take(10, 0.0)
    backlog.put(record(1, name="newer"), GRACE, 0.0)
    backlog.finish(change, Outcome.DONE, 0.0)
    (again,) = backlog.take(10, 0.0)
    assert again.record.name == "newer"


def test_leases_are_extended_until_the_session_is_suspended() -> None:
    backlog = Backlog(10, REFRESH_INTERVAL)
    backlog.put(record(1), GRACE, 0.0)
    finish_all(backlog, Outcome.DONE, 0.0)
    assert backlog.next_refresh() == REFRESH_INTERVAL
    assert backlog.take(10, REFRESH_INTERVAL - 1) == []
    (change,) = finish_all(backlog, Outcome.DONE, REFRESH_INTERVAL)
    assert (change.action, change.ttl) == (Action.REFRESH, LEASE)
    assert backlog.next_refresh() == 2 * REFRESH_INTERVAL
    backlog.put(record(1, suspended=True), 12.0, 20.0)
    assert backlog.next_refresh() == math.inf
    (change,) = finish_all(backlog, Outcome.DONE, 25.0)
    assert (change.action, change.ttl, change.grace) == (Action.SAVE, 7.0, GRACE)
    assert backlog.take(10, 30.0) == []


def test_an_absent_session_is_written_again() -> None:
    backlog = Backlog(10, REFRESH_INTERVAL)
    backlog.put(record(1), GRACE, 0.0)
    finish_all(backlog, Outcome.DONE, 0.0)
    finish_all(backlog, Outcome.ABSENT, REFRESH_INTERVAL)
    (change,) = finish_all(backlog, Outcome.DONE, REFRESH_INTERVAL)
    assert change.action is Action.SAVE


def test_a_session_that_redis_never_had_needs_no_drop() -> None:
    backlog = Backlog(10, REFRESH_INTERVAL)
    backlog.put(record(1), GRACE, 0.0)
    backlog.drop(record(1).session_id)
    assert backlog.sessions == len(backlog) == 0


def test_a_session_that_has_expired_in_redis_needs_no_drop() -> None:
    backlog = Backlog(10, REFRESH_INTERVAL)
    backlog.put(record(1), GRACE, 0.0)
    finish_all(backlog, Outcome.FAILED, 0.0)  # Redis may have it nevertheless
    backlog.drop(record(1).session_id)
    assert record(1).session_id in backlog
    assert [change.action for change in backlog.take(10, LEASE + LINGER - 1)] == [Action.DROP]
    assert backlog.take(10, LEASE + LINGER + 1) == []
    assert backlog.sessions == 0


def test_a_session_that_came_back_after_its_drop_is_written() -> None:
    backlog = Backlog(10, REFRESH_INTERVAL)
    backlog.put(record(1), GRACE, 0.0)
    finish_all(backlog, Outcome.DONE, 0.0)
    backlog.drop(record(1).session_id)
    (drop,) = backlog.take(10, 1.0)
    backlog.put(record(1, name="back"), GRACE, 1.0)
    backlog.finish(drop, Outcome.DONE, 1.0)
    (change,) = backlog.take(10, 1.0)
    assert (change.action, change.record.name) == (Action.SAVE, "back")


def test_a_lost_session_is_reported_once_and_not_if_it_had_ended() -> None:
    backlog = Backlog(10, REFRESH_INTERVAL)
    for number in (1, 2):
        backlog.put(record(number), GRACE, 0.0)
    one, two = backlog.take(10, 0.0)
    backlog.drop(two.session_id)
    assert backlog.finish(one, Outcome.LOST, 0.0)
    assert not backlog.finish(one, Outcome.LOST, 0.0)
    assert not backlog.finish(two, Outcome.LOST, 0.0)
    assert backlog.sessions == 0


def test_failed_changes_come_after_the_others() -> None:
    backlog = Backlog(10, REFRESH_INTERVAL)
    for number in range(4):
        backlog.put(record(number), GRACE, 0.0)
    for change in backlog.take(2, 0.0):
        backlog.finish(change, Outcome.FAILED, 0.0)
    assert [change.session_id for change in backlog.take(2, 0.0)] == [
        record(2).session_id,
        record(3).session_id,
    ]


def test_a_session_beyond_the_limit_is_refused_and_a_known_one_is_not() -> None:
    backlog = Backlog(1, REFRESH_INTERVAL)
    backlog.put(record(1), GRACE, 0.0)
    backlog.put(record(2), GRACE, 0.0)
    backlog.put(record(1, name="newer"), GRACE, 0.0)
    assert backlog.refused == 1
    (change,) = backlog.take(10, 0.0)
    assert change.record.name == "newer"


def test_a_claimed_session_that_is_never_put_is_forgotten() -> None:
    backlog = Backlog(10, REFRESH_INTERVAL)
    backlog.hold(record(1), GRACE, 10.0, {"color": "red"}, 0.0)
    assert backlog.take(10, 0.0) == []
    assert record(1).session_id in backlog
    backlog.tidy(10.0)
    assert backlog.sessions == 1
    backlog.tidy(10.0 + REFRESH_INTERVAL)
    assert backlog.sessions == 0


def test_a_claimed_session_keeps_its_unknown_fields_when_it_is_put() -> None:
    backlog = Backlog(10, REFRESH_INTERVAL)
    backlog.hold(record(1), GRACE, 10.0, {"color": "red"}, 0.0)
    backlog.put(record(1), GRACE, 1.0)
    (change,) = finish_all(backlog, Outcome.DONE, 1.0)
    assert (change.unknown, change.ttl) == ({"color": "red"}, LEASE)


def test_the_cost_of_a_change_does_not_depend_on_the_number_of_sessions() -> None:
    backlog = Backlog(20_000, REFRESH_INTERVAL)
    for number in range(20_000):
        backlog.put(record(number), GRACE, 0.0)
    while finish_all(backlog, Outcome.DONE, 0.0):
        pass
    begin = time.process_time()
    for _ in range(200):
        backlog.put(record(1), GRACE, 1.0)
        assert len(finish_all(backlog, Outcome.DONE, 1.0)) == 1
    assert time.process_time() - begin < 0.2  # some 2 ms; it would be a second if it looked at all leases


def test_everything_is_written_again_after_a_new_connection() -> None:
    backlog = Backlog(10, REFRESH_INTERVAL)
    for number in range(3):
        backlog.put(record(number), GRACE, 0.0)
    finish_all(backlog, Outcome.DONE, 0.0)
    backlog.write_all_again()
    assert [change.action for change in backlog.take(10, 1.0)] == [Action.SAVE] * 3


numbers = st.integers(0, 4)


class WriteBehind(RuleBasedStateMachine):
    """A server that changes sessions, and a Redis that fails, loses replies, or is emptied."""

    def __init__(self) -> None:
        super().__init__()
        self.backlog = Backlog(100, REFRESH_INTERVAL)
        self.now = 0.0
        self.names = 0
        self.wanted: dict[str, SessionRecord] = {}
        self.redis: dict[str, tuple[SessionRecord, float]] = {}
        self.out: list[Change] = []

    @rule(number=numbers)
    def put(self, number: int) -> None:
        """Change a session, or begin one."""
        self.names += 1
        session = record(number, name=str(self.names))
        self.wanted[session.session_id] = session
        self.backlog.put(session, GRACE, self.now)

    @rule(number=numbers)
    def drop(self, number: int) -> None:
        """End a session."""
        self.wanted.pop(record(number).session_id, None)
        self.backlog.drop(record(number).session_id)

    @precondition(lambda self: not self.out)
    @rule(limit=st.integers(1, 3))
    def take(self, limit: int) -> None:
        """Send some changes."""
        self.out = self.backlog.take(limit, self.now)
        assert len(self.out) <= limit
        assert len({change.session_id for change in self.out}) == len(self.out)

    @precondition(lambda self: self.out)
    @rule(done=st.booleans(), heard=st.booleans())
    def answer(self, done: bool, heard: bool) -> None:
        """Execute the first change that was sent, or not; let the reply arrive, or not."""
        change = self.out.pop(0)
        outcome = self.carry_out(change) if done else Outcome.FAILED
        lost = self.backlog.finish(change, outcome if heard else Outcome.FAILED, self.now)
        assert not lost

    def carry_out(self, change: Change) -> Outcome:
        """Execute a change as Redis does."""
        session_id = change.session_id
        if change.action is Action.DROP:
            self.redis.pop(session_id, None)
            return Outcome.DONE
        if change.action is Action.REFRESH and session_id not in self.redis:
            return Outcome.ABSENT
        session = change.record if change.action is Action.SAVE else self.redis[session_id][0]
        self.redis[session_id] = (session, self.now + change.ttl)
        return Outcome.DONE

    @rule(seconds=st.sampled_from([0.1, 5.0, 16.0, 100.0]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.redis = {name: kept for name, kept in self.redis.items() if kept[1] > self.now}

    @precondition(lambda self: not self.out)
    @rule()
    def restart(self) -> None:
        """Empty Redis; the task notices a new connection."""
        self.redis.clear()
        self.backlog.write_all_again()

    @invariant()
    def no_more_than_needed(self) -> None:
        """Memory is bounded by the present sessions and those that Redis may still have."""
        assert self.backlog.sessions <= 5
        assert len(self.backlog) <= self.backlog.sessions

    def teardown(self) -> None:
        """Let Redis answer until nothing is due, and compare."""
        for change in self.out:
            self.backlog.finish(change, Outcome.FAILED, self.now)
        for _ in range(3):
            for change in self.backlog.take(100, self.now):
                self.backlog.finish(change, self.carry_out(change), self.now)
        assert len(self.backlog) == 0
        kept = {name: session for name, (session, _) in self.redis.items()}
        assert {name: kept.get(name) for name in self.wanted} == self.wanted
        assert kept.keys() == self.wanted.keys()
        assert self.backlog.sessions == len(self.wanted)


TestWriteBehind = WriteBehind.TestCase
TestWriteBehind.settings = settings(max_examples=100, stateful_step_count=30)
