"""One WebSocket by itself: what it still does when its peer is done with it."""

from typing import cast

import trio
from trio.testing import MockClock, wait_all_tasks_blocked
from trio_websocket import WebSocketConnection

from sfu.signaling import Signaling


class Line:
    """As much of a WebSocket as can be heard on."""

    def __init__(self) -> None:
        self.arrive, self._messages = trio.open_memory_channel[str](1)

    async def get_message(self) -> str:
        """Return the next message."""
        return await self._messages.receive()


async def test_what_comes_in_the_step_in_which_a_newer_one_took_over_is_not_heard(
    autojump_clock: MockClock,
) -> None:
    """It would pass for a word on the newer one, and prove that the client has the token of there."""
    heard: list[str | bytes] = []

    def hear(text: str | bytes) -> float:
        heard.append(text)
        return 0.0

    line = Line()
    signaling = Signaling(cast(WebSocketConnection, line))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(signaling.run, hear)
        await wait_all_tasks_blocked()
        line.arrive.send_nowait("in time")
        await wait_all_tasks_blocked()
        line.arrive.send_nowait("late")
        signaling.retire(4000, "replaced")
    assert heard == ["in time"]
