"""Which requests open a WebSocket."""

from pathlib import Path

import pytest
import trio
from support.http_site import (
    LOCAL,
    PATIENCE,
    UPGRADE,
    http_site,
    open_client,
    parse_response,
    request,
    until,
    without,
)

from sfu.shell.config.settings import Settings


async def test_a_websocket_opens(root: Path) -> None:
    async with http_site(root) as site:
        headers = [(b"Origin", f"http://127.0.0.1:{site.port}".encode())]
        async with open_client(site.websocket_url + "?x=1", extra_headers=headers) as websocket:
            await websocket.send_message("hello")
            assert await websocket.get_message() == "HELLO"
            statistics = site.server.statistics()
            assert (statistics.websockets, statistics.waiting) == (1, 0)
    assert site.drops() == {}


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
async def test_requests_that_may_open_a_websocket(root: Path, headers: list[str], status: int) -> None:
    async with http_site(root) as site:
        stream = await site.connect()
        async with stream:
            await stream.send_all(request("/ws", *headers, last=False))
            with trio.fail_after(PATIENCE):
                received, fields, _ = parse_response(bytes(await stream.receive_some()))
        await until(site, lambda counters: counters.connections == 0)
        assert site.drops().keys() <= {"broken"}
    assert received == status
    if status == 426:
        assert fields["upgrade"] == "websocket"


@pytest.mark.parametrize("method", ["POST", "HEAD", "DELETE"])
async def test_other_methods_cannot_open_a_websocket(root: Path, method: str) -> None:
    """They get 405, and the connection is closed."""
    async with http_site(root) as site:
        stream = await site.connect()
        async with stream:
            await stream.send_all(request("/ws", *UPGRADE, method=method, last=False))
            with trio.fail_after(PATIENCE):
                received, fields, _ = parse_response(bytes(await stream.receive_some()))
        await until(site, lambda counters: counters.connections == 0)
    assert received == 405
    assert fields["allow"] == "GET"


async def test_host_that_is_not_a_name_is_accepted(root: Path) -> None:
    """The host is only compared with the origin."""
    async with http_site(root) as site:
        stream = await site.connect()
        async with stream:
            await stream.send_all(request("/ws", *UPGRADE, last=False).replace(b"sfu.example", b"\xe4" * 70))
            with trio.fail_after(PATIENCE):
                assert parse_response(bytes(await stream.receive_some()))[0] == 101


async def test_websocket_with_a_body_is_refused(root: Path) -> None:
    async with http_site(root) as site:
        stream = await site.connect()
        async with stream:
            await stream.send_all(request("/ws", *UPGRADE, "Content-Length: 2", last=False) + b"hi")
            assert parse_response(bytes(await stream.receive_some()))[0] == 400


async def test_websocket_over_http_1_0_is_refused(root: Path) -> None:
    async with http_site(root) as site:
        answer = await site.ask(request("/ws", *UPGRADE, last=False).replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert parse_response(answer)[0] == 400


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
    async with http_site(root, Settings(http_addr=LOCAL, allowed_origins=allowed)) as site:
        stream = await site.connect()
        async with stream:
            await stream.send_all(request("/ws", *UPGRADE, *origin, last=False))
            assert parse_response(bytes(await stream.receive_some()))[0] == status
