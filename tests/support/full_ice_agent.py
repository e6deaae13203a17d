"""A full ICE agent on sockets of loopback, without a server around it; the other side is aioice as it comes."""

import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import aioice
import trio
import trio.lowlevel
from support.coturn import HOST

from sfu.ice.candidate import Candidate
from sfu.ice.credentials import Credentials, make_credentials
from sfu.ice.full_messages import (
    Connect,
    Gather,
    Gathered,
    IceReport,
    Nominated,
    TryCandidate,
)
from sfu.ice.path import IcePath
from sfu.shell.aio import Loop, open_loop
from sfu.shell.config.settings import Settings
from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS, Timeouts
from sfu.shell.full_ice.agent import FullIce
from sfu.shell.media.peer_sockets import Route

PATIENCE = 10.0
"""Seconds within which everything happens, even on a busy machine."""

MALFORMED = bytes.fromhex("000100082112a442") + bytes(12) + bytes.fromhex("0024000100000000")
"""A check whose PRIORITY has one byte: aioice 0.13 lets `struct.error` escape for it."""


class Ours:
    """A `FullIce`, and all that it reports. This object stands in for its dispatcher and its peer."""

    id = "peer"

    def __init__(
        self, hosts: Sequence[str] = (HOST,), timeouts: Timeouts = DEFAULT_TIMEOUTS, **settings: Any
    ) -> None:
        self.reports: list[IceReport] = []
        self.datagrams: list[tuple[bytes, IcePath]] = []
        self.drops: Counter[str] = Counter()
        self.counted = 0
        self.flushes = 0
        self.connection = self
        self.fails: Exception | None = None
        self._changed = trio.Event()
        everything = Settings(ice_mode="full", **settings)
        # The methods and attributes that a `FullIce` uses of a dispatcher and a peer are below.
        self.agent = FullIce(cast(Any, self), cast(Any, self), everything, hosts, self._count, timeouts)

    def report_ice(self, _peer: object, *reports: IceReport) -> None:
        self.reports += reports
        self._wake()

    def receive_datagram(self, _peer: object, data: bytes, path: IcePath) -> None:
        self.datagrams.append((data, path))
        self._wake()

    def flush(self, _now: float) -> None:
        self.flushes += 1

    def count_ice_drop(self, reason: str) -> None:
        self.drops[reason] += 1
        self._wake()

    def _count(self, data: bytes) -> None:
        self.counted += len(data)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something that was reported has made `condition` true."""
        with trio.fail_after(PATIENCE):
            while not condition():
                await self._changed.wait()

    def found(self, ufrag: str) -> list[Candidate]:
        """Return our candidates so far."""
        return [
            Candidate.parse(report.candidate)
            for report in self.reports
            if isinstance(report, Gathered) and report.ufrag == ufrag and report.candidate is not None
        ]

    def paths(self, ufrag: str) -> list[IcePath]:
        """Return the nominated paths so far, oldest first."""
        return [
            report.path for report in self.reports if isinstance(report, Nominated) and report.ufrag == ufrag
        ]

    async def gather(self, local: Credentials | None = None) -> Credentials:
        """Start a generation, and wait until it has gathered all candidates."""
        local = local or make_credentials(os.urandom)
        self.agent.carry_out([Gather(local)])
        await self.until(lambda: Gathered(local.ufrag, None) in self.reports)
        return local

    async def meet(self, local: Credentials, theirs: "Theirs", *, controlling: bool = False) -> IcePath:
        """Exchange descriptions with a peer, and return the path that is nominated."""
        theirs.connection.remote_username, theirs.connection.remote_password = local
        for candidate in self.found(local.ufrag):
            text = str(candidate).removeprefix("candidate:")
            await theirs.loop.run(theirs.connection.add_remote_candidate, aioice.Candidate.from_sdp(text))
        requests = [TryCandidate(local.ufrag, one) for one in theirs.candidates()]
        self.agent.carry_out([Connect(local.ufrag, theirs.credentials(), controlling), *requests])
        with trio.fail_after(PATIENCE):
            await theirs.loop.run(theirs.connection.connect)
        await self.until(lambda: self.paths(local.ufrag))
        return self.paths(local.ufrag)[-1]


class Theirs:
    """The other side: aioice as it comes."""

    def __init__(self, loop: Loop, connection: aioice.Connection) -> None:
        self.loop = loop
        self.connection = connection

    def credentials(self) -> Credentials:
        return Credentials(self.connection.local_username, self.connection.local_password)

    def candidates(self) -> list[Candidate]:
        texts = [candidate.to_sdp() for candidate in self.connection.local_candidates]
        return [Candidate.parse(f"candidate:{text}") for text in texts]


@asynccontextmanager
async def theirs(*, controlling: bool = True, **options: Any) -> AsyncIterator[Theirs]:
    """Open an agent of the other side that has gathered."""

    def failed(error: BaseException) -> None:
        raise AssertionError("nothing may fail in their loop") from error

    async with open_loop(failed) as loop:
        # The constructor needs an event loop, as all of aioice does.
        connection = aioice.Connection(ice_controlling=controlling, use_ipv6=False, **options)
        await loop.run(connection.gather_candidates)
        try:
            yield Theirs(loop, connection)
        finally:
            with trio.CancelScope(deadline=trio.current_time() + 1, shield=True):
                await loop.run(connection.close)


@asynccontextmanager
async def ours(**settings: Any) -> AsyncIterator[Ours]:
    """Run an agent for the block; at its end all its sockets are closed."""
    before = files()
    async with trio.open_nursery() as nursery:
        running = Ours(**settings)
        nursery.start_soon(running.agent.run)
        yield running
        nursery.cancel_scope.cancel("the test is over")
    assert files() <= before


def files() -> int:
    """Return the number of files that this process has open."""
    return len(os.listdir("/proc/self/fd"))


def send(path: IcePath, data: bytes) -> str | None:
    """Send from our side, as the media does."""
    assert isinstance(path.native, Route)
    return path.native.send(data)


async def talk(running: Ours, path: IcePath, peer: Theirs) -> None:
    """Assert that datagrams pass both ways."""
    running.datagrams.clear()
    await peer.loop.run(peer.connection.send, b"\x80 hello")
    await running.until(lambda: running.datagrams)
    assert [data for data, _ in running.datagrams] == [b"\x80 hello"]
    assert send(path, b"\x80 hello yourself") is None
    with trio.fail_after(PATIENCE):
        assert await peer.loop.run(peer.connection.recv) == b"\x80 hello yourself"
