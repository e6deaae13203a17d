"""Child processes of the browser tests: started in a group of their own, ended completely.

A browser is a tree of processes (zygote, renderers, crash handler). Each tree here is a process group whose
number is the first process's id, so ending it touches exactly what this test started.
"""

import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import trio

__all__ = ["HERE", "ChildProcess", "Host", "poll", "running"]

T = TypeVar("T")

POLL_INTERVAL = 0.02
"""Seconds between two looks at a condition that has no event to wait for (a file that appears)."""

GRACE = 5.0
"""Seconds that a process gets to end by itself before its group is killed. Browsers need about one."""

CLEARING = 1.0
"""Seconds that the kernel gets to clear killed processes away."""


class Host:
    """Where a process runs, as far as the network goes: here, on this host."""

    def command(self, command: Sequence[str]) -> list[str]:
        """Return the command line that runs `command` there."""
        return list(command)

    async def open_tcp_stream(self, host: str, port: int) -> trio.SocketStream:
        """Connect as a program there would; raises OSError."""
        return await trio.open_tcp_stream(host, port)


HERE = Host()


class ChildProcess:
    """One running child; `output` and `errors` are the files that its two output streams go to."""

    def __init__(self, process: trio.Process, output: Path, errors: Path) -> None:
        self.process = process
        self.output = output
        self.errors = errors

    @property
    def pid(self) -> int:
        """Process id, which is also the id of the process group."""
        return self.process.pid

    @property
    def returncode(self) -> int | None:
        """Exit code, negative for a signal; None while it runs."""
        return self.process.returncode

    def kill_group(self) -> bool:
        """Kill what is left of the process group; return whether there was anything."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask the first process to end, wait up to `GRACE` seconds, return its exit code.

        Whatever of its group is still there afterwards is killed.
        """
        if self.process.returncode is None:
            self.process.send_signal(number)
        with trio.move_on_after(GRACE):
            await self.process.wait()
        # A killed process is there until the kernel has cleared it away and its parent knows; in a container
        # whose init collects no orphans it stays for ever as a zombie, so the wait is bounded.
        with trio.move_on_after(CLEARING):
            while True:
                if not self.kill_group():
                    break
                await trio.sleep(POLL_INTERVAL)
        return await self.process.wait()


@asynccontextmanager
async def running(
    command: Sequence[str], folder: Path, *, env: Mapping[str, str] | None = None, host: Host = HERE
) -> AsyncIterator[ChildProcess]:
    """Run `command` on `host` inside the `async with` block; at its end the whole process group is gone.

    What it writes goes to two files in `folder`.
    """
    output, errors = folder / "output.txt", folder / "errors.txt"
    with output.open("wb") as output_sink, errors.open("wb") as error_sink:
        process = await trio.lowlevel.open_process(
            host.command(command),
            stdin=subprocess.DEVNULL,
            stdout=output_sink,
            stderr=error_sink,
            env=env,
            start_new_session=True,
        )
    child = ChildProcess(process, output, errors)
    try:
        yield child
    finally:
        # Shielded and bounded: a cancelled test must not leave a browser behind, nor hang on one.
        with trio.CancelScope(shield=True):
            await child.stop()


async def poll(probe: Callable[[], T | None], child: ChildProcess) -> T:
    """Return the first value of `probe` that is not None, looking every `POLL_INTERVAL` seconds.

    Raises RuntimeError with the child's output when the child ends first. The caller bounds the time.
    """
    await trio.lowlevel.checkpoint()
    while True:
        value = probe()
        if value is not None:
            return value
        if child.process.poll() is not None:
            text = "".join(file.read_text(errors="replace") for file in (child.output, child.errors))
            raise RuntimeError(f"process {child.pid} ended with {child.returncode}:\n{text}")
        await trio.sleep(POLL_INTERVAL)
