"""A real redis-server on a socket of its own, which a test can kill, halt, delay and cut off."""

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import trio
from support.waiting import until

from sfu.shell.config.redis_url import RedisAddress

REDIS_SERVER = shutil.which("redis-server") or ""
"""The program; empty where it is not installed."""

needs_redis = pytest.mark.skipif(
    find_spec("trio_asyncio") is None or (not REDIS_SERVER and os.environ.get("CI") != "true"),
    reason="redis-server or trio-asyncio is not installed",
)
"""Marks what needs the program: without it, it fails in CI and is skipped elsewhere.

It is skipped where there is no trio-asyncio (Python 3.14): the server refuses Redis there.
"""


def free_port() -> int:
    """Return a free TCP port of loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RedisServer:
    """A redis-server process that can be started, killed, halted and inspected."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.address = RedisAddress("unix", path=str(folder / "redis.sock"))
        # Imported here: Python 3.14 has no redis, and `until` is for other tests too.
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        self.client = Redis(
            unix_socket_path=self.address.path, decode_responses=True, retry=Retry(NoBackoff(), 0)
        )
        """A client with which tests inspect it."""
        self._command = [REDIS_SERVER, "--port", "0", "--unixsocket", self.address.path, "--save", ""]
        self._command += ["--dir", str(folder), "--logfile", str(folder / "redis.log"), *options]
        self._process: trio.Process | None = None

    async def start(self, *options: str) -> None:
        """Start it, and wait until it answers."""
        self._process = await trio.lowlevel.open_process([*self._command, *options])
        await until(self._answers)

    async def kill(self) -> None:
        """Kill it, as a crash does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()
            self._process = None
            self.client.connection_pool.disconnect()

    def halt(self) -> None:
        """Make it stop answering; its connections stay open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """End a `halt`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def names(self) -> set[str]:
        """Return the names of all keys."""
        names: Any = self.client.keys()
        return set(names)

    def ttls(self) -> dict[str, int]:
        """Return the milliseconds until each key expires; -1 for a key without expiry."""
        ttls: dict[str, Any] = {name: self.client.pttl(name) for name in self.names()}
        return ttls

    def _answers(self) -> bool:
        from redis import exceptions

        try:
            return bool(self.client.ping())
        except (exceptions.BusyLoadingError, exceptions.AuthenticationError):
            return True
        except exceptions.ConnectionError:
            return False


@asynccontextmanager
async def redis_server(folder: Path, *options: str) -> AsyncIterator[RedisServer]:
    """Run a redis-server for the block."""
    server = RedisServer(folder, *options)
    try:
        await server.start()
        yield server
    finally:
        server.client.close()
        with trio.CancelScope(shield=True):
            await server.kill()


class TcpProxy:
    """A proxy before Redis that can delay, replace or drop the replies."""

    def __init__(self, folder: Path, server: RedisAddress) -> None:
        self.address = RedisAddress("unix", path=str(folder / "proxy.sock"))
        self.delay = 0.0
        """Seconds by which each reply is delayed."""
        self.cut_before: bytes | None = None
        """If a request contains this, the connection is cut before the reply: it gets lost."""
        self.answer: bytes | None = None
        """Sent instead of every reply of Redis, if it is set."""
        self.connections = 0
        self._server = server

    async def serve(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Accept connections until cancelled."""
        with trio.socket.socket(trio.socket.AF_UNIX) as sock:
            await sock.bind(self.address.path)
            sock.listen()
            task_status.started()
            await trio.serve_listeners(self._relay, [trio.SocketListener(sock)])

    async def _relay(self, client: trio.SocketStream) -> None:
        self.connections += 1
        server = await trio.open_unix_socket(self._server.path)
        pending = bytearray()
        async with client, server, trio.open_nursery() as nursery:
            nursery.start_soon(self._reply, server, client, pending, nursery.cancel_scope)
            with suppress(trio.BrokenResourceError):
                async for data in client:
                    pending += data
                    await server.send_all(data)
            nursery.cancel_scope.cancel("the store has hung up")

    async def _reply(
        self, server: trio.SocketStream, client: trio.SocketStream, asked: bytearray, both: trio.CancelScope
    ) -> None:
        with suppress(trio.BrokenResourceError):
            async for data in server:
                await trio.sleep(self.delay)
                if self.cut_before is not None and self.cut_before in asked:
                    self.cut_before = None
                    break
                asked.clear()
                await client.send_all(data if self.answer is None else self.answer)
        both.cancel("cut")


@asynccontextmanager
async def proxied(server: RedisServer) -> AsyncIterator[TcpProxy]:
    """Run a proxy before Redis for the block."""
    with tempfile.TemporaryDirectory(prefix="sfu-redis-") as folder:
        proxy = TcpProxy(Path(folder), server.address)
        async with trio.open_nursery() as nursery:
            await nursery.start(proxy.serve)
            yield proxy
            nursery.cancel_scope.cancel("the block has ended")
