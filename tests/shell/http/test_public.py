"""The public TCP port: pages, health, WebSockets, and everything that strangers may try."""

import contextlib
import functools
import json
import re
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from cryptography.hazmat.primitives import serialization
from support.log_capture import LogEntry, capture_logs
from trio_websocket import ConnectionClosed, WebSocketConnection, open_websocket_url

from sfu.shell.config.settings import ConfigError, Settings
from sfu.shell.config.values import HostPort
from sfu.shell.http import connection as exchange
from sfu.shell.http import public as http
from sfu.shell.http.public import HttpServer, HttpStatistics, Readiness, open_listeners, public_url
from sfu.shell.http.websocket import ReplayStream, RequestInfo

LOCAL = HostPort("127.0.0.1", 0)

PATIENCE = 30
"""Seconds after which what has not happened never will, on a busy machine too."""

Talk = Callable[[WebSocketConnection, RequestInfo], Awaitable[None]]


async def echo(websocket: WebSocketConnection, _info: RequestInfo) -> None:
    """Return each message in capitals."""
    while True:
        await websocket.send_message((await websocket.get_message()).upper())


class Site:
    """A running front and the address of its port."""

    def __init__(self, front: HttpServer, url: str, serving: trio.CancelScope) -> None:
        self.front = front
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
        return dict(self.front.statistics().drops)

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
async def running(root: Path, settings: Settings | None = None, talk: Talk = echo) -> AsyncIterator[Site]:
    """Serve the files of `root` until the block ends."""
    settings = settings or Settings(http_addr=LOCAL)
    listeners = await open_listeners(settings)
    async with trio.open_nursery() as nursery:
        front = HttpServer(settings, root, talk, lambda: site.readiness)
        site = Site(front, public_url(settings, listeners), nursery.cancel_scope)
        await nursery.start(front.serve, listeners)
        yield site
        nursery.cancel_scope.cancel("the test is over")
    statistics = front.statistics()
    assert (statistics.connections, statistics.waiting, statistics.websockets) == (0, 0, 0)


