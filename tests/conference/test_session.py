"""What a session's tokens prove, and for how long."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.conference.session import Session, SessionState


def fresh(seed: int = 1) -> tuple[Session, str, Random]:
    """A new session, its token, and its randomness."""
    random = Random(seed)
    session, token = Session.create(random.randbytes)
    return session, token, random


def test_ids_and_tokens_are_as_long_as_the_specification_says() -> None:
    session, token, _ = fresh()
    assert len(bytes.fromhex(session.id)) == 16
    assert len(bytes.fromhex(token)) == 32
    assert token not in repr(session.tokens)


def test_the_token_changes_at_every_resume() -> None:
    session, first, random = fresh()
    second = session.resume(first, random.randbytes)
    third = session.resume(second, random.randbytes)
    assert len({first, second, third}) == 3
    assert session.generation == 3
    assert not session.accepts(first)
    assert session.accepts(third)


def test_a_token_whose_successor_got_lost_is_good_once_more() -> None:
    session, first, random = fresh()
    lost = session.resume(first, random.randbytes)
    second = session.resume(first, random.randbytes)
    assert not session.accepts(first)
    assert not session.accepts(lost)
    assert session.accepts(second)


def test_a_token_whose_successor_arrived_is_dead() -> None:
    session, first, random = fresh()
    second = session.resume(first, random.randbytes)
    session.confirm()
    assert not session.accepts(first)
    assert session.accepts(second)


@pytest.mark.parametrize("wrong", ["", "0" * 64, "\ud800", "x" * 1000])
def test_a_wrong_token_proves_nothing(wrong: str) -> None:
    session, _, random = fresh()
    assert not session.accepts(wrong)
    with pytest.raises(PermissionError):
        session.resume(wrong, random.randbytes)
    assert session.generation == 1


def test_suspension_has_an_end() -> None:
    session, token, random = fresh()
    session.suspend(130.0)
    assert session.state is SessionState.SUSPENDED
    assert not session.is_expired(129.9)
    assert session.is_expired(130.0)
    session.resume(token, random.randbytes)
    assert not session.is_expired(1000.0)


def test_an_ended_session_is_not_resumed() -> None:
    session, token, _ = fresh()
    session.suspend(130.0)
    session.end()
    assert not session.accepts(token)
    session.suspend(140.0)
    assert session.state is SessionState.ENDED


@given(st.lists(st.integers(min_value=0, max_value=9), max_size=30), st.randoms(use_true_random=False))
def test_at_any_time_at_most_two_tokens_are_good_and_the_newest_is(picks: list[int], shuffle: Random) -> None:
    session, token, random = fresh()
    tokens = [token]
    for pick in picks:
        good = [one for one in tokens if session.accepts(one)]
        assert 1 <= len(good) <= 2
        assert tokens[-1] in good
        if pick == 0:
            session.confirm()
            assert [one for one in tokens if session.accepts(one)] == [tokens[-1]]
        else:
            tokens.append(session.resume(shuffle.choice(good), random.randbytes))
