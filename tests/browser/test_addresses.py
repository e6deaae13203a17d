"""Which address media takes: IPv4 or IPv6, and a server that is bound to one address alone."""

import ipaddress
import socket

import pytest
from browser.chromium import Chromium
from browser.participant import enter
from browser.relay import host_address
from browser.sfu_process import open_sfu

pytestmark = pytest.mark.browser


def host_address_v6() -> str | None:
    """Return this host's global or unique-local IPv6 address, None where it has none."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("2001:db8::1", 9))  # sends nothing; RFC 3849 documentation prefix
        except OSError:
            return None
        address: str = probe.getsockname()[0]
        return None if ipaddress.ip_address(address).is_loopback else address


CASES = {
    "dual stack, by IPv6": ("[::]:0", "v6"),
    "dual stack, by IPv4": ("[::]:0", "v4"),
    "bound to the IPv4 address": ("{v4}:0", "v4"),
    "bound to the IPv6 address": ("[{v6}]:0", "v6"),
}
"""What the media socket is bound to, and which address is announced."""


async def test_media_takes_the_announced_address(chromium: Chromium) -> None:
    """The only candidate is the announced address, so each call works by it or not at all."""
    hosts = {"v4": host_address(), "v6": host_address_v6()}
    if None in hosts.values():
        pytest.skip(f"this host lacks an address beside loopback: {hosts}")
    for name, (bind, announce) in CASES.items():
        settings = {"SFU_UDP_ADDR": bind.format(**hosts), "SFU_ANNOUNCED_IPS": str(hosts[announce])}
        async with open_sfu(settings) as server:
            anna, ben = await enter(server, chromium, "Anna"), await enter(server, chromium, name)
            await anna.join("addresses")
            await ben.join("addresses", publish=())
            await ben.sees_and_hears(anna)
            await anna.page.close()
            await ben.page.close()
