"""A call over a network that loses packets: lost media is asked for again, and nobody notices."""

from collections.abc import AsyncIterator

import pytest
from browser.chromium import Chromium
from browser.participant import enter
from browser.relay import LossyRelay, host_address, open_relay
from browser.sfu_process import SfuProcess, free_udp_port, open_sfu

pytestmark = pytest.mark.browser

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


async def test_video_recovers_from_loss(
    lossy_server: tuple[SfuProcess, LossyRelay], chromium: Chromium
) -> None:
    """Ten seconds with 5 % loss each way: frames go on, NACKs bring back what was lost, no long freeze."""
    server, relay = lossy_server
    anna, ben = await enter(server, chromium, "Anna"), await enter(server, chromium, "Ben")
    await anna.join("loss")
    await ben.join("loss")
    await ben.sees_and_hears(anna)

    relay.loss = LOSS
    start = (await ben.snapshot()).received["Anna", "camera"]
    now = await ben.until(
        lambda now: now.received["Anna", "camera"].frames >= start.frames + 300,
        "ten seconds of video in spite of the loss",
        seconds=20,
    )
    end = now.received["Anna", "camera"]
    assert relay.lost > 50
    assert end.nacks > start.nacks
    # Key frames are for what retransmission could not bring back: they must stay the exception.
    assert end.plis - start.plis <= 3
    assert end.freezes - start.freezes <= 1
    await ben.sees_and_hears(anna, sources=("mic",))
    # Publisher and server: the publisher was asked too, and answered.
    camera = (await anna.snapshot()).sending["camera"]
    assert camera["nackCount"] > 0
    assert camera["retransmittedPacketsSent"] > 0

    relay.loss = 0.0
    await ben.sees_and_hears(anna)
    await anna.sees_and_hears(ben)
