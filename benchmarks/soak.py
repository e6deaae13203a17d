"""A long call: three browsers, and a server that must not grow.

    python -m benchmarks.soak --minutes 10

Two pages of Chromium and one of Firefox (or three of Chromium, where there is no Firefox) publish microphone
and camera into one room. Every half minute everybody must see and hear everybody else, and the server's memory,
threads and file descriptors, and its own count of tasks (debug log), are read. At the end they are compared
with the first minute's, and the logs of server and pages must hold no warning or error.
"""

import argparse
import itertools
import json
import shutil
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import trio
from browser import firefox
from browser.chromium import open_chromium
from browser.firefox import open_firefox
from browser.page import Browser
from browser.participant import Participant, enter
from browser.sfu_process import SfuProcess, open_sfu

from benchmarks.usage import cpu_seconds, resident_bytes

INTERVAL: Final = 30.0
"""Seconds between samples."""

SETTLED: Final = 60.0
"""Seconds after which the call has what it needs: histories are full, negotiations done."""

PATIENCE: Final = 60.0
"""Seconds for media to flow between everybody; the machine may be busy encoding."""


@dataclass(frozen=True)
class Sample:
    """The server at one moment."""

    second: float
    """Since the call began."""
    resident_kib: float
    cpu_seconds: float
    threads: int
    descriptors: int
    tasks: int
    """Trio tasks, from the newest line of the debug log that says."""


def take(server: SfuProcess, second: float) -> Sample:
    """Read what the server uses now."""
    pid = server.child.pid
    process = Path(f"/proc/{pid}")
    tasks = [record["tasks"] for record in server.log() if record["event"] == "running"]
    return Sample(
        second=round(second, 1),
        resident_kib=resident_bytes(pid) / 1024,
        cpu_seconds=round(cpu_seconds(pid), 2),
        threads=sum(1 for _ in (process / "task").iterdir()),
        descriptors=sum(1 for _ in (process / "fd").iterdir()),
        tasks=tasks[-1] if tasks else 0,
    )


async def call(minutes: float) -> list[Sample]:
    """Hold the call. Raises AssertionError when media stops, or a log complains."""
    samples = []
    async with (
        open_sfu({"SFU_LOG_LEVEL": "debug"}, options=()) as server,
        AsyncExitStack() as stack,
    ):
        chromium = await stack.enter_async_context(open_chromium())
        third: Browser = chromium
        if shutil.which(firefox.EXECUTABLE) is not None:
            third = await stack.enter_async_context(open_firefox())
        people = [
            await enter(server, browser, name)
            for name, browser in (("Ada", chromium), ("Ben", chromium), ("Cid", third))
        ]
        for person in people:
            await person.join("soak")
        start = trio.current_time()
        while trio.current_time() < start + 60 * minutes:
            await _all_flows(people)
            samples.append(take(server, trio.current_time() - start))
            print(json.dumps(asdict(samples[-1])), flush=True)
            await trio.sleep(INTERVAL)
        for person in people:
            assert not (await person.snapshot()).errors
            assert not person.page.errors(), person.page.errors()
    return samples


async def _all_flows(people: list[Participant]) -> None:
    async with trio.open_nursery() as nursery:
        for one, other in itertools.permutations(people, 2):
            nursery.start_soon(_flows, one, other)


async def _flows(one: Participant, other: Participant) -> None:
    await one.sees_and_hears(other, seconds=PATIENCE)


def main() -> None:
    """Parse the command line, hold the call, print how the server has grown."""
    parser = argparse.ArgumentParser(description="a long call of three browsers")
    parser.add_argument("--minutes", type=float, default=10.0)
    samples = trio.run(call, parser.parse_args().minutes)
    settled = [sample for sample in samples if sample.second >= SETTLED] or samples
    first, last = settled[0], settled[-1]
    print(
        f"from second {first.second:.0f} to {last.second:.0f}: "
        f"memory {last.resident_kib - first.resident_kib:+.0f} KiB of {first.resident_kib:.0f}, "
        f"tasks {last.tasks - first.tasks:+d} of {first.tasks}, "
        f"threads {last.threads - first.threads:+d}, descriptors {last.descriptors - first.descriptors:+d}; "
        f"CPU {(last.cpu_seconds - first.cpu_seconds) / max(1.0, last.second - first.second):.3f}"
    )


if __name__ == "__main__":
    main()
