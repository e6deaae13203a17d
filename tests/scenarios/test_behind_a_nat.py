"""A server behind a NAT, which learns its public address by STUN, and clients outside.

    server ── 10.0.0.2 ── 10.0.0.1 ── NAT ── 192.0.2.1 ── 192.0.2.2 ── clients, a STUN server

The NAT forwards signaling to the server. It lets UDP in only as an answer to a datagram that went out. The
clients run in a separate process: a network namespace belongs to a thread, and an event loop may use any
thread.
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from browser.namespaces import Namespace, need_namespaces
from support import call_behind_nat as outside
from support.coturn import need_coturn

PORTS = {"kept": "", "random": "fully-random"}
"""What the NAT does to ports, and the word of nftables for it. If it uses a new port for each remote address,
the port that STUN tells is useless (RFC 4787 section 4.1): clients learn the port from the server's checks
only."""

RULES = f"""
table ip nat {{
  chain in {{
    type nat hook prerouting priority dstnat;
    iifname "outer" tcp dport {outside.HTTP} dnat to {outside.SERVER};
  }}
  chain out {{ type nat hook postrouting priority srcnat; oifname "outer" masquerade PORTS; }}
}}
table ip strict {{
  chain forward {{
    type filter hook forward priority filter; policy drop;
    iifname "inner" accept
    ct state established,related accept
    ct status dnat accept
  }}
}}
"""

TESTS = Path(__file__).parents[1]


@asynccontextmanager
async def open_nat(ports: str) -> AsyncIterator[tuple[Namespace, Namespace]]:
    """Make the three hosts for the block; return the server's and the one outside."""
    inner, nat, outer = hosts = [Namespace(f"sfu-{os.getpid()}-{role}") for role in ("lan", "nat", "wan")]
    try:
        for host in hosts:
            await trio.run_process(["ip", "netns", "add", host.name])
            await host.ip("link set lo up")
        await nat.ip(
            f"link add name inner type veth peer name net netns {inner.name}",
            f"link add name outer type veth peer name net netns {outer.name}",
            "addr add 10.0.0.1/24 dev inner",
            f"addr add {outside.NAT}/24 dev outer",
            "link set inner up",
            "link set outer up",
        )
        server = f"addr add {outside.SERVER}/24 dev net"
        await inner.ip(server, "link set net up", "route add default via 10.0.0.1")
        await outer.ip(f"addr add {outside.OUTSIDE}/24 dev net", "link set net up")
        await nat.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        await nat.run("nft", "-f", "-", stdin=RULES.replace("PORTS", PORTS[ports]))
        yield inner, outer
    finally:
        # It can be shielded, since each command takes milliseconds.
        with trio.CancelScope(shield=True):
            for host in hosts:
                await trio.run_process(["ip", "netns", "del", host.name], check=False, capture_stderr=True)


@pytest.mark.parametrize("ports", list(PORTS))
async def test_clients_outside_reach_a_server_behind_a_nat(tmp_path: Path, ports: str) -> None:
    need_namespaces()
    need_coturn()
    async with open_nat(ports) as (inner, outer):
        path = os.pathsep.join(map(str, (TESTS, TESTS.parent)))
        program = [sys.executable, "-m", outside.__name__, str(tmp_path), inner.name, ports]
        # Its output about a failure becomes the output of this test.
        await outer.run("env", f"PYTHONPATH={path}", *program)
