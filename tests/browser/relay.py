"""A bad network between browsers and server, in user space: a UDP relay that loses packets.

The relay takes the port of the server's UDP socket on another address of this host, and the server announces
only that address. So browsers talk to the relay as if it were the server, and no privilege is needed:

    browser ── 192.0.2.2:7882 (relay) ── 127.0.0.1:7882 (server)
"""

import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

__all__ = ["LossyRelay", "host_address", "open_relay"]

DATAGRAM_SIZE = 2048
"""Bytes; more than any datagram of WebRTC."""

MAX_CLIENTS = 64
"""Browser sockets that one relay serves. A test has a handful; more is a bug in the test."""


def host_address() -> str | None:
    """Return this host's address towards other hosts (IPv4), None where it has only loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Connecting a datagram socket sends nothing, it asks the routing table. The address is RFC 5737's.
            probe.connect(("203.0.113.1", 9))
        except OSError:
            return None
        address: str = probe.getsockname()[0]
        return address


class LossyRelay:
    """Forwards datagrams both ways; each is lost with probability `loss`, drawn from a seeded source."""

    def __init__(self, seed: int) -> None:
        self.loss = 0.0
        """Probability from 0 to 1, to be set at any time: a call is best set up before it gets bad."""
        self.forwarded = 0
        """Datagrams passed on, both ways."""
        self.lost = 0
        """Datagrams dropped, both ways."""
        self._random = random.Random(seed)
        self._upstream: dict[tuple[str, int], trio.socket.SocketType] = {}

    async def run(self, front: trio.socket.SocketType, server: tuple[str, int]) -> None:
        """Relay between the bound socket `front` and the server until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                data, client = await front.recvfrom(DATAGRAM_SIZE)
                upstream = self._upstream.get(client)
                if upstream is None:
                    assert len(self._upstream) < MAX_CLIENTS, "the relay has more clients than a test should"
                    upstream = self._upstream[client] = trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                    # The server tells a browser from where its checks came (XOR-MAPPED-ADDRESS), and Firefox
                    # will not have it that it is seen on loopback: so the relay has the address of the host.
                    await upstream.bind((front.getsockname()[0], 0))
                    await upstream.connect(server)
                    nursery.start_soon(self._back, upstream, front, client)
                if self._passes():
                    await upstream.send(data)

    async def _back(
        self, upstream: trio.socket.SocketType, front: trio.socket.SocketType, client: tuple[str, int]
    ) -> None:
        """Relay what the server sends to one client."""
        with upstream:
            while True:
                data = await upstream.recv(DATAGRAM_SIZE)
                if self._passes():
                    await front.sendto(data, client)

    def _passes(self) -> bool:
        if self._random.random() < self.loss:
            self.lost += 1
            return False
        self.forwarded += 1
        return True


@asynccontextmanager
async def open_relay(host: str, port: int, server: tuple[str, int], *, seed: int) -> AsyncIterator[LossyRelay]:
    """Run a relay on `host`:`port` in front of `server` for the length of the block."""
    relay = LossyRelay(seed)
    with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as front:
        await front.bind((host, port))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(relay.run, front, server)
            yield relay
            nursery.cancel_scope.cancel()
