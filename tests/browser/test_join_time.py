"""How long it takes from joining to the first picture. Reported, not asserted: the machine may be busy."""

import statistics
from collections.abc import Callable

import pytest
from browser.chromium import Chromium
from browser.participant import enter, join_to_first_frame
from browser.sfu_process import SfuProcess

pytestmark = [pytest.mark.browser, pytest.mark.alone]

JOINS = 5


async def test_join_to_first_frame(
    server: SfuProcess, chromium: Chromium, record_property: Callable[[str, object], None]
) -> None:
    """Five joins of one viewer; the figures go into the JUnit report and, with ``-rP``, onto the terminal."""
    publisher = await enter(server, chromium, "Publisher")
    await publisher.join("time")
    viewer = await enter(server, chromium, "Viewer")
    times = []
    for _ in range(JOINS):
        times.append(await join_to_first_frame(viewer, "time"))
        await viewer.leave()
    print(
        "join to first frame, ms:", *(f"{time:.0f}" for time in times), f"median {statistics.median(times):.0f}"
    )
    record_property("join_to_first_frame_ms", times)
