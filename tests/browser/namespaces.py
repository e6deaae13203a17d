"""Hosts of their own for the browser tests: network namespaces with links between them that go up and down.

    server ── 192.0.2.1 ──┬── first: 198.51.100.1 ── 198.51.100.2 ──┐
    (and a browser)       └── second: 203.0.113.1 ── 203.0.113.2 ───┴── client (a browser)

Addresses are those for documentation (RFC 5737), and nothing here is connected to the real network. A process
in a namespace has its own interfaces and routes and all else in common with this host; a socket belongs to the
namespace in which it was made, so that the test, outside of both, can talk to the browsers in them.
"""

import ctypes
import os
import shutil
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import trio
from browser.process import Host

__all__ = ["SERVER_ADDRESS", "Link", "Namespace", "Network", "need_namespaces", "open_network"]

SERVER_ADDRESS = "192.0.2.1"
"""The server's address, whichever link leads to it."""

PROGRAMS = {"ip": "iproute2", "nft": "nftables", "conntrack": "conntrack"}
"""What is needed, and the Debian packages that have it."""

CLONE_NEWNET = 0x40000000
"""For setns(2): the file is a network namespace."""

NAMES = Path("/run/netns")
"""Where `ip netns` keeps them."""


def need_namespaces() -> None:
    """Skip the test where namespaces cannot be made, and say why; fail in CI."""
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    if missing:
        reason = f"not installed: {' '.join(missing)}"
    elif os.geteuid() != 0:
        reason = "only root makes network namespaces"
    else:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


class Namespace(Host):
    """One network namespace: a host, as far as the network goes."""

    def __init__(self, name: str) -> None:
        self.name = name

    def command(self, command: Sequence[str]) -> list[str]:
        """The command line that runs `command` in here."""
        return ["ip", "netns", "exec", self.name, *command]

    async def run(self, *command: str, stdin: str = "") -> None:
        """Run a command in here; raises CalledProcessError when it fails."""
        await trio.run_process(self.command(command), stdin=stdin.encode(), capture_stdout=True)

    async def ip(self, *commands: str) -> None:
        """Carry out commands of `ip`, one after the other with nothing between."""
        batch = "\n".join(commands).encode()
        await trio.run_process(["ip", "-n", self.name, "-batch", "-"], stdin=batch, capture_stdout=True)

    async def open_tcp_stream(self, host: str, port: int) -> trio.SocketStream:
        """Connect as a program in here would; `host` is an IPv4 address."""
        with self.entered():
            made = trio.socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            await made.connect((host, port))
        except BaseException:
            made.close()
            raise
        return trio.SocketStream(made)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Make sockets in here. The namespace is this thread's alone, so the block must not await."""
        with Path("/proc/thread-self/ns/net").open() as back, (NAMES / self.name).open() as there:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(back.fileno())


def _enter(descriptor: int) -> None:
    if LIBC.setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


LIBC = ctypes.CDLL(None, use_errno=True)


class Link:
    """A cable between client and server; both ends have the link's name as theirs."""

    def __init__(self, name: str, prefix: str, server: Namespace, client: Namespace) -> None:
        self.name = name
        self.gateway = f"{prefix}.1"
        self._prefix = prefix
        self._server = server
        self._client = client

    async def lay(self) -> None:
        """Make both ends; the server's is ready, the client's is down."""
        await self._server.ip(
            f"link add name {self.name} type veth peer name {self.name} netns {self._client.name}",
            f"addr add {self.gateway}/24 dev {self.name}",
            f"link set {self.name} up",
        )

    def up(self, number: int = 2) -> list[str]:
        """Commands for the client's end: it comes up with an address that ends in `number`, as the way out."""
        return [
            f"addr add {self._prefix}.{number}/24 dev {self.name}",
            f"link set {self.name} up",
            f"route replace default via {self.gateway} dev {self.name}",
        ]

    def down(self) -> list[str]:
        """Commands for the client's end: its address goes, and with it the route."""
        return [f"addr flush dev {self.name}", f"link set {self.name} down"]


class Network:
    """Two hosts and two links. At first `first` is up and `second` is down."""

    def __init__(self, server: Namespace, client: Namespace) -> None:
        self.server = server
        self.client = client
        self.first = Link("first", "198.51.100", server, client)
        self.second = Link("second", "203.0.113", server, client)

    async def lay(self) -> None:
        """Make the links."""
        await self.server.ip("link set lo up", f"addr add {SERVER_ADDRESS}/32 dev lo")
        await self.client.ip("link set lo up")
        await self.first.lay()
        await self.second.lay()
        await self.client.ip(*self.first.up())


@asynccontextmanager
async def open_network() -> AsyncIterator[Network]:
    """Make the two namespaces for the length of the block; what ran in them must have ended before its end."""
    names = [f"sfu-{os.getpid()}-{role}" for role in ("server", "client")]
    try:
        for name in names:
            await trio.run_process(["ip", "netns", "add", name])
        network = Network(*map(Namespace, names))
        await network.lay()
        yield network
    finally:
        # Bounded, so that it may be shielded: each of these takes milliseconds.
        with trio.CancelScope(shield=True):
            for name in names:
                await trio.run_process(["ip", "netns", "del", name], check=False, capture_stderr=True)
