"""A TCP relay between browsers and the server that a test can cut or freeze.

*Cut*, it closes every connection and refuses new ones, as a router does that has lost its uplink. *Frozen*, it
forwards nothing and keeps connections open, as a dead radio link does. It carries signaling, and media by TCP,
which it can cut into small segments; media over UDP does not pass it.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from random import Random

import trio

__all__ = ["TcpRelay", "open_tcp_relay"]

CHUNK = 65536
"""Bytes read at once."""

MAX_CONNECTIONS = 256
"""At a time; a browser keeps a handful for each page."""


class TcpRelay:
    """Forwards TCP connections to the server."""

    def __init__(
        self, host: str, port: int, *, local_address: str | None = None, chop: Random | None = None
    ) -> None:
        """Forward to `host`:`port`, which sees us come from `local_address`.

        `chop` cuts the stream into pieces of a few bytes up to a datagram, each sent as a segment of its own.
        """
        self._server = (host, port)
        self._local_address = local_address
        self._chop = chop
        self._connections: set[trio.CancelScope] = set()
        self._is_cut = False
        self._flows = trio.Event()
        self._flows.set()

    def cut(self) -> None:
        """End all connections; new ones are closed at once until `restore`."""
        self._is_cut = True
        for scope in self._connections:
            scope.cancel("the test cut the network")

    def restore(self) -> None:
        """Accept connections again, and forward what was frozen."""
        self._is_cut = False
        self._flows.set()

    def freeze(self) -> None:
        """Pass nothing on until `restore`; connections stay open."""
        self._flows = trio.Event()

    async def serve(self, client: trio.SocketStream) -> None:
        """Relay one connection, for `trio.serve_tcp` and the like."""
        async with client:
            if self._is_cut:
                return
            assert len(self._connections) < MAX_CONNECTIONS, "more connections than a test should need"
            with trio.CancelScope() as scope:
                self._connections.add(scope)
                try:
                    await self._relay(client)
                finally:
                    self._connections.discard(scope)

    async def _relay(self, client: trio.SocketStream) -> None:
        server = await trio.open_tcp_stream(*self._server, local_address=self._local_address)
        async with server, trio.open_nursery() as nursery:
            nursery.start_soon(self._pump, client, server)
            await self._pump(server, client)
            nursery.cancel_scope.cancel("the server has closed the connection")

    async def _pump(self, source: trio.SocketStream, sink: trio.SocketStream) -> None:
        """Copy one direction until its end."""
        try:
            while data := await source.receive_some(CHUNK):
                await self._flows.wait()
                for piece in self._pieces(data):
                    await sink.send_all(piece)
            await sink.send_eof()
        except trio.BrokenResourceError:
            pass  # one end has gone, and the other learns of it

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        start = 0
        while start < len(data):
            size = len(data) if self._chop is None else self._chop.choice((1, 2, 3, 20, 300, 1200))
            yield data[start : start + size]
            start += size


@asynccontextmanager
async def open_tcp_relay(server_url: str) -> AsyncIterator[tuple[TcpRelay, str]]:
    """Run a relay in front of ``http://host:port`` for the length of the block; yields it and its own URL."""
    host, _, port = server_url.removeprefix("http://").rpartition(":")
    relay = TcpRelay(host, int(port))
    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, relay.serve, 0, host="127.0.0.1")
        listeners: list[trio.SocketListener] = await nursery.start(serve)
        yield relay, f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel("the relay is not needed any more")
