"""What hostile clients say on their WebSockets while others hold a call."""

import contextlib
import json
import struct
from collections import Counter
from collections.abc import Iterable

import pytest
import trio
import trio.lowlevel
from support.real_server import FAST, RealServer, attacked, close_code, enter, hear, tell
from support.waiting import becomes
from trio_websocket import ConnectionClosed, WebSocketConnection

NONSENSE: tuple[str | bytes, ...] = (
    "",
    "{",
    "[]",
    "17",
    "null",
    "\0",
    "{" * 100_000,
    "[" * 100_000,
    '{"a":' * 50_000,
    '{"type": 1}',
    '{"type": null, "data": {}}',
    '{"type": "nonsense"}',
    '{"type": "' + "x" * 100_000 + '"}',
    '{"type": "join", "data": []}',
    '{"type": "join", "data": "{"}',
    '{"type": "join", "data": "' + "[" * 100_000 + '"}',
    '{"type": "join", "data": {"roomId": "\\u0000", "userId": "x"}}',
    '{"type": "join", "data": {"roomId": "' + "x" * 500_000 + '", "userId": "x"}}',
    '{"type": "join", "data": {"roomId": {"a": ' + "[" * 1000 + "]" * 1000 + '}, "userId": "x"}}',
    '{"type": "join", "data": {"roomId": 1e999, "userId": "\\ud800"}}',
    '{"type": "offer", "data": {"sdp": 5}}',
    '{"type": "ice-candidate", "data": {"sdpMLineIndex": -1}}',
    b"\xff\xfe\x00",
    b"\x80" * 10_000,
    b'{"type": "join"}',
    b'{"type": "ping", "data": "\xff"}',
)


@pytest.mark.parametrize("joined", [False, True])
async def test_messages_that_make_no_sense(joined: bool) -> None:
    async with attacked(**FAST) as (server, _), server.websocket() as (websocket, _):
        if joined:
            await enter(websocket, "call")
        for message in NONSENSE:
            await websocket.send_message(message)
            assert (await hear(websocket, "error"))["code"] == 400, message[:80]
        await tell(websocket, "ping", still="here")
        assert await hear(websocket, "pong") == {"still": "here"}


async def test_messages_at_the_wrong_time() -> None:
    async with attacked() as (server, _), server.websocket() as (websocket, _):
        for name in ("offer", "answer"):
            await tell(websocket, name, sdp="v=0", type=name)
            assert (await hear(websocket, "error"))["code"] == 409
        await enter(websocket)
        await join_again(websocket)
        await tell(
            websocket, "answer", sdp="v=0", type="answer"
        )  # to no offer: counted, like one that came late
        await tell(websocket, "ice-candidate", candidate="candidate:" + "9" * 1000)
        assert (await hear(websocket, "error"))["code"] == 400


async def join_again(websocket: WebSocketConnection) -> None:
    """Try to be in two rooms."""
    await tell(websocket, "join", roomId="call", userId="mallory")
    assert (await hear(websocket, "error"))["code"] == 409


async def test_a_message_of_10_megabytes() -> None:
    async with attacked() as (server, _):
        for joined in (False, True):
            async with server.websocket() as (websocket, _), trio.open_nursery() as nursery:
                if joined:
                    await enter(websocket)
                nursery.start_soon(say_until_closed, websocket, "x" * 10_000_000)
                assert await close_code(websocket) == 1009


async def say_until_closed(websocket: WebSocketConnection, message: str) -> None:
    """Send one message, or as much of it as the server takes."""
    with contextlib.suppress(ConnectionClosed):
        await websocket.send_message(message)


def frame(opcode: int, payload: bytes = b"", *, final: bool = True, length: int | None = None) -> bytes:
    """A masked WebSocket frame (RFC 6455 section 5.2), whose header may lie about its length."""
    length = len(payload) if length is None else length
    size = bytes([0x80 | length]) if length < 126 else b"\xff" + struct.pack("!Q", length)
    return bytes([(0x80 if final else 0) | opcode]) + size + bytes(4) + payload


