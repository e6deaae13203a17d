"""What a session's tokens prove, and for how long."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.sessions import accepts

from sfu.conference.session import Session, SessionState, make_token


def fresh(seed: int = 1) -> tuple[Session, str, Random]:
    """A new session, its token, and its randomness."""
    random = Random(seed)
    session, token = Session.create(random.randbytes)
    return session, token, random


def resume(session: Session, token: str, random: Random) -> str:
    """Resume a session by a token that proves it; return the next token."""
    following = make_token(random.randbytes)
    tokens = session.prove(token, following)
    assert tokens is not None
    session.resume(tokens, session.generation + 1)
    return following


def test_ids_and_tokens_have_the_length_of_the_specification() -> None:
    session, token, _ = fresh()
    assert len(bytes.fromhex(session.id)) == 16
    assert len(bytes.fromhex(token)) == 32
    assert token not in repr(session.tokens)


def test_the_token_changes_at_every_resume() -> None:
    session, first, random = fresh()
    second = resume(session, first, random)
    third = resume(session, second, random)
    assert len({first, second, third}) == 3
    assert session.generation == 3
    assert not accepts(session, first)
    assert accepts(session, third)


def test_a_token_is_valid_once_more_if_its_successor_was_lost() -> None:
    session, first, random = fresh()
    lost = resume(session, first, random)
    second = resume(session, first, random)
    assert not accepts(session, first)
    assert not accepts(session, lost)
    assert accepts(session, second)


def test_a_token_is_invalid_once_its_successor_has_arrived() -> None:
    session, first, random = fresh()
    second = resume(session, first, random)
    session.confirm()
    assert not accepts(session, first)
    assert accepts(session, second)


@pytest.mark.parametrize("wrong", ["", "0" * 64, "\ud800", "x" * 1000])
def test_a_wrong_token_proves_nothing(wrong: str) -> None:
    session, _, _ = fresh()
    assert not accepts(session, wrong)
    assert session.generation == 1


def test_a_suspended_session_expires() -> None:
    session, token, random = fresh()
    session.suspend(130.0)
    assert session.state is SessionState.SUSPENDED
    assert not session.is_expired(129.9)
    assert session.is_expired(130.0)
    resume(session, token, random)
    assert not session.is_expired(1000.0)


def test_an_ended_session_is_not_resumed() -> None:
    session, token, _ = fresh()
    session.suspend(130.0)
    session.end("left")
    assert not accepts(session, token)
    session.suspend(140.0)
    assert session.state is SessionState.ENDED
    with pytest.raises(PermissionError):
        session.resume(session.tokens, 2)


@given(st.lists(st.integers(min_value=0, max_value=9), max_size=30), st.randoms(use_true_random=False))
def test_at_most_two_tokens_are_valid_and_the_newest_always_is(picks: list[int], shuffle: Random) -> None:
    session, token, random = fresh()
    tokens = [token]
    for pick in picks:
        good = [one for one in tokens if accepts(session, one)]
        assert 1 <= len(good) <= 2
        assert tokens[-1] in good
        if pick == 0:
            session.confirm()
            assert [one for one in tokens if accepts(session, one)] == [tokens[-1]]
        else:
            tokens.append(resume(session, shuffle.choice(good), random))
