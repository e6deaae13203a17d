"""The WebSocket of one client.

Before the join, the task of the HTTP connection reads and writes (`sfu.shell.join`). After it, the peer's task
reads, and pings the client when it is silent; the connection's task writes, and closes the WebSocket at the
end. Most connections are idle most of the time, and another waiting task would take 3 KiB each.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from sfu.conference.envelope import serialize
from sfu.conference.messages import ServerMessage
from sfu.shell.config.timeouts import Timeouts

OUTBOX: Final = 1024
"""Messages that may wait for one client. Joining a full room takes a few hundred. A client that is further
behind than this does not read."""

NORMAL_CLOSURE: Final = 1000
"""The WebSocket close code of an ordinary end (RFC 6455 section 7.4.1)."""


class Signaling:
    """The WebSocket of one client, and the messages that wait for it."""

    __slots__ = (
        "_code",
        "_outbox",
        "_reading",
        "_reason",
        "_retired",
        "_timeouts",
        "_wake",
        "_websocket",
        "_writing",
    )

    def __init__(self, websocket: WebSocketConnection, timeouts: Timeouts) -> None:
        self._websocket = websocket
        self._timeouts = timeouts
        self._outbox: list[ServerMessage] = []
        self._wake = trio.Event()
        """Set when there is something to do for `write`."""
        self._reading = trio.CancelScope()
        self._writing = trio.CancelScope()
        self._retired = False
        self._code, self._reason = NORMAL_CLOSURE, ""

    async def send(self, message: ServerMessage) -> None:
        """Send one message now, stamped with the wall-clock time.

        Raises:
            ConnectionClosed: the client is gone.
            trio.TooSlowError: the client did not read it within `Timeouts.signaling_stall`.
        """
        with trio.fail_after(self._timeouts.signaling_stall):
            await self._websocket.send_message(serialize(message, datetime.now(UTC)))

    def post(self, message: ServerMessage) -> None:
        """Queue a message. A client with a full outbox is disconnected."""
        if len(self._outbox) >= OUTBOX:
            self._reading.cancel("the client does not read")
            return
        self._outbox.append(message)
        self._wake.set()

    def retire(self, code: int, reason: str) -> None:
        """End the use of this WebSocket: `read` returns, and `write` closes the WebSocket with `code`."""
        self._code, self._reason = code, reason
        self._retired = True
        self._reading.cancel(reason)
        close_deadline = trio.current_time() + self._timeouts.websocket_close
        self._writing.deadline = min(self._writing.deadline, close_deadline)
        self._wake.set()

    async def write(self) -> None:
        """Send the queued messages until `retire`; then send what is left, and close the WebSocket.

        After `retire` this takes `Timeouts.websocket_close` at most. It runs in the connection's task, not in
        the peer's: the last messages arrive although the peer has ended, or goes on with another WebSocket.
        """
        with self._writing:
            try:
                while self._outbox or not self._retired:
                    if self._outbox:
                        await self.send(self._outbox.pop(0))
                    else:
                        self._wake = trio.Event()
                        await self._wake.wait()
            except (ConnectionClosed, trio.TooSlowError):
                self._reading.cancel("the client does not read")
                while not self._retired:
                    self._wake = trio.Event()
                    await self._wake.wait()
            await self._websocket.aclose(self._code, self._reason)

    async def read(self, handle: Callable[[str | bytes], float]) -> None:
        """Give each message to `handle`, until the connection has ended, stalled, or was retired.

        `handle` returns for how many seconds not to read. What the client sends meanwhile waits in the client's
        memory, by TCP's flow control.
        """
        with self._reading:
            async with trio.open_nursery() as nursery:
                try:
                    while True:
                        pause = 0.0
                        with trio.move_on_after(self._timeouts.signaling_keepalive) as silence:
                            # No variable for the message: until the next message comes, it would keep a
                            # description of 4 KB in memory.
                            pause = self._deliver(await self._websocket.get_message(), handle)
                        if silence.cancelled_caught:
                            nursery.start_soon(self._ping)
                        if pause:
                            await trio.sleep(pause)
                except ConnectionClosed:
                    self._reading.cancel("the client closed the connection")

    def _deliver(self, text: str | bytes, handle: Callable[[str | bytes], float]) -> float:
        # A message may arrive in the step in which the peer goes on with a newer WebSocket.
        return 0.0 if self._retired else handle(text)

    async def _ping(self) -> None:
        try:
            with trio.fail_after(self._timeouts.signaling_stall):
                await self._websocket.ping()
        except (ConnectionClosed, trio.TooSlowError):
            self._reading.cancel("the client does not answer")
