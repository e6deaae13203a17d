"""What strangers do to the public TCP port while others hold a call."""

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
import trio
from support.real_server import HOST, RealServer, attacked
from support.waiting import PATIENCE, becomes

from sfu.shell.http.public import MAX_WAITING

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: %b\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%b\r\n"
)


@asynccontextmanager
async def connection(server: RealServer) -> AsyncIterator[trio.SocketStream]:
    """A TCP connection that ends without a word."""
    stream = await trio.open_tcp_stream(*server.http)
    try:
        yield stream
    finally:
        await trio.aclose_forcefully(stream)


async def status(server: RealServer, request: bytes) -> int | None:
    """Send bytes and return the status that comes back, if one does before the connection ends."""
    async with connection(server) as stream:
        with suppress(trio.BrokenResourceError):  # refused before all of it was sent
            await stream.send_all(request)
            await stream.send_eof()
        answer = b""
        with trio.fail_after(PATIENCE), suppress(trio.BrokenResourceError):
            while data := await stream.receive_some():
                answer += data
        return int(answer.split()[1]) if answer else None


GARBAGE: dict[str, tuple[bytes, int | None]] = {
    "noise": (random.Random(1).randbytes(10_000), 400),
    "zeros": (bytes(100_000), 400),
    "nothing": (b"", None),
    "empty lines": (b"\r\n" * 50_000, 400),
    "half a request": (b"GET / HTTP/1.1\r\nHost: x\r\n", 400),
    "a TLS handshake": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "HTTP/9.9": (b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", 505),
    "a long target": (b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\n\r\n", 414),
    "many headers": (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 100_000 + b"\r\n", 431),
    "one long header": (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 1_000_000 + b"\r\n\r\n", 431),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
    "a path outside": (b"GET /../../../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "an encoded path outside": (b"GET /%2e%2e/%2e%2e/etc/passwd%00 HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "two lengths": (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", 400),
    "length and chunks": (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "a bad chunk": (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    "a huge body": (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999\r\n\r\n" + bytes(1_000_000),
        413,
    ),
    "a WebSocket without a key": (
        b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        426,
    ),
    "a WebSocket that is none": (b"GET /ws HTTP/1.1\r\nHost: x\r\n\r\n", 426),
}


@pytest.mark.parametrize("name", GARBAGE)
async def test_requests_that_are_not_valid_http(name: str) -> None:
    request, expected = GARBAGE[name]
    async with attacked() as (server, _):
        assert await status(server, request) == expected


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "file://", "http://", "http://[", f"http://{HOST}"]
)
async def test_a_page_of_another_origin_may_not_connect(origin: str) -> None:
    async with attacked() as (server, _):
        host = f"{HOST}:{server.http.port}".encode()
        assert await status(server, UPGRADE % (host, f"Origin: {origin}\r\n".encode())) == 403
        own = f"Origin: http://{HOST}:{server.http.port}\r\n".encode()
        assert await status(server, UPGRADE % (host, own)) == 101


async def test_a_thousand_half_open_connections() -> None:
    """A new connection replaces the one that has waited longest, so honest clients get in."""
    async with attacked() as (server, _), AsyncExitStack() as stack:
        for number in range(1000):
            stream = await stack.enter_async_context(connection(server))
            with suppress(trio.BrokenResourceError):
                await stream.send_all(
                    (b"", b"GET /ws HTTP/1.1\r\nHost: ", b"POST / HTTP/1.1\r\n", b"GET /")[number % 4]
                )
        await becomes(lambda: server.sfu.http.statistics().waiting, MAX_WAITING)
        assert server.sfu.http.statistics().drops["waiting-full"] >= 1000 - MAX_WAITING
        assert await status(server, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") == 200
        async with server.client("carol") as carol:
            await carol.join("call")
            await carol.publish("audio")
            await carol.connect()


async def test_more_connections_than_the_limit() -> None:
    async with attacked(max_connections=50) as (server, _), AsyncExitStack() as stack:
        for _ in range(200):
            await stack.enter_async_context(connection(server))
        await becomes(lambda: server.sfu.http.statistics().drops.get("connections-full"), 152)


async def test_requests_a_byte_at_a_time() -> None:
    async with attacked() as (server, _), trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(drip, server, b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 50)
        await trio.sleep(1)
        nursery.cancel_scope.cancel("enough")


async def drip(server: RealServer, request: bytes) -> None:
    """Send a byte now and then, and never the last one."""
    async with connection(server) as stream:
        for byte in request:
            await stream.send_all(bytes([byte]))
            await trio.sleep(0.01)


async def test_responses_that_the_client_does_not_read() -> None:
    async with attacked() as (server, _), AsyncExitStack() as stack:
        for _ in range(20):
            stream = await stack.enter_async_context(connection(server))
            with trio.move_on_after(0.1):
                while True:
                    await stream.send_all(b"GET /client.js HTTP/1.1\r\nHost: x\r\n\r\n" * 50)


async def test_upgrades_followed_by_noise() -> None:
    async with attacked() as (server, _):
        for number in range(20):
            async with connection(server) as stream:
                noise = random.Random(number).randbytes(5000)
                await stream.send_all(UPGRADE % (b"x", b"") + noise)
                with trio.fail_after(PATIENCE), suppress(trio.BrokenResourceError):
                    while await stream.receive_some():
                        pass
