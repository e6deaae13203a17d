"""The admin port: its resources, and that clients can neither block nor break it."""

from collections.abc import Iterator

import pytest
import trio
import trio.testing
from support.admin_port import PATIENCE, ask, connect, get, own_host, running
from support.log_capture import LogEntry, capture_logs

from sfu.shell.config.settings import ConfigError, Settings
from sfu.shell.config.timeouts import Timeouts
from sfu.shell.config.values import HostPort
from sfu.shell.media.udp import MediaSocket
from sfu.shell.ops import admin
from sfu.shell.ops.admin import Admin
from sfu.shell.ops.exposition import CONTENT_TYPE
from sfu.shell.server import Server
from sfu.shell.store.memory import MemoryStore


@pytest.fixture(autouse=True)
def events() -> Iterator[list[LogEntry]]:
    """Collect the log. It must be empty at the end; a test that expects events clears it."""
    with capture_logs() as captured:
        yield captured
    assert captured == []


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
        once = b"GET /healthz HTTP/1.1\r\nHost: admin\r\n\r\n"
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
        await stream.send_all(b"GET /metrics HTTP/1.1\r\n" + own_host(url) + b"\r\n")
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
            await stream.send_all(get("/debug/tasks", host=url.removeprefix("http://").rstrip("/")))
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


async def test_a_token_is_required_where_it_is_set() -> None:
    token = "0123456789abcdef" * 2
    async with running(token=token) as url:
        status, headers, _ = await ask(url, get("/metrics"))
        assert status == "HTTP/1.1 401 Unauthorized"
        assert headers["www-authenticate"] == "Bearer"
        body = (await ask(url, get("/metrics", authorization=f"Bearer {token}")))[2]
        assert '\nsfu_drops_total{place="admin",reason="token"} 1.0\n' in body
        assert (await ask(url, get("/healthz")))[0] == "HTTP/1.1 200 OK"