@pytest.fixture(autouse=True)
def events() -> Iterator[list[LogEntry]]:
    """Collect the log, which must be empty at the end: strangers do not write into it."""
    with capture_logs() as captured:
        yield captured
    assert captured == []


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a small built page."""
    folder = tmp_path / "web"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>page</title>")
    (folder / "client.js").write_text("export {};")
    (folder / "assets" / "page-abc123.css").write_text("a{}")
    (folder / "odd name.bin").write_bytes(b"\0\1")
    (tmp_path / "secret.txt").write_text("secret")
    return folder


@asynccontextmanager
async def open_client(
    url: str, context: ssl.SSLContext | None = None, extra_headers: list[tuple[bytes, bytes]] | None = None
) -> AsyncIterator[WebSocketConnection]:
    """Open a WebSocket, and leave no socket behind: trio-websocket does when the server has closed first."""
    async with open_websocket_url(url, context, extra_headers=extra_headers) as websocket:
        try:
            yield websocket
        finally:
            await websocket.aclose()
            await trio.aclose_forcefully(websocket._stream)


async def until(site: "Site", condition: Callable[[HttpStatistics], bool]) -> None:
    """Wait until `condition` holds of the counters, which have no events to wait for."""
    deadline = trio.current_time() + PATIENCE
    while not condition(site.front.statistics()):
        assert trio.current_time() < deadline, site.front.statistics()
        await trio.lowlevel.checkpoint()


def get(path: str, *headers: str, method: str = "GET", last: bool = True) -> bytes:
    """Return the bytes of a request; with `last` it asks the server to close afterwards."""
    lines = [f"{method} {path} HTTP/1.1", "Host: sfu.example", *headers]
    if last:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def parse(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers by lower-case name, and body of one response."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("ascii").split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines)
    return int(status.split()[1]), {name.lower(): value for name, value in fields.items()}, body


UPGRADE = (
    "Upgrade: websocket",
    "Connection: keep-alive, Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


def without(name: str) -> list[str]:
    """Return the headers of a WebSocket request without one."""
    return [line for line in UPGRADE if not line.startswith(name)]


# --- pages ---


@pytest.mark.parametrize(
    ("path", "content_type", "caching", "body"),
    [
        ("/", "text/html; charset=utf-8", "no-cache", b"<!doctype html><title>page</title>"),
        ("/?room=blue&name=x", "text/html; charset=utf-8", "no-cache", b"<!doctype html><title>page</title>"),
        ("/index.html", "text/html; charset=utf-8", "no-cache", b"<!doctype html><title>page</title>"),
        ("/client.js", "text/javascript; charset=utf-8", "no-cache", b"export {};"),
        ("/assets/page-abc123.css", "text/css; charset=utf-8", "public, max-age=31536000, immutable", b"a{}"),
        ("/odd%20name.bin", "application/octet-stream", "no-cache", b"\0\1"),
        ("http://sfu.example/client.js", "text/javascript; charset=utf-8", "no-cache", b"export {};"),
    ],
)
async def test_files(root: Path, path: str, content_type: str, caching: str, body: bytes) -> None:
    async with running(root) as site:
        status, headers, received = parse(await site.ask(get(path)))
    assert (status, received) == (200, body)
    assert headers["content-type"] == content_type
    assert headers["cache-control"] == caching
    assert headers["content-length"] == str(len(body))
    assert headers["x-content-type-options"] == "nosniff"
    assert "script-src 'self'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["date"].endswith(" GMT")


async def test_head_has_the_headers_alone(root: Path) -> None:
    async with running(root) as site:
        status, headers, body = parse(await site.ask(get("/", method="HEAD")))
    assert (status, body) == (200, b"")
    assert headers["content-length"] == "34"


async def test_unchanged_file_is_not_sent_again(root: Path) -> None:
    async with running(root) as site:
        _, headers, _ = parse(await site.ask(get("/")))
        etag = headers["etag"]
        for condition in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            status, headers, body = parse(await site.ask(get("/", f"If-None-Match: {condition}")))
            assert (status, body) == (304, b"")
            assert headers["etag"] == etag
            assert "content-length" not in headers
        assert parse(await site.ask(get("/", 'If-None-Match: "other"')))[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/assets/../../secret.txt",
        "/assets",
        "/assets/",
        "//etc/passwd",
        "/index.html/",
        "/%00",
        "/\xe4",
    ],
)
async def test_no_other_file_is_reachable(root: Path, path: str) -> None:
    async with running(root) as site:
        status, _, body = parse(await site.ask(get(path)))
    assert status in (400, 404)
    assert b"secret" not in body


async def test_kept_alive_connection_serves_several_requests(root: Path) -> None:
    async with running(root) as site:
        requests = [get("/", last=False), get("/nothing", last=False), get("/healthz")]
        together = await site.ask(*requests)
    assert re.findall(rb"HTTP/1\.1 (\d+) ", together) == [b"200", b"404", b"200"]


async def test_http_1_0_is_answered_and_closed(root: Path) -> None:
    async with running(root) as site:
        answer = await site.ask(b"GET /healthz HTTP/1.0\r\n\r\n")
    assert parse(answer)[0] == 200


async def test_page_that_is_not_built_says_how_to_build_it(tmp_path: Path) -> None:
    async with running(tmp_path / "absent") as site:
        status, headers, body = parse(await site.ask(get("/")))
    assert status == 200
    assert headers["content-type"].startswith("text/html")
    assert b"make run" in body


# --- health ---


async def test_health(root: Path) -> None:
    async with running(root) as site:
        status, headers, body = parse(await site.ask(get("/healthz")))
        assert (status, json.loads(body)) == (200, {"status": "ok"})
        assert headers["content-type"] == "application/json"
        assert headers["cache-control"] == "no-store"


async def test_readiness_is_asked_each_time(root: Path) -> None:
    async with running(root) as site:
        assert parse(await site.ask(get("/readyz")))[0] == 200
        site.readiness = Readiness(True, "degraded")
        status, _, body = parse(await site.ask(get("/readyz")))
        assert (status, json.loads(body)) == (200, {"status": "degraded"})
        site.readiness = Readiness(False, "draining")
        status, _, body = parse(await site.ask(get("/readyz")))
        assert (status, json.loads(body)) == (503, {"status": "draining"})


# --- what is refused ---


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GARBAGE\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", 505),
        (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET http://[::1/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n", 400),
        (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET /" + b"a" * 40_000, 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 40_000, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 10_000, 431),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + bytes(100_000), 413),
        (b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n", 417),
        (get("/", method="POST"), 405),
        (get("/", method="OPTIONS"), 405),
        (get("/healthz", method="DELETE"), 405),
    ],
)
async def test_refusals(root: Path, request_bytes: bytes, status: int) -> None:
    async with running(root) as site:
        answer = await site.ask(request_bytes)
        received, headers, body = parse(answer)
        assert received == status
        assert headers["connection"] == "close"
        assert headers["content-type"] == "text/plain; charset=utf-8"
        assert body.endswith(b".\n")
        assert site.front.statistics().responses == {status: 1}
        assert parse(await site.ask(get("/healthz")))[0] == 200


async def test_small_body_is_read_and_ignored(root: Path) -> None:
    async with running(root) as site:
        post = get("/", "Content-Length: 5", method="POST", last=False) + b"hello"
        answer = await site.ask(post, get("/healthz"))
    assert b"HTTP/1.1 405 " in answer
    assert b"HTTP/1.1 200 OK" in answer


async def test_nothing_is_read_behind_a_body_with_two_lengths(root: Path) -> None:
    """A proxy that believes the other one would take what is there for somebody's own request."""
    lengths = "Content-Length: 5", "Transfer-Encoding: chunked"
    async with running(root) as site:
        post = get("/", *lengths, method="POST", last=False) + b"0\r\n\r\n"
        answer = await site.ask(post, get("/healthz"))
    assert parse(answer)[0] == 400
    assert answer.count(b"HTTP/1.1 ") == 1