BROKEN_FRAMES = {
    "reserved data opcode": frame(3),
    "reserved control opcode": frame(11),
    "reserved bits": bytes([0xF1, 0x80]) + bytes(4),
    "continuation of nothing": frame(0, b"x"),
    "not masked": b"\x81\x02{}",
    "long ping": frame(9, bytes(200)),
    "ping in pieces": frame(9, b"x", final=False),
    "not UTF-8": frame(1, b"\xff\xff"),
    "2**63 bytes": frame(1, length=1 << 63),
    "half a close code": frame(8, b"\x03"),
    "reserved close code": frame(8, struct.pack("!H", 1005)),
}


@pytest.mark.parametrize("name", BROKEN_FRAMES)
async def test_frames_that_break_the_protocol(name: str) -> None:
    """They end the connection. (trio-websocket closes it without the code that RFC 6455 has for it.)"""
    async with attacked() as (server, call), server.websocket() as (websocket, stream):
        await enter(websocket, "call")
        await stream.send_all(BROKEN_FRAMES[name])
        await close_code(websocket)
        await call.bob.until(lambda: len(call.bob.heard("peer-left")) == 1)


async def test_a_message_that_never_ends() -> None:
    """In empty pieces, so that no limit on its length would notice."""
    async with (
        attacked() as (server, _),
        server.websocket() as (websocket, stream),
        trio.open_nursery() as nursery,
    ):
        await enter(websocket)
        nursery.start_soon(send_pieces, stream)
        assert await close_code(websocket) == 1006
        nursery.cancel_scope.cancel("it has ended")


async def send_pieces(stream: trio.SocketStream) -> None:
    """Begin a message and go on with it, until the server has enough."""
    with contextlib.suppress(trio.BrokenResourceError):
        await stream.send_all(frame(1, final=False))
        while True:
            await stream.send_all(frame(0, final=False) * 100)
            await trio.sleep(0.001)


# --- floods ---


@pytest.mark.parametrize("joined", [False, True])
async def test_a_flood_of_messages(joined: bool) -> None:
    async with attacked() as (server, _), server.websocket() as (websocket, _stream):
        if joined:
            await enter(websocket, "call")
        answers: Counter[str] = Counter()
        with trio.move_on_after(1.5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(flood, websocket)
                while True:
                    message = json.loads(await websocket.get_message())
                    answers[str(message["data"].get("code", message["type"]))] += 1
        assert answers["429"]
        assert answers["pong"] < 100


async def flood(websocket: WebSocketConnection) -> None:
    """Ping as fast as it goes."""
    try:
        while True:
            for _ in range(20):
                await tell(websocket, "ping")
            await trio.lowlevel.checkpoint()
    except ConnectionClosed:
        pass


async def test_a_flood_of_control_frames() -> None:
    async with attacked() as (server, _), server.websocket() as (websocket, stream):
        await enter(websocket)
        with trio.move_on_after(1):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(close_code, websocket)  # reads the pongs
                while True:
                    await stream.send_all(frame(9, b"x" * 100) * 100 + frame(10, b"x") * 100)
                    await trio.lowlevel.checkpoint()


async def test_500_joins_and_immediate_drops() -> None:
    async with attacked() as (server, call):
        async with trio.open_nursery() as nursery:
            for first in range(20):
                nursery.start_soon(come_and_go, server, range(first, 500, 20))
        await becomes(lambda: server.remains()["peers"], 2)
        # Of 500, 167 were heard by name in the room of the call before they vanished.
        heard = call.bob.heard
        await call.bob.until(lambda: len(heard("peer-joined")) == len(heard("peer-left")) >= 167)


async def come_and_go(server: RealServer, numbers: Iterable[int]) -> None:
    """Join and vanish, every other time in the room of the call, and often before the server has answered."""
    for number in numbers:
        async with server.websocket() as (websocket, _):
            room = "call" if number % 2 else f"room {number}"
            await tell(websocket, "join", roomId=room, userId=f"mallory {number}")
            if number % 3:
                await hear(websocket, "join")
