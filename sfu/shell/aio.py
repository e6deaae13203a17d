"""The boundary to asyncio, which two libraries need: redis-py and aioice.

Each owner opens an event loop of its own for a block. A failure in the loop is reported to its owner and
affects nothing else. Without that, trio-asyncio would end the loop and everything around it.

A call of `Loop.run` takes tens of microseconds, so it is not for every packet. A callback of asyncio runs in
Trio's thread, between two steps of Trio's tasks: it can call our synchronous code directly, and set a
`trio.Event`.

This is the only module that imports asyncio (tests/test_layers.py), and only Redis and full ICE agents import
this module. trio-asyncio has no version for Python 3.14.
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
    """A call was cancelled inside its event loop, and not by its caller."""


class Loop:
    """An open asyncio event loop. The Trio tasks of its owner use it."""

    def __init__(self, loop: trio_asyncio.TrioEventLoop) -> None:
        self.asyncio: asyncio.AbstractEventLoop = loop
        """The loop itself, for libraries that take one as a parameter."""
        self._bridge = loop

    async def run(
        self,
        function: Callable[Arguments, Coroutine[Any, Any, Result]],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """Run an asyncio coroutine function as a task of the loop; return its result or raise its exception.

        If the caller is cancelled, the task is cancelled too, in asyncio's way, and this waits for its end.

        Raises:
            LoopError: the task was cancelled from inside the loop.
        """

        async def called() -> Result:
            # Called here, not by Trio: some functions need a running loop even before their first await.
            return await function(*args, **kwargs)

        try:
            result: Result = await self._bridge.run_aio_coroutine(called())
        except asyncio.CancelledError as error:
            # It is not an `Exception`, so nothing would stop it on its way up, and it would end the server.
            raise LoopError("cancelled inside its event loop") from error  # noqa: ASYNC104 - see above
        return result


class _Threads(trio_asyncio.TrioExecutor):  # type: ignore[misc] # it has no types
    """The threads in which asyncio resolves names. A cancelled call does not wait for a silent name server."""

    async def submit(self, function: Callable[..., Result], *args: Any) -> Result:
        """Run a blocking function. If cancelled, it goes on in its thread, and its result is dropped."""
        return await trio.to_thread.run_sync(function, *args, abandon_on_cancel=True)


@asynccontextmanager
async def open_loop(failed: Callable[[BaseException], None]) -> AsyncIterator[Loop]:
    """Open an event loop for the block. At the end the loop's tasks are cancelled, and this waits for them.

    `failed` takes the exception of a callback, or of a task that was never awaited. The loop goes on; `failed`
    decides whether its owner does.
    """

    def handle(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        failed(context.get("exception") or LoopError(context.get("message", "unknown failure")))

    async with trio_asyncio.open_loop() as loop:
        loop.set_exception_handler(handle)
        loop.set_default_executor(_Threads())
        yield Loop(loop)
