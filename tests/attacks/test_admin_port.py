"""Only the operator can read the admin port: a web page cannot, and a host that reaches it cannot."""

import pytest
from support.admin_port import ask, get, running

from sfu.shell.config.settings import ConfigError, load

TOKEN = "0123456789abcdef" * 2
PATHS = ("/", "/metrics", "/debug/tasks", "/nothing")


async def test_a_page_that_has_rebound_its_name_reads_nothing() -> None:
    """A request that names another host (DNS rebinding) is refused, and the refusal is counted."""
    async with running() as url:
        port = url.rstrip("/").rpartition(":")[2]
        hosts = (f"evil.example:{port}", f"127.0.0.1.evil.example:{port}", "evil.example", f"localhost.:{port}")
        for path in PATHS:
            for host in hosts:
                status, _, body = await ask(url, get(path, host=host))
                assert status == "HTTP/1.1 421 Misdirected Request"
                assert "SFU_ADMIN_ADDR" in body
        body = (await ask(url, get("/metrics")))[2]
    assert f'\nsfu_drops_total{{place="admin",reason="host"}} {len(PATHS) * len(hosts)}.0\n' in body


async def test_a_second_host_header_gains_nothing() -> None:
    """A request with two hosts, or with none, is answered with nothing of the port's content."""
    async with running() as url:
        twice = get("/metrics").replace(b"Connection", b"Host: evil.example\r\nConnection")
        assert (await ask(url, twice))[0] == "HTTP/1.1 400 Bad Request"
        assert (await ask(url, b"GET /metrics HTTP/1.0\r\n\r\n"))[0] == "HTTP/1.1 421 Misdirected Request"


async def test_a_host_that_reaches_the_port_needs_the_token() -> None:
    """Beyond loopback, nothing but `/healthz` is answered without the token, whatever is sent instead of it."""
    wrong = (None, "Bearer", f"Basic {TOKEN}", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}{TOKEN}", "Bearer \xff")
    async with running("0.0.0.0", token=TOKEN) as url:
        for path in PATHS:
            for authorization in wrong:
                status, _, body = await ask(url, get(path, authorization=authorization))
                assert status == "HTTP/1.1 401 Unauthorized"
                assert TOKEN not in body
        assert (await ask(url, get("/metrics", authorization=f"Bearer {TOKEN}")))[0] == "HTTP/1.1 200 OK"


@pytest.mark.parametrize("address", ["0.0.0.0:9090", "[::]:9090", "192.0.2.7:9090", "sfu.internal:9090"])
def test_an_open_admin_port_without_a_token_does_not_start(address: str) -> None:
    """A server whose admin port strangers could reach does not start without a token, and one line says why."""
    with pytest.raises(
        ConfigError, match=r"^SFU_ADMIN_TOKEN is not set: SFU_ADMIN_ADDR=.* requires it$"
    ) as raised:
        load({}, {"SFU_ADMIN_ADDR": address})
    assert "\n" not in str(raised.value)
    load({}, {"SFU_ADMIN_ADDR": address, "SFU_ADMIN_TOKEN": TOKEN})
