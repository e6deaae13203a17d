"""Peers that come and go, well-behaved or not, leave no object and no memory behind."""

import gc
import os
from collections import Counter

import trio
from support.stage import Stage, attacked, enter, tell

from sfu.conference.messages import MAX_SDP
from sfu.timers import STALE

ROUND = 20
"""Peers that come and go between two looks."""

TRACKS = 2
"""Tracks that each publishes."""

SLOT = ("MLine", "Sender", "Codec")
"""What a line of a description is made of; lines are used again, and never taken away."""

TOLERABLE_GROWTH = 4 << 20
"""Bytes in RAM that a round may cost for good: caches of the libraries, fragments of the heap."""


def objects() -> Counter[str]:
    """Count our own living objects by class."""
    gc.collect()
    return Counter(
        kind.__qualname__ for each in gc.get_objects() if (kind := type(each)).__module__.startswith("sfu.")
    )


def resident() -> int:
    """Memory of this process that is in RAM, in bytes (`man 5 proc`)."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def visit(scene: Stage, number: int) -> None:
    """Join the call and vanish: connected and sending, or in the middle of something."""
    async with scene.client(f"guest {number}") as guest:
        await guest.join("call")
        if number % 4:
            transceivers = await guest.publish("audio", "video")
        if number % 4 > 1:
            await guest.connect()
            for _ in range(5):
                for transceiver in transceivers:
                    guest.send(transceiver, bytes(500))
                await trio.sleep(0.01)
        if number % 4 == 3:
            await guest.say("leave")
            await guest.until(lambda: guest.closed)


async def attack(scene: Stage, number: int) -> None:
    """Join, say what is refused, and vanish."""
    async with scene.websocket() as (websocket, _):
        await enter(websocket, f"room {number}")
        await tell(websocket, "offer", sdp="x" * MAX_SDP)
        await websocket.send_message("x" * 100_000)


async def test_nothing_grows() -> None:
    async with attacked() as (scene, _):
        before = scene.remains()
        looks = []
        for _ in range(4):
            async with trio.open_nursery() as nursery:
                for number in range(ROUND):
                    nursery.start_soon(visit, scene, number)
                    nursery.start_soon(attack, scene, number)
            await scene.settles(before)
            looks.append((objects(), resident()))
        (_, _), (_, _), (first, small), (second, large) = looks
        # What the paths of strangers are remembered in is bounded, and fills slowly (`sfu.udp.PATHS`). Of slots
        # there are as many as were needed at once, which is a matter of timing. Alarms of those who are gone
        # lie in a queue until they are due (`sfu.timers.STALE`).
        grown = {name: count for name, count in (second - first).items() if count >= ROUND // 2}
        assert grown.keys() <= {"Path", "Address", "Destination", "_Timer", *SLOT}
        assert second["_Timer"] <= STALE + ROUND
        assert second["MLine"] <= 2 * (ROUND + 1) * TRACKS
        for name in ("Peer", "PeerTask", "Signaling", "Connection", "PeerTransport", "BundleSession"):
            assert second[name] == 2, name
        assert second["RoomTask"] == second["Room"] == 1
        assert large - small < TOLERABLE_GROWTH
