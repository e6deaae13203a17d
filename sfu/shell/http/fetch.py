"""Fetching one small document by HTTP. This is the only request that the server makes itself.

It is one GET over one connection, with h11 for HTTP and Trio for the rest. So it can be cancelled at any point
and leaves nothing behind. The caller limits the time; here are the limits on size and redirects.
docs/decisions/fetching-keys.md says why no HTTP client library is used.
"""

import ssl
from typing import Final

import h11
import trio

from sfu.shell.config.urls import HttpUrl, resolve
from sfu.shell.http.connection import MAX_HEAD, RECEIVE_SIZE

MAX_REDIRECTS: Final = 3

REDIRECTS: Final = (301, 302, 303, 307, 308)
"""Status codes that redirect a GET (RFC 9110 section 15.4)."""


class FetchFailed(Exception):
    """The document could not be fetched.

    `reason` is a constant that labels a counter: ``connect``, ``tls``, ``broken``, ``http``, ``status``,
    ``redirect``, ``too-large``. The text is for people who read the log.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


async def fetch(url: HttpUrl, limit: int) -> bytes:
    """Return the document at `url`, of at most `limit` bytes.

    Up to `MAX_REDIRECTS` redirects are followed, to http and https only, and never from https to http. TLS
    trusts the authorities that OpenSSL trusts on this host (``SSL_CERT_FILE`` names others). Proxies are not
    used.

    Raises:
        FetchFailed: the network failed, or the response is not the document.
    """
    for _ in range(MAX_REDIRECTS + 1):
        answer = await _get(url, limit)
        if isinstance(answer, bytes):
            return answer
        url = answer
    raise FetchFailed("redirect", f"more than {MAX_REDIRECTS} redirects")


async def _get(url: HttpUrl, limit: int) -> bytes | HttpUrl:
    """Return the document, or the URL that the server redirects to."""
    try:
        connection = await trio.open_tcp_stream(url.host, url.port)
    except OSError as error:
        raise FetchFailed("connect", str(error)) from error
    stream: trio.abc.Stream = connection
    try:
        if url.scheme == "https":
            # In a thread: reading the certificates of all authorities would delay packets.
            context = await trio.to_thread.run_sync(ssl.create_default_context, abandon_on_cancel=True)
            stream = trio.SSLStream(connection, context, server_hostname=url.host, https_compatible=True)
        return await _request(stream, url, limit)
    except trio.BrokenResourceError as error:
        if isinstance(error.__cause__, ssl.SSLError):
            raise FetchFailed("tls", str(error.__cause__)) from error
        raise FetchFailed("broken", "the connection broke") from error
    except h11.RemoteProtocolError as error:
        raise FetchFailed("http", str(error)) from error
    finally:
        # Without TLS's close_notify: the answer is here, or no longer needed.
        await trio.aclose_forcefully(stream)


async def _request(stream: trio.abc.Stream, url: HttpUrl, limit: int) -> bytes | HttpUrl:
    machine = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
    headers = [
        ("Host", url.authority),
        ("User-Agent", "trio-sfu"),
        ("Accept", "application/jwk-set+json, application/json"),
        ("Accept-Encoding", "identity"),
        ("Connection", "close"),
    ]
    request = h11.Request(method="GET", target=url.target, headers=headers)
    await stream.send_all((machine.send(request) or b"") + (machine.send(h11.EndOfMessage()) or b""))
    body = bytearray()
    while True:
        event = machine.next_event()
        if event is h11.NEED_DATA:
            machine.receive_data(bytes(await stream.receive_some(RECEIVE_SIZE)))
        elif isinstance(event, h11.Response):
            if event.status_code in REDIRECTS:
                return _redirected(url, event)
            if event.status_code != 200:
                raise FetchFailed("status", f"the server answered with status {event.status_code}")
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > limit:
                raise FetchFailed("too-large", f"more than {limit} bytes")
        elif isinstance(event, h11.EndOfMessage):
            return bytes(body)


def _redirected(url: HttpUrl, response: h11.Response) -> HttpUrl:
    location = next((value for name, value in response.headers if name == b"location"), b"")
    try:
        target = resolve(url, location.decode("ascii"))
    except ValueError as error:
        raise FetchFailed("redirect", f"redirected to {location[:200]!r}: {error}") from error
    if (url.scheme, target.scheme) == ("https", "http"):
        raise FetchFailed("redirect", f"redirected from https to {target}")
    return target
