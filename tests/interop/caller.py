"""Other people's WebRTC in a call with us: how their programs are run and driven.

Each implementation has a small program in `clients/`, in its own language. Program and test talk in lines of
JSON, which are the messages of the signaling protocol: what the program prints goes to the server over a
WebSocket that is held for it, and what the server says goes to its standard input. Besides there are

* ``publish`` to the program: make an offer with a microphone and a camera, Opus and VP8;
* ``finish`` to the program: end, with exit code 0. Where `first` is ``close``, close the RTCPeerConnection and
  then leave; where it is ``leave``, leave and wait for the server's goodbye;
* ``report`` from the program, ten times a second: `connection`, the state of its RTCPeerConnection, and
  `received`, how many frames of ``audio`` and of ``video`` (decoded, where it decodes).

It is started with the name of the room and the path of an IVF file whose VP8 frames fit into one packet each,
for those that do not encode. It begins by joining.
"""

import json
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import trio
from support.real_server import RealServer
from support.waiting import PATIENCE
from trio_websocket import ConnectionClosed, WebSocketConnection

CLIP = Path(__file__).with_name("clip.ivf")
"""30 frames of 160×120 at 25 Hz, the first one a key frame."""

OURS = ("publish", "finish")
"""Types of messages that a program is sent by the test."""

EXIT_SECONDS = 6.0
"""In which a program that is to finish has to exit."""

Json = dict[str, Any]


class Caller:
    """A running program that is in a room, or about to be."""

    def __init__(self, process: trio.Process, websocket: WebSocketConnection) -> None:
        self.process = process
        self.report: Json = {"connection": "new", "received": {}}
        """The newest."""
        self.said: list[Json] = []
        """Messages to the server."""
        self.heard: list[Json] = []
        """Messages from the server."""
        self._websocket = websocket
        self._input = trio.Lock()
        self._changed = trio.Event()

    async def tell(self, message_type: str, **data: Any) -> None:
        """Send the program a line."""
        await self._write({"type": message_type, "data": data})

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until a message sent or received makes `condition` true; fail with the messages otherwise."""
        with trio.move_on_after(PATIENCE) as patience:
            while not condition():
                await self._changed.wait()
        if patience.cancelled_caught:
            said, heard = self.types(self.said), self.types(self.heard)
            raise AssertionError(f"in vain: {self.report}, said {said}, heard {heard}")

    def types(self, messages: Sequence[Json]) -> list[str]:
        """The types of `said` or `heard`."""
        return [message["type"] for message in messages]

    def received(self, kind: str) -> int:
        """Frames of a kind that the program has counted."""
        count: int = self.report["received"].get(kind, 0)
        return count

    async def finish(self, first: str) -> None:
        """Make the program end the call, and wait until it has exited."""
        await self.tell("finish", first=first)
        with trio.fail_after(EXIT_SECONDS):
            await self.process.wait()
        assert self.process.returncode == 0

    async def run(self) -> None:
        """Carry lines both ways until the program closes its output."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen)
            rest = b""
            assert self.process.stdout is not None
            async for chunk in self.process.stdout:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    await self._receive(json.loads(line))
            nursery.cancel_scope.cancel("the program has ended")

    async def _receive(self, message: Json) -> None:
        if message["type"] == "report":
            self.report = message["data"]
        else:
            self.said.append(message)
            await self._websocket.send_message(json.dumps(message))
        self._wake()

    async def _listen(self) -> None:
        try:
            while True:
                message = json.loads(await self._websocket.get_message())
                assert message["type"] not in OURS
                self.heard.append(message)
                await self._write(message)
                self._wake()
        except ConnectionClosed:
            pass

    async def _write(self, message: Json) -> None:
        assert self.process.stdin is not None
        # It may have exited; its exit code tells whether it should have.
        with suppress(trio.BrokenResourceError):
            async with self._input:
                await self.process.stdin.send_all(json.dumps(message).encode() + b"\n")

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


@asynccontextmanager
async def calling(server: RealServer, command: Sequence[str], room: str) -> AsyncIterator[Caller]:
    """Run a program in `room` until the block ends, by which time it should have exited."""
    process = await trio.lowlevel.open_process(
        [*command, room, str(CLIP)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        async with server.websocket() as (websocket, _), trio.open_nursery() as nursery:
            caller = Caller(process, websocket)
            nursery.start_soon(caller.run)
            yield caller
            nursery.cancel_scope.cancel("the call is over")
    finally:
        if process.returncode is None:
            process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            for stream in (process.stdin, process.stdout):
                assert stream is not None
                await stream.aclose()
