"""Waiting for a condition with a bound, in tests that use real sockets and processes.

These functions look again and again, by the real clock. What they look at sends no event when it changes:
counters and tasks of a server in this process, its files and sockets in the kernel, or another process. A test
goes on as soon as the condition holds; none waits for a length of time.
"""

from collections.abc import Callable

import trio

PATIENCE = 30.0
"""Seconds in which anything happens on a busy machine."""

INTERVAL = 0.01
"""Seconds between two looks."""


async def becomes(what: Callable[[], object], expected: object) -> None:
    """Wait until `what` returns `expected`; after `PATIENCE` fail with what it returns instead."""
    with trio.move_on_after(PATIENCE):
        while True:
            if what() == expected:
                return
            await trio.sleep(INTERVAL)
    raise AssertionError(f"{what()} instead of {expected}")


async def until(condition: Callable[[], object]) -> None:
    """Wait until `condition` returns something true; fail after `PATIENCE`."""
    await becomes(lambda: bool(condition()), True)
