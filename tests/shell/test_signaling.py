"""One WebSocket by itself: how long it waits for a client, and what it does when its peer is done with it."""

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
    """As much of a WebSocket as can be heard on. Its client reads `taken` messages, and then nothing more.

    Each takes it half a second.
    """

    def __init__(self, taken: int = 0) -> None:
        self.arrive, self._messages = trio.open_memory_channel[str](1)
        self.sent: list[str] = []
        self._taken = taken
        self.closed = None

    async def get_message(self) -> str:
        """Return the next message."""
        return await self._messages.receive()

    async def send_message(self, text: str) -> None:
        """Send a message, as long as the client reads."""
        self._taken -= 1
        if self._taken < 0:
            await trio.sleep_forever()
        await trio.sleep(0.5)
        self.sent.append(text)

    async def ping(self) -> None:
        """Wait for an answer, which does not come."""
        await trio.sleep_forever()

    async def aclose(self, code: int, reason: str) -> None:
        """Wait for the client to close, which it does not."""
        await trio.sleep_forever()


async def test_what_comes_in_the_step_in_which_a_newer_one_took_over_is_not_heard(
    autojump_clock: MockClock,
) -> None:
    """It would pass for a word on the newer one, and prove that the client has the token of there."""
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
async def test_what_is_on_its_way_when_the_peer_ends_still_arrives(
    autojump_clock: MockClock, taken: int
) -> None:
    """And what waits behind it; but nobody is waited for who does not read it."""
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


async def test_who_does_not_read_is_left_to_the_peer(autojump_clock: MockClock) -> None:
    """Which is told by the end of `run`, and says with which code to close."""
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
async def test_a_client_that_may_not_join_and_does_not_read_that_is_not_waited_for(
    autojump_clock: MockClock, taken: int, patience: float
) -> None:
    """Nor one that reads it and then does not close."""
    line = Line(taken)
    line.arrive.send_nowait('{"type": "join", "data": {"roomId": "r", "userId": "u"}}')
    async with in_memory_server(auth_secret="0" * 32) as server:
        begin = trio.current_time()
        with trio.fail_after(60):
            await server.sfu.joins.serve_websocket(cast(WebSocketConnection, line))
        assert trio.current_time() == pytest.approx(begin + patience)
