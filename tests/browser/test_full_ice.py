"""Browsers in calls with a full ICE server: directly, by mDNS names, and through TURN alone."""

import functools
from collections.abc import Mapping
from pathlib import Path

import pytest
import trio
from browser.chromium import Chromium
from browser.firefox import Firefox
from browser.namespaces import SERVER_ADDRESS, open_network
from browser.participant import Participant, enter
from browser.sfu_process import open_sfu
from browser.test_calls import call, everybody_sees_everybody, nobody_complains
from browser.trusting import Opener, trusting_chromium, trusting_firefox
from support.coturn import coturn

from sfu.ice.path import Address
from sfu.shell.media.addresses import announced_hosts

pytestmark = pytest.mark.browser

FULL: Mapping[str, str] = {"SFU_ICE_MODE": "full", "SFU_LOG_LEVEL": "debug"}
RELAY: Mapping[str, str] = {**FULL, "SFU_ICE_POLICY": "relay"}

REACHED = announced_hosts(Address("0.0.0.0", 0))[0]
"""The address of this host that a browser uses first. Firefox does not talk to a TURN server on loopback."""

FAILOVER = 40.0
"""Seconds: the library notices after about 10, and the dead server is given 5 for its answer."""


WALL = """
table ip wall {
  chain in {
    type filter hook input priority filter;
    iifname "first" udp dport != 5353 ct state new drop;
  }
}
"""
"""Drops all datagrams from the client except mDNS and replies to what the server has sent."""


async def test_directly(chromium: Chromium, firefox: Firefox) -> None:
    async with open_sfu(FULL) as server:
        anna, ben = await call(server, "direct", (chromium, "Anna"), (firefox, "Ben"))
        await everybody_sees_everybody(anna, ben)
        await nobody_complains(anna, ben)


async def _is_found_by_name(opener: Opener) -> None:
    """Have the server reach a browser that hides its address, and that cannot reach it first."""
    settings = {**FULL, "SFU_HTTP_ADDR": f"{SERVER_ADDRESS}:0", "SFU_ANNOUNCED_IPS": SERVER_ADDRESS}
    async with open_network() as network:
        await network.server.ip("route add 224.0.0.0/4 dev first")
        await network.server.run("nft", "-f", "-", stdin=WALL)
        async with (
            open_sfu(settings, host=network.server) as server,
            trusting_chromium(network.server, server) as near,
            opener(network.client, server) as hidden,
        ):
            anna, ben = await enter(server, hidden, "Anna"), await enter(server, near, "Ben")
            await ben.join("hidden")
            # Browsers hide the addresses of pages that have asked for neither camera nor microphone.
            await anna.join("hidden", publish=())
            await anna.sees_and_hears(ben)
            await nobody_complains(anna, ben)
            assert "mDNS name resolved" in {record["event"] for record in server.log()}


async def test_hidden_addresses_chromium(namespaces: None, deadline: None) -> None:
    await _is_found_by_name(functools.partial(trusting_chromium, media=False))


async def test_hidden_addresses_firefox(namespaces: None, deadline: None) -> None:
    await _is_found_by_name(trusting_firefox)


async def test_through_turn_alone(chromium: Chromium, firefox: Firefox, tmp_path: Path) -> None:
    """The server has only relayed candidates; its credentials are made from the TURN server's secret."""
    secret = "a secret that the TURN server shares"
    relay = coturn(tmp_path, host=REACHED, secret=secret)
    async with relay as turn:
        settings = {"SFU_STUN_URLS": turn.stun, "SFU_TURN_URLS": turn.turn(), "SFU_TURN_SECRET": secret}
        await _call_by_relay({**RELAY, **settings}, chromium, firefox)


async def _call_by_relay(settings: dict[str, str], chromium: Chromium, firefox: Firefox) -> None:
    async with open_sfu(settings) as server:
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
            server.expected_log += ["TURN server not usable", "all clients get one TURN password"]
            anna, ben = await call(server, "failover", (chromium, "Anna"), (chromium, "Ben"))
            await everybody_sees_everybody(anna, ben)
            await one.die()
            async with trio.open_nursery() as nursery:
                for receiver, publisher in ((anna, ben), (ben, anna)):
                    nursery.start_soon(_comes_back, receiver, publisher)


async def _comes_back(receiver: Participant, publisher: Participant) -> None:
    """Assert that the connection breaks and media then flows again, on the same RTCPeerConnection."""
    await receiver.until(lambda now: now.connection != "connected", "the break is noticed", seconds=FAILOVER)
    await receiver.sees_and_hears(publisher, seconds=FAILOVER)
    assert (await receiver.snapshot()).connections == 1
