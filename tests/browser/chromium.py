"""Chromium, driven over the Chrome DevTools Protocol (https://chromedevtools.github.io/devtools-protocol/)."""

import base64
import json
import signal
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from browser.page import Browser, Page, call_with_json
from browser.process import HERE, Host, poll, running
from browser.rpc import Channel, DriverError, Json, open_channel

__all__ = ["Chromium", "open_chromium"]

EXECUTABLE = "chromium"

START_SECONDS = 20.0
"""Bound for start-up. One second is usual; the rest is for a machine that is busy with other tests."""

FLAGS = (
    "--headless=new",
    "--remote-debugging-port=0",
    # Containers and CI machines run as root, where the sandbox cannot be set up.
    "--no-sandbox",
    "--disable-gpu",
    # Only what the test loads may use the network or the processor.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--autoplay-policy=no-user-gesture-required",
    # Several pages share one browser: none of them is to be throttled as "in the background".
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
)

MEDIA_FLAGS = (
    # A camera that draws a moving pattern and a microphone that beeps every second; no permission prompt.
    "--use-fake-device-for-media-stream=fps=30",
    "--use-fake-ui-for-media-stream",
    "--auto-select-desktop-capture-source=Entire screen",
)

LEVELS = {"log": "info", "verbose": "debug", "warning": "warning", "error": "error", "assert": "error"}
"""Console call types and log levels of CDP by our names; what is missing (trace, dir, …) is info."""


class ChromiumPage(Page):
    """A tab, through a flat CDP session of its own."""

    def __init__(self, channel: Channel, context: str, target: str, session: str) -> None:
        super().__init__()
        self._channel = channel
        self._context = context
        self._target = target
        self._session = session
        self._loaded = trio.Event()

    async def _call(self, method: str, params: Json | None = None) -> Json:
        return await self._channel.call(method, params, sessionId=self._session)

    async def goto(self, url: str) -> None:
        """Load `url`; raises DriverError when it cannot be reached."""
        self._loaded = trio.Event()
        result = await self._call("Page.navigate", {"url": url})
        if "errorText" in result:
            raise DriverError(f"{url}: {result['errorText']}")
        await self._loaded.wait()

    async def reload(self) -> None:
        """Load the page again."""
        self._loaded = trio.Event()
        await self._call("Page.reload")
        await self._loaded.wait()

    async def evaluate(self, function: str, *arguments: Any) -> Any:
        """Call a JavaScript function; see `Page.evaluate`. It counts as a user's gesture."""
        expression = f"({call_with_json(function)})({json.dumps(json.dumps(arguments))})"
        reply = await self._call(
            "Runtime.evaluate",
            {"expression": expression, "awaitPromise": True, "returnByValue": True, "userGesture": True},
        )
        if "exceptionDetails" in reply:
            raise DriverError(_exception_text(reply["exceptionDetails"]))
        value = reply["result"].get("value")
        return None if value is None else json.loads(value)

    async def screenshot(self) -> bytes:
        """Return the visible part of the page as a PNG file."""
        reply = await self._call("Page.captureScreenshot", {"format": "png"})
        return base64.b64decode(reply["data"])

    async def close(self) -> None:
        """Close the tab and forget its storage."""
        await self._channel.call("Target.closeTarget", {"targetId": self._target})
        await self._channel.call("Target.disposeBrowserContext", {"browserContextId": self._context})

    def handle(self, method: str, params: Json) -> None:
        """Take one event of this page's session."""
        if method == "Page.loadEventFired":
            self._loaded.set()
        elif method == "Runtime.consoleAPICalled":
            text = " ".join(str(arg.get("value", arg.get("description", ""))) for arg in params["args"])
            self.record(LEVELS.get(params["type"], "info"), text)
        elif method == "Runtime.exceptionThrown":
            self.record("error", _exception_text(params["exceptionDetails"]))
        elif method == "Log.entryAdded":
            entry = params["entry"]
            # Chromium asks for an icon that no page mentions; that there is none is no error of the page.
            if entry.get("url", "").endswith("/favicon.ico"):
                return
            text = f"{entry['text']} {entry.get('url', '')}".rstrip()
            self.record(LEVELS.get(entry["level"], "info"), text)


class Chromium(Browser):
    """A running Chromium."""

    name = "chromium"

    def __init__(self) -> None:
        self._channel: Channel | None = None
        self._pages: dict[str, ChromiumPage] = {}

    def attach(self, channel: Channel) -> None:
        """Use `channel` from now on; it must deliver its events to `handle`."""
        self._channel = channel

    def handle(self, message: Json) -> None:
        """Give one event to the page it is about."""
        page = self._pages.get(message.get("sessionId", ""))
        if page is not None:
            page.handle(message["method"], message["params"])

    async def new_page(self, url: str, *, preload: str = "() => {}") -> ChromiumPage:
        """Open a page in a browser context (and so a window) of its own and load `url`; see `Browser`."""
        assert self._channel is not None
        call = self._channel.call
        context = (await call("Target.createBrowserContext", {"disposeOnDetach": True}))["browserContextId"]
        target = (
            await call(
                "Target.createTarget", {"url": "about:blank", "browserContextId": context, "newWindow": True}
            )
        )["targetId"]
        session = (await call("Target.attachToTarget", {"targetId": target, "flatten": True}))["sessionId"]
        page = self._pages[session] = ChromiumPage(self._channel, context, target, session)
        for domain in ("Page", "Runtime", "Log"):
            await call(f"{domain}.enable", sessionId=session)
        await call("Page.addScriptToEvaluateOnNewDocument", {"source": f"({preload})()"}, sessionId=session)
        await page.goto(url)
        return page


@asynccontextmanager
async def open_chromium(
    *, flags: Sequence[str] = (), media: bool = True, host: Host = HERE
) -> AsyncIterator[Chromium]:
    """Run a headless Chromium with a fresh profile on `host` for the length of the block.

    `flags` are added to `FLAGS`. Without `media` it has no camera and may not use any, and so it hides its
    addresses behind mDNS names.
    """
    with tempfile.TemporaryDirectory(prefix="sfu-chromium-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        profile = folder / "profile"
        flags = (*FLAGS, *(MEDIA_FLAGS if media else ()), *flags)
        command = [EXECUTABLE, *flags, f"--user-data-dir={profile}", "about:blank"]
        async with running(command, folder, host=host, end=signal.SIGKILL) as child:
            with trio.fail_after(START_SECONDS):
                url = await poll(lambda: _debugger_url(profile), child)
            browser = Chromium()
            async with open_channel(url, browser.handle, host=host) as channel:
                browser.attach(channel)
                yield browser


def _debugger_url(profile: Path) -> str | None:
    """Return the browser's WebSocket address once it is known: two lines, the port and the path."""
    try:
        lines = (profile / "DevToolsActivePort").read_text().split()
    except FileNotFoundError:
        return None
    return f"ws://127.0.0.1:{lines[0]}{lines[1]}" if len(lines) == 2 else None


def _exception_text(details: Json) -> str:
    """Return a JavaScript error as a person would see it in the console."""
    exception = details.get("exception", {})
    return str(exception.get("description") or exception.get("value") or details["text"])
