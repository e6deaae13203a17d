"""HTTP responses: small and complete, with the headers that all of them have."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

Headers = tuple[tuple[str, str], ...]

CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "media-src 'self' blob: mediastream:",
        "font-src 'self'",
        "manifest-src 'self'",
        # 'self' covers ws: and wss: of the same host (CSP level 3, section 6.7.2.8).
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
"""The page loads nothing from other origins, has no inline scripts or styles, and cannot be framed."""

COMMON_HEADERS: Final[Headers] = (
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ("Permissions-Policy", "camera=(self), microphone=(self), display-capture=(self)"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
)


def strict_transport_security(seconds: int) -> Headers:
    """Return the header that makes a browser use only HTTPS for this host, for that time (RFC 6797).

    It does not include subdomains: these may belong to other people's servers.
    """
    return (("Strict-Transport-Security", f"max-age={seconds}"),)


@dataclass(frozen=True, slots=True)
class Response:
    """A status, headers in addition to the common ones, and the whole body."""

    status: HTTPStatus
    headers: Headers = ()
    body: bytes = b""


def text(status: HTTPStatus, message: str, *headers: tuple[str, str]) -> Response:
    """Return a plain-text response with one sentence."""
    body = f"{message}\n".encode()
    return Response(status, (("Content-Type", "text/plain; charset=utf-8"), *_UNCACHED, *headers), body)


def as_json(status: HTTPStatus, value: Mapping[str, object]) -> Response:
    """Return a response with a JSON object."""
    body = json.dumps(value).encode() + b"\n"
    return Response(status, (("Content-Type", "application/json"), *_UNCACHED), body)


_UNCACHED: Final[Headers] = (("Cache-Control", "no-store"),)
