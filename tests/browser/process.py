"""Child processes of the browser tests: started in a group of their own, ended completely.

A browser is a tree of processes (zygote, renderers, crash handler). Each tree is a process group of its own,
with the id of its first process, so ending the group ends exactly what this test started.
"""

import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

import trio

__all__ = ["HERE", "ChildProcess", "Host", "living_processes", "poll", "running"]

T = TypeVar("T")

POLL_INTERVAL = 0.02
"""Seconds between two looks at a condition that has no event to wait for (a file that appears)."""

GRACE = 5.0
"""Seconds that a process gets to end by itself before its group is killed."""

CLEARING = 1.0
"""Seconds that killed processes get to be gone."""


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
        """Kill what is left of the process group; return whether anything of it still lived."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return any(process.group == self.process.pid for process in living_processes())

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask the first process to end, wait up to `GRACE` seconds, return its exit code.

        Whatever of its group is still there afterwards is killed.
        """
        if self.process.returncode is None:
            self.process.send_signal(number)
        with trio.move_on_after(GRACE):
            await self.process.wait()
        with trio.move_on_after(CLEARING):
            while True:
                if not self.kill_group():
                    break
                await trio.sleep(POLL_INTERVAL)
        return await self.process.wait()


class LivingProcess(NamedTuple):
    """A process of this host, by its ids."""

    pid: int
    parent: int
    group: int


def living_processes() -> Iterator[LivingProcess]:
    """Yield every process but the zombies: where an init is slow to collect orphans those stay for long."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(FileNotFoundError, ProcessLookupError):
                text = Path(f"/proc/{name}/stat").read_text()
                # The second field is the program's name in parentheses, and may have such in itself.
                state, parent, group, *_ = text.rpartition(")")[2].split()
                if state != "Z":
                    yield LivingProcess(int(name), int(parent), int(group))


@asynccontextmanager
async def running(
    command: Sequence[str],
    folder: Path,
    *,
    env: Mapping[str, str] | None = None,
    host: Host = HERE,
    end: signal.Signals = signal.SIGTERM,
) -> AsyncIterator[ChildProcess]:
    """Run `command` on `host` inside the `async with` block; at its end the whole process group is gone.

    What it writes goes to two files in `folder`. It is sent `end` and may end by itself; then all is killed.
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
            await child.stop(end)


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
