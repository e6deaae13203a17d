"""A call over a network that loses packets: NACKs bring lost media back, and video does not freeze."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from browser.chromium import Chromium
from browser.firefox import open_firefox
from browser.participant import Participant, enter
from browser.relay import LossyRelay, host_address, open_relay
from browser.sfu_process import SfuProcess, free_udp_port, open_sfu

pytestmark = [pytest.mark.browser, pytest.mark.alone]

LOSS = 0.05
"""Each way: a packet from publisher to receiver survives both with 90 % probability."""


@pytest.fixture
async def lossy_server(deadline: None) -> AsyncIterator[tuple[SfuProcess, LossyRelay]]:
    """A server that browsers reach only through a relay."""
    host = host_address()
    if host is None:
        pytest.skip("this host has no address beside loopback")
    port = free_udp_port()
    settings = {"SFU_UDP_ADDR": f"127.0.0.1:{port}", "SFU_ANNOUNCED_IPS": host}
    async with open_sfu(settings) as server, open_relay(host, port, ("127.0.0.1", port), seed=1) as relay:
        yield server, relay


@pytest.mark.parametrize("receiver", ["chromium", "firefox"])
async def test_video_recovers_from_loss(
    lossy_server: tuple[SfuProcess, LossyRelay], chromium: Chromium, receiver: str
) -> None:
    """Ten seconds with 5 % loss each way: frames go on, NACKs bring back what was lost, no long freeze."""
    server, relay = lossy_server
    async with AsyncExitStack() as stack:
        browser = chromium if receiver == "chromium" else await stack.enter_async_context(open_firefox())
        anna, ben = await enter(server, chromium, "Anna"), await enter(server, browser, "Ben")
        await anna.join("loss")
        await ben.join("loss", publish=())
        await ben.sees_and_hears(anna)
        await recovers(anna, ben, relay)


async def recovers(anna: Participant, ben: Participant, relay: LossyRelay) -> None:
    """Assert that Ben sees Anna while the relay loses packets, by retransmissions more than by key frames."""
    start = (await ben.snapshot()).received["Anna", "camera"]
    relay.loss = LOSS
    now = await ben.until(
        lambda now: now.received["Anna", "camera"].frames >= start.frames + 300,
        "ten seconds of video in spite of the loss",
        seconds=20,
    )
    end = now.received["Anna", "camera"]
    assert relay.lost > 50
    assert end.nacks > start.nacks
    # A key frame is for what retransmission could not bring back: it must stay the exception.
    assert end.plis - start.plis <= 3
    assert end.freezes - start.freezes <= 2
    await ben.sees_and_hears(anna, sources=("mic",))
    # The server sent NACKs for what the publisher's packets lost, and the publisher retransmitted.
    camera = (await anna.snapshot()).sending["camera"]
    assert camera["nackCount"] > 0
    assert camera["retransmittedPacketsSent"] > 0

    relay.loss = 0.0
    await ben.sees_and_hears(anna)
