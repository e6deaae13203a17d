"""The server under test: the real `trio-sfu` command in a process of its own.

Its end is part of every test: SIGTERM has to give exit code 0, and no line of warning or worse may be in the
log unless the test expects it.
"""

import json
import os
import re
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from browser.process import GRACE, HERE, ChildProcess, Host, poll, running

import sfu

__all__ = ["SfuProcess", "free_udp_port", "open_sfu"]

START_SECONDS = 15.0
"""Bound for the server's start, which takes well under a second on an idle machine."""

LIBRARY = Path(sfu.__file__).with_name("web") / "client.js"
"""The client library as the server serves it."""

DEVELOPMENT_MODE = ("-X", "dev")
"""Warnings about what was never awaited or never closed become lines in the log, and fail the test."""

QUIET_LEVELS = frozenset({"debug", "info"})
"""Log levels that a test need not expect."""


class SfuProcess:
    """A running server."""

    def __init__(self, child: ChildProcess, url: str) -> None:
        self.child = child
        self.url = url
        """Where the page is; no slash at the end."""
        self.killed = False
        self.expected_log = [r"anyone can join any room", r"sessions are lost on a restart"]
        """Regular expressions: log lines of warning or worse that the test expects (searched in the line)."""

    @property
    def udp_port(self) -> int:
        """The port of the media socket, from the log line that says that the server is ready."""
        ready = next(record for record in self.log() if record["event"] == "ready")
        return int(ready["udp"].rpartition(":")[2])

    def log_text(self) -> str:
        """Return everything the server has written to standard error."""
        return self.child.errors.read_text(errors="replace")

    def log(self) -> list[dict[str, Any]]:
        """Return the log so far. What is not JSON (a traceback) comes back as an error-level ``event``."""
        records = []
        for line in self.log_text().splitlines():
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                record = None
            records.append(record if isinstance(record, dict) else {"level": "error", "event": line})
        return records

    def complaints(self) -> list[str]:
        """Return the log lines of warning or worse that the test does not expect."""
        records = (record for record in self.log() if record.get("level") not in QUIET_LEVELS)
        # A traceback is one JSON string; a person wants to read it in lines.
        lines = [json.dumps(record).replace("\\n", "\n") for record in records]
        return [line for line in lines if not any(re.search(pattern, line) for pattern in self.expected_log)]

    async def kill(self) -> None:
        """Send SIGKILL: the server has no chance to do anything about its end."""
        self.killed = True
        self.child.kill_group()
        await self.child.process.wait()

    def terminate(self) -> None:
        """Send SIGTERM and do not wait."""
        self.child.process.terminate()

    async def logs(self, event: str) -> None:
        """Wait until the server has logged `event`; the caller bounds the time."""
        await poll(lambda: any(record["event"] == event for record in self.log()) or None, self.child)

    async def stop(self) -> int:
        """Send SIGTERM and return the exit code (negative: it had to be killed)."""
        return await self.child.stop(signal.SIGTERM)


def free_tcp_port() -> int:
    """Return a TCP port that was free on loopback a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def free_udp_port() -> int:
    """Return a UDP port that was free on all addresses a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("0.0.0.0", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def open_sfu(
    settings: Mapping[str, str] | None = None,
    *,
    options: Sequence[str] = DEVELOPMENT_MODE,
    host: Host = HERE,
) -> AsyncIterator[SfuProcess]:
    """Run a server on free ports of `host`; `settings` are environment variables (``SFU_…``) beside ours.

    Media by TCP is off: it would get through where a test breaks UDP. Tests about it turn it on.

    `options` are the interpreter's: a benchmark has none, since development mode is slow and large.

    At the end of the block AssertionError is raised when the server did not end cleanly or complained.
    """
    # Skipping would hide that nothing was tested.
    assert LIBRARY.exists(), "sfu/web is not built: run `npm ci && npm run build` in web/"
    env = {name: value for name, value in os.environ.items() if not name.startswith("SFU_")}
    env |= {
        "SFU_HTTP_ADDR": "127.0.0.1:0",
        "SFU_ADMIN_ADDR": "127.0.0.1:0",
        "SFU_UDP_ADDR": "0.0.0.0:0",
        "SFU_DRAIN_SEC": "1",
        "SFU_ICE_TCP_ADDR": "off",
        "SFU_LOG_FORMAT": "json",
        "PYTHONUNBUFFERED": "1",
        **(settings or {}),
    }
    command = [sys.executable, *options, "-m", "sfu"]
    with tempfile.TemporaryDirectory(prefix="sfu-server-") as folder:
        async with running(command, Path(folder), env=env, host=host) as child:
            with trio.fail_after(START_SECONDS):
                url = await poll(lambda: _announced_url(child), child)
            server = SfuProcess(child, url)
            yield server
            with trio.fail_after(2 * GRACE):
                code = await server.stop()
            complaints = server.complaints()
            assert code == (-signal.SIGKILL if server.killed else 0), (
                f"the server ended with {code}; its log:\n{server.log_text()}"
            )
            assert not complaints, "the server complained:\n" + "\n".join(complaints)


def _announced_url(child: ChildProcess) -> str | None:
    """Return the address that the server prints when it is ready."""
    match = re.search(r"open (https?://\S+)", child.output.read_text())
    return match and match[1].rstrip("/")
