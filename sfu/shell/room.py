"""The tasks of rooms: a nursery per room, which holds the tasks of its peers."""

import math
from collections.abc import Callable

import trio

from sfu.conference.conference import Conference
from sfu.conference.peer import Peer
from sfu.conference.room import Room
from sfu.shell.config.settings import Settings
from sfu.shell.config.timeouts import Timeouts
from sfu.shell.dispatcher import Dispatcher, RunningPeer
from sfu.shell.logs import get_logger
from sfu.shell.media.peer_sockets import PeerSockets
from sfu.shell.media.ports import agent_hosts
from sfu.shell.ops.tasks import count_tasks
from sfu.shell.peer import IceTask, PeerTask

log = get_logger(__name__)


class RoomTasks:
    """The tasks of all rooms, and of the peers in them."""

    def __init__(
        self,
        settings: Settings,
        conference: Conference,
        dispatcher: Dispatcher,
        sockets: PeerSockets | None,
        timeouts: Timeouts,
    ) -> None:
        """`sockets` counts for peers that have full ICE agents with sockets of their own; else it is None."""
        self._settings = settings
        self._conference = conference
        self._dispatcher = dispatcher
        self._sockets = sockets
        self._timeouts = timeouts
        self._rooms: dict[Room, RoomTask] = {}
        self._nursery: trio.Nursery | None = None

    @property
    def running(self) -> int:
        """How many peers and rooms have tasks."""
        return len(self._dispatcher.tasks) + len(self._rooms)

    def per_room(self) -> dict[str, int]:
        """Return how many tasks each room has, by room id."""
        return {room.id: task.tasks for room, task in self._rooms.items()}

    def run_in(self, nursery: trio.Nursery) -> None:
        """Start the tasks of rooms in this nursery from now on."""
        self._nursery = nursery

    def task_of(self, peer: Peer) -> RunningPeer:
        """Return the task of a peer. Start it, and that of the room, if the peer or the room is new."""
        if peer in self._dispatcher.tasks:
            return self._dispatcher.tasks[peer]
        task = PeerTask(self._dispatcher, peer, self._make_ice(peer))
        self._dispatcher.admit(peer, task)
        self._room_task(self._conference.directory.room_of(peer)).start(task)
        return task

    def close(self) -> None:
        """End each room as soon as its peers have ended."""
        for task in tuple(self._rooms.values()):
            task.close()

    def _room_task(self, room: Room) -> "RoomTask":
        task = self._rooms.get(room)
        if task is None:
            assert self._nursery is not None, "a server that runs has a nursery for rooms"
            if len(self._rooms) >= self._settings.max_rooms:
                self._close_forgotten()
            task = self._rooms[room] = RoomTask(room, self._settings.room_ttl_sec, self._forget)
            self._nursery.start_soon(task.run)
        return task

    def _close_forgotten(self) -> None:
        """End the tasks of empty rooms that the conference has dropped to make place for others."""
        for room, task in self._rooms.items():
            if self._conference.rooms.get(room.id) is not room:
                task.close()

    def _forget(self, room: Room) -> None:
        self._conference.directory.forget_room(room)
        self._rooms.pop(room, None)

    def _make_ice(self, peer: Peer) -> IceTask | None:
        if self._sockets is None:
            return None
        # Imported here, since asyncio and the packages that need it take 10 MB.
        from sfu.shell.full_ice.agent import FullIce

        hosts = agent_hosts(self._settings)
        return FullIce(self._dispatcher, peer, self._settings, hosts, self._sockets.count, self._timeouts)


class RoomTask:
    """Runs one room, from its first peer until `ttl` seconds after its last."""

    def __init__(self, room: Room, ttl: float, on_closed: Callable[[Room], None]) -> None:
        """`on_closed` is called when the room ends; it may be called twice."""
        self.room = room
        self._on_closed = on_closed
        self._ttl = ttl
        self._nursery: trio.Nursery | None = None
        self._early: list[PeerTask] = []
        """Tasks of peers that joined before this task began to run."""
        self._deadline = math.inf
        self._lifetime = trio.CancelScope()
        self._task: trio.lowlevel.Task | None = None

    async def run(self) -> None:
        """Run until the room has been empty for `ttl` seconds."""
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

    def start(self, task: PeerTask) -> None:
        """Start a peer's task in the room's nursery. Nothing else starts tasks there."""
        self._live_until(math.inf)
        if self._nursery is None:
            self._early.append(task)
        else:
            self._nursery.start_soon(self._run_peer, task)

    def close(self) -> None:
        """End the room as soon as its peers have ended, without waiting for another to join."""
        self._ttl = 0
        if not self.room.peers:
            self._live_until(-math.inf)

    async def _run_peer(self, task: PeerTask) -> None:
        await task.run()
        if not self.room.peers:
            self._live_until(trio.current_time() + self._ttl)

    def _live_until(self, time: float) -> None:
        self._deadline = self._lifetime.deadline = time
