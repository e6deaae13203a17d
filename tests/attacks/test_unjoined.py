"""A client that does not join cannot keep its WebSocket, whatever it sends."""

import json

import pytest
import trio
from support.in_memory_server import in_memory_server
from trio.testing import MockClock
from trio_websocket import ConnectionClosed, WebSocketConnection

from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS

PING = {"type": "ping", "data": {}}
REFUSED_JOIN = {"type": "join", "data": {"roomId": "x" * 200, "userId": "mallory"}}


async def say_every_second(websocket: WebSocketConnection, message: str) -> None:
    """Send a message every second, for ten times as long as a client has to join."""
    with trio.fail_after(10 * DEFAULT_TIMEOUTS.join):
        while True:
            await websocket.send_message(message)
            await websocket.get_message()
            await trio.sleep(1)


@pytest.mark.parametrize("message", [PING, REFUSED_JOIN])
async def test_messages_do_not_move_the_deadline_of_the_join(
    autojump_clock: MockClock, message: dict[str, object]
) -> None:
    """A client that sends a message every second without joining is disconnected after a minute."""
    async with in_memory_server() as server, server.websocket() as (websocket, _):
        opened = trio.current_time()
        with pytest.raises(ConnectionClosed) as closed:
            await say_every_second(websocket, json.dumps(message))
        assert trio.current_time() - opened <= DEFAULT_TIMEOUTS.join + 2
        assert closed.value.reason is not None
        assert closed.value.reason.code == 1000
