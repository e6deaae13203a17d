"""The public TCP port: the page, health checks, and WebSockets.

Strangers reach this port, so each wait has a deadline and each number a limit:

* A connection without a complete request is *waiting*. Waiting ends after `HEAD_TIMEOUT` (the first
  request) or `IDLE_TIMEOUT` (the next one), and when more than `MAX_WAITING` wait, the oldest gives way:
  a thousand half-open connections cost a stranger nothing, but they do not keep a newcomer out either.
* Of all connections together there are no more than the setting `max_connections`.
* A request's head, body and target are limited; what is too long or not HTTP gets its status code.

A failure ends its connection only: network errors are counted, anything else is logged with its traceback.
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

from sfu.shell.config.settings import ConfigError, Settings, blame
from sfu.shell.http.connection import HttpConnection, HttpStream, RequestRefused, path_of, protocol_error
from sfu.shell.http.responses import Response, as_json, text
from sfu.shell.http.static import StaticSite
from sfu.shell.http.websocket import (
    ReplayStream,
    RequestInfo,
    WebSocketHandler,
    header,
    opening,
    refusal,
    run_websocket,
)
from sfu.shell.logs import get_logger

log = get_logger(__name__)

HEAD_TIMEOUT: Final = 10.0
"""Seconds from accepting a connection (TLS handshake included) to its first complete request."""
IDLE_TIMEOUT: Final = 30.0
"""Seconds that a kept-alive connection may wait for its next request."""

MAX_WAITING: Final = 512
"""Connections without a complete request."""

_NETWORK_ERRORS: Final = (trio.BrokenResourceError, trio.ClosedResourceError, ConnectionClosed, ssl.SSLError)

Listener = trio.SocketListener | trio.SSLListener[trio.SocketStream]


class Readiness(NamedTuple):
    """What ``/readyz`` says."""

    ready: bool
    """Whether new clients should be sent here."""
    status: str
    """A word, such as ``ok``, ``degraded`` or ``draining``."""


@dataclass(frozen=True, slots=True)
class HttpStatistics:
    """What the public TCP port has done since the start."""

    connections: int
    """Open now, WebSockets included."""
    waiting: int
    """Open now without a complete request."""
    websockets: int
    """Open now as WebSockets."""
    responses: Mapping[int, int]
    """Responses by status code; 101 counts the WebSockets."""
    drops: Mapping[str, int]
    """Connections that ended without a response, by reason: ``connections-full``, ``waiting-full``,
    ``timeout``, ``broken`` (the network's fault), ``error`` (ours, see the log)."""


async def open_listeners(settings: Settings) -> Sequence[Listener]:
    """Bind the public TCP port, with TLS if the settings say so. Raises `ConfigError`."""
    context = None
    if settings.tls_cert is not None and settings.tls_key is not None:
        context = _tls_context(settings.tls_cert, settings.tls_key)
    with blame("http_addr", settings.http_addr):
        listeners = await trio.open_tcp_listeners(settings.http_addr.port, host=settings.http_addr.host)
    if context is None:
        return listeners
    # The handshake happens at the first read, and so under the deadline of the first request.
    return [trio.SSLListener(listener, context, https_compatible=True) for listener in listeners]


def _tls_context(cert: Path, key: Path) -> ssl.SSLContext:
    """Read a certificate chain and its key. Raises `ConfigError`."""

    def refuse() -> str:
        # OpenSSL would ask for it on the terminal, and the start would wait for somebody who is not there.
        raise ConfigError(f"SFU_TLS_KEY={key}: allowed is a key without a passphrase")

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(cert, key, refuse)
    except OSError as error:
        allowed = "allowed is a chain of certificates and its key, both PEM"
        # Which of the two it is, the error does not say.
        raise ConfigError(f"SFU_TLS_CERT={cert}, SFU_TLS_KEY={key}: {error.strerror}; {allowed}") from error
    return context


def public_url(settings: Settings, listeners: Sequence[Listener]) -> str:
    """Return the address to open in a browser on this machine."""
    listener: object = listeners[0]
    if isinstance(listener, trio.SSLListener):
        listener = listener.transport_listener
    assert isinstance(listener, trio.SocketListener)
    host, port = listener.socket.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "localhost"  # browsers give camera and microphone to https and to localhost only
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
    ) -> None:
        """`static_root` is the folder of the built page; `ready` is asked at each ``/readyz``."""
        self._settings = settings
        self._site = StaticSite(static_root)
        self._handler = websocket_handler
        self._ready = ready
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
        """Accept connections until cancelled; close the listeners then.

        Connections live in `handler_nursery`, if there is one: then cancelling this function ends the
        accepting alone.
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
        """Serve one connection: the boundary that no error passes."""
        if self._connections >= self._settings.max_connections:
            self._drops["connections-full"] += 1
            await trio.aclose_forcefully(stream)
            return
        self._connections += 1
        try:
            # What the requests took (h11's state, their headers) is let go before the WebSocket, which is long.
            upgrade = await self._requests(HttpConnection(stream))
            if upgrade is not None:
                await self._websocket(*upgrade)
        except* _NETWORK_ERRORS:
            self._drops["broken"] += 1
        except* Exception:
            self._drops["error"] += 1
            log.exception("HTTP connection failed")
        finally:
            self._connections -= 1
            # Without a TLS goodbye: it would have to be waited for, and HTTP marks its own ends.
            await trio.aclose_forcefully(stream)

    async def _requests(self, exchange: HttpConnection) -> tuple[ReplayStream, RequestInfo] | None:
        """Answer one request after the other, until one of the sides wants to close or a WebSocket."""
        timeout = HEAD_TIMEOUT
        while True:
            request: h11.Request | None = None
            try:
                with self._wait(timeout) as scope:
                    request = await exchange.next_request()
                if scope.cancelled_caught or request is None:
                    return None
                path = path_of(request)
                await exchange.skip_body()
                if path != "/ws":
                    response = self._answer(request, path)
                elif refused := refusal(request, self._settings.allowed_origins):
                    response = refused
                else:
                    return _upgrade(exchange, request)
            except RequestRefused as refused_request:
                response = refused_request.response
            except h11.RemoteProtocolError as error:
                response = protocol_error(error, exchange)
            self._responses[response.status] += 1
            if not await exchange.respond(response):
                return None
            timeout = IDLE_TIMEOUT

    @contextmanager
    def _wait(self, timeout: float) -> Iterator[trio.CancelScope]:
        """Bound the wait for a request, and let the longest wait give way to the newest."""
        if len(self._waiting) >= MAX_WAITING:
            self._drops["waiting-full"] += 1
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            oldest.cancel("a newer connection takes the place")
        with trio.move_on_after(timeout) as scope:
            self._waiting[scope] = None
            try:
                yield scope
            finally:
                gave_way = scope not in self._waiting
                self._waiting.pop(scope, None)
        if scope.cancelled_caught and not gave_way:
            self._drops["timeout"] += 1

    def _answer(self, request: h11.Request, path: str) -> Response:
        if request.method not in (b"GET", b"HEAD"):
            return text(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET and HEAD.", ("Allow", "GET, HEAD"))
        if path == "/healthz":
            return as_json(HTTPStatus.OK, {"status": "ok"})
        if path == "/readyz":
            readiness = self._ready()
            status = HTTPStatus.OK if readiness.ready else HTTPStatus.SERVICE_UNAVAILABLE
            return as_json(status, {"status": readiness.status})
        return self._site.get(path, header(request, b"if-none-match"))

    async def _websocket(self, stream: ReplayStream, info: RequestInfo) -> None:
        self._responses[HTTPStatus.SWITCHING_PROTOCOLS] += 1
        self._websockets += 1

        def talk(connection: WebSocketConnection) -> Awaitable[None]:
            return self._handler(connection, info)

        try:
            await run_websocket(stream, self._settings.max_message_bytes, talk)
        finally:
            self._websockets -= 1


def _upgrade(exchange: HttpConnection, request: h11.Request) -> tuple[ReplayStream, RequestInfo]:
    """Return what a WebSocket needs of the request that asked for it."""
    info = RequestInfo(
        target=request.target.decode("latin-1"),
        origin=header(request, b"origin"),
        user_agent=header(request, b"user-agent") or "",
        remote=exchange.remote_host(),
    )
    return ReplayStream(exchange.stream, opening(request), exchange.unparsed()), info
