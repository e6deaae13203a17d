"""A separate program: two clients outside a NAT call each other through a server that it starts behind the NAT.

    python -m support.call_behind_nat FOLDER NAMESPACE kept|random

It runs in the network namespace outside; the server's namespace is NAMESPACE. It fails unless media flows both
ways through the NAT's public address and, with `kept`, through the port that STUN told.
"""

import sys
from pathlib import Path
from typing import Final

import trio
from browser.namespaces import Namespace
from browser.sfu_process import open_sfu
from support.coturn import coturn
from support.full_ice_server import IceClient, call, flows, open_ice_client

from sfu.ice.candidate import Candidate
from sfu.ice.path import Address

SERVER: Final = "10.0.0.2"
NAT: Final = "192.0.2.1"
OUTSIDE: Final = "192.0.2.2"
HTTP: Final = 8080

SECONDS: Final = 40.0
"""Seconds for all of it, which takes two on an idle machine."""


async def main(folder: Path, host: Namespace, ports: str) -> None:
    """Run the call."""
    at = Address(NAT, HTTP)
    with trio.fail_after(SECONDS):
        async with coturn(folder, host=OUTSIDE) as stun:
            settings = {"SFU_ICE_MODE": "full", "SFU_STUN_URLS": stun.stun, "SFU_HTTP_ADDR": f"{SERVER}:{HTTP}"}
            async with (
                open_sfu(settings, host=host),
                open_ice_client("alice", at) as alice,
                open_ice_client("bob", at) as bob,
            ):
                await call(alice, bob)
                await flows(alice, bob)
                await flows(bob, alice)
                for client in (alice, bob):
                    told = _told(client)
                    assert {(one.type, one.address.host) for one in told} == {("host", SERVER), ("srflx", NAT)}
                    [reflexive] = [one.address for one in told if one.type == "srflx"]
                    assert client.used is not None
                    used, port = client.used.connection._nominated[1].remote_addr
                    assert (used, port == reflexive.port) == (NAT, ports == "kept")


def _told(client: IceClient) -> list[Candidate]:
    """Return the server's candidates, from its descriptions and messages."""
    texts = [data["sdp"] for kind in ("answer", "offer") for data in client.heard(kind)]
    lines = {line for text in texts for line in text.splitlines() if line.startswith("a=candidate:")}
    found = {str(one.address): one for one in [*map(Candidate.parse, lines), *client.candidates()]}
    return list(found.values())


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]), Namespace(sys.argv[2]), sys.argv[3])
