"""The listeners of the public TCP port: TLS, wrong settings, and accepting."""

import functools
import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio
from cryptography.hazmat.primitives import serialization
from support.http_site import LOCAL, PATIENCE, UPGRADE, echo, http_site, open_client, parse_response, request

from sfu.shell.config.settings import ConfigError, Settings
from sfu.shell.config.timeouts import Timeouts
from sfu.shell.config.values import HostPort
from sfu.shell.http.public import (
    HttpServer,
    Listener,
    Readiness,
    open_listeners,
    public_url,
)
from sfu.shell.http.tls import certificate_from


async def test_tls(root: Path, certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    async with http_site(root, Settings(http_addr=LOCAL, tls_cert=cert, tls_key=key)) as site:
        assert site.url.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=str(cert))
        async with open_client(site.websocket_url, context) as websocket:
            await websocket.send_message("hello")
            assert await websocket.get_message() == "HELLO"
        secure = trio.SSLStream(
            await site.connect(), context, server_hostname="127.0.0.1", https_compatible=True
        )
        await secure.send_all(request("/healthz"))
        assert (await secure.receive_some()).startswith(b"HTTP/1.1 200 OK")
        await trio.aclose_forcefully(secure)
        refused = trio.SSLStream(
            await site.connect(), context, server_hostname="127.0.0.1", https_compatible=True
        )
        await refused.send_all(request("/ws?" + "x" * 5000))
        assert (await refused.receive_some()).startswith(b"HTTP/1.1 414 ")
        await trio.aclose_forcefully(refused)
        # Plain HTTP, and a connection that breaks in the handshake.
        plain = await site.connect()
        async with plain:
            await plain.send_all(request("/healthz"))
            with trio.fail_after(PATIENCE):
                assert b"HTTP" not in await plain.receive_some()
        assert "error" not in site.drops()


@pytest.mark.parametrize("seconds", [15_552_000, 0])
async def test_every_response_over_tls_makes_browsers_use_https(
    root: Path, certificate: tuple[Path, Path], seconds: int
) -> None:
    cert, key = certificate
    settings = Settings(http_addr=LOCAL, tls_cert=cert, tls_key=key, hsts_sec=seconds)
    context = ssl.create_default_context(cafile=str(cert))
    answers = [
        (200, request("/")),
        (200, request("/healthz")),
        (404, request("/nothing")),
        (405, request("/", method="POST")),
        (426, request("/ws")),
        (414, request("/" + "x" * 5000)),
        (400, b"no request\r\n\r\n"),
        (101, request("/ws", *UPGRADE, last=False)),
    ]
    async with http_site(root, settings) as site:
        for expected, sent in answers:
            stream = trio.SSLStream(
                await site.connect(), context, server_hostname="127.0.0.1", https_compatible=True
            )
            with trio.fail_after(PATIENCE):
                await stream.send_all(sent)
                head, _, _ = bytes(await stream.receive_some()).partition(b"\r\n\r\n")
            await trio.aclose_forcefully(stream)
            status, headers, _ = parse_response(head)
            assert (status, headers["strict-transport-security"]) == (expected, f"max-age={seconds}")


async def test_no_response_over_plain_http_makes_browsers_use_https(root: Path) -> None:
    async with http_site(root) as site:
        for sent in (request("/"), request("/nothing"), b"no request\r\n\r\n"):
            assert "strict-transport-security" not in parse_response(await site.ask(sent))[1]


async def test_tls_handshake_has_a_deadline(root: Path, certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    settings = Settings(http_addr=LOCAL, tls_cert=cert, tls_key=key)
    async with http_site(root, settings, timeouts=Timeouts(http_head=0.05)) as site:
        assert await site.ask(b"\x16\x03\x01") == b""
        assert site.drops() == {"timeout": 1}


async def test_errors_about_certificate_and_port_name_the_settings(
    root: Path, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    cert, key = certificate
    wrong, folder = tmp_path / "wrong.pem", tmp_path / "folder"
    wrong.write_text("no certificate")
    folder.mkdir()
    for first, second in ((wrong, key), (cert, cert), (cert, folder)):
        with pytest.raises(ConfigError) as error:
            certificate_from(Settings(http_addr=LOCAL, tls_cert=first, tls_key=second))
        assert str(error.value).startswith(f"SFU_TLS_CERT={first}, SFU_TLS_KEY={second}: ")
        assert str(error.value).endswith("; expected a certificate chain and its private key, both PEM")
    async with http_site(root) as site:
        with pytest.raises(ConfigError, match=r"^SFU_HTTP_ADDR=127\.0\.0\.1:\d+: Address already in use"):
            await open_listeners(Settings(http_addr=HostPort("127.0.0.1", site.port)))


def test_key_with_a_passphrase_is_refused_without_asking_for_it(
    certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    cert, key = certificate
    locked = tmp_path / "locked.pem"
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    locked.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(ConfigError, match=r"locked\.pem: expected a key without a passphrase$"):
        certificate_from(Settings(http_addr=LOCAL, tls_cert=cert, tls_key=locked))


async def test_url_of_a_wildcard_address_is_localhost() -> None:
    settings = Settings(http_addr=HostPort("0.0.0.0", 0))
    listeners = await open_listeners(settings)
    assert public_url(settings, listeners).startswith("http://localhost:")
    for listener in listeners:
        await listener.aclose()


async def test_url_of_an_ipv6_address_has_brackets() -> None:
    settings = Settings(http_addr=HostPort("::1", 0))
    try:
        listeners = await open_listeners(settings)
    except ConfigError:
        pytest.skip("no IPv6 on this machine")
    assert public_url(settings, listeners).startswith("http://[::1]:")
    for listener in listeners:
        await listener.aclose()


async def test_accepting_can_end_while_connections_go_on(root: Path) -> None:
    settings = Settings(http_addr=LOCAL)
    listeners = await open_listeners(settings)
    server = HttpServer(settings, root, echo, lambda: Readiness(True, "ok"))
    port = int(public_url(settings, listeners).rpartition(":")[2].rstrip("/"))
    url = f"ws://127.0.0.1:{port}/ws"
    async with trio.open_nursery() as connections:
        accepting = await connections.start(_accept_in_a_scope, server, listeners, connections)
        async with open_client(url) as websocket:
            accepting.cancel("drain")
            await websocket.send_message("still here")
            assert await websocket.get_message() == "STILL HERE"
            with pytest.raises(OSError, match="failed"):
                await trio.open_tcp_stream("127.0.0.1", port)
        connections.cancel_scope.cancel("the test is over")
    assert server.statistics().connections == 0


async def _accept_in_a_scope(
    server: HttpServer,
    listeners: Sequence[Listener],
    connections: trio.Nursery,
    *,
    task_status: trio.TaskStatus[trio.CancelScope],
) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(functools.partial(server.serve, listeners, handler_nursery=connections))
        task_status.started(nursery.cancel_scope)