async def test_client_that_leaves_in_its_request_is_counted(root: Path) -> None:
    async with running(root) as site:
        for part in (b"GET / HT", get("/", "Content-Length: 5", method="POST") + b"he"):
            stream = await site.connect()
            await stream.send_all(part)
            await stream.aclose()
        await until(
            site, lambda counters: counters.drops.get("broken", 0) + sum(counters.responses.values()) >= 2
        )
        assert parse(await site.ask(get("/healthz")))[0] == 200


# --- slow and many ---


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: a\r\n"])
async def test_incomplete_request_ends_at_its_deadline(
    root: Path, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(http, "HEAD_TIMEOUT", 0.05)
    async with running(root) as site:
        assert await site.ask(sent) == b""
        assert site.drops() == {"timeout": 1}


async def test_idle_connection_ends_at_its_deadline(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "IDLE_TIMEOUT", 0.05)
    async with running(root) as site:
        assert parse(await site.ask(get("/healthz", last=False)))[0] == 200
        assert site.drops() == {"timeout": 1}


async def test_late_body_ends_at_its_deadline(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "BODY_TIMEOUT", 0.05)
    async with running(root) as site:
        answer = await site.ask(get("/", "Content-Length: 5", method="POST", last=False) + b"he")
        assert parse(answer)[0] == 408


async def test_client_that_does_not_read_is_given_up(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "SEND_TIMEOUT", 0.05)
    (root / "large.bin").write_bytes(bytes(32 << 20))
    async with running(root) as site:
        stream = await site.connect()
        async with stream:
            await stream.send_all(get("/large.bin"))
            await until(site, lambda counters: counters.connections == 0)


async def test_a_thousand_half_open_connections_keep_nobody_out(root: Path) -> None:
    async with running(root) as site:
        streams = [await site.connect() for _ in range(1000)]
        for stream in streams[::2]:
            await stream.send_all(b"GET /half")
        with trio.fail_after(PATIENCE):
            assert parse(await site.ask(get("/healthz")))[0] == 200
        statistics = site.front.statistics()
        assert statistics.waiting <= http.MAX_WAITING
        assert statistics.drops["waiting-full"] >= 1000 - http.MAX_WAITING
        for stream in streams:
            await stream.aclose()


async def test_oldest_waiting_connection_gives_way(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_WAITING", 2)
    async with running(root) as site:
        first, second, third = [await site.connect() for _ in range(3)]
        async with first, second, third:
            with trio.fail_after(PATIENCE):
                assert await first.receive_some() == b""
            for stream in (second, third):
                await stream.send_all(get("/healthz"))
                assert (await stream.receive_some()).startswith(b"HTTP/1.1 200 OK")
        assert site.drops() == {"waiting-full": 1}


async def test_more_connections_than_allowed_are_closed_at_once(root: Path) -> None:
    async with running(root, Settings(http_addr=LOCAL, max_connections=1)) as site:
        async with open_client(site.websocket_url) as websocket:
            await websocket.send_message("a")
            assert await websocket.get_message() == "A"
            assert await site.ask(b"") == b""
            assert site.drops() == {"connections-full": 1}
            await websocket.send_message("b")
            assert await websocket.get_message() == "B"
        await until(site, lambda counters: counters.connections == 0)
        assert parse(await site.ask(get("/healthz")))[0] == 200


# --- WebSockets ---


async def test_websocket_and_what_its_request_said(root: Path) -> None:
    seen: list[RequestInfo] = []

    async def talk(websocket: WebSocketConnection, info: RequestInfo) -> None:
        seen.append(info)
        await echo(websocket, info)

    async with running(root, talk=talk) as site:
        headers = [(b"Origin", f"http://127.0.0.1:{site.port}".encode()), (b"User-Agent", b"test/1")]
        async with open_client(site.websocket_url + "?x=1", extra_headers=headers) as websocket:
            await websocket.send_message("hello")
            assert await websocket.get_message() == "HELLO"
            statistics = site.front.statistics()
            assert (statistics.websockets, statistics.waiting) == (1, 0)
    assert seen == [RequestInfo("/ws?x=1", f"http://127.0.0.1:{site.port}", "test/1", "127.0.0.1")]
    assert site.drops() == {}


async def test_frames_sent_together_with_the_request_are_not_lost(root: Path) -> None:
    # A masked text frame "hi" with masking key 0 (RFC 6455 section 5.2).
    frame = b"\x81\x82\0\0\0\0hi"
    async with running(root) as site:
        stream = await site.connect()
        async with stream:
            await stream.send_all(get("/healthz", last=False) + get("/ws", *UPGRADE, last=False) + frame)
            received = b""
            with trio.fail_after(PATIENCE):
                while not received.endswith(b"\x81\x02HI"):
                    received += await stream.receive_some()
    assert b"HTTP/1.1 101 " in received
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in received  # RFC 6455 section 1.3


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([], 426),
        (without("Upgrade"), 426),
        (without("Connection"), 426),
        ([*without("Upgrade"), "Upgrade: h2c"], 426),
        (without("Sec-WebSocket-Version"), 426),
        ([*without("Sec-WebSocket-Version"), "Sec-WebSocket-Version: 8"], 426),
        (without("Sec-WebSocket-Key"), 400),
        ([*without("Sec-WebSocket-Key"), "Sec-WebSocket-Key: c2hvcnQ="], 400),
        ([*without("Sec-WebSocket-Key"), "Sec-WebSocket-Key: \xe4\xe4"], 400),
        ([*UPGRADE, "Content-Length: 0"], 101),
        ([*UPGRADE, "Origin: http://evil.example"], 403),
        ([*UPGRADE, "Origin: null"], 403),
        ([*UPGRADE, "Origin: http://[::1"], 403),
        ([*UPGRADE, "Origin: https://SFU.example"], 101),
        ([*UPGRADE, "Origin: https://sfu.example:444"], 403),
        ([*without("Connection"), "Connection: Upgrade", "Connection: keep-alive"], 101),
        ([*without("Upgrade"), "Upgrade: websocket, h2c"], 101),
        ([*UPGRADE, "Host: second.example"], 400),
        ([*UPGRADE, "Sec-WebSocket-Protocol: \xe4"], 101),
        ([*UPGRADE, "Sec-WebSocket-Extensions: \xe4"], 101),
    ],
)
async def test_who_may_open_a_websocket(root: Path, headers: list[str], status: int) -> None:
    async with running(root) as site:
        stream = await site.connect()
        async with stream:
            await stream.send_all(get("/ws", *headers, last=False))
            with trio.fail_after(PATIENCE):
                received, fields, _ = parse(bytes(await stream.receive_some()))
        await until(site, lambda counters: counters.connections == 0)
        assert site.drops().keys() <= {"broken"}
    assert received == status
    if status == 426:
        assert fields["upgrade"] == "websocket"


