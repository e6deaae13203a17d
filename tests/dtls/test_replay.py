from hypothesis import given
from hypothesis import strategies as st

from sfu.dtls.replay import WINDOW, ReplayWindow


def test_in_order_and_replayed() -> None:
    window = ReplayWindow()
    for number in range(200):
        assert window.is_fresh(number)
        window.mark(number)
        assert not window.is_fresh(number)


def test_late_but_within_the_window() -> None:
    window = ReplayWindow()
    window.mark(WINDOW)
    assert window.is_fresh(1)
    assert not window.is_fresh(0)
    window.mark(1)
    assert not window.is_fresh(1)


def test_is_fresh_does_not_move_the_window() -> None:
    window = ReplayWindow()
    window.mark(1)
    assert window.is_fresh(2**48 - 1)
    assert window.is_fresh(2)


@given(st.lists(st.integers(0, 300)))
def test_behaves_like_a_set_of_recent_numbers(numbers: list[int]) -> None:
    window = ReplayWindow()
    seen: set[int] = set()
    for number in numbers:
        too_old = bool(seen) and number <= max(seen) - WINDOW
        assert window.is_fresh(number) is (number not in seen and not too_old)
        if window.is_fresh(number):
            window.mark(number)
            seen.add(number)
