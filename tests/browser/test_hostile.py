"""Attacks by unauthenticated and by misbehaving clients do not disturb a running call.

Each attack is refused or dropped without a complaint in the log (the `server` fixture looks), and while they
all go on, two browsers keep seeing and hearing each other.
"""

import json
import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
import trio
from browser.chromium import Chromium
from browser.participant import enter
from browser.rpc import open_websocket
from browser.sfu_process import SfuProcess, open_sfu
from trio_websocket import ConnectionClosed, WebSocketConnection

pytestmark = pytest.mark.browser

STUN_COOKIE = 0x2112A442
BINDING_REQUEST = 0x0001
USERNAME = 0x0006

HALF_OPEN = 1000
"""Connections that never finish their request."""


@pytest.fixture
async def server(deadline: None) -> AsyncIterator[SfuProcess]:
    """A server with a short session TTL, so that attackers who vanish are soon forgotten."""
    async with open_sfu({"SFU_SESSION_TTL_SEC": "2"}) as running:
        yield running


def binding_request(ufrag: str) -> bytes:
    """Return a Binding request with a USERNAME and without MESSAGE-INTEGRITY (RFC 8489 section 5)."""
    name = f"{ufrag}:stranger".encode()
    attribute = struct.pack("!HH", USERNAME, len(name)) + name + bytes(-len(name) % 4)
    return struct.pack("!HHI", BINDING_REQUEST, len(attribute), STUN_COOKIE) + os.urandom(12) + attribute


async def attack_media_port(server: SfuProcess, ufrag: str) -> None:
    """Send what no peer sends: random bytes, STUN without integrity, unexpected DTLS, RTP and RTCP."""
    with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        await sock.connect(("127.0.0.1", server.udp_port))
        for first in range(256):
            await sock.send(bytes([first]) + os.urandom(first * 5))
        await sock.send(b"")
        for _ in range(200):
            await sock.send(binding_request(ufrag))
            await sock.send(binding_request("nobody"))
            await sock.send(b"\x16\xfe\xff\0\0\0\0\0\0\0\0" + struct.pack("!H", 100) + b"\x01" + os.urandom(99))
            await sock.send(b"\x80\x60" + os.urandom(1198))
            await sock.send(b"\x80\xc8\x00\x06" + os.urandom(36))


async def attack_http_port(server: SfuProcess) -> None:
    """Send what is no HTTP, and open connections that never say what they want."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    for garbage in (os.urandom(4096), b"GET / HTTP/9.9\r\n\r\n", b"GET /" + b"a" * 100_000, b"\r\n" * 1000):
        stream = await trio.open_tcp_stream(host, int(port))
        async with stream:
            try:
                await stream.send_all(garbage)
                await stream.send_eof()
                while await stream.receive_some():
                    pass
            except trio.BrokenResourceError:
                pass  # refused before all of it was sent
    half_open = []
    try:
        for _ in range(HALF_OPEN):
            stream = await trio.open_tcp_stream(host, int(port))
            half_open.append(stream)
            with suppress(trio.BrokenResourceError):  # one more than the server holds
                await stream.send_all(b"GET /ws HTTP/1.1\r\nHost: ")
    finally:
        for stream in half_open:
            await trio.aclose_forcefully(stream)


async def hear(connection: WebSocketConnection, *types: str) -> dict[str, Any]:
    """Return the data of the next message of one of the types."""
    while True:
        message: dict[str, Any] = json.loads(await connection.get_message())
        if message["type"] in types:
            data: dict[str, Any] = message["data"]
            return data


async def tell(connection: WebSocketConnection, message_type: str, **data: Any) -> None:
    """Send one well-formed message."""
    await connection.send_message(json.dumps({"type": message_type, "data": data}))


async def attack_signaling(server: SfuProcess, room: str) -> None:
    """Send malformed messages on /ws; each gets an error that says what is wrong."""
    url = server.url.replace("http", "ws") + "/ws"
    async with open_websocket(url) as connection:
        for text in (
            "",
            "{",
            "[]",
            "17",
            '{"type": 1}',
            '{"type": "nonsense"}',
            '{"type": "join", "data": []}',
        ):
            await connection.send_message(text)
            assert (await hear(connection, "error"))["code"] == 400, text
        await tell(connection, "leave")
        assert (await hear(connection, "error"))["code"] == 409
        # In an empty room the server has nothing to offer, so it answers offers at once.
        await tell(connection, "join", roomId=f"beside {room}", userId="mallory", name="Mallory")
        assert (await hear(connection, "join"))["success"]
        for sdp in ("", "v=0", "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP", "x" * 200_000):
            await tell(connection, "offer", type="offer", sdp=sdp)
            refusal = await hear(connection, "error")
            assert (refusal["code"], refusal["type"]) == (400, "offer")
    async with open_websocket(url) as connection:
        await tell(connection, "join", roomId=room, userId="mallory", name="Mallory")
        assert (await hear(connection, "join"))["success"]
        await hear(connection, "offer")
        await tell(connection, "answer", type="answer", sdp="v=0")
        refusal = await hear(connection, "error")
        assert (refusal["code"], refusal["type"]) == (400, "answer")
    async with open_websocket(url) as connection:
        with suppress(ConnectionClosed):
            await connection.send_message("x" * 10_000_000)
            await connection.get_message()
        # The server closes with 1009 (RFC 6455 section 7.4); a stream cut meanwhile counts as 1006.
        assert connection.closed is not None
        assert connection.closed.code in (1006, 1009)


async def test_attacks_do_not_disturb_a_call(server: SfuProcess, chromium: Chromium) -> None:
    anna, ben = await enter(server, chromium, "Anna"), await enter(server, chromium, "Ben")
    await anna.join("hostile")
    await ben.join("hostile")
    await anna.sees_and_hears(ben)
    await ben.sees_and_hears(anna)

    description: str = await anna.page.evaluate("() => window.participant.connection().remoteDescription.sdp")
    ufrag = next(line.partition(":")[2] for line in description.split() if line.startswith("a=ice-ufrag:"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(attack_media_port, server, ufrag)
        nursery.start_soon(attack_http_port, server)
        nursery.start_soon(attack_signaling, server, "hostile")
        nursery.start_soon(anna.sees_and_hears, ben)
        nursery.start_soon(ben.sees_and_hears, anna)

    await anna.until(lambda now: list(now.peers) == ["Ben"], "Mallory is gone")
    await anna.sees_and_hears(ben)
    await ben.sees_and_hears(anna)
    for participant in (anna, ben):
        now = await participant.snapshot()
        assert (now.state, now.connection, now.errors) == ("joined", "connected", [])
        assert participant.page.errors() == []


async def test_wrong_fingerprint_passes_no_media(server: SfuProcess, chromium: Chromium) -> None:
    """A client with another certificate than its description names is removed (RFC 8827 section 6.5)."""
    anna, mallory = await enter(server, chromium, "Anna"), await enter(server, chromium, "Mallory")
    await anna.join("fingerprint")
    await mallory.page.evaluate(
        "() => window.participant.tamperWith((text) => text.replace(/(sha-256 )([0-9A-F]{2}):([0-9A-F]{2})/g,"
        " (all, name, a, b) => `${name}${b === a ? '00' : b}:${a}`))"
    )
    await mallory.join("fingerprint")
    await mallory.until(lambda now: now.errors[-1:] == ["refused: fingerprint-mismatch"], "the reason is told")
    now = await anna.until(lambda now: now.peers == {} and now.received == {}, "nothing of Mallory is left")
    assert now.connection == "connected"
