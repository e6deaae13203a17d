"""The addresses of this host that clients may be told to send media to."""

import ipaddress
from collections.abc import Sequence

import ifaddr

from sfu.ice.candidate import host_candidates, tcp_passive_candidates
from sfu.ice.path import Address


def announced_candidates(hosts: Sequence[str], udp: Address, tcp: Address | None) -> tuple[str, ...]:
    """Return the candidates of a server as descriptions have them, those for UDP first.

    `udp` and `tcp` are what the ports for media are bound to; there need not be one for TCP. They are reached
    at `hosts`, or, if those are none, where `announced_hosts` says.
    """
    candidates = host_candidates(hosts or announced_hosts(udp), udp.port)
    if tcp is not None:
        candidates += tcp_passive_candidates(
            hosts or announced_hosts(tcp), tcp.port, first_foundation=len(candidates) + 1
        )
    return tuple(map(str, candidates))


def announced_hosts(bound: Address) -> tuple[str, ...]:
    """Return the addresses under which a socket bound to `bound` can be reached, best first.

    A specific address is the answer itself. A wildcard means every address of the host of that family
    (``[::]`` takes IPv4 as well) except link-local ones, which say nothing without a zone. Global
    addresses come before private ones, IPv4 before IPv6 within the same scope, and loopback last: it
    serves a browser on the same machine.
    """
    address = ipaddress.ip_address(bound.host)
    if not address.is_unspecified:
        return (str(address),)
    found: set[ipaddress.IPv4Address | ipaddress.IPv6Address] = set()
    for adapter in ifaddr.get_adapters():
        for entry in adapter.ips:
            text = entry.ip if isinstance(entry.ip, str) else entry.ip[0]
            found.add(ipaddress.ip_address(text.partition("%")[0]))
    usable = [
        candidate
        for candidate in found
        if candidate.version <= address.version and not candidate.is_link_local and not candidate.is_multicast
    ]
    usable.sort(key=lambda one: (one.is_loopback, one.is_private, one.version, int(one)))
    return tuple(str(one) for one in usable)
