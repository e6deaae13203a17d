"""WebSockets of the public TCP port: messages, garbage, bugs, and their end."""

import contextlib
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
)
from support.log_capture import LogEntry
from trio_websocket import ConnectionClosed, WebSocketConnection

from sfu.shell.config.settings import Settings
from sfu.shell.config.timeouts import Timeouts
from sfu.shell.http.websocket import ReplayStream


async def test_frames_sent_together_with_the_request_are_not_lost(root: Path) -> None:
    # A masked text frame "hi" with masking key 0 (RFC 6455 section 5.2).
    frame = b"\x81\x82\0\0\0\0hi"
    async with http_site(root) as site:
        stream = await site.connect()
        async with stream:
            await stream.send_all(
                request("/healthz", last=False) + request("/ws", *UPGRADE, last=False) + frame
            )
            received = b""
            with trio.fail_after(PATIENCE):
                while not received.endswith(b"\x81\x02HI"):
                    received += await stream.receive_some()
    assert b"HTTP/1.1 101 " in received
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in received  # RFC 6455 section 1.3


async def test_ten_megabyte_message_ends_its_connection_alone(root: Path) -> None:
    async with http_site(root) as site, open_client(site.websocket_url) as other:
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
    async with http_site(root, settings) as site, open_client(site.websocket_url) as websocket:
        await websocket.send_message("x" * 2000)
        assert await websocket.get_message() == "X" * 2000
        await websocket.send_message("x" * 2001)
        with pytest.raises(ConnectionClosed) as closed, trio.fail_after(PATIENCE):
            await websocket.get_message()
        assert closed.value.reason is not None
        assert closed.value.reason.code == 1009


@pytest.mark.parametrize("more", [0, 1])
async def test_the_number_of_fragments_is_limited(root: Path, more: int) -> None:
    async with http_site(root, max_fragments=50) as site:
        stream = await site.connect()
        async with stream:
            # "h", then empty fragments. "i" is the last one.
            await stream.send_all(request("/ws", *UPGRADE, last=False) + b"\x01\x81\0\0\0\0h")
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
    async with http_site(root) as site, open_client(site.websocket_url) as other:
        stream = await site.connect()
        async with stream:
            await stream.send_all(request("/ws", *UPGRADE, last=False) + garbage)
            with trio.fail_after(PATIENCE):
                while await stream.receive_some():
                    pass
        await other.send_message("still here")
        assert await other.get_message() == "STILL HERE"


async def test_tcp_reset_is_not_an_error(root: Path) -> None:
    async with http_site(root) as site:
        stream = await site.connect()
        await stream.send_all(request("/ws", *UPGRADE, last=False))
        await stream.receive_some()
        stream.setsockopt(1, 13, b"\x01\0\0\0\0\0\0\0")  # SO_LINGER of 0 s: closing sends a reset
        await stream.aclose()
        await until(site, lambda counters: counters.websockets == 0)


@pytest.mark.parametrize(("reading", "patience"), [(True, PATIENCE), (False, 0.2)])
async def test_cancelled_server_sends_a_close_frame(root: Path, reading: bool, patience: float) -> None:
    async with http_site(root, timeouts=Timeouts(websocket_close=patience)) as site:
        stream = await site.connect()
        async with stream:
            await stream.send_all(request("/ws", *UPGRADE, last=False))
            await stream.receive_some()
            started = trio.current_time()
            site.serving.cancel("the server stops")
            with trio.CancelScope(shield=True), trio.fail_after(2 * PATIENCE):
                frame = bytes(await stream.receive_some())
                assert frame == b"\x88\x02" + (1001).to_bytes(2, "big")
                if reading:  # the server does not wait longer for a client that answers
                    await stream.send_all(b"\x88\x82\0\0\0\0" + (1001).to_bytes(2, "big"))
                assert await stream.receive_some() == b""
                assert (trio.current_time() - started < patience) is reading


async def test_ping_that_crosses_the_close_frame_is_not_an_error(root: Path) -> None:
    """The client can still read the close frame, although its ping cannot be answered."""

    async def handler(websocket: WebSocketConnection) -> None:
        with trio.move_on_after(0.5):
            await websocket.aclose(4000, "replaced")

    async with http_site(root, handler=handler) as site:
        stream = await site.connect()
        async with stream:
            await stream.send_all(request("/ws", *UPGRADE, last=False) + b"\x89\x80\0\0\0\0")
            received = b""
            with trio.fail_after(PATIENCE):
                async for part in stream:
                    received += part
        assert received.endswith(b"\x88\x0a" + (4000).to_bytes(2, "big") + b"replaced")
        await until(site, lambda counters: counters.connections == 0)
        assert site.drops() == {}


async def test_bug_in_the_handler_is_logged_and_ends_one_connection(root: Path, events: list[LogEntry]) -> None:
    async def handler(_websocket: WebSocketConnection) -> None:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("a bug")

    async with http_site(root, handler=handler) as site:
        async with open_client(site.websocket_url) as websocket:
            with pytest.raises(ConnectionClosed) as closed:
                await websocket.get_message()
        assert closed.value.reason is not None
        assert closed.value.reason.code == 1011
        assert parse_response(await site.ask(request("/healthz")))[0] == 200
        assert site.drops() == {"error": 1}
    assert [(event["log_level"], event["event"]) for event in events] == [("error", "HTTP connection failed")]
    events.clear()


async def test_replay_stream() -> None:
    near, far = trio.testing.memory_stream_pair()
    stream = ReplayStream(near, b"request", b"rest", 1024)
    assert await stream.receive_some(4) == b"requ"
    assert await stream.receive_some() == b"est"
    with trio.move_on_after(0):
        await stream.receive_some()
        pytest.fail("bytes after the request must be held back")
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
