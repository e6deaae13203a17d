"""An admin port of a server without clients, and requests to it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from sfu.shell.config.settings import Settings
from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS, Timeouts
from sfu.shell.config.values import HostPort
from sfu.shell.media.udp import MediaSocket
from sfu.shell.ops.admin import MAX_CONNECTIONS, Admin
from sfu.shell.server import Server
from sfu.shell.store.memory import MemoryStore

PATIENCE = 30
"""Seconds that a test waits for what must happen, on a busy machine too."""


@asynccontextmanager
async def running(
    host: str = "127.0.0.1",
    *,
    token: str | None = None,
    timeouts: Timeouts = DEFAULT_TIMEOUTS,
    max_connections: int = MAX_CONNECTIONS,
) -> AsyncIterator[str]:
    """Serve the admin port of a server without clients; return its URL."""
    settings = Settings(admin_addr=HostPort(host, 0), admin_token=token)
    with MediaSocket.open("127.0.0.1", 0) as media:
        async with trio.open_nursery() as nursery:
            server = Server(settings, media, MemoryStore("admin"))
            admin = Admin(settings, server, media, timeouts=timeouts, max_connections=max_connections)
            yield await nursery.start(admin.serve)
            nursery.cancel_scope.cancel("the test is over")


async def connect(url: str) -> trio.SocketStream:
    """Open a TCP connection."""
    host, _, port = url.removeprefix("http://").rstrip("/").rpartition(":")
    return await trio.open_tcp_stream(host.strip("[]"), int(port))


def own_host(url: str) -> bytes:
    """Return the header ``Host`` that a client sends which was told `url`."""
    return f"Host: {url.removeprefix('http://').rstrip('/')}\r\n".encode()


async def ask(url: str, request: bytes) -> tuple[str, dict[str, str], str]:
    """Send a request; return status line, headers by lower-case name, and body.

    The host ``admin`` in the request becomes the port's own.
    """
    stream = await connect(url)
    async with stream:
        with trio.fail_after(PATIENCE):
            await stream.send_all(request.replace(b"Host: admin\r\n", own_host(url)))
            answer = b"".join([bytes(part) async for part in stream]).decode()
    head, _, body = answer.partition("\r\n\r\n")
    status, *lines = head.split("\r\n")
    return status, {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}, body


def get(path: str, method: str = "GET", host: str = "admin", authorization: str | None = None) -> bytes:
    """Return a request after which the connection is closed."""
    more = "" if authorization is None else f"Authorization: {authorization}\r\n"
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{more}Connection: close\r\n\r\n".encode("latin-1")
