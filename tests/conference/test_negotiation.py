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
    NegotiationState,
    NegotiationStatistics,
)


def settled(now: float = 0.0) -> Negotiation:
    """A negotiation in which the client has made its first offer."""
    negotiation = Negotiation(now)
    assert negotiation.receive_offer()
    return negotiation


def test_the_first_offer_is_left_to_the_client_for_a_moment() -> None:
    negotiation = Negotiation(100.0)
    negotiation.request()
    assert not negotiation.is_offer_due(100.0)
    assert negotiation.next_timeout() == 100.0 + FIRST_OFFER_WAIT
    assert negotiation.is_offer_due(100.0 + FIRST_OFFER_WAIT)


def test_nothing_is_due_at_all_for_a_silent_client_that_should_receive_nothing() -> None:
    negotiation = Negotiation(0.0)
    assert negotiation.next_timeout() is None
    assert not negotiation.is_offer_due(1000.0)


def test_after_the_clients_first_offer_ours_need_not_wait() -> None:
    negotiation = Negotiation(0.0)
    negotiation.request()
    assert negotiation.receive_offer()
    assert negotiation.is_offer_due(0.1)


def test_an_offer_that_is_not_due_must_not_be_sent() -> None:
    with pytest.raises(RuntimeError):
        settled().offer_sent(0.0)


def test_changes_during_a_negotiation_fold_into_one_following_offer() -> None:
    negotiation = settled()
    negotiation.request()
    negotiation.offer_sent(1.0)
    for _ in range(5):
        negotiation.request()
        assert not negotiation.is_offer_due(1.1)
    assert negotiation.receive_answer()
    assert negotiation.is_offer_due(1.2)
    negotiation.offer_sent(1.2)
    assert negotiation.receive_answer()
    assert not negotiation.is_offer_due(1.3)
    assert negotiation.statistics().offers_sent == 2


def test_the_clients_offer_loses_against_ours_and_wins_otherwise() -> None:
    negotiation = settled()
    negotiation.request()
    negotiation.offer_sent(1.0)
    states = [negotiation.state]
    assert not negotiation.receive_offer()
    assert negotiation.receive_answer()
    states.append(negotiation.state)
    assert negotiation.receive_offer()
    assert states == [NegotiationState.HAVE_LOCAL_OFFER, NegotiationState.STABLE]
    assert negotiation.statistics().offers_ignored == 1


def test_an_answer_to_no_offer_is_ignored() -> None:
    negotiation = settled()
    assert not negotiation.receive_answer()
    assert negotiation.statistics().answers_ignored == 1


def test_an_offer_without_an_answer_is_taken_back_and_due_again() -> None:
    negotiation = settled()
    negotiation.request()
    negotiation.offer_sent(1.0)
    deadline = negotiation.next_timeout()
    assert deadline == 1.0 + ANSWER_TIMEOUT
    assert not negotiation.handle_timeout(deadline - 0.001)
    assert negotiation.handle_timeout(deadline)
    assert negotiation.state is NegotiationState.STABLE
    assert negotiation.next_timeout() is None
    assert negotiation.is_offer_due(deadline)
    assert negotiation.statistics().answers_missed == 1


def test_what_is_no_longer_needed_is_not_offered() -> None:
    negotiation = settled()
    negotiation.request()
    negotiation.offer_not_needed()
    assert not negotiation.is_offer_due(1.0)


def test_after_a_wrong_answer_the_next_offer_waits() -> None:
    negotiation = settled()
    negotiation.request()
    negotiation.offer_sent(1.0)
    assert negotiation.receive_answer()
    negotiation.answer_refused(2.0)
    assert not negotiation.is_offer_due(2.0)
    assert negotiation.next_timeout() == 2.0 + ANSWER_TIMEOUT
    assert negotiation.is_offer_due(2.0 + ANSWER_TIMEOUT)


def test_after_a_wrong_answer_the_clients_own_offer_ends_the_wait() -> None:
    negotiation = settled()
    negotiation.request()
    negotiation.offer_sent(1.0)
    assert negotiation.receive_answer()
    negotiation.answer_refused(2.0)
    assert negotiation.receive_offer()
    assert negotiation.is_offer_due(2.1)


def test_an_offer_that_is_repeated_wins_even_against_ours() -> None:
    negotiation = settled()
    negotiation.request()
    negotiation.offer_sent(1.0)
    assert negotiation.receive_offer(repeated=True)
    assert negotiation.state is NegotiationState.STABLE
    assert negotiation.is_offer_due(1.1)
    statistics = negotiation.statistics()
    assert (statistics.offers_repeated, statistics.offers_ignored) == (1, 0)


def test_a_new_beginning_takes_an_offer_back_and_wants_it_again() -> None:
    negotiation = settled()
    assert not negotiation.abandon_offer()
    assert not negotiation.is_offer_due(1.0)
    negotiation.request()
    negotiation.offer_sent(1.0)
    assert negotiation.abandon_offer()
    assert negotiation.is_offer_due(1.0)
    assert negotiation.next_timeout() is None


def test_the_wait_for_the_first_offer_is_due_once_even_if_nobody_takes_ours() -> None:
    negotiation = Negotiation(0.0)
    negotiation.request()
    assert not negotiation.handle_timeout(FIRST_OFFER_WAIT)
    assert negotiation.next_timeout() is None
    assert negotiation.is_offer_due(FIRST_OFFER_WAIT)


def test_every_event_has_its_row_in_every_state_where_it_can_happen() -> None:
    impossible = {
        (NegotiationState.HAVE_LOCAL_OFFER, NegotiationEvent.OFFER_SENT),
        (NegotiationState.STABLE, NegotiationEvent.OFFER_REPEATED),
        (NegotiationState.STABLE, NegotiationEvent.ANSWER_OVERDUE),
    }
    assert set(TRANSITIONS) == set(itertools.product(NegotiationState, NegotiationEvent)) - impossible


def test_what_a_row_counts_is_in_the_statistics() -> None:
    fields = {field.name for field in dataclasses.fields(NegotiationStatistics)}
    assert {row.counted for row in TRANSITIONS.values()} - {None} == fields
