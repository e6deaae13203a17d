"""Which requests the admin port answers: those that name it as their host and, if it has a token, that know it.

A web page on another site can make the browser of an operator ask a loopback port, after it has changed its own
name in DNS to that port's address (DNS rebinding). Such a request carries the page's own name in Host, and no
page can change that. So a request whose Host is not this port's own is refused.
"""

import hmac
import ipaddress
from collections import Counter
from http import HTTPStatus
from typing import Final

import h11

from sfu.shell.config.values import HostPort
from sfu.shell.http.handshake import header
from sfu.shell.http.responses import Response, text

OPEN: Final = frozenset({"/healthz"})
"""Paths that are answered without a token and to every Host. They tell no more than that the port is open."""

LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""Names of this host that always belong to the port, as they stand in Host. No site can own them."""

HTTP_PORT: Final = 80
"""The port of a Host that names none (RFC 9110 section 4.2.1)."""


class Access:
    """Decides about the requests of one admin port, and counts what it refuses."""

    def __init__(self, address: HostPort, token: str | None) -> None:
        """The port is bound at the host of `address`. With a `token`, requests must carry it."""
        self.ports = frozenset((address.port,))
        """The ports it is bound to. `Admin` sets them when the system has chosen them."""
        self.refusals: Counter[str] = Counter()
        """Requests refused since the start, by reason: ``host``, ``token``."""
        self._hosts = LOOPBACK_HOSTS | {address.host_in_url.lower()}
        self._any_address = _is_wildcard(address.host)
        self._token = None if token is None else token.encode()

    def refusal(self, request: h11.Request, path: str) -> Response | None:
        """Return the response that refuses a request for `path`, or `None` if it may be answered."""
        if path in OPEN:
            return None
        if not self._owns(header(request, b"host") or ""):
            self.refusals["host"] += 1
            return text(
                HTTPStatus.MISDIRECTED_REQUEST,
                "The Host of this request is not that of the admin port (SFU_ADMIN_ADDR).",
            )
        if self._token is not None and not self._has_token(request):
            self.refusals["token"] += 1
            return text(
                HTTPStatus.UNAUTHORIZED,
                "The admin port requires the header Authorization: Bearer TOKEN (SFU_ADMIN_TOKEN).",
                ("WWW-Authenticate", "Bearer"),
            )
        return None

    def _owns(self, authority: str) -> bool:
        """Return whether a Host names this port."""
        host, port = _split(authority.lower())
        return port in self.ports and (host in self._hosts or (self._any_address and _is_address(host)))

    def _has_token(self, request: h11.Request) -> bool:
        scheme, _, given = (header(request, b"authorization") or "").partition(" ")
        assert self._token is not None
        same = hmac.compare_digest(given.strip(" ").encode("latin-1"), self._token)
        return scheme.lower() == "bearer" and same


def _split(authority: str) -> tuple[str, int | None]:
    """Return the host and the port of a Host; the port is `None` if it is not a number."""
    host, colon, port = authority.rpartition(":")
    if not colon or authority.endswith("]"):
        return authority, HTTP_PORT
    return host, int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else None


def _is_address(host: str) -> bool:
    """Return whether the host of a Host is an IP address. An IPv6 address has brackets."""
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        return (ipaddress.ip_address(host[1:-1] if bracketed else host).version == 6) == bracketed
    except ValueError:
        return False


def _is_wildcard(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
