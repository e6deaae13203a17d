"""The public TCP port: the page, health checks, and WebSockets.

Anyone can reach this port, so each wait has a deadline and each number has a limit:

* A connection without a complete request is *waiting*. It is dropped after `Timeouts.http_head` (the first
  request) or `Timeouts.http_idle` (a later one). When more than `MAX_WAITING` wait, the oldest is dropped:
  half-open connections cost an attacker little, but they cannot keep new clients out.
* There are at most as many connections as the setting `max_connections` says.
* A request's head, body and target have limits. A request beyond them, or that is not HTTP, gets a status code.

A failure ends its own connection only. Network errors are counted; other errors are logged with their
traceback.
"""

import functools
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final, NamedTuple

import h11
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from sfu.shell.config.settings import Settings, as_config_error
from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS, Timeouts
from sfu.shell.http.connection import HttpConnection, HttpStream, serve_requests
from sfu.shell.http.fragments import MAX_FRAGMENTS
from sfu.shell.http.handshake import header, opening, refusal
from sfu.shell.http.responses import Response, as_json, strict_transport_security, text
from sfu.shell.http.static import StaticSite
from sfu.shell.http.tls import TlsCertificate, TlsListener
from sfu.shell.http.websocket import ReplayStream, run_websocket
from sfu.shell.logs import get_logger

log = get_logger(__name__)

MAX_WAITING: Final = 512
"""Connections without a complete request."""

_NETWORK_ERRORS: Final = (trio.BrokenResourceError, trio.ClosedResourceError, ConnectionClosed, ssl.SSLError)

WebSocketHandler = Callable[[WebSocketConnection], Awaitable[None]]
"""Serves one client. The WebSocket is closed when it returns."""

Listener = trio.SocketListener | TlsListener


class Readiness(NamedTuple):
    """What ``/readyz`` answers."""

    ready: bool
    """Whether a load balancer should send new clients to this server."""
    status: str
    """One word: ``ok``, ``degraded`` or ``draining``."""


@dataclass(frozen=True, slots=True)
class HttpStatistics:
    """Counters of the public TCP port."""

    connections: int
    """Open now, WebSockets included."""
    waiting: int
    """Open now without a complete request."""
    websockets: int
    """Open now as WebSockets."""
    responses: Mapping[int, int]
    """Responses since the start, by status code. 101 counts the WebSockets."""
    drops: Mapping[str, int]
    """Connections that ended without a response, by reason: ``connections-full``, ``waiting-full``,
    ``timeout``, ``broken`` (a network error), ``error`` (a fault of this server, see the log)."""


async def open_listeners(settings: Settings, certificate: TlsCertificate | None = None) -> Sequence[Listener]:
    """Bind the public TCP port, with TLS if there is a certificate. Raises `ConfigError`."""
    with as_config_error("http_addr", settings.http_addr):
        listeners = await trio.open_tcp_listeners(settings.http_addr.port, host=settings.http_addr.host)
    if certificate is None:
        return listeners
    # The handshake happens at the first read, so the deadline of the first request limits it too.
    return [TlsListener(listener, certificate) for listener in listeners]


def public_url(settings: Settings, listeners: Sequence[Listener]) -> str:
    """Return the address to open in a browser on this machine."""
    listener: object = listeners[0]
    if isinstance(listener, TlsListener):
        listener = listener.transport_listener
    assert isinstance(listener, trio.SocketListener)
    host, port = listener.socket.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "localhost"  # browsers allow camera and microphone on https and on localhost only
    scheme = "http" if settings.tls_cert is None else "https"
    return f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"


