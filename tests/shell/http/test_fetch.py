"""Fetching a document from a real server on loopback, and every way in which that fails."""

from pathlib import Path

import pytest
import trio
from support.issuer import Issuer, issuer, make_certificate, moved, ok
from support.waiting import becomes

from sfu.shell.config.urls import parse_http_url
from sfu.shell.http.connection import MAX_HEAD
from sfu.shell.http.fetch import MAX_REDIRECTS, FetchFailed, fetch

LIMIT = 1000


async def failure(url: str) -> tuple[str, str]:
    """Expect a failure; return its reason and its text."""
    with pytest.raises(FetchFailed) as caught:
        await fetch(parse_http_url(url), LIMIT)
    return caught.value.reason, str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        ok(b"keys"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nke\r\n2\r\nys\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nkeys",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + ok(b"keys"),
    ],
    ids=["length", "chunked", "until the end", "with hints before"],
)
async def test_a_document(answer: bytes) -> None:
    async with issuer() as server:
        server.answers["/path?query"] = answer
        assert await fetch(parse_http_url(f"{server.url}/path?query#part"), LIMIT) == b"keys"
        (request,) = server.requests
        head, *headers = request.splitlines()
        assert head == "GET /path?query HTTP/1.1"
        assert f"Host: {server.url.removeprefix('http://')}" in headers
        await becomes(lambda: server.connections, 0)


async def test_the_size_of_a_document_is_limited() -> None:
    async with issuer() as server:
        server.answers = {"/most": ok(b"x" * LIMIT), "/more": ok(b"x" * (LIMIT + 1))}
        assert len(await fetch(parse_http_url(f"{server.url}/most"), LIMIT)) == LIMIT
        assert (await failure(f"{server.url}/more"))[0] == "too-large"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "status"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "status"),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", "status"),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "status"),
        (b"", "http"),
        (b"SSH-2.0-OpenSSH\r\n", "http"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nkeys", "http"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * (MAX_HEAD + 1), "http"),
        (moved("/self"), "redirect"),
        (moved("file:///etc/passwd"), "redirect"),
        (moved("ftp://127.0.0.1/"), "redirect"),
        (moved("\xff"), "redirect"),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", "redirect"),
    ],
)
async def test_a_response_that_is_not_a_document(answer: bytes, reason: str) -> None:
    async with issuer() as server:
        server.answers["/self"] = answer
        assert (await failure(f"{server.url}/self"))[0] == reason
        await becomes(lambda: server.connections, 0)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect(status: int) -> None:
    async with issuer() as first, issuer() as second:
        first.answers = {"/a": moved("b", status), "/b": moved(f"{second.url}/c", status)}
        second.answers = {"/c": ok(b"keys")}
        assert await fetch(parse_http_url(f"{first.url}/a"), LIMIT) == b"keys"


async def test_the_number_of_redirects_is_limited() -> None:
    async with issuer() as server:
        server.answers["/round"] = moved("/round")
        assert (await failure(f"{server.url}/round"))[0] == "redirect"
        assert len(server.requests) == MAX_REDIRECTS + 1


async def test_connection_refused() -> None:
    async with issuer() as server:
        url = server.url
    assert (await failure(url))[0] == "connect"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1."""
    return make_certificate(tmp_path_factory.mktemp("tls"), "127.0.0.1")


async def test_https(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    async with issuer(certificate) as server:
        server.answers = {"/keys": ok(b"keys"), "/moved": moved("/keys")}
        reason, text = await failure(f"{server.url}/keys")
        assert (reason, "self-signed certificate" in text) == ("tls", True)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        assert await fetch(parse_http_url(f"{server.url}/moved"), LIMIT) == b"keys"


async def test_https_is_never_redirected_to_http(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    async with issuer(certificate) as secure, issuer() as plain:
        plain.answers = {"/keys": ok(b"forged"), "/up": moved(f"{secure.url}/keys")}
        secure.answers = {"/down": moved(f"{plain.url}/keys"), "/keys": ok(b"keys")}
        reason, text = await failure(f"{secure.url}/down")
        assert (reason, text) == ("redirect", f"redirected from https to {plain.url}/keys")
        assert await fetch(parse_http_url(f"{plain.url}/up"), LIMIT) == b"keys"


async def test_a_certificate_for_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = make_certificate(tmp_path, "192.0.2.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(other[0]))
    async with issuer(other) as server:
        reason, text = await failure(f"{server.url}/keys")
        assert (reason, "mismatch" in text) == ("tls", True)


async def test_a_server_without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    async def complain(_self: Issuer, stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await stream.aclose()

    monkeypatch.setattr(Issuer, "serve", complain)
    async with issuer() as plain:
        assert (await failure(plain.url.replace("http", "https", 1)))[0] == "tls"


HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 O", HALF, HALF + b"half"])
async def test_a_fetch_can_be_cancelled_at_any_point(sent: bytes) -> None:
    async with issuer() as server, trio.open_nursery() as nursery:
        server.answers["/"], server.holds = sent, True
        nursery.start_soon(fetch, parse_http_url(server.url), LIMIT)
        await server.held.wait()
        nursery.cancel_scope.cancel("enough")
        await becomes(lambda: server.connections, 0)


async def test_a_fetch_can_be_cancelled_in_the_tls_handshake() -> None:
    async with issuer() as silent, trio.open_nursery() as nursery:
        nursery.start_soon(fetch, parse_http_url(silent.url.replace("http", "https", 1)), LIMIT)
        await becomes(lambda: silent.connections, 1)
        nursery.cancel_scope.cancel("enough")
        await becomes(lambda: silent.connections, 0)


async def test_a_connection_that_is_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    async def break_off(_self: Issuer, stream: trio.SocketStream) -> None:
        await stream.receive_some()
        stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await trio.aclose_forcefully(stream)

    monkeypatch.setattr(Issuer, "serve", break_off)
    async with issuer() as server:
        assert (await failure(server.url))[0] == "broken"
