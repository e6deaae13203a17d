"""Firefox, driven over WebDriver BiDi (https://w3c.github.io/webdriver-bidi/)."""

import base64
import json
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import trio
from browser.page import Browser, Page, call_with_json
from browser.process import HERE, Host, poll, running
from browser.rpc import Channel, DriverError, Json, open_channel

__all__ = ["Firefox", "open_firefox"]

EXECUTABLE = "firefox-esr"

START_SECONDS = 30.0
"""Bound for start-up. One or two seconds are usual; the rest is for a busy machine."""

PREFERENCES: Mapping[str, bool | int | str] = {
    # A generated camera and microphone, and no permission prompt.
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    "media.getusermedia.screensharing.enabled": True,
    "media.autoplay.default": 0,
    "media.autoplay.blocking_policy": 0,
    # Only what the test loads may use the network or the processor.
    "app.normandy.enabled": False,
    "app.update.disabledForTesting": True,
    "browser.aboutwelcome.enabled": False,
    "browser.newtabpage.activity-stream.feeds.section.topstories": False,
    "browser.newtabpage.enabled": False,
    "browser.region.network.url": "",
    "browser.safebrowsing.downloads.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.search.update": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "browser.startup.page": 0,
    "datareporting.healthreport.uploadEnabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "dom.push.connection.enabled": False,
    "extensions.getAddons.cache.enabled": False,
    "extensions.systemAddon.update.enabled": False,
    "extensions.update.enabled": False,
    "geo.provider.testing": True,
    "media.gmp-manager.updateEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "toolkit.telemetry.enabled": False,
    "toolkit.telemetry.server": "",
    # Several pages share one browser: none of them is to be throttled as "in the background".
    "dom.min_background_timeout_value": 4,
    "dom.timeout.enable_budget_timer_throttling": False,
    "widget.windows.window_occlusion_tracking.enabled": False,
}

LEVELS = {"debug": "debug", "info": "info", "warn": "warning", "error": "error"}
"""Log levels of BiDi by our names."""


class FirefoxPage(Page):
    """A tab: one browsing context in a user context (container) of its own."""

    def __init__(self, channel: Channel, user_context: str, context: str) -> None:
        super().__init__()
        self._channel = channel
        self._user_context = user_context
        self._context = context

    async def _call(self, method: str, params: Json) -> Json:
        return await self._channel.call(method, {"context": self._context, **params})

    async def goto(self, url: str) -> None:
        """Load `url`; raises DriverError when it cannot be reached."""
        await self._call("browsingContext.navigate", {"url": url, "wait": "complete"})

    async def reload(self) -> None:
        """Load the page again."""
        await self._call("browsingContext.reload", {"wait": "complete"})

    async def evaluate(self, function: str, *arguments: Any) -> Any:
        """Call a JavaScript function; see `Page.evaluate`. It counts as a user's gesture."""
        reply = await self._channel.call(
            "script.callFunction",
            {
                "functionDeclaration": call_with_json(function),
                "arguments": [{"type": "string", "value": json.dumps(arguments)}],
                "awaitPromise": True,
                "target": {"context": self._context},
                "userActivation": True,
            },
        )
        if reply["type"] == "exception":
            raise DriverError(reply["exceptionDetails"]["text"])
        value = reply["result"].get("value")
        return None if value is None else json.loads(value)

    async def screenshot(self) -> bytes:
        """Return the visible part of the page as a PNG file."""
        return base64.b64decode((await self._call("browsingContext.captureScreenshot", {}))["data"])

    async def close(self) -> None:
        """Close the tab and forget its storage."""
        await self._call("browsingContext.close", {})
        await self._channel.call("browser.removeUserContext", {"userContext": self._user_context})


class Firefox(Browser):
    """A running Firefox."""

    name = "firefox"

    def __init__(self) -> None:
        self._channel: Channel | None = None
        self._pages: dict[str, FirefoxPage] = {}

    def attach(self, channel: Channel) -> None:
        """Use `channel` from now on; it must deliver its events to `handle`."""
        self._channel = channel

    def handle(self, message: Json) -> None:
        """Give one event (only log entries are subscribed to) to the page it is about."""
        params = message["params"]
        page = self._pages.get(params.get("source", {}).get("context", ""))
        if page is not None and message["method"] == "log.entryAdded":
            page.record(LEVELS[params["level"]], str(params["text"]))

    async def new_page(self, url: str, *, preload: str = "() => {}") -> FirefoxPage:
        """Open a page in a window and a container of its own and load `url`; see `Browser`."""
        assert self._channel is not None
        call = self._channel.call
        user = (await call("browser.createUserContext"))["userContext"]
        # A window each: a tab behind another one is hidden, and a hidden page is throttled.
        context = (await call("browsingContext.create", {"type": "window", "userContext": user}))["context"]
        page = self._pages[context] = FirefoxPage(self._channel, user, context)
        await call("script.addPreloadScript", {"functionDeclaration": preload, "contexts": [context]})
        await page.goto(url)
        return page


@asynccontextmanager
async def open_firefox(
    *, preferences: Mapping[str, bool | int | str] = MappingProxyType({}), host: Host = HERE
) -> AsyncIterator[Firefox]:
    """Run a headless Firefox with a fresh profile on `host` for the length of the block.

    `preferences` are added to `PREFERENCES`.
    """
    with tempfile.TemporaryDirectory(prefix="sfu-firefox-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        profile = folder / "profile"
        profile.mkdir()
        chosen = {**PREFERENCES, **preferences}
        lines = (f"user_pref({json.dumps(key)}, {json.dumps(value)});\n" for key, value in chosen.items())
        (profile / "user.js").write_text("".join(lines))
        command = [
            EXECUTABLE,
            "--headless",
            "--no-remote",
            "--remote-debugging-port=0",
            "--profile",
            str(profile),
        ]
        async with running(command, folder, host=host, end=signal.SIGKILL) as child:
            with trio.fail_after(START_SECONDS):
                url = await poll(lambda: _bidi_url(profile), child)
            browser = Firefox()
            async with open_channel(url, browser.handle, host=host) as channel:
                await channel.call("session.new", {"capabilities": {}})
                await channel.call("session.subscribe", {"events": ["log.entryAdded"]})
                browser.attach(channel)
                yield browser


def _bidi_url(profile: Path) -> str | None:
    """Return the WebSocket address once Firefox has written it (it may be caught half written)."""
    try:
        server = json.loads((profile / "WebDriverBiDiServer.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return f"ws://{server['ws_host']}:{server['ws_port']}/session"
