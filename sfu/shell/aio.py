"""The boundary to asyncio: two libraries that we use know nothing else (redis.asyncio, aioice).

Each owner has an event loop of its own, open for as long as its block. What fails in such a loop is reported to
its owner and is nobody else's concern; by itself, trio-asyncio would end the loop and everything around it.

A call through `Loop.run` costs tens of microseconds, so it is for what happens now and then. An asyncio
callback runs in the thread of Trio, between two steps of its tasks: it may call our synchronous code at once,
and set a `trio.Event`.

This is the only module that imports asyncio (tests/test_layers.py); adapters get from here what they need.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, ParamSpec, TypeVar

import trio
import trio_asyncio

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class LoopError(Exception):
    """What ran in a loop was ended by that loop, and not by whoever waited for it."""


class Loop:
    """An open asyncio event loop, for the Trio tasks of its owner."""

    def __init__(self, loop: trio_asyncio.TrioEventLoop) -> None:
        self.asyncio: asyncio.AbstractEventLoop = loop
        """The loop itself, for what has to be handed to a library."""
        self._bridge = loop

    async def run(
        self,
        function: Callable[Arguments, Coroutine[Any, Any, Result]],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """Run an asyncio coroutine function as a task of the loop; return or raise what it does.

        When the caller is cancelled the task is too, as asyncio does that, and is waited for.

        Raises:
            LoopError: somebody inside the loop cancelled it.
        """

        async def called() -> Result:
            # Called here, not by Trio: some functions want to find a running loop before their first step.
            return await function(*args, **kwargs)

        try:
            result: Result = await self._bridge.run_aio_coroutine(called())
        except asyncio.CancelledError as error:
            # Not an `Exception`: it would pass every boundary on its way up, and end the server.
            raise LoopError("cancelled inside its event loop") from error  # noqa: ASYNC104 - see above
        return result


class _Threads(trio_asyncio.TrioExecutor):  # type: ignore[misc] # it has no types
    """Where asyncio looks up names: who is cancelled does not wait for a name server that says nothing."""

    async def submit(self, function: Callable[..., Result], *args: Any) -> Result:
        """Run something that blocks. Cancelled, it is left to itself, and what it returns is dropped."""
        return await trio.to_thread.run_sync(function, *args, abandon_on_cancel=True)


@asynccontextmanager
async def open_loop(failed: Callable[[BaseException], None]) -> AsyncIterator[Loop]:
    """Open an event loop for the block; at its end the loop's tasks are cancelled and waited for.

    `failed` is called with what a callback raised, or a task that nobody waited for. The loop goes on; whether
    its owner does is for `failed` to decide.
    """

    def handle(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        failed(context.get("exception") or LoopError(context.get("message", "unknown failure")))

    async with trio_asyncio.open_loop() as loop:
        loop.set_exception_handler(handle)
        loop.set_default_executor(_Threads())
        yield Loop(loop)
