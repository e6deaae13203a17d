"""The admin port: metrics, health, and the tree of running tasks.

Clients of this port can read everything here and change nothing. The port is bound to loopback by default;
beyond that it requires a token (`sfu.shell.ops.access`).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Final

import h11
import trio

from sfu.shell.config.settings import Settings, as_config_error
from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS, Timeouts
from sfu.shell.http.connection import HttpConnection, serve_requests
from sfu.shell.http.responses import Response, as_json, text
from sfu.shell.logs import get_logger
from sfu.shell.ops.access import Access
from sfu.shell.ops.exposition import CONTENT_TYPE, exposition
from sfu.shell.ops.meter import LoopLag, RateMeter
from sfu.shell.ops.snapshot import MeasuredSocket, take_snapshot
from sfu.shell.ops.tasks import task_tree
from sfu.shell.server import Server

MAX_CONNECTIONS: Final = 64
"""Connections at a time; more are closed at once. Operators use few programs."""

Resource = Callable[[], Awaitable[Response]]

log = get_logger(__name__)


class Admin:
    """Measures a server and serves the admin port."""

    def __init__(
        self,
        settings: Settings,
        server: Server,
        socket: MeasuredSocket,
        *,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        """Up to `max_connections` connections are served at a time."""
        self._settings = settings
        self._server = server
        self._socket = socket
        self._timeouts = timeouts
        self._max_connections = max_connections
        self._meter = RateMeter(server.conference, timeouts.meter_interval)
        self._lag = LoopLag(timeouts.lag_interval)
        self._connections = 0
        self._access = Access(settings.admin_addr, settings.admin_token)
        # Two threads that write would only wait for each other, for the interpreter's lock.
        self._writing = trio.CapacityLimiter(1)
        self._resources: Mapping[str, Resource] = {
            "/": self._index,
            "/metrics": self._metrics,
            "/healthz": self._health,
            "/debug/tasks": self._tasks,
        }

    async def serve(self, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; report the port's URL when it is open. Raises `ConfigError`."""
        address = self._settings.admin_addr
        with as_config_error("admin_addr", address):
            listeners = await trio.open_tcp_listeners(address.port, host=address.host)
        self._access.ports = frozenset(listener.socket.getsockname()[1] for listener in listeners)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._meter.run)
            nursery.start_soon(self._lag.run)
            nursery.start_soon(trio.serve_listeners, self._connection, listeners)
            task_status.started(_url(listeners))

    async def _connection(self, stream: trio.SocketStream) -> None:
        """Serve one connection. No exception but `trio.Cancelled` leaves this method."""
        self._connections += 1
        try:
            if self._connections <= self._max_connections:
                await serve_requests(HttpConnection(stream, self._timeouts), self._answer)
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client has gone and does not need the answer
        except* Exception:
            log.exception("admin request failed")
        finally:
            self._connections -= 1
            await trio.aclose_forcefully(stream)

    async def _answer(self, request: h11.Request, path: str) -> Response:
        refusal = self._access.refusal(request, path)
        if refusal is not None:
            return refusal
        resource = self._resources.get(path)
        if resource is None:
            return text(HTTPStatus.NOT_FOUND, "There is nothing here.")
        if request.method not in (b"GET", b"HEAD"):
            return text(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET and HEAD are allowed.", ("Allow", "GET, HEAD"))
        return await resource()

    async def _index(self) -> Response:
        await trio.lowlevel.checkpoint()
        return text(HTTPStatus.OK, "\n".join(self._resources))

    async def _health(self) -> Response:
        await trio.lowlevel.checkpoint()
        return as_json(HTTPStatus.OK, {"status": "ok"})

    async def _tasks(self) -> Response:
        await trio.lowlevel.checkpoint()
        return text(HTTPStatus.OK, task_tree().rstrip("\n"))

    async def _metrics(self) -> Response:
        snapshot = await take_snapshot(
            self._server, self._socket, self._meter, self._lag, self._access.refusals
        )
        # In a thread: writing the text would delay packets. The snapshot does not change meanwhile.
        body = await trio.to_thread.run_sync(exposition, snapshot, limiter=self._writing)
        return Response(HTTPStatus.OK, (("Content-Type", CONTENT_TYPE), ("Cache-Control", "no-store")), body)


def _url(listeners: Sequence[trio.SocketListener]) -> str:
    host, port = listeners[0].socket.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
