"""What is in the process of a server: no asyncio by default, and no setting that would need it in vain."""

import json
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from support.http_site import parse_response, request
from support.issuer import make_certificate
from support.log_capture import capture_logs
from support.waiting import PATIENCE, until

from sfu.shell.config.settings import ConfigError, load
from sfu.shell.process import serve

ANY_PORT = {
    "http_addr": "127.0.0.1:0",
    "admin_addr": "127.0.0.1:0",
    "udp_addr": "127.0.0.1:0",
    "ice_tcp_addr": "127.0.0.1:0",
}

MEASURE = f"""
import gc, importlib.util, json, os, sys
import trio
from sfu.shell.config.settings import load
from sfu.shell.process import serve

ABSENT = "asyncio", "trio_asyncio", "aioice", "redis", "dns"

def resident():
    gc.collect()
    with open("/proc/self/statm") as memory:
        return int(memory.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

async def main():
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, load({ANY_PORT}, {{}}))
        found = [name for name in ABSENT if name in sys.modules]
        saved = []
        if importlib.util.find_spec("trio_asyncio"):
            without = resident()
            import sfu.shell.store.redis
            saved.append(resident() - without)
            import sfu.shell.full_ice.agent
            saved.append(resident() - without)
        print(json.dumps([found, saved]))
        nursery.cancel_scope.cancel("measured")

trio.run(main)
"""
"""Starts a server with default settings and prints JSON: which libraries it has loaded that only Redis and full
ICE agents need, and how many bytes more are resident with the modules for Redis, and with those for both. Where
there is no trio-asyncio (Python 3.14), it cannot measure the latter."""

MEGABYTE = 1 << 20


def test_the_default_server_has_no_asyncio_in_its_process() -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    found, saved = json.loads(done.stdout)
    assert found == []
    if saved:
        redis_bytes, all_bytes = saved
        print(f"saved: {all_bytes / MEGABYTE:.1f} MB, of which Redis {redis_bytes / MEGABYTE:.1f} MB")
        assert redis_bytes > 5 * MEGABYTE
        assert all_bytes > 7 * MEGABYTE  # some 12 MB on CPython 3.11


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"redis_url": "redis://localhost/0"}, "SFU_REDIS_URL"),
        ({"redis_addr": "localhost:6379"}, "SFU_REDIS_ADDR"),
        ({"ice_mode": "full"}, "SFU_ICE_MODE=full"),
    ],
)
async def test_a_setting_that_needs_trio_asyncio_is_refused_by_name_without_it(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], name: str
) -> None:
    monkeypatch.delitem(sys.modules, "sfu.shell.aio", raising=False)
    monkeypatch.setitem(sys.modules, "trio_asyncio", None)  # an import raises ImportError
    with pytest.raises(ConfigError) as refused:
        await serve(load({**ANY_PORT, **settings}, {}))
    text = str(refused.value)
    assert text.startswith(f"{name} requires trio-asyncio, which cannot be imported: ")
    assert "\n" not in text


async def test_the_default_server_starts_without_trio_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trio_asyncio", None)
    async with trio.open_nursery() as nursery:
        url = await nursery.start(serve, load(ANY_PORT, {}))
        assert url.startswith("http://127.0.0.1:")
        nursery.cancel_scope.cancel("it has started")


async def healthz(url: str, context: ssl.SSLContext | None) -> int:
    """Return the status of ``/healthz`` on a new connection."""
    stream: trio.abc.Stream = await trio.open_tcp_stream("127.0.0.1", int(url.rstrip("/").rpartition(":")[2]))
    if context is not None:
        stream = trio.SSLStream(stream, context, server_hostname="127.0.0.1", https_compatible=True)
    async with stream:
        with trio.fail_after(PATIENCE):
            await stream.send_all(request("/healthz"))
            return parse_response(b"".join([bytes(part) async for part in stream]))[0]


async def test_sighup_without_a_certificate_does_not_stop_the_server() -> None:
    with capture_logs() as log:
        async with trio.open_nursery() as nursery:
            url = await nursery.start(serve, load(ANY_PORT, {}))
            signal.raise_signal(signal.SIGHUP)
            text = "SIGHUP changes nothing: there is no TLS certificate to read again"
            await until(lambda: text in [entry["event"] for entry in log])
            assert await healthz(url, None) == 200
            signal.raise_signal(signal.SIGTERM)


async def test_sighup_makes_new_connections_use_the_new_certificate(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    live, renewed = make_certificate(tmp_path, "127.0.0.1"), make_certificate(tmp_path / "new", "127.0.0.1")
    trusting_new = ssl.create_default_context(cafile=str(renewed[0]))
    settings = load({**ANY_PORT, "tls_cert": str(live[0]), "tls_key": str(live[1])}, {})
    with capture_logs() as log:
        async with trio.open_nursery() as nursery:
            url = await nursery.start(serve, settings)
            assert await healthz(url, ssl.create_default_context(cafile=str(live[0]))) == 200
            with pytest.raises(trio.BrokenResourceError):
                await healthz(url, trusting_new)
            for source, target in zip(renewed, live, strict=True):
                source.replace(target)
            signal.raise_signal(signal.SIGHUP)
            await until(lambda: "TLS certificate read again" in [entry["event"] for entry in log])
            assert await healthz(url, trusting_new) == 200
            signal.raise_signal(signal.SIGTERM)
