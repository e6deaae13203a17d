"""From an HTTP request to a WebSocket: who may, and the hand-over of the connection."""

import base64
import binascii
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, cast
from urllib.parse import urlsplit

import h11
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream
from wsproto.utilities import LocalProtocolError

from sfu.shell.http.responses import Response, text

CLOSE_TIMEOUT: Final = 2.0
"""Seconds that a client may take to answer our close frame."""


MAX_FRAGMENTS: Final = 16_384
"""Pieces of one message: the longest there may be by default, in 128 bytes each. Browsers need one or a few."""


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """What the request that opened a WebSocket said."""

    target: str
    """Path and query as sent."""
    origin: str | None
    """The page that opened it; `None` for programs that are not browsers."""
    user_agent: str
    """Empty if it was not sent."""
    remote: str
    """The client's IP address, or the proxy's."""


WebSocketHandler = Callable[[WebSocketConnection, RequestInfo], Awaitable[None]]
"""Talks to one client; the connection is closed when it returns."""


def header(request: h11.Request, name: bytes) -> str | None:
    """Return a header's value, joined by commas if it came several times; `None` if it did not come."""
    values = [value.decode("latin-1") for key, value in request.headers if key == name]
    return ", ".join(values) if values else None


def refusal(request: h11.Request, allowed_origins: tuple[str, ...]) -> Response | None:
    """Return why `request` may not open a WebSocket, or `None` if it may (RFC 6455 sections 4.2.1, 10.2).

    The origin must be one of `allowed_origins`; if these are empty, it must be the host that was asked
    itself. The scheme is not compared then, since a proxy in front may have ended TLS. Clients without an
    Origin are not browsers, cannot be abused by a foreign page, and pass.
    """
    if request.method != b"GET":
        return text(HTTPStatus.METHOD_NOT_ALLOWED, "A WebSocket begins with GET.", ("Allow", "GET"))
    if request.http_version != b"1.1":
        return text(HTTPStatus.BAD_REQUEST, "A WebSocket needs HTTP/1.1.")
    if "websocket" not in _tokens(request, b"upgrade") or "upgrade" not in _tokens(request, b"connection"):
        return text(HTTPStatus.UPGRADE_REQUIRED, "Only WebSockets here.", ("Upgrade", "websocket"))
    if header(request, b"transfer-encoding") or header(request, b"content-length") not in (None, "0"):
        return text(HTTPStatus.BAD_REQUEST, "A WebSocket begins without a body.")
    if header(request, b"sec-websocket-version") != "13":
        return text(
            HTTPStatus.UPGRADE_REQUIRED,
            "The WebSocket version must be 13.",
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
        )
    try:
        key = base64.b64decode(header(request, b"sec-websocket-key") or "", validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 16:
        return text(HTTPStatus.BAD_REQUEST, "Sec-WebSocket-Key must be 16 bytes in base64.")
    origin = header(request, b"origin")
    if origin is not None and not _origin_allowed(origin, header(request, b"host") or "", allowed_origins):
        return text(HTTPStatus.FORBIDDEN, "This origin may not connect (SFU_ALLOWED_ORIGINS).")
    return None


def _tokens(request: h11.Request, name: bytes) -> list[str]:
    return [token.strip().lower() for token in (header(request, name) or "").split(",")]


def _origin_allowed(origin: str, host: str, allowed_origins: tuple[str, ...]) -> bool:
    if allowed_origins:
        return "*" in allowed_origins or origin.lower() in allowed_origins
    try:
        return urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False


class Fragments:
    """Counts the pieces of the message that a client is sending, by the headers of its frames.

    Nobody else does, and each takes memory until the last has come, though it be empty::

        FIN, opcode (8 or more: control) | mask, length or 126 or 127 | length: 0, 2 or 8 bytes | key: 4 bytes

    (RFC 6455 section 5.2). What is no such frame is found out elsewhere.
    """

    def __init__(self) -> None:
        self._header = b""  # as much of one as there is
        self._skip = 0  # bytes of a payload that are still to come
        self._count = 0

    def take(self, data: bytes) -> int:
        """Take what has come; return how many pieces there are of a message whose last is not among them."""
        data, at = self._header + data, self._skip
        while at + 2 <= len(data):
            length = data[at + 1] & 0x7F
            extended = {126: 2, 127: 8}.get(length, 0)
            payload = at + 2 + extended + 4
            if payload > len(data):
                break
            if extended:
                length = int.from_bytes(data[at + 2 : at + 2 + extended], "big")
            if data[at] & 0x0F < 8:
                self._count = 0 if data[at] & 0x80 else self._count + 1
            at = payload + length
        self._header, self._skip = data[at:], max(at - len(data), 0)
        return self._count


class ReplayStream(trio.abc.Stream):
    """A stream that begins with a request which somebody has already read, and what came behind it.

    What is behind the request stays back until `opened` is set: wsproto hands out frames only when it gets
    data after the handshake, so those that came early would lie in it unseen.
    """

    def __init__(self, stream: trio.abc.Stream, request: bytes, rest: bytes) -> None:
        self._stream = stream
        self._request = request
        self._rest = rest
        self._fragments = Fragments()
        self.opened = trio.Event()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return bytes of the request, then of what is behind it.

        Raises:
            trio.BrokenResourceError: as the stream does, or there is a message of more than `MAX_FRAGMENTS`.
        """
        if self._request:
            await trio.lowlevel.checkpoint()
            data, self._request = _split(self._request, max_bytes)
            return data
        await self.opened.wait()
        if self._rest:
            data, self._rest = _split(self._rest, max_bytes)
        else:
            data = bytes(await self._stream.receive_some(max_bytes))
        if self._fragments.take(data) > MAX_FRAGMENTS:
            raise trio.BrokenResourceError("a message in too many pieces")
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send through the stream."""
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait as the stream does."""
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()


def _split(data: bytes, size: int | None) -> tuple[bytes, bytes]:
    return (data, b"") if size is None else (data[:size], data[size:])


def opening(request: h11.Request) -> bytes:
    """Return the bytes of a plain request that opens the WebSocket which a checked one asked for.

    They are read again, by wsproto, and that must not come to another result: what it refuses, trio-websocket
    answers, and then waits for a better one for ever. So it gets to see what was checked, and nothing else.
    """
    lines = (
        "GET /ws HTTP/1.1",
        "Host: sfu",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {header(request, b'sec-websocket-key')}",
        "",
        "",
    )
    return "\r\n".join(lines).encode("ascii")


async def run_websocket(
    stream: ReplayStream, max_message_bytes: int, talk: Callable[[WebSocketConnection], Awaitable[None]]
) -> None:
    """Accept the WebSocket whose (checked) request `stream` begins with; `talk` on it, and close it.

    Cancelled, it still says goodbye: the task that reads frames is shielded for as long as the closing
    handshake may take. Otherwise the client's answer would be read by nobody and every shutdown would
    last the whole `CLOSE_TIMEOUT`.
    """
    async with trio.open_nursery() as nursery:
        reading = _Shielded(nursery)
        try:
            # Starting the task is all that trio-websocket does with its nursery.
            request = await wrap_server_stream(
                cast(trio.Nursery, reading), stream, max_message_size=max_message_bytes
            )
            connection = await request.accept()
            stream.opened.set()
            code = 1011  # RFC 6455 section 7.4.1: a condition that prevented us from going on
            try:
                await talk(connection)
                code = 1000
            except ConnectionClosed:
                code = 1000  # the usual end: the client has left
            except trio.Cancelled:
                code = 1001
                raise
            finally:
                with trio.move_on_after(CLOSE_TIMEOUT, shield=True):
                    await connection.aclose(code)
        finally:
            reading.scope.cancel("the WebSocket is closed")


class _Shielded:
    """Starts a task in a nursery that lives on when the nursery is cancelled, until `scope` is.

    A nursery of its own in a task of its own would do the same, and take 4 KiB of every idle connection.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self.scope = trio.CancelScope(shield=True)
        self._nursery = nursery

    def start_soon(self, function: Callable[[], Awaitable[None]]) -> None:
        """Start the task, as a nursery does."""
        self._nursery.start_soon(self._run, function)

    async def _run(self, function: Callable[[], Awaitable[None]]) -> None:
        # Raised by a ping that crosses our close frame: it cannot be answered any more.
        with self.scope, contextlib.suppress(LocalProtocolError):
            await function()
