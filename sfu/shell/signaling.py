"""One client's WebSocket: from the upgrade to its end.

Before the join a client is nobody: it may ping and it may try to join. From the join on the connection is a
`Signaling`. The peer's task reads it, and pings after silence; the task that had it until then writes, and
closes it in the end. Most connections are idle most of the time, and one more task that waits would take 3 KiB.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from sfu.conference.envelope import BadMessage, parse, serialize
from sfu.conference.errors import Conflict, Refused, TooManyRequests
from sfu.conference.messages import ClientMessage, Join, Ping, Pong, ServerMessage, refusal
from sfu.conference.rate import TokenBucket, weight_of
from sfu.shell.logs import get_logger

OUTBOX: Final = 1024
"""Messages that may wait for one client. Joining a full room takes a few hundred; a client further behind than
this does not read."""

JOIN_TIMEOUT: Final = 60.0
"""Seconds that a client may stay silent before it has joined."""

KEEPALIVE: Final = 15.0
"""Seconds of silence after which a client is pinged: proxies drop connections idle for 30 s or 60 s."""

STALL_TIMEOUT: Final = 20.0
"""Seconds that a ping or a message may take to get through before the client counts as gone."""

REFUSED_FOR_GOOD: Final = (401, 403)
"""Codes after which another try on the same connection is pointless (SPEC section 2)."""

CLOSE_TIMEOUT: Final = 2.0
"""Seconds for a client's last messages and the closing handshake."""

NORMAL_CLOSURE: Final = 1000
"""The WebSocket close code of an ordinary end (RFC 6455 section 7.4.1)."""

POLICY_VIOLATION: Final = 1008
"""The WebSocket close code for those (RFC 6455 section 7.4.1)."""

log = get_logger(__name__)


class Signaling:
    """The WebSocket of a client that has joined."""

    def __init__(self, websocket: WebSocketConnection) -> None:
        self._websocket = websocket
        self._outbox: list[ServerMessage] = []
        self._wake = trio.Event()
        """Set when there is something to do for `write`."""
        self._reading = trio.CancelScope()
        self._writing = trio.CancelScope()
        self._retired = False
        self._code, self._reason = NORMAL_CLOSURE, ""

    def retire(self, code: int, reason: str) -> None:
        """Note that the peer is done with this WebSocket: `run` ends, and `write` closes it with `code`."""
        self._code, self._reason = code, reason
        self._retired = True
        self._reading.cancel(reason)
        self._writing.deadline = min(self._writing.deadline, trio.current_time() + CLOSE_TIMEOUT)
        self._wake.set()

    def post(self, message: ServerMessage) -> None:
        """Queue a message. A client that leaves its outbox full is cut off."""
        if len(self._outbox) >= OUTBOX:
            self._reading.cancel("the client does not read")
            return
        self._outbox.append(message)
        self._wake.set()

    async def write(self) -> None:
        """Send what is posted, until the peer is done with the WebSocket; then what still waits, and close it.

        That takes `CLOSE_TIMEOUT` at most. It is for the task that serves the connection, not for the peer's:
        what is on its way when the peer ends, or goes on elsewhere, gets there.
        """
        with self._writing:
            try:
                while self._outbox or not self._retired:
                    if self._outbox:
                        await send(self._websocket, self._outbox.pop(0))
                    else:
                        self._wake = trio.Event()
                        await self._wake.wait()
            except (ConnectionClosed, trio.TooSlowError):
                self._reading.cancel("the client does not read")
                while not self._retired:
                    self._wake = trio.Event()
                    await self._wake.wait()
            await self._websocket.aclose(self._code, self._reason)

    async def run(self, handle: Callable[[str | bytes], float]) -> None:
        """Give each message to `handle`, until the connection has ended or stalled.

        `handle` returns for how many seconds not to read: what the client sends meanwhile waits in its own
        memory, as TCP tells it to.
        """

        def take(text: str | bytes) -> float:
            # It may have been handed over in the very step in which the peer went on with a newer WebSocket.
            return 0.0 if self._retired else handle(text)

        with self._reading:
            async with trio.open_nursery() as nursery:
                try:
                    await self._read(take, nursery)
                except ConnectionClosed:
                    self._reading.cancel("the client closed the connection")

    async def _read(self, handle: Callable[[str | bytes], float], nursery: trio.Nursery) -> None:
        while True:
            pause = 0.0
            with trio.move_on_after(KEEPALIVE) as silence:
                # No variable for the message: it would hold a description of 4 KB until the next one comes.
                pause = handle(await self._websocket.get_message())
            if silence.cancelled_caught:
                nursery.start_soon(self._ping)
            if pause:
                await trio.sleep(pause)

    async def _ping(self) -> None:
        try:
            with trio.fail_after(STALL_TIMEOUT):
                await self._websocket.ping()
        except (ConnectionClosed, trio.TooSlowError):
            self._reading.cancel("the client does not answer")


async def send(websocket: WebSocketConnection, message: ServerMessage) -> None:
    """Send one message, stamped with the wall-clock time.

    Raises:
        ConnectionClosed: nobody is there any more.
        trio.TooSlowError: it did not get through within `STALL_TIMEOUT`.
    """
    with trio.fail_after(STALL_TIMEOUT):
        await websocket.send_message(serialize(message, datetime.now(UTC)))


async def greet(
    websocket: WebSocketConnection,
    join: Callable[[Join], Awaitable[None]],
    bucket: TokenBucket,
    count: Callable[[str | None, str], None],
) -> bool:
    """Serve a client that is nobody yet; return True when `join` has taken it in, False when it is gone.

    `join` raises `Refused` to refuse; the client may try again, except where that is pointless. `bucket` says
    how fast it may speak until then. `count` is told the type and the result of every message.
    """
    try:
        while True:
            await trio.sleep(bucket.pause())
            with trio.fail_after(JOIN_TIMEOUT):
                text = await websocket.get_message()
            may_pass = bucket.take(trio.current_time(), weight_of(text))
            try:
                message: ClientMessage = parse(text)
                untimely: Refused | None = None
                if not may_pass:
                    untimely = TooManyRequests("too many messages: slow down")
                elif not isinstance(message, Join | Ping | Pong):
                    untimely = Conflict("join a room first")
                if untimely is not None:
                    count(message.message_type, str(untimely.code))
                    await send(websocket, refusal(untimely, message.message_type))
                    continue
                if isinstance(message, Join):
                    await join(message)
                    count(Join.message_type, "ok")
                    return True
                count(message.message_type, "ok")
                if isinstance(message, Ping):
                    await send(websocket, Pong(message.data))
            except BadMessage as error:
                count(error.message_type, str(error.code))
                await send(websocket, refusal(error, error.message_type))
            except Refused as error:
                count(Join.message_type, str(error.code))
                log.info("join refused", code=error.code, reason=str(error))
                await send(websocket, refusal(error, Join.message_type))
                if error.code in REFUSED_FOR_GOOD:
                    with trio.move_on_after(CLOSE_TIMEOUT):
                        await websocket.aclose(POLICY_VIOLATION, str(error))
                    return False
    except (ConnectionClosed, trio.TooSlowError):
        return False
