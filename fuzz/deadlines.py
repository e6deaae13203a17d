"""What harnesses of machines with deadlines share."""

from collections.abc import Callable
from typing import Protocol


class Timed(Protocol):
    """A machine, as far as its deadlines are concerned."""

    def next_timeout(self) -> float | None:
        """When `handle_timeout` has something to do; `None` if never."""

    def handle_timeout(self, now: float) -> None:
        """Do what is due at `now`."""


def run_due(machine: Timed, now: float, settle: Callable[[], None]) -> None:
    """Let whatever is due by `now` happen, each at its time, and `settle` after each; none may spin."""
    while (due := machine.next_timeout()) is not None and due <= now:
        machine.handle_timeout(due)
        after = machine.next_timeout()
        assert after is None or after > due, "a timer that is due again at once would spin"
        settle()
