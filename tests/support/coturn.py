"""A real STUN and TURN server for tests: Debian's coturn, on loopback."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

TURNSERVER = shutil.which("turnserver") or ""
"""The program; empty where it is not installed."""

HOST = "127.0.0.1"
USER, PASSWORD = "user", "a password"

SECONDS = 10.0
"""Bound for its start, which takes 0.2 s on an idle machine."""


class Coturn:
    """A running server."""

    def __init__(self, process: trio.Process, host: str, port: int, log: Path) -> None:
        self.host = host
        self.port = port
        self._process = process
        self._log = log

    @property
    def stun(self) -> str:
        """Its STUN URL."""
        return f"stun:{self.host}:{self.port}"

    def turn(self, transport: str = "udp") -> str:
        """Its TURN URL."""
        return f"turn:{self.host}:{self.port}?transport={transport}"

    def allocations(self) -> int:
        """How many allocations it has made so far."""
        return self._log.read_text(errors="replace").count("ALLOCATE processed, success")

    def released(self) -> int:
        """How many of them its clients have given back (RFC 8656 section 8: a lifetime of 0)."""
        return self._log.read_text(errors="replace").count("lifetime=0")

    def settings(self) -> dict[str, str]:
        """The environment variables of a server that uses it."""
        return {
            "SFU_STUN_URLS": self.stun,
            "SFU_TURN_URLS": self.turn(),
            "SFU_TURN_USER": USER,
            "SFU_TURN_PASSWORD": PASSWORD,
        }

    async def die(self) -> None:
        """Be gone without a word."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
        await self._process.wait()


@asynccontextmanager
async def coturn(folder: Path, *, host: str = HOST) -> AsyncIterator[Coturn]:
    """Run a server on one of this host's addresses, which is also where it relays.

    Skips the test where it is not installed, except in CI, where that is a failure.
    """
    if not TURNSERVER:
        assert os.environ.get("CI") != "true", "coturn is not installed"
        pytest.skip("coturn is not installed")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
    log = folder / f"coturn-{port}.log"
    command = [TURNSERVER, "-n", "--verbose", "--log-file=stdout", "--simple-log", "--no-cli", "--no-tls"]
    command += ["--no-dtls", "--lt-cred-mech", f"--user={USER}:{PASSWORD}", "--realm=test"]
    command += [f"--listening-ip={host}", f"--listening-port={port}", f"--relay-ip={host}"]
    command += ["--allow-loopback-peers", f"--pidfile={folder / 'pid'}", f"--userdb={folder / 'users'}"]
    with log.open("wb") as sink:
        process = await trio.lowlevel.open_process(
            command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT
        )
    server = Coturn(process, host, port, log)
    try:
        with trio.fail_after(SECONDS):
            await _listens(host, port)
        yield server
    finally:
        with trio.CancelScope(shield=True):
            await server.die()


async def _listens(host: str, port: int) -> None:
    """Wait until it takes TCP connections, which it does last."""
    while True:
        try:
            stream = await trio.open_tcp_stream(host, port)
        except OSError:
            await trio.sleep(0.05)
        else:
            await stream.aclose()
            return
