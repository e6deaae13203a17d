"""A transport in a terrible network, seeded: whatever happens to a call, it goes on when the network does."""

from random import Random

import pytest
from support.media import KEY_FRAME
from support.transport_link import Link, Network, perfect

from sfu.ice.credentials import make_credentials
from sfu.ice.events import IceState
from sfu.ice.path import Address, IcePath
from sfu.rtp.packet import RtpPacket
from sfu.rtp.rtcp import ReceiverReport
from sfu.sdp.codecs import Codec
from sfu.sdp.mline import Receiver

VP8 = Codec(96, "VP8", 90000, feedback=frozenset({"nack", "nack pli"}))
VIDEO = Receiver("0", "video", active=True, codecs=(VP8,), extensions={}, ssrcs=(77,))


def terrible(random: Random) -> Network:
    """Up to half of all datagrams are lost, some come twice, all at their own pace."""
    loss = random.uniform(0.0, 0.5)

    def network(data: bytes) -> list[tuple[float, bytes]]:
        if random.random() < loss:
            return []
        copies = 1 + (random.random() < 0.1)
        return [(random.uniform(0.001, 0.3), data) for _ in range(copies)]

    return network


def silent(data: bytes) -> list[tuple[float, bytes]]:
    """Nothing arrives."""
    return []


def restart(link: Link) -> None:
    """An ICE restart, as signaling would have it."""
    link.transport.restart_ice(make_credentials(link.random.randbytes), link.now)
    link.client.restart_ice()
    link.describe()


def restart_if_failed(link: Link) -> None:
    """What a server does when so many checks were lost that consent has expired."""
    if link.transport.state is IceState.FAILED:
        restart(link)


def disturb(link: Link, random: Random) -> None:
    """One of the things that happen to a call."""
    match random.randrange(4):
        case 0:
            remote = Address("203.0.113.9", random.randrange(1024, 65536))
            link.path = IcePath(link.path.local, remote)
        case 1:
            restart(link)
        case 2:
            before, link.network = link.network, silent
            link.run(random.uniform(0.0, 20.0))
            link.network = before
        case 3:
            link.transport.set_receivers([VIDEO], link.now)


class Publisher:
    """Sends a packet when told, numbered one after the other."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.number = 0

    def send(self) -> int:
        """Send the next packet; its number."""
        self.number += 1
        packet = RtpPacket(96, True, self.number, 3000 * self.number, 77, (), (), KEY_FRAME)
        self.link.client.send_rtp(packet)
        return self.number


@pytest.mark.parametrize("renominates", [True, False], ids=["like-chromium", "like-firefox"])
@pytest.mark.parametrize("seed", range(25))
def test_call_survives(seed: int, renominates: bool) -> None:
    random = Random(seed)
    link = Link(seed=seed)
    link.client.renominates = renominates
    link.transport.set_receivers([VIDEO], link.now)
    link.network = terrible(random)
    link.connect()
    publisher = Publisher(link)
    for _ in range(6):
        for _ in range(20):
            publisher.send()
            link.run(random.uniform(0.0, 0.3))
        disturb(link, random)
        assert not link.transport.ended
        restart_if_failed(link)
    link.network = perfect
    for _ in range(2):
        link.run(10.0)
        restart_if_failed(link)
    link.run(1.0)
    assert link.transport.state is IceState.COMPLETED
    assert link.transport.selected == link.path == link.transport.send_context.path
    link.media.clear()
    last = publisher.send()
    link.client.send_rtcp([ReceiverReport(1)])
    before = link.transport.statistics().rtcp_packets
    link.run(0.1)
    assert [media.rtp.sequence_number for media in link.media] == [last]
    assert link.transport.statistics().rtcp_packets == before + 1
    drops = link.transport.statistics().drops
    assert "srtp-auth" not in drops
    assert link.client.drops.keys() <= {"stun", "srtp-replay", "srtp-replay-old", "srtp-before-keys"}
