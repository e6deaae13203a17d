"""The addresses of this host that go into candidates."""

import ipaddress
from collections.abc import Sequence

import ifaddr

from sfu.ice.candidate import host_candidates, tcp_passive_candidates
from sfu.ice.path import Address


def announced_candidates(hosts: Sequence[str], udp: Address, tcp: Address | None) -> tuple[str, ...]:
    """Return the server's candidates as in session descriptions, those for UDP first.

    `udp` and `tcp` are what the ports for media are bound to; `tcp` is None if there is no such port. Clients
    reach them at `hosts` or, if that is empty, at what `announced_hosts` returns.
    """
    candidates = host_candidates(hosts or announced_hosts(udp), udp.port)
    if tcp is not None:
        candidates += tcp_passive_candidates(
            hosts or announced_hosts(tcp), tcp.port, first_foundation=len(candidates) + 1
        )
    return tuple(map(str, candidates))


def announced_hosts(bound: Address) -> tuple[str, ...]:
    """Return the addresses at which a socket bound to `bound` can be reached, best first.

    A specific address is returned as it is. A wildcard stands for every address of the host in that family
    (``[::]`` takes IPv4 as well), except link-local ones, which mean nothing without a zone. Global addresses
    come before private ones, and IPv4 before IPv6 within the same scope. Loopback comes last: it serves a
    browser on the same machine.
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
