"""The operators' port: metrics, health, and what the server is doing right now.

Whoever reaches it is trusted to read everything; so it is bound to loopback unless a setting says otherwise,
and nothing here changes the server.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Final

import h11
import trio

from sfu.shell.config.settings import Settings, blame
from sfu.shell.http.connection import HttpConnection, RequestRefused, path_of, protocol_error
from sfu.shell.http.public import HEAD_TIMEOUT, IDLE_TIMEOUT
from sfu.shell.http.responses import Response, as_json, text
from sfu.shell.logs import get_logger
from sfu.shell.ops.exposition import CONTENT_TYPE, exposition
from sfu.shell.ops.meter import LoopLag, Meter
from sfu.shell.ops.snapshot import Measured, MeasuredSocket, take_snapshot
from sfu.shell.ops.tasks import task_tree

MAX_CONNECTIONS: Final = 64
"""At a time; more are closed at once. Operators' programs are few."""

Resource = Callable[[], Awaitable[Response]]

log = get_logger(__name__)


class Admin:
    """Measures a server, and answers those who operate it."""

    def __init__(self, settings: Settings, server: Measured, socket: MeasuredSocket) -> None:
        self._settings = settings
        self._server = server
        self._socket = socket
        self._meter = Meter(server.conference)
        self._lag = LoopLag()
        self._connections = 0
        # Two writers at a time would only take turns at the interpreter's lock.
        self._writing = trio.CapacityLimiter(1)
        self._resources: Mapping[str, Resource] = {
            "/": self._index,
            "/metrics": self._metrics,
            "/healthz": self._health,
            "/debug/tasks": self._tasks,
        }

    async def serve(self, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; reports the port's URL when it is open. Raises `ConfigError`."""
        address = self._settings.admin_addr
        with blame("admin_addr", address):
            listeners = await trio.open_tcp_listeners(address.port, host=address.host)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._meter.run)
            nursery.start_soon(self._lag.run)
            nursery.start_soon(trio.serve_listeners, self._connection, listeners)
            task_status.started(_url(listeners))

    async def _connection(self, stream: trio.SocketStream) -> None:
        """Serve one connection: the boundary that no error passes."""
        self._connections += 1
        try:
            if self._connections <= MAX_CONNECTIONS:
                await self._requests(HttpConnection(stream))
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client is gone; nobody is missing an answer
        except* Exception:
            log.exception("operator's request failed")
        finally:
            self._connections -= 1
            await trio.aclose_forcefully(stream)

    async def _requests(self, exchange: HttpConnection) -> None:
        timeout = HEAD_TIMEOUT
        while True:
            request: h11.Request | None = None
            try:
                with trio.move_on_after(timeout):
                    request = await exchange.next_request()
                if request is None:
                    return
                await exchange.skip_body()
                response = await self._answer(request)
            except RequestRefused as refused:
                response = refused.response
            except h11.RemoteProtocolError as error:
                response = protocol_error(error, exchange)
            if not await exchange.respond(response):
                return
            timeout = IDLE_TIMEOUT

    async def _answer(self, request: h11.Request) -> Response:
        resource = self._resources.get(path_of(request))
        if resource is None:
            return text(HTTPStatus.NOT_FOUND, "There is nothing here.")
        if request.method not in (b"GET", b"HEAD"):
            return text(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET and HEAD.", ("Allow", "GET, HEAD"))
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
        snapshot = await take_snapshot(self._server, self._socket, self._meter, self._lag)
        # In a thread: writing it out takes longer than packets can wait, and the snapshot does not change.
        body = await trio.to_thread.run_sync(exposition, snapshot, limiter=self._writing)
        return Response(HTTPStatus.OK, (("Content-Type", CONTENT_TYPE), ("Cache-Control", "no-store")), body)


def _url(listeners: Sequence[trio.SocketListener]) -> str:
    host, port = listeners[0].socket.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
