"""Calls through TCP: browsers that UDP does not reach, from the start or in the middle of a call."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from random import Random

import pytest
import trio
from browser.chromium import Chromium
from browser.firefox import Firefox
from browser.page import Browser
from browser.participant import Participant, enter
from browser.relay import host_address, open_relay
from browser.sfu_process import SfuProcess, free_udp_port, open_sfu
from browser.tcp_relay import TcpRelay

pytestmark = pytest.mark.browser

FALL_BACK_SECONDS = 30.0
"""Bound for a call to go on by TCP after UDP is cut; a browser takes some seconds to give up a path."""


@pytest.fixture
def host() -> str:
    """An address of this host that is not loopback: Firefox takes no candidates there."""
    address = host_address()
    if address is None:
        pytest.skip("this host has no address beside loopback")
    return address


@asynccontextmanager
async def without_udp(host: str, **settings: str) -> AsyncIterator[SfuProcess]:
    """A server that announces its UDP port on an address where no socket listens."""
    blocked = {
        "SFU_UDP_ADDR": f"127.0.0.1:{free_udp_port()}",
        "SFU_ANNOUNCED_IPS": host,
        "SFU_ICE_TCP_ADDR": f"{host}:0",
    }
    async with open_sfu(blocked | settings) as server:
        yield server


@asynccontextmanager
async def tcp_relay(host: str, port: int, *, chop: Random | None = None) -> AsyncIterator[TcpRelay]:
    """A relay on `host` in front of the same port on loopback."""
    relay = TcpRelay("127.0.0.1", port, local_address=host, chop=chop)
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(trio.serve_tcp, relay.serve, port, host=host))
        yield relay
        nursery.cancel_scope.cancel("the relay is not needed any more")


def free_tcp_port() -> int:
    """Return a TCP port that was free on all addresses a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("0.0.0.0", 0))
        port: int = probe.getsockname()[1]
        return port


async def protocol(participant: Participant) -> str | None:
    """Return what carries a participant's media: ``udp`` or ``tcp``."""
    found: str | None = await participant.page.evaluate("""async () => {
        const report = await window.participant.connection().getStats();
        const all = [...report.values()];
        const id = all.find((one) => one.type === "transport")?.selectedCandidatePairId;
        const pair = report.get(id) ?? all.find((one) => one.type === "candidate-pair" && one.selected);
        return pair ? report.get(pair.remoteCandidateId).protocol : null;
    }""")
    return found


async def call(server: SfuProcess, *people: tuple[Browser, str]) -> list[Participant]:
    """Bring two into a room and wait until both see and hear the other."""
    await trio.lowlevel.checkpoint()
    participants = [await enter(server, browser, name) for browser, name in people]
    for participant in participants:
        await participant.join("tcp")
    await meet(*participants)
    return participants


async def meet(anna: Participant, ben: Participant, *, seconds: float = 15.0) -> None:
    """Assert that media flows both ways from now on."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(anna.sees_and_hears, ben, seconds=seconds))
        nursery.start_soon(partial(ben.sees_and_hears, anna, seconds=seconds))


async def nothing_is_lost(*participants: Participant) -> None:
    """Assert that no participant has lost a packet or reported an error."""
    await trio.lowlevel.checkpoint()
    for participant in participants:
        now = await participant.snapshot()
        assert {key: track.lost for key, track in now.received.items() if track.lost} == {}
        assert (now.connections, now.errors, participant.page.errors()) == (1, [], [])


async def test_firefox_and_chromium_without_udp(
    deadline: None, host: str, firefox: Firefox, chromium: Chromium
) -> None:
    async with without_udp(host) as server:
        anna, ben = await call(server, (firefox, "Anna"), (chromium, "Ben"))
        assert [await protocol(anna), await protocol(ben)] == ["tcp", "tcp"]
        await nothing_is_lost(anna, ben)


async def test_stream_in_pieces(deadline: None, host: str, chromium: Chromium) -> None:
    """Segments that begin and end anywhere, single bytes among them."""
    port = free_tcp_port()
    async with (
        without_udp(host, SFU_ICE_TCP_ADDR=f"127.0.0.1:{port}") as server,
        tcp_relay(host, port, chop=Random(4571)),
    ):
        anna, ben = await call(server, (chromium, "Anna"), (chromium, "Ben"))
        assert [await protocol(anna), await protocol(ben)] == ["tcp", "tcp"]
        await nothing_is_lost(anna, ben)


async def test_udp_ends_and_ice_restart_finds_tcp(deadline: None, host: str, chromium: Chromium) -> None:
    """UDP is preferred while both work. Then nothing does for a moment, and afterwards TCP alone."""
    udp_port, tcp_port = free_udp_port(), free_tcp_port()
    settings = {
        "SFU_UDP_ADDR": f"127.0.0.1:{udp_port}",
        "SFU_ANNOUNCED_IPS": host,
        "SFU_ICE_TCP_ADDR": f"127.0.0.1:{tcp_port}",
    }
    async with (
        open_sfu(settings) as server,
        open_relay(host, udp_port, ("127.0.0.1", udp_port), seed=3) as udp,
        tcp_relay(host, tcp_port) as tcp,
    ):
        anna, ben = await call(server, (chromium, "Anna"), (chromium, "Ben"))
        assert [await protocol(anna), await protocol(ben)] == ["udp", "udp"]
        before = await anna.snapshot()
        tcp.cut()  # the connections that the browsers hold spare
        udp.loss = 1.0
        tcp.restore()
        started = trio.current_time()
        await trio.sleep(1)  # what has arrived is played
        await meet(anna, ben, seconds=FALL_BACK_SECONDS)
        print(f"media by TCP {trio.current_time() - started:.1f} s after UDP was cut")
        assert [await protocol(anna), await protocol(ben)] == ["tcp", "tcp"]
        after = await anna.snapshot()
        assert (after.session, after.connections, after.errors) == (before.session, 1, [])
        assert after.negotiations > before.negotiations