class HttpServer:
    """Answers the requests of all connections and hands WebSockets to `websocket_handler`."""

    def __init__(
        self,
        settings: Settings,
        static_root: Path,
        websocket_handler: WebSocketHandler,
        ready: Callable[[], Readiness],
        *,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        max_waiting: int = MAX_WAITING,
        max_fragments: int = MAX_FRAGMENTS,
    ) -> None:
        """`static_root` is the folder of the built page. `ready` is called for each ``/readyz``.

        Up to `max_waiting` connections may have sent no complete request, and a WebSocket message may have up
        to `max_fragments` fragments.
        """
        self._settings = settings
        # Only with TLS: a browser ignores it on plain HTTP (RFC 6797 section 8.1).
        self._headers = () if settings.tls_cert is None else strict_transport_security(settings.hsts_sec)
        self._site = StaticSite(static_root)
        self._websocket_handler = websocket_handler
        self._ready = ready
        self._timeouts = timeouts
        self._max_waiting = max_waiting
        self._max_fragments = max_fragments
        self._connections = 0
        self._websockets = 0
        self._waiting: dict[trio.CancelScope, None] = {}  # oldest first
        self._responses: Counter[int] = Counter()
        self._drops: Counter[str] = Counter()

    async def serve(
        self,
        listeners: Sequence[Listener],
        *,
        handler_nursery: trio.Nursery | None = None,
        task_status: trio.TaskStatus[Sequence[Listener]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Accept connections until cancelled; then close the listeners.

        Connections run in `handler_nursery` if there is one. Then cancelling this function ends only the
        accepting.
        """
        accept = functools.partial(
            trio.serve_listeners, self._connection, list(listeners), handler_nursery=handler_nursery
        )
        async with trio.open_nursery() as nursery:
            task_status.started(await nursery.start(accept))

    def statistics(self) -> HttpStatistics:
        """Return the counters as they are now."""
        return HttpStatistics(
            connections=self._connections,
            waiting=len(self._waiting),
            websockets=self._websockets,
            responses=dict(self._responses),
            drops=dict(self._drops),
        )

    async def _connection(self, stream: HttpStream) -> None:
        """Serve one connection. No exception but `trio.Cancelled` leaves this method."""
        if self._connections >= self._settings.max_connections:
            self._drops["connections-full"] += 1
            await trio.aclose_forcefully(stream)
            return
        self._connections += 1
        try:
            # `_requests` returns before the WebSocket begins, so that h11's state and the headers do not take
            # memory as long as it lasts.
            websocket_stream = await self._requests(HttpConnection(stream, self._timeouts, self._headers))
            if websocket_stream is not None:
                await self._websocket(websocket_stream)
        except* _NETWORK_ERRORS:
            self._drops["broken"] += 1
        except* Exception:
            self._drops["error"] += 1
            log.exception("HTTP connection failed")
        finally:
            self._connections -= 1
            # Without TLS's close_notify: sending it would have to be waited for, and HTTP marks its own ends.
            await trio.aclose_forcefully(stream)

    async def _requests(self, connection: HttpConnection) -> ReplayStream | None:
        """Answer requests; return the stream that begins with the request of a WebSocket, if one came."""
        request = await serve_requests(connection, self._answer, wait=self._wait, count=self._count)
        if request is None:
            return None
        limit = self._settings.max_message_bytes
        return ReplayStream(
            connection.stream, opening(request), connection.unparsed(), limit, self._max_fragments
        )

    @contextmanager
    def _wait(self, timeout: float) -> Iterator[None]:
        """Limit the wait for a request, and drop the connection that waits longest if too many wait."""
        if len(self._waiting) >= self._max_waiting:
            self._drops["waiting-full"] += 1
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            oldest.cancel("a newer connection takes its place")
        with trio.move_on_after(timeout) as scope:
            self._waiting[scope] = None
            try:
                yield
            finally:
                was_dropped = scope not in self._waiting
                self._waiting.pop(scope, None)
        if scope.cancelled_caught and not was_dropped:
            self._drops["timeout"] += 1

    def _count(self, status: HTTPStatus) -> None:
        self._responses[status] += 1

    async def _answer(self, request: h11.Request, path: str) -> Response | None:
        if path == "/ws":
            return refusal(request, self._settings.allowed_origins)
        if request.method not in (b"GET", b"HEAD"):
            return text(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET and HEAD are allowed.", ("Allow", "GET, HEAD"))
        if path == "/healthz":
            return as_json(HTTPStatus.OK, {"status": "ok"})
        if path == "/readyz":
            readiness = self._ready()
            status = HTTPStatus.OK if readiness.ready else HTTPStatus.SERVICE_UNAVAILABLE
            return as_json(status, {"status": readiness.status})
        return self._site.get(path, header(request, b"if-none-match"))

    async def _websocket(self, stream: ReplayStream) -> None:
        self._count(HTTPStatus.SWITCHING_PROTOCOLS)
        self._websockets += 1
        try:
            limit, close_timeout = self._settings.max_message_bytes, self._timeouts.websocket_close
            await run_websocket(stream, limit, self._websocket_handler, close_timeout, self._headers)
        finally:
            self._websockets -= 1
