"""HTTP/1.1 on one connection: reading requests and writing responses, with h11 doing the protocol.

Requests are read one after the other, within limits. What is answered is decided elsewhere: by the function
that `serve_requests` is given.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from email.utils import formatdate
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote, urlsplit

import h11
import trio

from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS, Timeouts
from sfu.shell.http.responses import COMMON_HEADERS, Headers, Response, text

MAX_HEAD: Final = 16 * 1024
"""Bytes of a request line or status line together with the headers."""
MAX_TARGET: Final = 4096
"""Bytes of a request target."""
MAX_BODY: Final = 16 * 1024
"""Bytes of a request's body. It is read and dropped."""
RECEIVE_SIZE: Final = 16 * 1024
"""Bytes that are received at once."""

HttpStream = trio.SocketStream | trio.SSLStream[trio.SocketStream]


class RequestRefused(Exception):
    """The request is answered with `response`, and the connection is closed."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status.phrase)
        self.response = response


class HttpConnection:
    """One connection: bytes received become requests, responses become bytes sent."""

    def __init__(
        self, stream: HttpStream, timeouts: Timeouts = DEFAULT_TIMEOUTS, headers: Headers = ()
    ) -> None:
        """Every response has `headers` in addition to the common ones."""
        self.stream = stream
        self.timeouts = timeouts
        self._headers = (*COMMON_HEADERS, *headers)
        self._machine = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self._is_head = False
        """Whether the last request was HEAD, which is answered without a body."""

    def unparsed(self) -> bytes:
        """Return the bytes that were received after the last request."""
        return self._machine.trailing_data[0]

    async def next_request(self) -> h11.Request | None:
        """Return the head of the next request; `None` when the client has closed the connection.

        Raises:
            RequestRefused: the request has both Content-Length and Transfer-Encoding. A proxy that follows the
                other one would see a different next request: request smuggling (RFC 9112 section 6.1).
            h11.RemoteProtocolError: this is not HTTP/1.1.
        """
        event = await self._next_event()
        if not isinstance(event, h11.Request):
            return None
        if {b"content-length", b"transfer-encoding"} <= {name for name, _ in event.headers}:
            message = "Content-Length and Transfer-Encoding must not be sent together."
            raise RequestRefused(text(HTTPStatus.BAD_REQUEST, message))
        return event

    async def skip_body(self) -> None:
        """Read the request's body and drop it.

        Raises:
            RequestRefused: the body is too long, too slow, or announced by ``Expect: 100-continue``.
            h11.RemoteProtocolError: this is not HTTP/1.1.
        """
        if self._machine.they_are_waiting_for_100_continue:
            raise RequestRefused(text(HTTPStatus.EXPECTATION_FAILED, "No request here has a body."))
        with trio.move_on_after(self.timeouts.http_body):
            await self._read_body()
            return
        raise RequestRefused(text(HTTPStatus.REQUEST_TIMEOUT, "The body did not arrive in time."))

    async def _read_body(self) -> None:
        size = 0
        while isinstance(event := await self._next_event(), h11.Data):
            size += len(event.data)
            if size > MAX_BODY:
                raise RequestRefused(text(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too long."))

    async def respond(self, response: Response) -> bool:
        """Send a response; return whether another request may follow."""
        machine = self._machine
        finished = machine.their_state not in (h11.SEND_BODY, h11.ERROR)
        fields = [("Date", formatdate(usegmt=True)), *self._headers, *response.headers]
        if response.status is not HTTPStatus.NOT_MODIFIED:
            fields.append(("Content-Length", str(len(response.body))))
        if not finished:
            fields.append(("Connection", "close"))
        head = h11.Response(
            status_code=response.status, headers=fields, reason=response.status.phrase.encode("ascii")
        )
        data = machine.send(head) or b""
        if response.body and not self._is_head:
            data += machine.send(h11.Data(data=response.body)) or b""
        data += machine.send(h11.EndOfMessage()) or b""
        with trio.move_on_after(self.timeouts.http_send) as scope:
            await self.stream.send_all(data)
        if scope.cancelled_caught:
            return False
        if machine.our_state is h11.DONE and machine.their_state is h11.DONE:
            machine.start_next_cycle()
            self._is_head = False
            return True
        if not finished:
            await self._linger()
        return False

    def explain(self, error: h11.RemoteProtocolError) -> Response:
        """Return the response to bytes that h11 could not accept."""
        status = HTTPStatus(error.error_status_hint)
        if status is not HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
            return text(status, "The request is not valid HTTP/1.1.")
        if b"\n" not in self.unparsed():  # the request line itself does not end
            return text(HTTPStatus.REQUEST_URI_TOO_LONG, "The URL is too long.")
        return text(status, "The headers are too long.")

    async def _next_event(self) -> object:
        while True:
            event = self._machine.next_event()
            if event is not h11.NEED_DATA:
                if isinstance(event, h11.Request):
                    self._is_head = event.method == b"HEAD"
                return event
            self._machine.receive_data(bytes(await self.stream.receive_some(RECEIVE_SIZE)))

    async def _linger(self) -> None:
        """Let the client read the response although it is still sending (RFC 9112 section 9.6)."""
        if isinstance(self.stream, trio.SocketStream):
            with trio.move_on_after(self.timeouts.http_linger):
                await self.stream.send_eof()
                while await self.stream.receive_some(RECEIVE_SIZE):
                    pass


RequestHandler = Callable[[h11.Request, str], Awaitable[Response | None]]
"""Returns the response to a request for a decoded URL path. `None` means that the connection changes its
protocol. May raise `RequestRefused`."""


async def serve_requests(
    connection: HttpConnection,
    handle: RequestHandler,
    *,
    wait: Callable[[float], AbstractContextManager[object]] = trio.move_on_after,
    count: Callable[[HTTPStatus], None] | None = None,
) -> h11.Request | None:
    """Answer the requests of one connection until either side wants to close it.

    `wait` limits the time in its block, which waits for a request, to that many seconds. `count` is called with
    the status of each response.

    Returns:
        The request for which `handle` returned `None`, if there was one.
    """
    timeout = connection.timeouts.http_head
    while True:
        request: h11.Request | None = None
        try:
            with wait(timeout):
                request = await connection.next_request()
            if request is None:
                return None
            path = path_of(request)
            await connection.skip_body()
            response = await handle(request, path)
            if response is None:
                return request
        except RequestRefused as refused:
            response = refused.response
        except h11.RemoteProtocolError as error:
            response = connection.explain(error)
        if count is not None:
            count(response.status)
        if not await connection.respond(response):
            return None
        timeout = connection.timeouts.http_idle


def path_of(request: h11.Request) -> str:
    """Return the decoded path of a request target in origin or absolute form (RFC 9112 section 3.2).

    Raises:
        RequestRefused: the target is too long, or has another form.
    """
    if request.http_version not in (b"1.0", b"1.1"):
        raise RequestRefused(text(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "Only HTTP/1.1 is supported."))
    if len(request.target) > MAX_TARGET:
        raise RequestRefused(text(HTTPStatus.REQUEST_URI_TOO_LONG, "The URL is too long."))
    try:
        target = urlsplit(request.target.decode("ascii"))
    except ValueError:
        raise RequestRefused(text(HTTPStatus.BAD_REQUEST, "The URL is malformed.")) from None
    path = unquote(target.path)
    if not path.startswith("/"):
        raise RequestRefused(text(HTTPStatus.BAD_REQUEST, "The URL's path must begin with a slash."))
    return path
