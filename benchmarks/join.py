"""Time from joining to the first picture, in Chromium.

    python -m benchmarks.join

One page publishes microphone and camera; another joins the room, waits for the first decoded frame of the
first page's video, and leaves, again and again. The clock starts at the client library's `join`, with camera
and microphone open: it covers the WebSocket, signaling, ICE, DTLS, both negotiations, the key frame and the
decoder.
"""

import argparse
import json
import shutil
from dataclasses import asdict, dataclass
from statistics import median

import trio
from browser import chromium
from browser.chromium import open_chromium
from browser.participant import enter, join_to_first_frame
from browser.sfu_process import open_sfu


@dataclass(frozen=True)
class Result:
    """What one run gave."""

    milliseconds: tuple[float, ...]
    """Of each join, in order."""
    median_ms: float


def available() -> bool:
    """Whether Chromium is installed."""
    return shutil.which(chromium.EXECUTABLE) is not None


async def measure(joins: int) -> Result:
    """Let the viewer join so many times."""
    async with open_sfu(options=()) as server, open_chromium() as browser:
        publisher = await enter(server, browser, "Publisher")
        await publisher.join("time")
        viewer = await enter(server, browser, "Viewer")
        times = []
        for _ in range(joins):
            times.append(await join_to_first_frame(viewer, "time"))
            await viewer.leave()
    return Result(tuple(times), median(times))


def main() -> None:
    """Parse the command line, measure, print JSON."""
    parser = argparse.ArgumentParser(description="time from join to first frame in Chromium")
    parser.add_argument("--joins", type=int, default=12)
    print(json.dumps(asdict(trio.run(measure, parser.parse_args().joins))))


if __name__ == "__main__":
    main()
