"""Peers that come and go, well-behaved or not, leave no object and no memory behind."""

import ctypes
import gc
import sys
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from statistics import median

import trio
from support.real_server import RealServer, attacked, enter, tell

from sfu.conference.connection import Connection
from sfu.conference.messages import MAX_SDP
from sfu.conference.peer import Peer
from sfu.conference.room import Room
from sfu.ice.path import Address, IcePath
from sfu.sdp.bundle import BundleSession
from sfu.sdp.codecs import Codec
from sfu.sdp.mline import MLine, SendSlot
from sfu.shell.media.mmsg import Destination
from sfu.shell.peer import PeerTask
from sfu.shell.room import RoomTask
from sfu.shell.signaling import Signaling
from sfu.shell.timers import STALE, _Timer
from sfu.transport.peer import PeerTransport

ROUND = 20
"""Peers that come and go between two measurements."""

TRACKS = 2
"""Tracks that each publishes."""

MAY_GROW = {IcePath, Address, Destination, MLine, SendSlot, Codec, _Timer}
"""Classes whose objects stay, but not without limit.

* The paths of strangers are remembered in a bounded table (`sfu.shell.media.path_cache.PATHS`).
* An m-line is used again and never removed. How many a client has depends on how many were in use at once.
* The alarm of a peer that is gone lies in a queue until it is due (`sfu.shell.timers.STALE`).
"""

TOLERABLE_BYTES = 1 << 17
"""Bytes that a round may leave on the heap of the C library: 3 KB for each peer that came."""

TOLERABLE_BLOCKS = 4000
"""Blocks that a round may leave on Python's own heap: mostly remembered paths of strangers."""

HEAP = "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"
"""The fields of glibc's `struct mallinfo2` (`man 3 mallinfo2`)."""


def objects() -> Counter[type]:
    """Count the living objects of our own classes."""
    gc.collect()
    return Counter(kind for each in gc.get_objects() if (kind := type(each)).__module__.startswith("sfu."))


class Mallinfo(ctypes.Structure):
    """What glibc says about its heap, in bytes or blocks."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in HEAP)


def allocated() -> tuple[int, int]:
    """Return the bytes in use on the heap of the C library, and the blocks in use on Python's own.

    The resident memory says less: a heap that has grown once keeps tens of megabytes free.
    """
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = Mallinfo
    heap = mallinfo2()
    return heap.uordblks + heap.hblkhd, sys.getallocatedblocks()


def growth(values: Iterable[int]) -> float:
    """Return what a typical round leaves behind: a table that doubles in one round does not count."""
    return median(after - before for before, after in pairwise(values))


async def visit(server: RealServer, number: int) -> None:
    """Join the call and vanish: connected and sending, or in the middle of something."""
    async with server.client(f"client {number}") as client:
        await client.join("call")
        if number % 4:
            transceivers = await client.publish("audio", "video")
        if number % 4 > 1:
            await client.connect()
            for _ in range(5):
                for transceiver in transceivers:
                    client.send(transceiver, bytes(500))
                await trio.sleep(0.01)
        if number % 4 == 3:
            await client.say("leave")
            await client.until(lambda: client.closed)


async def attack(server: RealServer, number: int) -> None:
    """Join, send messages that are refused, and vanish."""
    async with server.websocket() as (websocket, _):
        await enter(websocket, f"room {number}")
        await tell(websocket, "offer", sdp="x" * MAX_SDP)
        await websocket.send_message("x" * 100_000)


async def test_nothing_grows() -> None:
    async with attacked() as (server, call):
        before = server.remains()
        looks = []
        for _ in range(4):
            async with trio.open_nursery() as nursery:
                for number in range(ROUND):
                    nursery.start_soon(visit, server, number)
                    nursery.start_soon(attack, server, number)
            await server.returns_to(before)
            # Drop what the test itself keeps.
            await call.is_undisturbed()
            server.log[:] = server.complaints()
            for one in call.sent:
                one.messages.clear()
            looks.append((objects(), *allocated()))
        counts, bytes_in_use, blocks_in_use = zip(*looks, strict=True)
        last = counts[-1]
        grown = {kind for kind, count in (last - counts[-2]).items() if count >= ROUND // 2}
        assert grown <= MAY_GROW
        assert last[_Timer] <= STALE + ROUND
        assert last[MLine] <= 2 * (ROUND + 1) * TRACKS
        for kind in (Peer, PeerTask, Signaling, Connection, PeerTransport, BundleSession):
            assert last[kind] == 2, kind
        assert last[RoomTask] == last[Room] == 1
        assert growth(bytes_in_use) < TOLERABLE_BYTES
        assert growth(blocks_in_use) < TOLERABLE_BLOCKS
