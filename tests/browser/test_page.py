"""The page that people open: form, tiles, buttons; through the DOM, as a person uses it."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from browser.chromium import Chromium
from browser.firefox import Firefox
from browser.page import Page
from browser.sfu_process import SfuProcess
from browser.tcp_relay import open_tcp_relay

pytestmark = pytest.mark.browser

TILES = """
() => Object.fromEntries(
  [...document.querySelectorAll("#tiles .tile")].map((tile) => {
    const video = tile.querySelector("video");
    return [tile.querySelector(".name").textContent, {
      playing: !video.paused && video.videoWidth > 0 && video.currentTime > 0.5,
      sounds: [...tile.querySelectorAll("audio")].filter((audio) => audio.currentTime > 0.5).length,
      muted: tile.classList.contains("is-muted"),
      off: tile.classList.contains("picture-off"),
      away: tile.classList.contains("is-away"),
    }];
  }),
)
"""

CLICK = "(selector) => document.querySelector(selector).click()"

PRESENT = {"playing": True, "sounds": 1, "muted": False, "off": False, "away": False}


WATCH_CONNECTIONS = """
() => {
  window.connections = [];
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...parameters) {
      super(...parameters);
      window.connections.push(this);
    }
  };
}
"""

STATISTICS = """
async () => Promise.all(window.connections.map(async (connection) => ({
  state: connection.connectionState,
  local: connection.localDescription?.sdp,
  remote: connection.remoteDescription?.sdp,
  statistics: [...(await connection.getStats()).values()],
})))
"""


@asynccontextmanager
async def evidence_of_failure(folder: Path, **pages: Page) -> AsyncIterator[None]:
    """Save what each page shows and what its connections know when the block fails."""
    await trio.lowlevel.checkpoint()
    try:
        yield
    except AssertionError:
        with trio.move_on_after(10, shield=True):
            for name, page in pages.items():
                (folder / f"{name}.png").write_bytes(await page.screenshot())
                (folder / f"{name}.json").write_text(json.dumps(await page.evaluate(STATISTICS), indent=1))
            print("screenshots and statistics are in", folder)
        raise


async def tiles_become(page: Page, expected: dict[str, Any], *, seconds: float = 15) -> None:
    """Wait until the tiles by their names are as expected."""
    tiles = None
    with trio.move_on_after(seconds):
        while tiles != expected:
            tiles = await page.evaluate(TILES)
            await trio.sleep(0.1)
    assert tiles == expected, page.log


async def test_a_call_by_hand(server: SfuProcess, chromium: Chromium, firefox: Firefox, tmp_path: Path) -> None:
    """One joins by a link with autojoin, one by the form; they see each other, mute, and one leaves."""
    anna = await chromium.new_page(f"{server.url}/?room=page&name=Anna&autojoin=1", preload=WATCH_CONNECTIONS)
    ben = await firefox.new_page(f"{server.url}/?room=page", preload=WATCH_CONNECTIONS)
    async with evidence_of_failure(tmp_path, anna=anna, ben=ben):
        await ben.evaluate(
            "(name) => { document.querySelector('#name').value = name;"
            " document.querySelector('#join').requestSubmit(); }",
            "Ben",
        )
        self_tile = {**PRESENT, "sounds": 0}
        await tiles_become(anna, {"Anna (you)": self_tile, "Ben": PRESENT})
        await tiles_become(ben, {"Ben (you)": self_tile, "Anna": PRESENT})

        await ben.evaluate(CLICK, "#call [data-source=mic]")
        await tiles_become(anna, {"Anna (you)": self_tile, "Ben": {**PRESENT, "muted": True}})
        await ben.evaluate(CLICK, "#call [data-source=mic]")
        await tiles_become(anna, {"Anna (you)": self_tile, "Ben": PRESENT})

        await ben.evaluate(CLICK, "#leave")
        await tiles_become(anna, {"Anna (you)": self_tile})
        assert await ben.evaluate("() => document.querySelector('#call') === null")
        assert anna.errors() == ben.errors() == []


async def test_reload_and_broken_connection(server: SfuProcess, chromium: Chromium, tmp_path: Path) -> None:
    """A reloaded page rejoins by itself; both pages show a broken connection, and that it is back."""
    self_tile = {**PRESENT, "sounds": 0}
    async with open_tcp_relay(server.url) as (relay, url):
        anna = await chromium.new_page(f"{server.url}/?room=page&name=Anna&autojoin=1")
        ben = await chromium.new_page(f"{url}/?room=page&name=Ben&autojoin=1")
        async with evidence_of_failure(tmp_path, anna=anna, ben=ben):
            await tiles_become(anna, {"Anna (you)": self_tile, "Ben": PRESENT})
            await ben.reload()
            await tiles_become(ben, {"Ben (you)": self_tile, "Anna": PRESENT})
            await tiles_become(anna, {"Anna (you)": self_tile, "Ben": PRESENT})

            relay.cut()
            await tiles_become(anna, {"Anna (you)": self_tile, "Ben": {**PRESENT, "away": True}})
            await tiles_become(ben, {"Ben (you)": {**self_tile, "away": True}, "Anna": PRESENT})
            relay.restore()
            await tiles_become(anna, {"Anna (you)": self_tile, "Ben": PRESENT})
            await tiles_become(ben, {"Ben (you)": self_tile, "Anna": PRESENT})
            assert await ben.evaluate("() => document.querySelector('#notice').hidden")
            assert anna.errors() == []


FIGURES = """
() => [...document.querySelectorAll("#details tbody tr")].map((row) => row.textContent)
"""

EVENTS = """
() => [...document.querySelectorAll("#details .events li")].map((entry) => entry.lastChild.textContent.trim())
"""

PICTURE_OF_BEN = "[aria-label='Receive the picture of Ben']"


async def test_choosing_what_is_received(server: SfuProcess, chromium: Chromium, tmp_path: Path) -> None:
    """One stops receiving somebody's picture, sees that in figures and events, and receives it again."""
    anna = await chromium.new_page(f"{server.url}/?room=page&name=Anna&autojoin=1", preload=WATCH_CONNECTIONS)
    ben = await chromium.new_page(f"{server.url}/?room=page&name=Ben&autojoin=1", preload=WATCH_CONNECTIONS)
    async with evidence_of_failure(tmp_path, anna=anna, ben=ben):
        self_tile = {**PRESENT, "sounds": 0}
        await tiles_become(anna, {"Anna (you)": self_tile, "Ben": PRESENT})

        await anna.evaluate(CLICK, "#details-button")
        await rows_become(anna, r"Benmicrophone, opus\d+ kbit/s0.0 %", r"Bencamera, VP8.*\d+×\d+\d+ frames/s")
        await anna.evaluate(CLICK, PICTURE_OF_BEN)
        await tiles_become(anna, {"Anna (you)": self_tile, "Ben": {**PRESENT, "playing": False}})
        await rows_become(anna, r"Benmicrophone, opus\d+ kbit/s0.0 %")
        await anna.evaluate(CLICK, PICTURE_OF_BEN)
        await tiles_become(anna, {"Anna (you)": self_tile, "Ben": PRESENT})

        await anna.evaluate(CLICK, "#tab-events")
        events = await anna.evaluate(EVENTS)
        camera = [event for event in events if event.startswith("Ben’s camera is")]
        assert camera[-3:] == [
            "Ben’s camera is received.",
            "Ben’s camera is no longer received.",
            "Ben’s camera is received.",
        ]
        assert anna.errors() == ben.errors() == []


async def rows_become(page: Page, *patterns: str, seconds: float = 15) -> None:
    """Wait until exactly these rows stand in the table of what is received from Ben, in any order."""
    rows: list[str] = []
    with trio.move_on_after(seconds):
        while not _match(rows, patterns):
            rows = [row for row in await page.evaluate(FIGURES) if row.startswith("Ben")]
            await trio.sleep(0.1)
    assert _match(rows, patterns), rows


def _match(rows: list[str], patterns: tuple[str, ...]) -> bool:
    return len(rows) == len(patterns) and all(
        any(re.fullmatch(pattern, row) for row in rows) for pattern in patterns
    )
