"""Fixtures of the browser tests: a server, a Chromium, a Firefox; each fresh for every test that asks."""

import shutil
from collections.abc import AsyncIterator

import pytest
from browser import chromium as chromium_driver
from browser import firefox as firefox_driver
from browser.chromium import Chromium, open_chromium
from browser.firefox import Firefox, open_firefox
from browser.sfu_process import SfuProcess, open_sfu


@pytest.fixture
async def server() -> AsyncIterator[SfuProcess]:
    """A running server; the test fails when it does not end cleanly or complains in its log."""
    async with open_sfu() as running:
        yield running


@pytest.fixture
async def chromium() -> AsyncIterator[Chromium]:
    """A running Chromium; the test is skipped where it is not installed."""
    if shutil.which(chromium_driver.EXECUTABLE) is None:
        pytest.skip("Chromium is not installed")
    async with open_chromium() as browser:
        yield browser


@pytest.fixture
async def firefox() -> AsyncIterator[Firefox]:
    """A running Firefox; the test is skipped where it is not installed."""
    if shutil.which(firefox_driver.EXECUTABLE) is None:
        pytest.skip("Firefox is not installed")
    async with open_firefox() as browser:
        yield browser
