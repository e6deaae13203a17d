"""A client loses its address in a call: how soon does media flow over another path?

Anna moves, Ben does not. What counts is when packets come to the server and to Anna without holes again, and
when moving pictures are seen again at both ends. The numbers of a quiet machine are in docs/sessions.md.
"""

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import urlsplit

import pytest
import trio
from browser.arrivals import Arrivals, watch_arrivals
from browser.namespaces import SERVER_ADDRESS, Network, open_network
from browser.participant import Participant, Snapshot, enter
from browser.sfu_process import SfuProcess, open_sfu
from browser.trusting import Opener, trusting_chromium, trusting_firefox

pytestmark = [pytest.mark.browser, pytest.mark.alone]

HOLE = 0.4
"""Seconds without a packet or a picture that are no longer jitter, even on a busy machine."""

SOON = 2.0
"""Seconds that a client may take that is told of the change; half a second is usual."""

CHROMIUM_NOTICES = 6.5
"""Seconds until Chromium gathers on an interface that appeared when another went; it waits before it does.
Mostly that takes 1.6 or 3.3 s, now and then 6.2; to ask for ICE restarts more often changes nothing."""

REFOCUS = 4.0
"""Seconds that Chromium's encoder may take after a long silence of the path: it starts from a low rate."""

NEXT_TRY = 2.0
"""Seconds between two tries of a client that is not told that there is a network again, as in Firefox."""

NEXT_CHECK = 8.0
"""Seconds within which every browser checks for consent (RFC 7675: 5 s, up to 20 % more), and some leeway."""

WATCH = """() => {
  window.shown = [];
  for (const video of document.querySelectorAll("video")) {
    const note = () => { window.shown.push(Date.now() / 1000); video.requestVideoFrameCallback(note); };
    video.requestVideoFrameCallback(note);
  }
}"""
"""Records from now on when a frame of a remote video is shown."""

REMAP = """
flush ruleset
table ip nat {
  chain unasked { type filter hook input priority filter; meta l4proto udp ct state new drop; }
  chain out { type nat hook postrouting priority srcnat; meta l4proto udp snat to :30000-30999; }
}
"""
"""A NAT that assigns new ports and drops datagrams that no earlier outgoing datagram allows."""


@dataclass(slots=True)
class Call:
    """Two in a room, of whom one moves."""

    network: Network
    server: SfuProcess
    anna: Participant
    ben: Participant
    at_server: Arrivals
    at_anna: Arrivals

    async def flows(self) -> None:
        """Wait until each sees and hears the other."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.anna.sees_and_hears, self.ben)
            nursery.start_soon(self.ben.sees_and_hears, self.anna)

    async def survives(
        self, what: str, change: Callable[[], Awaitable[None]], record: Callable[[str, object], None]
    ) -> tuple[dict[str, float], Snapshot]:
        """Make a change that ends with a working path, and wait until media flows again.

        Returns the seconds from then until it did, by where one looks, and what Anna sees.
        """
        await self.anna.page.evaluate(WATCH)
        await self.ben.page.evaluate(WATCH)
        await trio.sleep(HOLE)
        began = time.time()
        await change()
        works = time.time()
        await self.flows()
        await trio.sleep(2 * HOLE)
        times = {
            "at_server": self.at_server.times,
            "at_client": self.at_anna.times,
            "seen_by_other": await self.ben.page.evaluate("() => window.shown"),
            "seen_by_client": await self.anna.page.evaluate("() => window.shown"),
        }
        gaps = {where: recovered(times[where], began) - works for where in times}
        for where, gap in gaps.items():
            print(f"{self.anna.browser}, {what}, {where}: {gap:.2f} s")
            record(f"{what}_{where}_{self.anna.browser}_s", round(gap, 3))
        snapshot = await self.anna.snapshot()
        assert (snapshot.state, snapshot.connections, snapshot.errors) == ("joined", 1, [])
        assert (await self.ben.snapshot()).suspended == []
        return gaps, snapshot

    async def counter(self, name: str) -> int:
        """Return a counter of the server's metrics."""
        ready = next(record for record in self.server.log() if record["event"] == "admin port open")
        where = urlsplit(ready["url"])
        assert where.hostname is not None
        assert where.port is not None
        stream = await self.network.server.open_tcp_stream(where.hostname, where.port)
        async with stream:
            await stream.send_all(
                f"GET /metrics HTTP/1.1\r\nHost: {where.netloc}\r\nConnection: close\r\n\r\n".encode()
            )
            text = b"".join([chunk async for chunk in stream]).decode()
        found = re.search(rf"^{name} ([0-9.]+)", text, re.MULTILINE)
        assert found is not None, text
        return round(float(found[1]))

    async def rebind(self) -> None:
        """A NAT forgets Anna's ports."""
        await self.network.client.run("nft", "-f", "-", stdin=REMAP)
        await self.network.client.run("conntrack", "--flush")

    async def move(self) -> None:
        """One address goes and another one appears at the same moment."""
        await self.network.client.ip(*self.network.first.down(), *self.network.second.up())

    async def be_away(self) -> None:
        """There is no address for some time, then a third one."""
        await self.network.client.ip(*self.network.second.down())
        await trio.sleep(8)
        await self.network.client.ip(*self.network.first.up(77))


