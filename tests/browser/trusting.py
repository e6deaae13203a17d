"""Browsers on hosts of their own, to whom a server without TLS there is as trustworthy as localhost."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from browser.chromium import open_chromium
from browser.firefox import open_firefox
from browser.namespaces import SERVER_ADDRESS, Namespace
from browser.page import Browser
from browser.sfu_process import SfuProcess

__all__ = ["Opener", "trusting_chromium", "trusting_firefox"]

Opener = Callable[[Namespace, SfuProcess], AbstractAsyncContextManager[Browser]]
"""Runs a browser on a host."""


@asynccontextmanager
async def trusting_chromium(
    host: Namespace, server: SfuProcess, *, media: bool = True
) -> AsyncIterator[Browser]:
    """Run Chromium; see `open_chromium` for `media`."""
    flag = f"--unsafely-treat-insecure-origin-as-secure={server.url}"
    async with open_chromium(flags=[flag], media=media, host=host) as browser:
        yield browser


@asynccontextmanager
async def trusting_firefox(host: Namespace, server: SfuProcess) -> AsyncIterator[Browser]:
    """Run Firefox."""
    preferences: dict[str, bool | int | str] = {
        "dom.securecontext.allowlist": SERVER_ADDRESS,
        "media.devices.insecure.enabled": True,
        "media.getusermedia.insecure.enabled": True,
    }
    async with open_firefox(preferences=preferences, host=host) as browser:
        yield browser