@pytest.mark.parametrize("method", ["POST", "HEAD", "DELETE"])
async def test_websocket_begins_with_get(root: Path, method: str) -> None:
    """Who asks otherwise is told so, and holds no connection."""
    async with running(root) as site:
        stream = await site.connect()
        async with stream:
            await stream.send_all(get("/ws", *UPGRADE, method=method, last=False))
            with trio.fail_after(PATIENCE):
                received, fields, _ = parse(bytes(await stream.receive_some()))
        await until(site, lambda counters: counters.connections == 0)
    assert received == 405
    assert fields["allow"] == "GET"


async def test_host_that_is_no_name_changes_nothing(root: Path) -> None:
    """It is compared with the origin, and not used otherwise."""
    async with running(root) as site:
        stream = await site.connect()
        async with stream:
            await stream.send_all(get("/ws", *UPGRADE, last=False).replace(b"sfu.example", b"\xe4" * 70))
            with trio.fail_after(PATIENCE):
                assert parse(bytes(await stream.receive_some()))[0] == 101


async def test_websocket_with_a_body_is_refused(root: Path) -> None:
    async with running(root) as site:
        stream = await site.connect()
        async with stream:
            await stream.send_all(get("/ws", *UPGRADE, "Content-Length: 2", last=False) + b"hi")
            assert parse(bytes(await stream.receive_some()))[0] == 400


