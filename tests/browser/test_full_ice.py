"""Browsers in calls with a server whose ICE agents are full ones: directly, and through TURN alone."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import trio
from browser.chromium import Chromium
from browser.firefox import Firefox
from browser.participant import Participant
from browser.sfu_process import open_sfu
from browser.test_calls import call, everybody_sees_everybody, nobody_complains
from support.coturn import coturn

from sfu.addresses import announced_hosts
from sfu.ice.path import Address

pytestmark = pytest.mark.browser

FULL: Mapping[str, str] = {"SFU_ICE_MODE": "full", "SFU_LOG_LEVEL": "debug"}
RELAY: Mapping[str, str] = {**FULL, "SFU_ICE_POLICY": "relay"}

REACHED = announced_hosts(Address("0.0.0.0", 0))[0]
"""The address of this host that a browser uses first. Firefox does not talk to a TURN server on loopback."""

FAILOVER = 40.0
"""Seconds: the library notices after about 10, and the dead server is given 5 for its answer."""


async def test_directly(chromium: Chromium, firefox: Firefox) -> None:
    """Firefox hides its addresses: the server resolves their mDNS names, or hears a check from there first."""
    async with open_sfu(FULL) as server:
        anna, ben = await call(server, "direct", (chromium, "Anna"), (firefox, "Ben"))
        await everybody_sees_everybody(anna, ben)
        await nobody_complains(anna, ben)


async def test_through_turn_alone(chromium: Chromium, firefox: Firefox, tmp_path: Path) -> None:
    """The server has no candidates but relayed ones."""
    relay = coturn(tmp_path, host=REACHED)
    async with relay as turn, open_sfu({**RELAY, **turn.settings()}) as server:
        anna, ben = await call(server, "relayed", (chromium, "Anna"), (firefox, "Ben"))
        await everybody_sees_everybody(anna, ben)
        await nobody_complains(anna, ben)


async def test_a_turn_server_dies_in_a_call(chromium: Chromium, tmp_path: Path) -> None:
    """An ICE restart finds the next one, and the same RTCPeerConnections go on."""
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    async with coturn(tmp_path / "one", host=REACHED) as one, coturn(tmp_path / "other", host=REACHED) as other:
        settings = {**RELAY, **one.settings(), "SFU_TURN_URLS": f"{one.turn()},{other.turn()}"}
        async with open_sfu(settings) as server:
            server.expected_log.append("TURN server of no use")
            anna, ben = await call(server, "failover", (chromium, "Anna"), (chromium, "Ben"))
            await everybody_sees_everybody(anna, ben)
            await one.die()
            async with trio.open_nursery() as nursery:
                for receiver, publisher in ((anna, ben), (ben, anna)):
                    nursery.start_soon(_comes_back, receiver, publisher)


async def _comes_back(receiver: Participant, publisher: Participant) -> None:
    """Assert that media flows again, later than what was still on its way."""
    await receiver.until(lambda now: now.connection != "connected", "the break is noticed", seconds=FAILOVER)
    await receiver.sees_and_hears(publisher, seconds=FAILOVER)
    assert (await receiver.snapshot()).connections == 1
