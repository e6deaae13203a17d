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


@pytest.mark.parametrize(
    ("bind", "announce"),
    [("[::]:0", "v6"), ("[::]:0", "v4"), ("{v4}:0", "v4"), ("[{v6}]:0", "v6")],
    ids=["dual-stack-v6", "dual-stack-v4", "v4-only", "v6-only"],
)
async def test_media_takes_the_announced_address(
    bind: str, announce: str, chromium: Chromium, deadline: None
) -> None:
    """The only candidate is the announced address, so the call works by it or not at all."""
    hosts = {"v4": host_address(), "v6": host_address_v6()}
    if any(host is None for name, host in hosts.items() if name == announce or f"{{{name}}}" in bind):
        pytest.skip("this host has no such address beside loopback")
    settings = {"SFU_UDP_ADDR": bind.format(**hosts), "SFU_ANNOUNCED_IPS": str(hosts[announce])}
    async with open_sfu(settings) as server:
        anna, ben = await enter(server, chromium, "Anna"), await enter(server, chromium, "Ben")
        await anna.join("addresses")
        await ben.join("addresses", publish=())
        await ben.sees_and_hears(anna)
