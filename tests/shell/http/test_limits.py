"""What the public TCP port refuses, and how it limits slow and many clients."""

from pathlib import Path

import pytest
import trio
from support.http_site import LOCAL, PATIENCE, http_site, open_client, parse_response, request, until

from sfu.shell.config.settings import Settings
from sfu.shell.config.timeouts import Timeouts
from sfu.shell.http.public import MAX_WAITING


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
        (request("/", method="POST"), 405),
        (request("/", method="OPTIONS"), 405),
        (request("/healthz", method="DELETE"), 405),
    ],
)
async def test_requests_that_are_refused(root: Path, request_bytes: bytes, status: int) -> None:
    async with http_site(root) as site:
        answer = await site.ask(request_bytes)
        received, headers, body = parse_response(answer)
        assert received == status
        assert headers["connection"] == "close"
        assert headers["content-type"] == "text/plain; charset=utf-8"
        assert body.endswith(b".\n")
        assert site.server.statistics().responses == {status: 1}
        assert parse_response(await site.ask(request("/healthz")))[0] == 200


async def test_small_body_is_read_and_ignored(root: Path) -> None:
    async with http_site(root) as site:
        post = request("/", "Content-Length: 5", method="POST", last=False) + b"hello"
        answer = await site.ask(post, request("/healthz"))
    assert b"HTTP/1.1 405 " in answer
    assert b"HTTP/1.1 200 OK" in answer


async def test_nothing_is_read_behind_a_body_with_two_lengths(root: Path) -> None:
    """A proxy that follows the other length would treat these bytes as the next client's request."""
    lengths = "Content-Length: 5", "Transfer-Encoding: chunked"
    async with http_site(root) as site:
        post = request("/", *lengths, method="POST", last=False) + b"0\r\n\r\n"
        answer = await site.ask(post, request("/healthz"))
    assert parse_response(answer)[0] == 400
    assert answer.count(b"HTTP/1.1 ") == 1


async def test_client_that_leaves_in_its_request_is_counted(root: Path) -> None:
    async with http_site(root) as site:
        for part in (b"GET / HT", request("/", "Content-Length: 5", method="POST") + b"he"):
            stream = await site.connect()
            await stream.send_all(part)
            await stream.aclose()
        await until(
            site, lambda counters: counters.drops.get("broken", 0) + sum(counters.responses.values()) >= 2
        )
        assert parse_response(await site.ask(request("/healthz")))[0] == 200


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: a\r\n"])
async def test_incomplete_request_ends_at_its_deadline(root: Path, sent: bytes) -> None:
    async with http_site(root, timeouts=Timeouts(http_head=0.05)) as site:
        assert await site.ask(sent) == b""
        assert site.drops() == {"timeout": 1}


async def test_idle_connection_ends_at_its_deadline(root: Path) -> None:
    async with http_site(root, timeouts=Timeouts(http_idle=0.05)) as site:
        assert parse_response(await site.ask(request("/healthz", last=False)))[0] == 200
        assert site.drops() == {"timeout": 1}


async def test_late_body_ends_at_its_deadline(root: Path) -> None:
    async with http_site(root, timeouts=Timeouts(http_body=0.05)) as site:
        answer = await site.ask(request("/", "Content-Length: 5", method="POST", last=False) + b"he")
        assert parse_response(answer)[0] == 408


async def test_client_that_does_not_read_is_dropped(root: Path) -> None:
    (root / "large.bin").write_bytes(bytes(32 << 20))
    async with http_site(root, timeouts=Timeouts(http_send=0.05)) as site:
        stream = await site.connect()
        async with stream:
            await stream.send_all(request("/large.bin"))
            await until(site, lambda counters: counters.connections == 0)


async def test_a_thousand_half_open_connections_do_not_keep_clients_out(root: Path) -> None:
    async with http_site(root) as site:
        streams = [await site.connect() for _ in range(1000)]
        for stream in streams[::2]:
            await stream.send_all(b"GET /half")
        with trio.fail_after(PATIENCE):
            assert parse_response(await site.ask(request("/healthz")))[0] == 200
        statistics = site.server.statistics()
        assert statistics.waiting <= MAX_WAITING
        assert statistics.drops["waiting-full"] >= 1000 - MAX_WAITING
        for stream in streams:
            await stream.aclose()


async def test_oldest_waiting_connection_is_dropped(root: Path) -> None:
    async with http_site(root, max_waiting=2) as site:
        first, second, third = [await site.connect() for _ in range(3)]
        async with first, second, third:
            with trio.fail_after(PATIENCE):
                assert await first.receive_some() == b""
            for stream in (second, third):
                await stream.send_all(request("/healthz"))
                assert (await stream.receive_some()).startswith(b"HTTP/1.1 200 OK")
        assert site.drops() == {"waiting-full": 1}


async def test_more_connections_than_allowed_are_closed_at_once(root: Path) -> None:
    async with http_site(root, Settings(http_addr=LOCAL, max_connections=1)) as site:
        async with open_client(site.websocket_url) as websocket:
            await websocket.send_message("a")
            assert await websocket.get_message() == "A"
            assert await site.ask(b"") == b""
            assert site.drops() == {"connections-full": 1}
            await websocket.send_message("b")
            assert await websocket.get_message() == "B"
        await until(site, lambda counters: counters.connections == 0)
        assert parse_response(await site.ask(request("/healthz")))[0] == 200
