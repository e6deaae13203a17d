"""One WebSocket by itself: how long it waits for a client, and what it does when its peer ends."""

import json
from typing import cast

import msgspec
import pytest
import trio
from support.in_memory_server import in_memory_server
from trio.testing import MockClock, wait_all_tasks_blocked
from trio_websocket import WebSocketConnection

from sfu.conference.messages import Pong
from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS
from sfu.shell.signaling import Signaling

CLOSE_TIMEOUT = DEFAULT_TIMEOUTS.websocket_close
STALL_TIMEOUT = DEFAULT_TIMEOUTS.signaling_stall


class Line:
    """A fake WebSocket. Its client reads `taken` messages, half a second each, and then nothing more."""

    def __init__(self, taken: int = 0) -> None:
        self.arrive, self._messages = trio.open_memory_channel[str](1)
        self.sent: list[str] = []
        self._taken = taken
        self.closed = None

    async def get_message(self) -> str:
        """Return the next message."""
        return await self._messages.receive()

    async def send_message(self, text: str) -> None:
        """Send a message, if the client still reads."""
        self._taken -= 1
        if self._taken < 0:
            await trio.sleep_forever()
        await trio.sleep(0.5)
        self.sent.append(text)

    async def ping(self) -> None:
        """Wait for a pong, which does not come."""
        await trio.sleep_forever()

    async def aclose(self, code: int, reason: str) -> None:
        """Wait for the client to close, which it does not."""
        await trio.sleep_forever()


async def test_a_message_that_arrives_as_a_newer_websocket_takes_over_is_dropped(
    autojump_clock: MockClock,
) -> None:
    """It would count as a message on the newer one, and so confirm a token that the client may not have."""
    heard: list[str | bytes] = []

    def hear(text: str | bytes) -> float:
        heard.append(text)
        return 0.0

    line = Line()
    signaling = Signaling(cast(WebSocketConnection, line), DEFAULT_TIMEOUTS)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(signaling.read, hear)
        await wait_all_tasks_blocked()
        line.arrive.send_nowait("in time")
        await wait_all_tasks_blocked()
        line.arrive.send_nowait("late")
        signaling.retire(4000, "replaced")
    assert heard == ["in time"]


@pytest.mark.parametrize("taken", [0, 1, 3])
async def test_messages_queued_when_the_peer_ends_are_still_sent(autojump_clock: MockClock, taken: int) -> None:
    """So are those queued behind, as long as the client reads."""
    line = Line(taken)
    signaling = Signaling(cast(WebSocketConnection, line), DEFAULT_TIMEOUTS)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(signaling.write)
        nursery.start_soon(signaling.read, lambda _: 0.0)
        for number in range(3):
            signaling.post(Pong(msgspec.Raw(b"%d" % number)))
        await trio.sleep(0.2)
        retired_at = trio.current_time()
        signaling.retire(1001, "server stopping")
    assert [json.loads(text)["data"] for text in line.sent] == list(range(taken))
    assert trio.current_time() == pytest.approx(retired_at + CLOSE_TIMEOUT)


async def test_a_client_that_does_not_read_ends_the_reading_and_the_peer_closes(
    autojump_clock: MockClock,
) -> None:
    """The end of `read` tells the peer, which chooses the close code."""
    signaling = Signaling(cast(WebSocketConnection, Line()), DEFAULT_TIMEOUTS)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(signaling.write)
        signaling.post(Pong(msgspec.Raw(b"1")))
        await signaling.read(lambda _: 0.0)
        assert trio.current_time() == pytest.approx(STALL_TIMEOUT)
        signaling.post(Pong(msgspec.Raw(b"2")))
        await wait_all_tasks_blocked()
        signaling.retire(4001, "connection lost")
    assert trio.current_time() == pytest.approx(STALL_TIMEOUT + CLOSE_TIMEOUT)


@pytest.mark.parametrize(("taken", "patience"), [(0, STALL_TIMEOUT), (1, 0.5 + CLOSE_TIMEOUT)])
async def test_a_refused_client_that_does_not_read_is_disconnected(
    autojump_clock: MockClock, taken: int, patience: float
) -> None:
    """So is one that reads the refusal and then does not close."""
    line = Line(taken)
    line.arrive.send_nowait('{"type": "join", "data": {"roomId": "r", "userId": "u"}}')
    async with in_memory_server(auth_secret="0" * 32) as server:
        begin = trio.current_time()
        with trio.fail_after(60):
            await server.sfu.joins.serve_websocket(cast(WebSocketConnection, line))
        assert trio.current_time() == pytest.approx(begin + patience)
