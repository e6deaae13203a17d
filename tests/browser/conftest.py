"""Fixtures of the browser tests: a server, a Chromium, a Firefox; each test gets new ones."""

import shutil
from collections.abc import AsyncIterator

import pytest
import trio
from browser import chromium as chromium_driver
from browser import firefox as firefox_driver
from browser.chromium import Chromium, open_chromium
from browser.firefox import Firefox, open_firefox
from browser.namespaces import need_namespaces
from browser.sfu_process import SfuProcess, open_sfu

DEADLINE = 100.0
"""Seconds for a whole test: several times what the longest takes on an idle machine."""


@pytest.fixture
async def deadline(request: pytest.FixtureRequest, nursery: trio.Nursery) -> None:
    """End a test that hangs from inside Trio, so that its browsers end with it.

    pytest-timeout interrupts from outside and would leave browsers running. Every fixture that starts a process
    requests this one (pytest-trio does not run autouse fixtures).
    """
    await trio.lowlevel.checkpoint()
    nursery.start_soon(_expire, request.node.name)


async def _expire(name: str) -> None:
    await trio.sleep(DEADLINE)
    raise trio.TooSlowError(f"{name} took more than {DEADLINE:.0f} s")


@pytest.fixture
def namespaces() -> None:
    """Skip by name; a fixture without Trio does that before any of it is started."""
    need_namespaces()


@pytest.fixture
async def server(deadline: None) -> AsyncIterator[SfuProcess]:
    """A running server; the test fails when it does not end cleanly or complains in its log."""
    async with open_sfu() as running:
        yield running


@pytest.fixture
async def chromium(deadline: None) -> AsyncIterator[Chromium]:
    """A running Chromium; the test is skipped where it is not installed."""
    if shutil.which(chromium_driver.EXECUTABLE) is None:
        pytest.skip("Chromium is not installed")
    async with open_chromium() as browser:
        yield browser


@pytest.fixture
async def firefox(deadline: None) -> AsyncIterator[Firefox]:
    """A running Firefox; the test is skipped where it is not installed."""
    if shutil.which(firefox_driver.EXECUTABLE) is None:
        pytest.skip("Firefox is not installed")
    async with open_firefox() as browser:
        yield browser