async def test_websocket_over_http_1_0_is_refused(root: Path) -> None:
    async with running(root) as site:
        answer = await site.ask(get("/ws", *UPGRADE, last=False).replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert parse(answer)[0] == 400


@pytest.mark.parametrize(
    ("allowed", "origin", "status"),
    [
        (("https://a.example",), ["Origin: https://A.example"], 101),
        (("https://a.example",), ["Origin: http://a.example"], 403),
        (("https://a.example",), ["Origin: https://b.example"], 403),
        (("*",), ["Origin: https://b.example"], 101),
        (("https://a.example",), [], 101),
    ],
)
async def test_allowed_origins(root: Path, allowed: tuple[str, ...], origin: list[str], status: int) -> None:
    async with running(root, Settings(http_addr=LOCAL, allowed_origins=allowed)) as site:
        stream = await site.connect()
        async with stream:
            await stream.send_all(get("/ws", *UPGRADE, *origin, last=False))
            assert parse(bytes(await stream.receive_some()))[0] == status


async def test_ten_megabyte_message_ends_its_connection_alone(root: Path) -> None:
    async with running(root) as site, open_client(site.websocket_url) as other:
        async with open_client(site.websocket_url) as websocket:
            with contextlib.suppress(ConnectionClosed):  # it may notice only when it listens
                await websocket.send_message("x" * (10 << 20))
            with pytest.raises(ConnectionClosed) as closed, trio.fail_after(PATIENCE):
                await websocket.get_message()
            assert closed.value.reason is not None
            assert closed.value.reason.code in (1006, 1009)
        await other.send_message("still here")
        assert await other.get_message() == "STILL HERE"


async def test_message_over_the_limit_is_answered_by_1009(root: Path) -> None:
    settings = Settings(http_addr=LOCAL, max_message_bytes=2000)
    async with running(root, settings) as site, open_client(site.websocket_url) as websocket:
        await websocket.send_message("x" * 2000)
        assert await websocket.get_message() == "X" * 2000
        await websocket.send_message("x" * 2001)
        with pytest.raises(ConnectionClosed) as closed, trio.fail_after(PATIENCE):
            await websocket.get_message()
        assert closed.value.reason is not None
        assert closed.value.reason.code == 1009


@pytest.mark.parametrize("more", [0, 1])
async def test_message_in_pieces(root: Path, monkeypatch: pytest.MonkeyPatch, more: int) -> None:
    monkeypatch.setattr("sfu.shell.http.websocket.MAX_FRAGMENTS", 50)
    async with running(root) as site:
        stream = await site.connect()
        async with stream:
            # "h", and so many times nothing; "i" would be the end.
            await stream.send_all(get("/ws", *UPGRADE, last=False) + b"\x01\x81\0\0\0\0h")
            await stream.send_all(b"\0\x80\0\0\0\0" * (49 + more))
            received = b""
            with trio.fail_after(PATIENCE), contextlib.suppress(trio.BrokenResourceError):
                if not more:
                    await stream.send_all(b"\x80\x81\0\0\0\0i")
                while not received.endswith(b"\x81\x02HI") and (data := await stream.receive_some()):
                    received += data
            assert received.endswith(b"\x81\x02HI") == (more == 0)
        await until(site, lambda counters: counters.connections == 0)


@pytest.mark.parametrize("garbage", [b"\xff" * 50, b"\x81\x02hi", b"\x83\x80\0\0\0\0"])
async def test_garbage_frames_end_their_connection_alone(root: Path, garbage: bytes) -> None:
    async with running(root) as site, open_client(site.websocket_url) as other:
        stream = await site.connect()
        async with stream:
            await stream.send_all(get("/ws", *UPGRADE, last=False) + garbage)
            with trio.fail_after(PATIENCE):
                while await stream.receive_some():
                    pass
        await other.send_message("still here")
        assert await other.get_message() == "STILL HERE"


async def test_tcp_connection_that_breaks_is_no_error(root: Path) -> None:
    async with running(root) as site:
        stream = await site.connect()
        await stream.send_all(get("/ws", *UPGRADE, last=False))
        await stream.receive_some()
        stream.setsockopt(1, 13, b"\x01\0\0\0\0\0\0\0")  # SO_LINGER of 0 s: closing sends a reset
        await stream.aclose()
        await until(site, lambda counters: counters.websockets == 0)


@pytest.mark.parametrize(("reading", "patience"), [(True, PATIENCE), (False, 0.2)])
async def test_cancelled_server_says_goodbye(
    root: Path, monkeypatch: pytest.MonkeyPatch, reading: bool, patience: float
) -> None:
    monkeypatch.setattr("sfu.shell.http.websocket.CLOSE_TIMEOUT", patience)
    async with running(root) as site:
        stream = await site.connect()
        async with stream:
            await stream.send_all(get("/ws", *UPGRADE, last=False))
            await stream.receive_some()
            started = trio.current_time()
            site.serving.cancel("the server stops")
            with trio.CancelScope(shield=True), trio.fail_after(2 * PATIENCE):
                frame = bytes(await stream.receive_some())
                assert frame == b"\x88\x02" + (1001).to_bytes(2, "big")
                if reading:  # a client that answers is not waited for longer
                    await stream.send_all(b"\x88\x82\0\0\0\0" + (1001).to_bytes(2, "big"))
                assert await stream.receive_some() == b""
                assert (trio.current_time() - started < patience) is reading


async def test_ping_that_crosses_our_goodbye_is_no_error(root: Path) -> None:
    """Neither is anything else that would be answered: the client still gets to read why we close."""

    async def talk(websocket: WebSocketConnection, _info: RequestInfo) -> None:
        with trio.move_on_after(0.5):
            await websocket.aclose(4000, "replaced")

    async with running(root, talk=talk) as site:
        stream = await site.connect()
        async with stream:
            await stream.send_all(get("/ws", *UPGRADE, last=False) + b"\x89\x80\0\0\0\0")
            received = b""
            with trio.fail_after(PATIENCE):
                async for part in stream:
                    received += part
        assert received.endswith(b"\x88\x0a" + (4000).to_bytes(2, "big") + b"replaced")
        await until(site, lambda counters: counters.connections == 0)
        assert site.drops() == {}


async def test_bug_in_the_handler_is_logged_and_ends_one_connection(root: Path, events: list[LogEntry]) -> None:
    async def talk(_websocket: WebSocketConnection, _info: RequestInfo) -> None:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("a bug")

    async with running(root, talk=talk) as site:
        async with open_client(site.websocket_url) as websocket:
            with pytest.raises(ConnectionClosed) as closed:
                await websocket.get_message()
        assert closed.value.reason is not None
        assert closed.value.reason.code == 1011
        assert parse(await site.ask(get("/healthz")))[0] == 200
        assert site.drops() == {"error": 1}
    assert [(event["log_level"], event["event"]) for event in events] == [("error", "HTTP connection failed")]
    events.clear()


# --- TLS, listeners ---


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=127.0.0.1"
    )
    subprocess.run(
        [*command.split(), "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True,
        capture_output=True,
    )
    return cert, key


async def test_tls(root: Path, certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    async with running(root, Settings(http_addr=LOCAL, tls_cert=cert, tls_key=key)) as site:
        assert site.url.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=str(cert))
        async with open_client(site.websocket_url, context) as websocket:
            await websocket.send_message("hello")
            assert await websocket.get_message() == "HELLO"
        secure = trio.SSLStream(
            await site.connect(), context, server_hostname="127.0.0.1", https_compatible=True
        )
        await secure.send_all(get("/healthz"))
        assert (await secure.receive_some()).startswith(b"HTTP/1.1 200 OK")
        await trio.aclose_forcefully(secure)
        refused = trio.SSLStream(
            await site.connect(), context, server_hostname="127.0.0.1", https_compatible=True
        )
        await refused.send_all(get("/ws?" + "x" * 5000))
        assert (await refused.receive_some()).startswith(b"HTTP/1.1 414 ")
        await trio.aclose_forcefully(refused)
        # Plain HTTP, and a connection that breaks in the handshake.
        plain = await site.connect()
        async with plain:
            await plain.send_all(get("/healthz"))
            with trio.fail_after(PATIENCE):
                assert b"HTTP" not in await plain.receive_some()
        assert "error" not in site.drops()


async def test_tls_handshake_has_a_deadline(
    root: Path, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "HEAD_TIMEOUT", 0.05)
    cert, key = certificate
    async with running(root, Settings(http_addr=LOCAL, tls_cert=cert, tls_key=key)) as site:
        assert await site.ask(b"\x16\x03\x01") == b""
        assert site.drops() == {"timeout": 1}


async def test_wrong_certificate_and_taken_port_name_their_settings(
    root: Path, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    cert, key = certificate
    wrong, folder = tmp_path / "wrong.pem", tmp_path / "folder"
    wrong.write_text("no certificate")
    folder.mkdir()
    for first, second in ((wrong, key), (cert, cert), (cert, folder)):
        with pytest.raises(ConfigError) as error:
            await open_listeners(Settings(http_addr=LOCAL, tls_cert=first, tls_key=second))
        assert str(error.value).startswith(f"SFU_TLS_CERT={first}, SFU_TLS_KEY={second}: ")
        assert str(error.value).endswith("; allowed is a chain of certificates and its key, both PEM")
    async with running(root) as site:
        with pytest.raises(ConfigError, match=r"^SFU_HTTP_ADDR=127\.0\.0\.1:\d+: Address already in use"):
            await open_listeners(Settings(http_addr=HostPort("127.0.0.1", site.port)))


async def test_key_with_a_passphrase_is_refused_and_nobody_asked_for_it(
    certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    cert, key = certificate
    locked = tmp_path / "locked.pem"
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    locked.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(ConfigError, match=r"locked\.pem: allowed is a key without a passphrase$"):
        await open_listeners(Settings(http_addr=LOCAL, tls_cert=cert, tls_key=locked))


async def test_url_of_a_wildcard_is_one_that_a_browser_trusts() -> None:
    settings = Settings(http_addr=HostPort("0.0.0.0", 0))
    listeners = await open_listeners(settings)
    assert public_url(settings, listeners).startswith("http://localhost:")
    for listener in listeners:
        await listener.aclose()


async def test_url_of_an_ipv6_address_has_brackets() -> None:
    settings = Settings(http_addr=HostPort("::1", 0))
    try:
        listeners = await open_listeners(settings)
    except ConfigError:
        pytest.skip("no IPv6 on this machine")
    assert public_url(settings, listeners).startswith("http://[::1]:")
    for listener in listeners:
        await listener.aclose()


async def test_replay_stream_is_a_stream() -> None:
    near, far = trio.testing.memory_stream_pair()
    stream = ReplayStream(near, b"request", b"rest")
    assert await stream.receive_some(4) == b"requ"
    assert await stream.receive_some() == b"est"
    with trio.move_on_after(0):
        await stream.receive_some()
        pytest.fail("what is behind the request has to wait")
    stream.opened.set()
    assert await stream.receive_some(1) == b"r"
    await far.send_all(b"new")
    assert await stream.receive_some(100) == b"est"
    assert await stream.receive_some() == b"new"
    await stream.wait_send_all_might_not_block()
    await stream.send_all(b"answer")
    assert await far.receive_some() == b"answer"
    await stream.aclose()
    assert await far.receive_some() == b""


async def test_client_that_has_gone_has_no_address() -> None:
    async with trio.SocketStream(trio.socket.socket()) as unconnected:
        assert exchange.HttpConnection(unconnected).remote_host() == ""


async def test_accepting_can_end_while_connections_live_on(root: Path) -> None:
    settings = Settings(http_addr=LOCAL)
    listeners = await open_listeners(settings)
    front = HttpServer(settings, root, echo, lambda: Readiness(True, "ok"))
    port = int(public_url(settings, listeners).rpartition(":")[2].rstrip("/"))
    url = f"ws://127.0.0.1:{port}/ws"
    async with trio.open_nursery() as connections:
        accepting = await connections.start(_accept_in_a_scope, front, listeners, connections)
        async with open_client(url) as websocket:
            accepting.cancel("drain")
            await websocket.send_message("still here")
            assert await websocket.get_message() == "STILL HERE"
            with pytest.raises(OSError, match="failed"):
                await trio.open_tcp_stream("127.0.0.1", port)
        connections.cancel_scope.cancel("the test is over")
    assert front.statistics().connections == 0


async def _accept_in_a_scope(
    front: HttpServer,
    listeners: Sequence[http.Listener],
    connections: trio.Nursery,
    *,
    task_status: trio.TaskStatus[trio.CancelScope],
) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(functools.partial(front.serve, listeners, handler_nursery=connections))
        task_status.started(nursery.cancel_scope)
