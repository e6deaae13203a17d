"""Numbered calls and replies over a WebSocket: what CDP and WebDriver BiDi have in common.

Both send ``{"id": 1, "method": "A.b", "params": {…}}`` and get back an object with the same ``id``, in any
order, mixed with events that have a ``method`` and no ``id``. Only the shape of an error differs.
"""

import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import trio
from browser.process import HERE, Host
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

__all__ = ["Channel", "DriverError", "Json", "open_channel", "open_websocket"]

MAX_MESSAGE_SIZE = 64 * 1024 * 1024
"""Bytes. A screenshot arrives as one base64 string; the library's default of 1 MiB is too small for it."""

Json: TypeAlias = dict[str, Any]


class DriverError(Exception):
    """The browser refused a command, or its connection ended."""


class _Call:
    """A request that waits for its reply."""

    def __init__(self) -> None:
        self.done = trio.Event()
        self.reply: Json = {}


class Channel:
    """One connection to a browser."""

    def __init__(self, connection: WebSocketConnection, on_event: Callable[[Json], None]) -> None:
        self._connection = connection
        self._on_event = on_event
        self._ids = itertools.count(1)
        self._calls: dict[int, _Call] = {}
        self._closed = False

    async def call(self, method: str, params: Json | None = None, **envelope: str) -> Json:
        """Send one command and return its result. `envelope` goes beside method (CDP's ``sessionId``).

        Raises DriverError with the browser's message when the command is refused or the connection ends.
        """
        if self._closed:
            raise DriverError(f"{method}: the connection to the browser has ended")
        number = next(self._ids)
        call = self._calls[number] = _Call()
        message = {"id": number, "method": method, "params": params or {}, **envelope}
        try:
            await self._connection.send_message(json.dumps(message))
            await call.done.wait()
        except ConnectionClosed as error:
            raise DriverError(f"{method}: the connection to the browser has ended") from error
        finally:
            del self._calls[number]
        if "error" in call.reply:
            # CDP: {"error": {"code", "message"}}; BiDi: {"error": "code", "message": "…", "stacktrace": "…"}
            reason = call.reply["error"]
            if isinstance(reason, str):
                reason = {"message": f"{reason}: {call.reply.get('message')}"}
            raise DriverError(f"{method}: {reason['message']}")
        result: Json = call.reply["result"]
        return result

    async def run(self) -> None:
        """Read until the connection ends; then fail the calls that still wait."""
        await trio.lowlevel.checkpoint()
        try:
            while True:
                message: Json = json.loads(await self._connection.get_message())
                call = self._calls.get(message.get("id", 0))
                if call is not None:
                    call.reply = message
                    call.done.set()
                elif "method" in message:
                    self._on_event(message)
        except ConnectionClosed:
            pass
        finally:
            self._closed = True
            for call in self._calls.values():
                call.reply = {"error": {"message": "the connection to the browser has ended"}}
                call.done.set()


@asynccontextmanager
async def open_websocket(url: str, *, host: Host = HERE) -> AsyncIterator[WebSocketConnection]:
    """Connect from `host` to ``ws://host:port/path`` for the length of the block.

    The stream is ours: trio-websocket's own function leaves it open when the other end goes away without a
    closing handshake.
    """
    where = urlsplit(url)
    assert where.hostname is not None
    assert where.port is not None
    async with (
        await host.open_tcp_stream(where.hostname, where.port) as stream,
        trio.open_nursery() as nursery,
    ):
        yield await wrap_client_stream(
            nursery, stream, where.netloc, where.path, max_message_size=MAX_MESSAGE_SIZE
        )
        nursery.cancel_scope.cancel("the connection is not needed any more")


@asynccontextmanager
async def open_channel(
    url: str, on_event: Callable[[Json], None], *, host: Host = HERE
) -> AsyncIterator[Channel]:
    """Connect to the debugging WebSocket of a browser on `host` for the length of the block."""
    async with open_websocket(url, host=host) as connection, trio.open_nursery() as nursery:
        channel = Channel(connection, on_event)
        nursery.start_soon(channel.run)
        yield channel
        nursery.cancel_scope.cancel("the browser is closed")
