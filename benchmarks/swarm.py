"""Sessions in number: how long a resume takes when many clients come back, and what a session costs.

    python -m benchmarks.swarm

A swarm of clients, two in a room, joins a server of its own; each offers a microphone and receives the other's.
Then their WebSockets break, all at once, and they come back: first with ``transport: "keep"``, then, after
another break, with ``"new"``, each time so many a second. A resume lasts from the `join` message to its
acknowledgement; the WebSocket is open before. At the end all stay away until their sessions have expired.

Media is left out: no client has a transport, so nothing but signaling and negotiation takes the server's time.
"""

import argparse
import gc
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import quantiles
from typing import Any, Final

import trio
from browser.sfu_process import open_sfu
from support.browser_model import Browser
from trio_websocket import ConnectionClosed, WebSocketConnection, open_websocket_url

from benchmarks.crowd import until
from benchmarks.usage import cpu_seconds, resident_bytes, separate

GRACE: Final = 60
"""Seconds that sessions last: longer than any of the phases."""

JOIN_RATE: Final = 50.0
"""Joins a second at the beginning, which is not measured."""

SETTLE: Final = 5.0
"""Seconds between two phases."""


@dataclass(frozen=True)
class Phase:
    """How the swarm came back once."""

    transport: str
    p50_ms: float
    p99_ms: float
    max_ms: float
    cpu_ms: float
    """CPU time of the server per resume, with the negotiation that follows."""


@dataclass(frozen=True)
class Result:
    """What one run gave."""

    sessions: int
    rate: float
    """Resumes a second."""
    phases: tuple[Phase, ...]
    resident_kib: dict[str, float]
    """The server's memory by moment."""


class Member:
    """One client, over all its WebSockets."""

    def __init__(self, url: str, number: int) -> None:
        self.took = 0.0
        """Seconds of its last resume."""
        self.connected = False
        self.url = url
        """Of the server's WebSocket."""
        self._who = {"roomId": f"room{number // 2}", "userId": f"user{number}", "name": f"User {number}"}
        self._proof: dict[str, str] = {}
        self._browser = Browser()

    async def attend(self, transport: str) -> None:
        """Join, or come back, and stay until cancelled."""
        async with open_websocket_url(self.url) as websocket:
            asked = trio.current_time()
            await self._say(websocket, "join", **self._who, **self._proof, transport=transport)
            try:
                while True:
                    message = json.loads(await websocket.get_message())
                    if message["type"] == "join":
                        self.took = trio.current_time() - asked
                        await self._enter(websocket, message["data"])
                    else:
                        await self._handle(websocket, message["type"], message["data"])
            except ConnectionClosed as closed:
                raise RuntimeError("the server has closed the connection") from closed

    async def _enter(self, websocket: WebSocketConnection, reply: dict[str, Any]) -> None:
        if self._proof and not (reply["resumed"] and reply["sessionId"] == self._proof["sessionId"]):
            raise RuntimeError("the session was not resumed")
        self._proof = {name: reply[name] for name in ("sessionId", "sessionToken")}
        self.connected = True
        if reply["transport"] == "new":
            self._browser = Browser()
            self._browser.add("audio", receives=False)
            await self._say(websocket, "offer", sdp=self._browser.offer(), type="offer")

    async def _handle(self, websocket: WebSocketConnection, message_type: str, data: dict[str, Any]) -> None:
        match message_type:
            case "answer" if self._browser.pending is not None:
                self._browser.receive_answer(data["sdp"])
            case "offer":
                crossed = self._browser.pending is not None
                await self._say(websocket, "answer", sdp=self._browser.answer(data["sdp"]), type="answer")
                if crossed:
                    await self._say(websocket, "offer", sdp=self._browser.offer(), type="offer")
            case "error":
                raise RuntimeError(f"the server refused: {data}")

    async def _say(self, websocket: WebSocketConnection, message_type: str, **data: object) -> None:
        await websocket.send_message(json.dumps({"type": message_type, "data": data}))


async def measure(sessions: int, rate: float) -> Result:
    """Do one run against a server of its own."""
    resident: dict[str, float] = {}
    phases = []
    settings = {"SFU_ANNOUNCED_IPS": "127.0.0.1", "SFU_SESSION_TTL_SEC": str(GRACE), "SFU_ROOM_TTL_SEC": "1"}
    async with open_sfu(settings, options=()) as server:
        pid = server.child.pid
        separate(os.getpid(), pid)
        members = [Member(server.url.replace("http", "ws", 1) + "/ws", number) for number in range(sessions)]

        def note(moment: str) -> None:
            resident[moment] = resident_bytes(pid) / 1024

        note("start")
        await visit(members, "new", JOIN_RATE, lambda: note("all connected"))
        await trio.sleep(SETTLE)
        note("all suspended")
        for transport in ("keep", "new"):
            before = cpu_seconds(pid)
            await visit(members, transport, rate)
            cpu_ms = (cpu_seconds(pid) - before) / sessions * 1000
            phases.append(summary(transport, [member.took * 1000 for member in members], cpu_ms))
            await trio.sleep(SETTLE)
        await trio.sleep(GRACE + 2 * SETTLE)
        note("all expired")
    return Result(sessions, rate, tuple(phases), resident)


async def visit(
    members: Sequence[Member], transport: str, rate: float, at_end: Callable[[], None] | None = None
) -> None:
    """Let all come, `rate` a second, and once all are there let their WebSockets break at the same moment."""
    gc.collect()
    gc.disable()  # its pauses would be measured as the server's
    async with trio.open_nursery() as nursery:
        begin = trio.current_time()
        for number, member in enumerate(members):
            member.connected = False
            await trio.sleep_until(begin + number / rate)
            nursery.start_soon(member.attend, transport)
        await until(lambda: all(member.connected for member in members), "everybody there")
        await trio.sleep(SETTLE)
        if at_end is not None:
            at_end()
        nursery.cancel_scope.cancel("the WebSockets break")
    gc.enable()


def summary(transport: str, milliseconds: list[float], cpu_ms: float) -> Phase:
    """Reduce the times of one phase."""
    cuts = quantiles(milliseconds, n=100)
    return Phase(transport, cuts[49], cuts[98], max(milliseconds), cpu_ms)


def main() -> None:
    """Parse the command line, measure, print JSON."""
    parser = argparse.ArgumentParser(description="many sessions that come back")
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=50.0, help="resumes a second")
    arguments = parser.parse_args()
    print(json.dumps(asdict(trio.run(measure, arguments.sessions, arguments.rate))))


if __name__ == "__main__":
    main()
