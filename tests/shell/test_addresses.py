"""The host's own addresses, as announced to clients."""

import ipaddress
from types import SimpleNamespace

import ifaddr
import pytest

from sfu.addresses import announced_hosts
from sfu.kinds import HostPort

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
    assert announced_hosts(HostPort("192.0.2.9", 7882)) == ("192.0.2.9",)
    assert announced_hosts(HostPort("2001:db8::9", 7882)) == ("2001:db8::9",)


def test_ipv4_wildcard_has_all_ipv4_addresses_public_first_loopback_last() -> None:
    assert announced_hosts(HostPort("0.0.0.0", 7882)) == ("8.8.4.4", "10.0.0.7", "198.18.0.1", "127.0.0.1")


def test_ipv6_wildcard_has_both_families() -> None:
    assert announced_hosts(HostPort("::", 7882)) == (
        "8.8.4.4",
        "2a00::7",
        "10.0.0.7",
        "198.18.0.1",
        "127.0.0.1",
        "::1",
    )


def test_real_host_has_a_loopback_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    hosts = announced_hosts(HostPort("0.0.0.0", 7882))
    assert "127.0.0.1" in hosts
    assert all(ipaddress.ip_address(host).version == 4 for host in hosts)
