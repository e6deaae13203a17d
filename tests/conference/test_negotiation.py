"""Who may offer when."""

import dataclasses
import itertools

import pytest

from sfu.conference.negotiation import (
    ANSWER_TIMEOUT,
    FIRST_OFFER_WAIT,
    TRANSITIONS,
    Negotiation,
    NegotiationEvent,
    NegotiationStatistics,
)
from sfu.sdp import SignalingState


class Session:
    """The signaling state of a session, without descriptions."""

    def __init__(self) -> None:
        self.state = SignalingState.STABLE

    def rollback(self) -> None:
        assert self.state is SignalingState.HAVE_LOCAL_OFFER
        self.state = SignalingState.STABLE


class Client:
    """A negotiation and its session, driven as `Connection` drives them."""

    def __init__(self, now: float = 0.0) -> None:
        self.session = Session()
        self.negotiation = Negotiation(self.session, now)

    def offer(self, now: float) -> None:
        """The server sends an offer that is due."""
        assert self.negotiation.is_offer_due(now)
        self.session.state = SignalingState.HAVE_LOCAL_OFFER
        self.negotiation.offer_sent(now)

    def answer(self) -> bool:
        """The client answers; return whether the answer is applied."""
        applied = self.negotiation.receive_answer()
        if applied:
            self.session.state = SignalingState.STABLE
        return applied


def after_first_offer(now: float = 0.0) -> Client:
    """A negotiation in which the client has made its first offer."""
    client = Client(now)
    assert client.negotiation.receive_offer()
    return client


def test_the_client_has_a_moment_for_the_first_offer() -> None:
    negotiation = Client(100.0).negotiation
    negotiation.request()
    assert not negotiation.is_offer_due(100.0)
    assert negotiation.next_timeout() == 100.0 + FIRST_OFFER_WAIT
    assert negotiation.is_offer_due(100.0 + FIRST_OFFER_WAIT)


def test_no_offer_is_due_to_a_silent_client_that_receives_nothing() -> None:
    negotiation = Client(0.0).negotiation
    assert negotiation.next_timeout() is None
    assert not negotiation.is_offer_due(1000.0)


def test_our_offer_is_due_at_once_after_the_clients_first() -> None:
    negotiation = Client(0.0).negotiation
    negotiation.request()
    assert negotiation.receive_offer()
    assert negotiation.is_offer_due(0.1)


def test_only_an_offer_that_the_session_has_made_counts_as_sent() -> None:
    with pytest.raises(RuntimeError):
        after_first_offer().negotiation.offer_sent(0.0)


def test_changes_during_a_negotiation_fold_into_one_following_offer() -> None:
    client = after_first_offer()
    negotiation = client.negotiation
    negotiation.request()
    client.offer(1.0)
    for _ in range(5):
        negotiation.request()
        assert not negotiation.is_offer_due(1.1)
    assert client.answer()
    assert negotiation.is_offer_due(1.2)
    client.offer(1.2)
    assert client.answer()
    assert not negotiation.is_offer_due(1.3)
    assert negotiation.statistics().offers_sent == 2


def test_the_clients_offer_loses_if_it_crosses_ours() -> None:
    client = after_first_offer()
    negotiation = client.negotiation
    negotiation.request()
    client.offer(1.0)
    states = [client.session.state]
    assert not negotiation.receive_offer()
    assert client.answer()
    states.append(client.session.state)
    assert negotiation.receive_offer()
    assert states == [SignalingState.HAVE_LOCAL_OFFER, SignalingState.STABLE]
    assert negotiation.statistics().offers_ignored == 1


def test_an_answer_without_an_offer_is_ignored() -> None:
    client = after_first_offer()
    negotiation = client.negotiation
    assert not negotiation.receive_answer()
    assert negotiation.statistics().answers_ignored == 1


def test_an_unanswered_offer_is_rolled_back_and_due_again() -> None:
    client = after_first_offer()
    negotiation = client.negotiation
    negotiation.request()
    client.offer(1.0)
    deadline = negotiation.next_timeout()
    assert deadline == 1.0 + ANSWER_TIMEOUT
    states = []
    for now in (deadline - 0.001, deadline):
        negotiation.handle_timeout(now)
        states.append(client.session.state)
    assert states == [SignalingState.HAVE_LOCAL_OFFER, SignalingState.STABLE]
    assert negotiation.next_timeout() is None
    assert negotiation.is_offer_due(deadline)
    assert negotiation.statistics().answers_missed == 1


def test_an_offer_that_is_no_longer_needed_is_not_due() -> None:
    client = after_first_offer()
    negotiation = client.negotiation
    negotiation.request()
    negotiation.offer_not_needed()
    assert not negotiation.is_offer_due(1.0)


def test_after_a_wrong_answer_the_next_offer_waits() -> None:
    client = after_first_offer()
    negotiation = client.negotiation
    negotiation.request()
    client.offer(1.0)
    assert negotiation.receive_answer()
    negotiation.refuse_answer(2.0)
    assert not negotiation.is_offer_due(2.0)
    assert negotiation.next_timeout() == 2.0 + ANSWER_TIMEOUT
    assert negotiation.is_offer_due(2.0 + ANSWER_TIMEOUT)


def test_after_a_wrong_answer_the_clients_own_offer_ends_the_wait() -> None:
    client = after_first_offer()
    negotiation = client.negotiation
    negotiation.request()
    client.offer(1.0)
    assert negotiation.receive_answer()
    negotiation.refuse_answer(2.0)
    assert negotiation.receive_offer()
    assert negotiation.is_offer_due(2.1)


def test_a_retransmitted_offer_wins_against_ours() -> None:
    client = after_first_offer()
    negotiation = client.negotiation
    negotiation.request()
    client.offer(1.0)
    assert negotiation.receive_offer(retransmitted=True)
    assert client.session.state is SignalingState.STABLE
    assert negotiation.is_offer_due(1.1)
    statistics = negotiation.statistics()
    assert (statistics.offers_repeated, statistics.offers_ignored) == (1, 0)


def test_a_restart_rolls_a_pending_offer_back_and_offers_again() -> None:
    client = after_first_offer()
    negotiation = client.negotiation
    negotiation.restart()
    assert not negotiation.is_offer_due(1.0)
    negotiation.request()
    client.offer(1.0)
    negotiation.restart()
    assert client.session.state is SignalingState.STABLE
    assert negotiation.is_offer_due(1.0)
    assert negotiation.next_timeout() is None


def test_the_wait_for_the_first_offer_ends_once() -> None:
    negotiation = Client(0.0).negotiation
    negotiation.request()
    negotiation.handle_timeout(FIRST_OFFER_WAIT)
    assert negotiation.next_timeout() is None
    assert negotiation.is_offer_due(FIRST_OFFER_WAIT)


def test_every_event_has_its_row_in_every_state_where_it_can_happen() -> None:
    impossible = {
        (SignalingState.STABLE, NegotiationEvent.OFFER_RETRANSMITTED),
        (SignalingState.STABLE, NegotiationEvent.ANSWER_OVERDUE),
    }
    states = (SignalingState.STABLE, SignalingState.HAVE_LOCAL_OFFER)
    assert set(TRANSITIONS) == set(itertools.product(states, NegotiationEvent)) - impossible


def test_what_a_row_counts_is_in_the_statistics() -> None:
    fields = {field.name for field in dataclasses.fields(NegotiationStatistics)}
    assert {row.counted for row in TRANSITIONS.values()} - {None} | {"offers_sent"} == fields
