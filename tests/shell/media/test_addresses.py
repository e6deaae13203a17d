"""The host's own addresses, as announced to clients."""

import ipaddress
from types import SimpleNamespace

import ifaddr
import pytest

from sfu.ice.path import Address
from sfu.shell.media.addresses import announced_candidates, announced_hosts

IPS = [
    "127.0.0.1",
    "10.0.0.7",
    "198.18.0.1",
    "8.8.4.4",
    "169.254.3.3",
    ("::1", 0, 0),
    ("fe80::1%eth0", 0, 2),
    ("2a00::7", 0, 0),
]


@pytest.fixture(autouse=True)
def _host(monkeypatch: pytest.MonkeyPatch) -> None:
    adapters = [SimpleNamespace(ips=[SimpleNamespace(ip=ip) for ip in IPS])]
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: adapters)


def test_specific_address_is_the_only_one() -> None:
    assert announced_hosts(Address("192.0.2.9", 7882)) == ("192.0.2.9",)
    assert announced_hosts(Address("2001:db8::9", 7882)) == ("2001:db8::9",)


def test_ipv4_wildcard_has_all_ipv4_addresses_public_first_loopback_last() -> None:
    assert announced_hosts(Address("0.0.0.0", 7882)) == ("8.8.4.4", "10.0.0.7", "198.18.0.1", "127.0.0.1")


def test_ipv6_wildcard_has_both_families() -> None:
    assert announced_hosts(Address("::", 7882)) == (
        "8.8.4.4",
        "2a00::7",
        "10.0.0.7",
        "198.18.0.1",
        "127.0.0.1",
        "::1",
    )


def test_real_host_has_a_loopback_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    hosts = announced_hosts(Address("0.0.0.0", 7882))
    assert "127.0.0.1" in hosts
    assert all(ipaddress.ip_address(host).version == 4 for host in hosts)


def test_candidates_are_announced_for_both_transports_with_different_foundations() -> None:
    udp, tcp = Address("192.0.2.9", 7882), Address("0.0.0.0", 7881)
    assert announced_candidates((), udp, None) == ("candidate:1 1 udp 2130706431 192.0.2.9 7882 typ host",)
    everywhere = announced_candidates((), udp, tcp)
    assert [line.split()[4:6] for line in everywhere] == [
        ["192.0.2.9", "7882"],
        *([host, "7881"] for host in ("8.8.4.4", "10.0.0.7", "198.18.0.1", "127.0.0.1")),
    ]
    assert len({line.split()[0] for line in everywhere}) == len(everywhere)
    behind_nat = announced_candidates(("203.0.113.1",), udp, tcp)
    assert [line.split()[4:6] for line in behind_nat] == [["203.0.113.1", "7882"], ["203.0.113.1", "7881"]]
