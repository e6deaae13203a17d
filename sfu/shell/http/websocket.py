"""Serving a WebSocket on a connection whose opening request has been read and checked already."""

import contextlib
from collections.abc import Awaitable, Callable
from typing import Final, cast

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream
from wsproto.utilities import LocalProtocolError

from sfu.shell.http.fragments import MAX_FRAGMENTS, Fragments
from sfu.shell.http.responses import Headers

SLACK: Final = 8192
"""Bytes by which a message may exceed its limit before the connection is cut: two receptions of trio-websocket.
That counts the characters of a text and closes with 1009. So it comes first, unless characters have several
bytes."""


class ReplayStream(trio.abc.Stream):
    """A stream that delivers a request that has been read already, and then what arrived after it.

    What follows the request is held back until `opened` is set. wsproto hands out frames only when it receives
    data after the handshake, so frames that it gets together with the request would stay in it unseen.
    """

    __slots__ = ("_fragments", "_max_fragments", "_max_message_bytes", "_request", "_rest", "_stream", "opened")

    def __init__(
        self,
        stream: trio.abc.Stream,
        request: bytes,
        rest: bytes,
        max_message_bytes: int,
        max_fragments: int = MAX_FRAGMENTS,
    ) -> None:
        """`rest` is what arrived after the request.

        A message may have `max_message_bytes` bytes and `SLACK` more, in `max_fragments` fragments.
        """
        self._max_message_bytes = max_message_bytes
        self._stream = stream
        self._request = request
        self._rest = rest
        self._fragments = Fragments()
        self._max_fragments = max_fragments
        self.opened = trio.Event()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return bytes of the request, then what follows it.

        Raises:
            trio.BrokenResourceError: the stream is broken, or a message is too long or has too many fragments.
        """
        if self._request:
            await trio.lowlevel.checkpoint()
            data, self._request = _split(self._request, max_bytes)
            return data
        await self.opened.wait()
        if self._rest:
            data, self._rest = _split(self._rest, max_bytes)
        else:
            data = bytes(await self._stream.receive_some(max_bytes))
        if self._fragments.count(data) > self._max_fragments:
            raise trio.BrokenResourceError("a message has too many fragments")
        if self._fragments.size > self._max_message_bytes + SLACK:
            raise trio.BrokenResourceError("a message is too long")
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send through the stream."""
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait as the stream does."""
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()


def _split(data: bytes, size: int | None) -> tuple[bytes, bytes]:
    return (data, b"") if size is None else (data[:size], data[size:])


async def run_websocket(
    stream: ReplayStream,
    max_message_bytes: int,
    handle: Callable[[WebSocketConnection], Awaitable[None]],
    close_timeout: float,
    headers: Headers = (),
) -> None:
    """Accept the WebSocket, run `handle` on it, and close it. The response has `headers` beside its own.

    The closing handshake may take `close_timeout` seconds, also when this is cancelled. So the task that reads
    frames is shielded that long: without it, the client's close frame would not be read, and every shutdown
    would take the whole time.
    """
    async with trio.open_nursery() as nursery:
        reading = _ShieldedNursery(nursery)
        try:
            # trio-websocket uses its nursery only to start the task that reads.
            request = await wrap_server_stream(
                cast(trio.Nursery, reading), stream, max_message_size=max_message_bytes
            )
            connection = await request.accept(
                extra_headers=[(name.encode(), value.encode()) for name, value in headers]
            )
            stream.opened.set()
            code = 1011  # internal error (RFC 6455 section 7.4.1)
            try:
                await handle(connection)
                code = 1000
            except ConnectionClosed:
                code = 1000  # the client has left, as clients usually do
            except trio.Cancelled:
                code = 1001  # going away
                raise
            finally:
                with trio.move_on_after(close_timeout, shield=True):
                    await connection.aclose(code)
        finally:
            reading.scope.cancel("the WebSocket is closed")


class _ShieldedNursery:
    """Starts a task in a nursery and shields it from the nursery's cancellation, until `scope` is cancelled.

    A nursery of its own, in a task of its own, would do the same and take 4 KiB of every idle connection.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self.scope = trio.CancelScope(shield=True)
        self._nursery = nursery

    def start_soon(self, function: Callable[[], Awaitable[None]]) -> None:
        """Start the task, as a nursery does."""
        self._nursery.start_soon(self._run, function)

    async def _run(self, function: Callable[[], Awaitable[None]]) -> None:
        # wsproto raises this for a ping that arrives after our close frame: it can no longer be answered.
        with self.scope, contextlib.suppress(LocalProtocolError):
            await function()
