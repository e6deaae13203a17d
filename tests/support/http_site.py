"""The public TCP port alone: an `HttpServer` with an echo handler instead of a conference."""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from trio_websocket import WebSocketConnection, open_websocket_url

from sfu.shell.config.settings import Settings
from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS, Timeouts
from sfu.shell.config.values import HostPort
from sfu.shell.http.fragments import MAX_FRAGMENTS
from sfu.shell.http.public import (
    MAX_WAITING,
    HttpServer,
    HttpStatistics,
    Readiness,
    WebSocketHandler,
    open_listeners,
    public_url,
)
from sfu.shell.http.tls import TlsCertificate, certificate_from

LOCAL = HostPort("127.0.0.1", 0)

PATIENCE = 30
"""Seconds that a test waits for what must happen, on a busy machine too."""

UPGRADE = (
    "Upgrade: websocket",
    "Connection: keep-alive, Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
"""Headers of a request that opens a WebSocket."""


async def echo(websocket: WebSocketConnection) -> None:
    """Return each message in capitals."""
    while True:
        await websocket.send_message((await websocket.get_message()).upper())


class HttpSite:
    """A running server and the address of its port."""

    def __init__(
        self, server: HttpServer, url: str, serving: trio.CancelScope, certificate: TlsCertificate | None
    ) -> None:
        self.server = server
        self.certificate = certificate
        self.url = url
        self.port = int(url.rstrip("/").rpartition(":")[2])
        self.serving = serving
        self.readiness = Readiness(True, "ok")

    @property
    def websocket_url(self) -> str:
        """The address of the WebSocket endpoint."""
        return self.url.replace("http", "ws", 1) + "ws"

    def drops(self) -> dict[str, int]:
        """Return the counters of connections that got no answer."""
        return dict(self.server.statistics().drops)

    async def connect(self) -> trio.SocketStream:
        """Open a TCP connection."""
        return await trio.open_tcp_stream("127.0.0.1", self.port)

    async def ask(self, *requests: bytes) -> bytes:
        """Send bytes and return all that comes back until the server closes."""
        stream = await self.connect()
        async with stream:
            with trio.fail_after(PATIENCE):
                await stream.send_all(b"".join(requests))
                return b"".join([bytes(part) async for part in stream])


@asynccontextmanager
async def http_site(
    root: Path,
    settings: Settings | None = None,
    handler: WebSocketHandler = echo,
    *,
    timeouts: Timeouts = DEFAULT_TIMEOUTS,
    max_waiting: int = MAX_WAITING,
    max_fragments: int = MAX_FRAGMENTS,
) -> AsyncIterator[HttpSite]:
    """Serve the files of `root` until the block ends."""
    settings = settings or Settings(http_addr=LOCAL)
    certificate = certificate_from(settings, timeouts)
    listeners = await open_listeners(settings, certificate)
    async with trio.open_nursery() as nursery:
        server = HttpServer(
            settings,
            root,
            handler,
            lambda: site.readiness,
            timeouts=timeouts,
            max_waiting=max_waiting,
            max_fragments=max_fragments,
        )
        site = HttpSite(server, public_url(settings, listeners), nursery.cancel_scope, certificate)
        if certificate is not None:
            nursery.start_soon(certificate.run)
        await nursery.start(server.serve, listeners)
        yield site
        nursery.cancel_scope.cancel("the test is over")
    statistics = server.statistics()
    assert (statistics.connections, statistics.waiting, statistics.websockets) == (0, 0, 0)


@asynccontextmanager
async def open_client(
    url: str, context: ssl.SSLContext | None = None, extra_headers: list[tuple[bytes, bytes]] | None = None
) -> AsyncIterator[WebSocketConnection]:
    """Open a WebSocket, and close its socket at the end. trio-websocket does not if the server closed first."""
    async with open_websocket_url(url, context, extra_headers=extra_headers) as websocket:
        try:
            yield websocket
        finally:
            await websocket.aclose()
            await trio.aclose_forcefully(websocket._stream)


async def until(site: HttpSite, condition: Callable[[HttpStatistics], bool]) -> None:
    """Poll the counters until `condition` holds. There is no event to wait for."""
    deadline = trio.current_time() + PATIENCE
    while not condition(site.server.statistics()):
        assert trio.current_time() < deadline, site.server.statistics()
        await trio.lowlevel.checkpoint()


def request(path: str, *headers: str, method: str = "GET", last: bool = True) -> bytes:
    """Return the bytes of a request. With `last`, the server is to close the connection after it."""
    lines = [f"{method} {path} HTTP/1.1", "Host: sfu.example", *headers]
    if last:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def parse_response(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers by lower-case name, and body of one response."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("ascii").split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines)
    return int(status.split()[1]), {name.lower(): value for name, value in fields.items()}, body


def without(name: str) -> list[str]:
    """Return the headers of a WebSocket request without one."""
    return [line for line in UPGRADE if not line.startswith(name)]
