"""The WebSocket opening handshake: which requests may open one (RFC 6455 sections 4.2.1 and 10.2)."""

import base64
import binascii
from http import HTTPStatus
from urllib.parse import urlsplit

import h11

from sfu.shell.http.responses import Response, text


def header(request: h11.Request, name: bytes) -> str | None:
    """Return a header's value, joined by commas if it was sent several times; `None` if it was not sent."""
    values = [value.decode("latin-1") for key, value in request.headers if key == name]
    return ", ".join(values) if values else None


def refusal(request: h11.Request, allowed_origins: tuple[str, ...]) -> Response | None:
    """Return the response that refuses to open a WebSocket, or `None` if the request may open one.

    The origin must be in `allowed_origins`. If that is empty, the origin's host must be the one in the Host
    header; its scheme is not compared, since a proxy in front may have ended TLS. A client without an Origin
    header is not a browser, so no foreign page can abuse it, and it is accepted.
    """
    if request.method != b"GET":
        return text(HTTPStatus.METHOD_NOT_ALLOWED, "A WebSocket is opened by GET.", ("Allow", "GET"))
    if request.http_version != b"1.1":
        return text(HTTPStatus.BAD_REQUEST, "A WebSocket requires HTTP/1.1.")
    if "websocket" not in _tokens(request, b"upgrade") or "upgrade" not in _tokens(request, b"connection"):
        return text(HTTPStatus.UPGRADE_REQUIRED, "Only WebSockets are served here.", ("Upgrade", "websocket"))
    if header(request, b"transfer-encoding") or header(request, b"content-length") not in (None, "0"):
        return text(HTTPStatus.BAD_REQUEST, "A request that opens a WebSocket must not have a body.")
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
        return text(HTTPStatus.FORBIDDEN, "This origin is not allowed (SFU_ALLOWED_ORIGINS).")
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


def opening(request: h11.Request) -> bytes:
    """Return the bytes of a minimal request that opens the WebSocket which a checked request asked for.

    wsproto parses the request a second time, and must not come to another result: trio-websocket answers a
    request that wsproto refuses, and then waits for another one for ever. So wsproto sees the checked fields
    and nothing else.
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
