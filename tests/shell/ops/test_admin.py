"""The admin port: its resources, and that clients can neither block nor break it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from support.log_capture import LogEntry, capture_logs

from sfu.shell.config.settings import ConfigError, Settings
from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS, Timeouts
from sfu.shell.config.values import HostPort
from sfu.shell.media.udp import MediaSocket
from sfu.shell.ops import admin
from sfu.shell.ops.admin import MAX_CONNECTIONS, Admin
from sfu.shell.ops.exposition import CONTENT_TYPE
from sfu.shell.server import Server
from sfu.shell.store.memory import MemoryStore

PATIENCE = 30
"""Seconds that a test waits for what must happen, on a busy machine too."""


@pytest.fixture(autouse=True)
def events() -> Iterator[list[LogEntry]]:
    """Collect the log. It must be empty at the end; a test that expects events clears it."""
    with capture_logs() as captured:
        yield captured
    assert captured == []


@asynccontextmanager
async def running(
    host: str = "127.0.0.1", *, timeouts: Timeouts = DEFAULT_TIMEOUTS, max_connections: int = MAX_CONNECTIONS
) -> AsyncIterator[str]:
    """Serve the admin port of a server without clients; return its URL."""
    settings = Settings(admin_addr=HostPort(host, 0))
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


async def ask(url: str, request: bytes) -> tuple[str, dict[str, str], str]:
    """Send a request; return status line, headers by lower-case name, and body."""
    stream = await connect(url)
    async with stream:
        with trio.fail_after(PATIENCE):
            await stream.send_all(request)
            answer = b"".join([bytes(part) async for part in stream]).decode()
    head, _, body = answer.partition("\r\n\r\n")
    status, *lines = head.split("\r\n")
    return status, {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}, body


def get(path: str, method: str = "GET") -> bytes:
    """A request after which the connection is closed."""
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_metrics(host: str) -> None:
    async with running(host) as url:
        status, headers, body = await ask(url, get("/metrics?name=value"))
    assert status == "HTTP/1.1 200 OK"
    assert headers["content-type"] == CONTENT_TYPE
    assert "\nsfu_peers 0.0\n" in body
    assert "\nprocess_open_fds " in body


async def test_the_other_resources() -> None:
    async with running() as url:
        assert "/metrics" in (await ask(url, get("/")))[2].splitlines()
        assert (await ask(url, get("/healthz")))[2] == '{"status": "ok"}\n'
        tree = (await ask(url, get("/debug/tasks")))[2]
        assert "sfu.shell.ops.meter.RateMeter.run @ sfu.shell.ops.meter.RateMeter.run:" in tree
        assert "test_the_other_resources" in tree


async def test_two_requests_on_one_connection() -> None:
    async with running() as url:
        once = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
        _, _, rest = await ask(url, once + get("/healthz"))
        assert rest.count('{"status": "ok"}') == 2


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (get("/nothing"), "404 Not Found"),
        (get("/metrics", "POST"), "405 Method Not Allowed"),
        (get("/metrics", "HEAD"), "200 OK"),
        (b"GET /metrics HTTP/1.1\r\n\r\n", "400 Bad Request"),
        (b"GET " + b"x" * 20_000, "414 Request-URI Too Long"),
        (get("*"), "400 Bad Request"),
    ],
)
async def test_statuses(request_: bytes, status: str) -> None:
    async with running() as url:
        assert (await ask(url, request_))[0] == f"HTTP/1.1 {status}"


async def test_a_client_that_sends_nothing_is_dropped() -> None:
    async with running(timeouts=Timeouts(http_head=0.05)) as url:
        stream = await connect(url)
        async with stream:
            with trio.fail_after(PATIENCE):
                assert await stream.receive_some() == b""


async def test_too_many_connections_are_closed_and_the_next_one_is_served() -> None:
    async with running(max_connections=1) as url:
        first = await connect(url)
        await first.send_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await first.receive_some()
        second = await connect(url)
        async with second:
            with trio.fail_after(PATIENCE):
                assert await second.receive_some() == b""
        await first.aclose()
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert (await ask(url, get("/healthz")))[0] == "HTTP/1.1 200 OK"


async def test_a_client_that_resets_its_connection_does_not_disturb_others() -> None:
    async with running() as url:
        stream = await connect(url)
        stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await stream.send_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await stream.aclose()
        assert (await ask(url, get("/healthz")))[0] == "HTTP/1.1 200 OK"


async def test_a_bug_ends_one_request_and_is_logged(
    monkeypatch: pytest.MonkeyPatch, events: list[LogEntry]
) -> None:
    def broken() -> str:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(admin, "task_tree", broken)
    async with running() as url:
        stream = await connect(url)
        async with stream:
            await stream.send_all(get("/debug/tasks"))
            with trio.fail_after(PATIENCE):
                assert await stream.receive_some() == b""
        assert (await ask(url, get("/healthz")))[0] == "HTTP/1.1 200 OK"
    assert [event["event"] for event in events] == ["admin request failed"]
    events.clear()


async def test_a_port_in_use_is_reported_as_a_wrong_setting() -> None:
    async with running() as url:
        port = int(url.rstrip("/").rpartition(":")[2])
        settings = Settings(admin_addr=HostPort("127.0.0.1", port))
        taken = pytest.raises(ConfigError, match=r"^SFU_ADMIN_ADDR=127\.0\.0\.1:\d+: Address already in use")
        with MediaSocket.open("127.0.0.1", 0) as media, taken:
            await Admin(settings, Server(settings, media, MemoryStore("admin")), media).serve()
