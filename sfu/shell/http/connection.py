"""HTTP/1.1 on one connection: h11 between a stream and the requests and responses of `sfu.shell.http.public`.

Nothing here decides what is answered; it reads one request after the other within limits, and writes.
"""

from email.utils import formatdate
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote, urlsplit

import h11
import trio

from sfu.shell.http.responses import COMMON_HEADERS, Response, text

BODY_TIMEOUT: Final = 10.0
"""Seconds for a request's body, which no resource here has a use for."""
SEND_TIMEOUT: Final = 60.0
"""Seconds that a client may take to receive a response."""
LINGER_TIMEOUT: Final = 1.0
"""Seconds that we go on reading after a refusal, since closing on unread data would destroy the answer."""
MAX_HEAD: Final = 16 * 1024
"""Bytes of a request's line and headers together."""
MAX_TARGET: Final = 4096
"""Bytes of a request target."""
MAX_BODY: Final = 16 * 1024
"""Bytes of a request's body, which are read and thrown away."""
RECEIVE_SIZE: Final = 16 * 1024

HttpStream = trio.SocketStream | trio.SSLStream[trio.SocketStream]


class RequestRefused(Exception):
    """A request that is refused with a response and the end of the connection."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status.phrase)
        self.response = response


class HttpConnection:
    """h11 on a stream: what is read becomes events, responses become bytes."""

    def __init__(self, stream: HttpStream) -> None:
        self.stream = stream
        self._machine = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self._is_head = False

    def remote_host(self) -> str:
        """Return the client's IP address; an empty string if it has gone meanwhile."""
        stream = self.stream
        plain = stream.transport_stream if isinstance(stream, trio.SSLStream) else stream
        try:
            return str(plain.socket.getpeername()[0])
        except OSError:
            return ""

    def unparsed(self) -> bytes:
        """Return what was received behind the last request."""
        return self._machine.trailing_data[0]

    def is_line_incomplete(self) -> bool:
        """Whether not even the request line has ended."""
        return b"\n" not in self._machine.trailing_data[0]

    async def next_request(self) -> h11.Request | None:
        """Return the next request's head; `None` when the client has closed.

        Raises `RequestRefused` for one whose body has two lengths: where a proxy believes the other one, what
        is read behind it is not what its sender meant (RFC 9112 section 6.1).
        """
        event = await self._next_event()
        if not isinstance(event, h11.Request):
            return None
        if {b"content-length", b"transfer-encoding"} <= {name for name, _ in event.headers}:
            raise RequestRefused(text(HTTPStatus.BAD_REQUEST, "The body has two lengths."))
        return event

    async def skip_body(self) -> None:
        """Read the request's body and drop it.

        Raises `RequestRefused` for a body that is too long, too slow, or announced by ``Expect: 100-continue``.
        """
        if self._machine.they_are_waiting_for_100_continue:
            raise RequestRefused(text(HTTPStatus.EXPECTATION_FAILED, "No body is wanted."))
        with trio.move_on_after(BODY_TIMEOUT):
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
        fields = [("Date", formatdate(usegmt=True)), *COMMON_HEADERS, *response.headers]
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
        with trio.move_on_after(SEND_TIMEOUT) as scope:
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

    async def _next_event(self) -> object:
        while True:
            event = self._machine.next_event()
            if event is not h11.NEED_DATA:
                if isinstance(event, h11.Request):
                    self._is_head = event.method == b"HEAD"  # answered without the body
                return event
            self._machine.receive_data(bytes(await self.stream.receive_some(RECEIVE_SIZE)))

    async def _linger(self) -> None:
        """Let the client read the answer although it is still sending (RFC 9112 section 9.6)."""
        if isinstance(self.stream, trio.SocketStream):
            with trio.move_on_after(LINGER_TIMEOUT):
                await self.stream.send_eof()
                while await self.stream.receive_some(RECEIVE_SIZE):
                    pass


def path_of(request: h11.Request) -> str:
    """Return the decoded path of a request target in origin or absolute form (RFC 9112 section 3.2)."""
    if request.http_version not in (b"1.0", b"1.1"):
        raise RequestRefused(text(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "Only HTTP/1.1 here."))
    if len(request.target) > MAX_TARGET:
        raise RequestRefused(text(HTTPStatus.REQUEST_URI_TOO_LONG, "The address is too long."))
    try:
        target = urlsplit(request.target.decode("ascii"))
    except ValueError:
        raise RequestRefused(text(HTTPStatus.BAD_REQUEST, "The address is malformed.")) from None
    path = unquote(target.path)
    if not path.startswith("/"):
        raise RequestRefused(text(HTTPStatus.BAD_REQUEST, "The address must begin with a slash."))
    return path


def protocol_error(error: h11.RemoteProtocolError, exchange: HttpConnection) -> Response:
    """Return the answer to what h11 could not accept."""
    status = HTTPStatus(error.error_status_hint)
    if status is HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE and exchange.is_line_incomplete():
        return text(HTTPStatus.REQUEST_URI_TOO_LONG, "The address is too long.")
    if status is HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
        return text(status, "The headers are too long.")
    return text(status, "This is not HTTP/1.1 as it should be.")
