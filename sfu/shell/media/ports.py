"""What the settings say about media: its ports, the candidates, and the STUN and TURN servers for clients."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Protocol

from sfu.ice.path import Address
from sfu.shell.config.settings import Settings, as_config_error
from sfu.shell.media.addresses import announced_candidates, announced_hosts
from sfu.shell.media.peer_sockets import PeerSockets
from sfu.shell.media.tcp import IceTcp
from sfu.shell.media.udp import MediaSocket, Receive
from sfu.transport.egress import Egress


class MediaPorts(Protocol):
    """What receives and sends datagrams: a `MediaSocket`, `PeerSockets`, or memory in a test."""

    address: Address
    egress: Egress

    async def run(self, receive: Receive, after_batch: Callable[[float], None]) -> None:
        """Receive until cancelled; see `MediaSocket.run`."""


@contextmanager
def open_media(settings: Settings) -> Iterator[tuple[MediaSocket | PeerSockets, IceTcp | None]]:
    """Bind the two ports for media. With full ICE agents there are none: each peer has its own sockets.

    Raises:
        ConfigError: a port cannot be bound.
    """
    if settings.ice_mode == "full":
        yield PeerSockets(settings.udp_addr.host), None
        return
    with as_config_error("ice_tcp_addr", settings.ice_tcp_addr):
        ice_tcp = IceTcp.open(settings.ice_tcp_addr, max_connections=settings.max_connections)
    with ice_tcp:
        with as_config_error("udp_addr", settings.udp_addr):
            media = MediaSocket.open(*settings.udp_addr, sink=ice_tcp)
        with media:
            yield media, ice_tcp


def candidates(settings: Settings, media: MediaPorts, tcp: Address | None) -> tuple[str, ...]:
    """Return the candidates of every session description. Full ICE agents gather their own, so then none.

    `tcp` is the address of the TCP port for media, if there is one.
    """
    if isinstance(media, PeerSockets):
        return ()
    return announced_candidates(settings.announced_ips, media.address, tcp)


def agent_hosts(settings: Settings) -> tuple[str, ...]:
    """Return the addresses on which a full agent opens sockets.

    Each address costs each peer a socket, so loopback is left out if there is another one.
    """
    if settings.announced_ips:
        return settings.announced_ips
    hosts = announced_hosts(Address(*settings.udp_addr))
    return tuple(host for host in hosts if not ip_address(host).is_loopback) or hosts
