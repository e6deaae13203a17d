"""A room's nursery: it holds the peers' tasks, and ends when the room has been empty for long enough."""

import math
from collections.abc import Callable

import trio

from sfu.conference.room import Room
from sfu.shell.logs import get_logger
from sfu.shell.ops.tasks import count_tasks
from sfu.shell.peer import PeerTask

log = get_logger(__name__)


class RoomTask:
    """Runs one room, from its first peer until `ttl` seconds after its last."""

    def __init__(self, room: Room, ttl: float, on_closed: Callable[[Room], None]) -> None:
        """`on_closed` is told when the room ends; it may be told twice."""
        self.room = room
        self._on_closed = on_closed
        self._ttl = ttl
        self._nursery: trio.Nursery | None = None
        self._early: list[PeerTask] = []
        self._deadline = math.inf
        self._lifetime = trio.CancelScope()
        self._task: trio.lowlevel.Task | None = None

    async def run(self) -> None:
        """Run until the room has been empty for its time to live; then nothing of it is left."""
        self._task = trio.lowlevel.current_task()
        log.info("room opened", room=self.room.id)
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                for task in self._early:
                    nursery.start_soon(self._run_peer, task)
                self._early.clear()
                while True:
                    with trio.CancelScope(deadline=self._deadline) as self._lifetime:
                        await trio.sleep_forever()
                    if not self.room.peers:
                        break
                # In the step that decides it: a join after this gets a new room.
                self._on_closed(self.room)
        finally:
            self._on_closed(self.room)
            log.info("room closed", room=self.room.id)

    @property
    def tasks(self) -> int:
        """How many tasks the room has: its own, and those of its peers."""
        return 0 if self._task is None else count_tasks(self._task)

    def admit(self, task: PeerTask) -> None:
        """Start a peer's tasks: the only way into this nursery."""
        self._live_until(math.inf)
        if self._nursery is None:
            self._early.append(task)  # the room was made in this very step; its own task has yet to begin
        else:
            self._nursery.start_soon(self._run_peer, task)

    def close(self) -> None:
        """End the room as soon as its peers have ended, without waiting for anybody to come back."""
        self._ttl = 0
        if not self.room.peers:
            self._live_until(-math.inf)

    async def _run_peer(self, task: PeerTask) -> None:
        await task.run()
        if not self.room.peers:
            self._live_until(trio.current_time() + self._ttl)

    def _live_until(self, time: float) -> None:
        self._deadline = self._lifetime.deadline = time
