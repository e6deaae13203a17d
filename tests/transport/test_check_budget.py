"""Connectivity checks on one path are limited; those on others are not affected."""

import pytest

from sfu.ice.path import Address, IcePath
from sfu.transport.check_budget import BURST, RATE, CheckBudgets

A, B = (IcePath(None, Address("192.0.2.1", port)) for port in (1, 2))


def test_50_checks_pass_at_once_and_20_a_second_afterwards() -> None:
    budgets = CheckBudgets()
    assert sum(budgets.take("ufrag", A, 5.0) for _ in range(1000)) == 50
    assert sum(budgets.take("ufrag", A, 6.0) for _ in range(1000)) == 20
    assert sum(budgets.take("ufrag", A, 60.0) for _ in range(1000)) == 50
    assert (BURST, RATE) == (50, 20.0)


def test_refused_checks_do_not_delay_the_next_allowed_one() -> None:
    budgets = CheckBudgets()
    passed = sum(budgets.take("ufrag", A, number / 1000) for number in range(10_000))
    assert passed == pytest.approx(50 + 10 * 20, abs=1)


def test_each_path_and_each_fragment_has_its_own_budget() -> None:
    """A flood from another address, or for another client, costs nobody else a check."""
    budgets = CheckBudgets()
    while budgets.take("ufrag", A, 0.0):
        pass
    assert budgets.take("ufrag", B, 0.0)
    assert budgets.take("other", A, 0.0)


def test_a_browser_that_gets_no_answer_is_never_refused() -> None:
    """Libwebrtc checks every 48 ms until a path works, for 15 s on one path at worst."""
    budgets = CheckBudgets()
    assert all(budgets.take("ufrag", A, number * 0.048) for number in range(312))


def test_checks_from_any_number_of_addresses_take_bounded_memory() -> None:
    budgets = CheckBudgets(capacity=10)
    for port in range(1, 1000):
        assert budgets.take("ufrag", IcePath(None, Address("192.0.2.1", port)), 0.0)
        assert len(budgets) <= 20


def test_a_path_that_is_used_keeps_its_budget_while_others_come_and_go() -> None:
    budgets = CheckBudgets(capacity=10)
    passed = 0
    for port in range(100, 1000):
        passed += budgets.take("ufrag", A, 0.0)
        budgets.take("ufrag", IcePath(None, Address("192.0.2.1", port)), 0.0)
    assert passed == 50
