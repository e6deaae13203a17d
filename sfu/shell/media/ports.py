"""What the settings say about media: its ports, the addresses that clients are told, and who helps them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Protocol

from sfu.conference.messages import IceServer
from sfu.ice.path import Address
from sfu.shell.config.settings import Settings, as_config_error
from sfu.shell.media.addresses import announced_candidates, announced_hosts
from sfu.shell.media.peer_sockets import PeerSockets
from sfu.shell.media.tcp import IceTcp
from sfu.shell.media.udp import MediaSocket, Receive
from sfu.transport.egress import Egress


class MediaPorts(Protocol):
    """Where datagrams come from and go to: a `MediaSocket`, `PeerSockets`, or a test's memory."""

    address: Address
    egress: Egress

    async def run(self, receive: Receive, after_batch: Callable[[float], None]) -> None:
        """Receive until cancelled; see `MediaSocket.run`."""


@contextmanager
def open_media(settings: Settings) -> Iterator[tuple[MediaSocket | PeerSockets, IceTcp | None]]:
    """Bind the two ports for media; with full agents there are none, since every peer has its own.

    Raises:
        ConfigError: a port cannot be had.
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
    """Return what stands in every description; nothing with full agents, which find their own.

    `tcp` is where media by TCP arrives, if it does.
    """
    if isinstance(media, PeerSockets):
        return ()
    return announced_candidates(settings.announced_ips, media.address, tcp)


def agent_hosts(settings: Settings) -> tuple[str, ...]:
    """Return the addresses on which a full agent opens sockets.

    Loopback is left out where there is more, since here an address costs each peer a socket.
    """
    if settings.announced_ips:
        return settings.announced_ips
    hosts = announced_hosts(Address(*settings.udp_addr))
    return tuple(host for host in hosts if not ip_address(host).is_loopback) or hosts


def ice_servers(settings: Settings) -> tuple[IceServer, ...]:
    """Return the STUN and TURN servers that clients are told to use."""
    servers = []
    if settings.stun_urls:
        servers.append(IceServer(tuple(map(str, settings.stun_urls))))
    if settings.turn_urls:
        urls = tuple(map(str, settings.turn_urls))
        servers.append(IceServer(urls, settings.turn_user, settings.turn_password))
    return tuple(servers)
