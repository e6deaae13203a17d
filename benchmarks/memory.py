"""Memory of an idle peer: how much a server grows with each.

    python -m benchmarks.memory

An idle peer is connected (WebSocket, ICE, DTLS, SRTP keys), has offered a microphone and a camera, and nobody
sends a packet: what a muted call costs. In a room of two it also has what it takes to receive the other's two
tracks. The packet history of a video that runs comes on top; it is bounded by a setting, and its size needs no
measuring.

Resident memory is read as the server reports it to the kernel. It grows in steps, so the figure is the slope
through several sizes, from the tenth peer on: what the first ones cause is the start's and not theirs.
"""

import argparse
import json
from dataclasses import asdict, dataclass
from statistics import linear_regression
from typing import Final

import trio

from benchmarks.crowd import all_connected
from benchmarks.modes import MODES, open_crowd, open_server
from benchmarks.usage import resident_bytes
from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS

SIZES: Final = (10, 100, 200)
"""Peers at which memory is read."""

SETTLE: Final = DEFAULT_TIMEOUTS.signaling_keepalive + 3.0
"""Seconds from the last connection until memory is read. After a ping, nothing holds the long messages of the
beginning any more."""


@dataclass(frozen=True)
class Result:
    """What one run gave."""

    room: int
    """Peers in a room."""
    sizes: tuple[int, ...]
    resident_kib: tuple[float, ...]
    """The server's resident memory at these numbers of peers."""
    kib_per_peer: float
    """The slope through them."""


async def measure(room: int, mode: str = "lite", sizes: tuple[int, ...] = SIZES) -> Result:
    """Do one run against a server of its own, with `room` peers in each room; `mode` is one of `MODES`."""
    resident = []
    async with open_server(mode) as server, open_crowd(mode, server) as crowd:
        for size in sizes:
            while len(crowd.members) < size:
                number = len(crowd.members)
                await crowd.join(f"user{number}", f"room{number // room}", ("audio", "video"))
            await all_connected(crowd)
            await trio.sleep(SETTLE)
            resident.append(resident_bytes(server.child.pid) / 1024)
    return Result(room, sizes, tuple(resident), linear_regression(sizes, resident).slope)


def main() -> None:
    """Parse the command line, measure, print JSON."""
    parser = argparse.ArgumentParser(description="memory of an idle peer, one run")
    parser.add_argument("--room", type=int, default=2, help="peers in a room")
    parser.add_argument("--ice", choices=MODES, default="lite")
    arguments = parser.parse_args()
    print(json.dumps(asdict(trio.run(measure, arguments.room, arguments.ice))))


if __name__ == "__main__":
    main()
