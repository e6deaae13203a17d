"""The boundary to asyncio: a failure in a loop is reported to its owner, and cancellation works through it."""

import asyncio
import os
import socket
import threading

import pytest
import trio

from sfu.shell.aio import Loop, LoopError, open_loop


def ignore(_error: BaseException) -> None:
    """Fail the test: no failure is expected."""
    raise AssertionError("nothing may fail here")


async def double(number: int) -> int:
    """Pass a checkpoint of asyncio, and return."""
    await asyncio.sleep(0)
    return 2 * number


async def test_a_call_returns_and_raises() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("on purpose")

    async with open_loop(ignore) as loop:
        assert await loop.run(double, 21) == 42
        with pytest.raises(ValueError, match="on purpose"):
            await loop.run(fail)


async def test_tasks_of_its_owner_use_one_loop_at_once() -> None:
    results = []

    async def ask(loop: Loop, number: int) -> None:
        results.append(await loop.run(double, number))

    async with open_loop(ignore) as loop, trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(ask, loop, number)
    assert sorted(results) == [0, 2, 4]


async def test_a_failing_callback_is_reported_and_the_loop_goes_on() -> None:
    failures: list[BaseException] = []
    async with open_loop(failures.append) as loop:
        loop.asyncio.call_soon(lambda: 1 // 0)
        assert await loop.run(double, 1) == 2
    assert [type(error) for error in failures] == [ZeroDivisionError]


async def test_a_failure_without_exception_is_reported_too() -> None:
    failures: list[BaseException] = []
    async with open_loop(failures.append) as loop:
        loop.asyncio.call_exception_handler({"message": "something is odd"})
    assert [str(error) for error in failures] == ["something is odd"]


async def test_a_failing_loop_does_not_affect_another_one() -> None:
    failures: list[BaseException] = []
    async with open_loop(failures.append) as bad, open_loop(ignore) as good:
        bad.asyncio.call_soon(lambda: 1 // 0)
        assert await bad.run(double, 1) == await good.run(double, 1)
    assert len(failures) == 1


async def test_cancelling_the_caller_cancels_the_call() -> None:
    steps = []
    begun = trio.Event()

    async def wait() -> None:
        begun.set()
        try:
            await asyncio.sleep(1000)
        finally:
            steps.append("cancelled")
            await asyncio.sleep(0)  # noqa: ASYNC102 - asyncio cancels once, not until the end
            steps.append("tidied up")

    async with open_loop(ignore) as loop, trio.open_nursery() as nursery:
        nursery.start_soon(loop.run, wait)
        await begun.wait()
        nursery.cancel_scope.cancel("begun")
    assert nursery.cancel_scope.cancelled_caught
    assert steps == ["cancelled", "tidied up"]


async def test_a_cancelled_call_does_not_wait_for_a_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def look_up(*_: object) -> list[object]:
        answered.wait(20)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with trio.fail_after(10):
        async with open_loop(ignore) as loop:
            with trio.move_on_after(0.05) as scope:
                await loop.run(loop.asyncio.getaddrinfo, "redis.example", 6379)
    assert scope.cancelled_caught
    answered.set()


async def test_a_task_that_is_cancelled_in_the_loop_raises_an_error() -> None:
    async def give_up() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    async with open_loop(ignore) as loop:
        with pytest.raises(LoopError):
            await loop.run(give_up)


async def test_nothing_is_left_of_a_loop() -> None:
    async def linger() -> None:
        await asyncio.sleep(1000)

    def remains() -> tuple[int, int]:
        return trio.lowlevel.current_statistics().tasks_living, len(os.listdir("/proc/self/fd"))

    before = remains()
    async with open_loop(ignore) as loop:
        await loop.run(double, 1)
        lingering = loop.asyncio.create_task(linger())
    assert lingering.cancelled()
    assert remains() == before

    with trio.move_on_after(0.01):
        async with open_loop(ignore) as loop:
            await loop.run(linger)
    assert remains() == before