def recovered(times: Sequence[float], began: float) -> float:
    """Return when the last hole after `began` ended; `began` itself if there was none."""
    holes = [after for before, after in pairwise(times) if after > began and after - before > HOLE]
    return max(holes, default=began)


@asynccontextmanager
async def opened_call(opener: Opener) -> AsyncIterator[Call]:
    """Run a server, two browsers and their call for the length of the block."""
    settings = {"SFU_HTTP_ADDR": f"{SERVER_ADDRESS}:0", "SFU_ANNOUNCED_IPS": SERVER_ADDRESS}
    async with AsyncExitStack() as stack:
        network = await stack.enter_async_context(open_network())
        at_server = await stack.enter_async_context(watch_arrivals(network.server))
        at_anna = await stack.enter_async_context(watch_arrivals(network.client))
        server = await stack.enter_async_context(open_sfu(settings, host=network.server))
        anchored = await stack.enter_async_context(trusting_chromium(network.server, server))
        moving = await stack.enter_async_context(opener(network.client, server))
        anna, ben = await enter(server, moving, "Anna"), await enter(server, anchored, "Ben")
        await anna.join("moving")
        await ben.join("moving")
        call = Call(network, server, anna, ben, at_server, at_anna)
        await call.flows()
        yield call


RESTARTS = "sfu_ice_restarts_total"
PATH_CHANGES = "sfu_ice_path_changes_total"


async def _moves(
    opener: Opener, limits: Mapping[str, tuple[float, float]], record: Callable[[str, object], None]
) -> None:
    """Make all changes one after the other; it stays the same peer on the same connection."""
    async with opened_call(opener) as call:
        before = await call.anna.snapshot()
        paths = await call.counter(PATH_CHANGES)

        gaps, now = await call.survives("rebinding", call.rebind, record)
        # The server follows the client's checks to the new ports, without any signaling.
        assert await call.counter(PATH_CHANGES) > paths
        assert await call.counter(RESTARTS) == 0
        assert (now.negotiations, now.states) == (before.negotiations, before.states)
        assert max(gaps.values()) < NEXT_CHECK
        await call.network.client.run("nft", "flush", "ruleset")
        await call.network.client.run("conntrack", "--flush")

        for what, change in (("move", call.move), ("away", call.be_away)):
            restarts = await call.counter(RESTARTS)
            gaps, now = await call.survives(what, change, record)
            assert await call.counter(RESTARTS) > restarts
            assert now.session == before.session
            assert {key: track.mid for key, track in now.received.items()} == {
                key: track.mid for key, track in before.received.items()
            }
            packets, pictures = limits[what]
            assert max(gaps["at_server"], gaps["at_client"]) < packets
            assert max(gaps["seen_by_other"], gaps["seen_by_client"]) < pictures


async def test_moves_chromium(
    namespaces: None, deadline: None, record_property: Callable[[str, object], None]
) -> None:
    limits = {
        "move": (CHROMIUM_NOTICES + SOON, CHROMIUM_NOTICES + SOON + REFOCUS),
        "away": (SOON, SOON + REFOCUS),
    }
    await _moves(trusting_chromium, limits, record_property)


async def test_moves_firefox(
    namespaces: None, deadline: None, record_property: Callable[[str, object], None]
) -> None:
    limits = {"move": (SOON, 2 * SOON), "away": (NEXT_TRY + SOON, NEXT_TRY + 2 * SOON)}
    await _moves(trusting_firefox, limits, record_property)
