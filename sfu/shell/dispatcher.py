"""Steps: whatever comes from outside, one thing at a time, and all that it leads to.

A step is a datagram, a message, a deadline that has come, a connection that has ended. The conference takes it
without waiting for anything; then messages, datagrams, timers and stored sessions of all peers that it touched
are seen to. What fails in a step costs the peer that it was about, and nobody else.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import trio

from sfu.conference.conference import Conference
from sfu.conference.peer import Peer
from sfu.conference.session import Departure
from sfu.ice.full_messages import IceReport
from sfu.ice.path import IcePath
from sfu.shell.logs import get_logger
from sfu.shell.peer import PeerTask
from sfu.shell.store.sessions import Sessions
from sfu.shell.timers import Timers
from sfu.transport.egress import Egress

log = get_logger(__name__)


class Dispatcher:
    """The steps of one server."""

    def __init__(self, conference: Conference, sessions: Sessions, egress: Egress) -> None:
        self.tasks: dict[Peer, PeerTask] = {}
        """Of peers; whoever lets one in puts its task here."""
        self._conference = conference
        self._sessions = sessions
        self._egress = egress
        self._timers: Timers[Peer] = Timers()

    async def run_timers(self) -> None:
        """Take the steps whose time has come, until cancelled."""
        await self._timers.run(self._tick)

    def flush(self, now: float) -> None:
        """Carry out what the last steps led to: messages, datagrams and timers of all peers they touched."""
        while touched := self._conference.take_touched():
            for peer in touched:
                try:
                    self._conference.conclude(peer, now)
                    self._flush_peer(peer, now)
                except Exception:
                    self._fail(peer, now)
        self._sessions.save()
        self._egress.flush()

    # --- from the sockets of all ---

    def receive(self, data: bytes, path: IcePath, now: float) -> None:
        """Take a datagram; `flush` comes after the last of a batch."""
        peer = self._conference.route(data, path)
        if peer is not None:
            try:
                self._conference.receive(peer, data, path, now)
            except Exception:
                self._fail(peer, now)

    def is_claimed(self, path: IcePath) -> bool:
        """Return whether a path leads to a peer."""
        return self._conference.owner(path) is not None

    def lose_path(self, path: IcePath) -> None:
        """The TCP connection that was `path` has ended."""
        peer = self._conference.owner(path)
        if peer is not None:
            with self._step(peer) as now:
                self._conference.lose_path(peer, path, now)

    def set_path_full(self, path: IcePath, full: bool) -> None:
        """Note whether too much waits on the TCP connection that is `path`.

        It becomes full in the middle of sending, so then nothing is sent here.
        """
        peer = self._conference.owner(path)
        if peer is None:
            return
        now = trio.current_time()
        try:
            self._conference.set_path_full(peer, path, full, now)
        except Exception:
            self._fail(peer, now)
        if not full:
            self.flush(now)

    # --- from a peer's own tasks ---

    def receive_message(self, peer: Peer, text: str | bytes) -> None:
        """Do what a client's message asks. What fails in it is for the peer's task."""
        now = trio.current_time()
        self._conference.receive_message(peer, text, now)
        self.flush(now)

    def suspend(self, peer: Peer) -> None:
        """Note that a peer's WebSocket is gone."""
        now = trio.current_time()
        self._conference.suspend(peer, now)
        self.flush(now)

    def receive_datagram(self, peer: Peer, data: bytes, path: IcePath) -> None:
        """Take a datagram from a socket of the peer's own; `flush` comes after the last of a batch."""
        now = trio.current_time()
        try:
            self._conference.receive(peer, data, path, now)
        except Exception:
            self._fail(peer, now)

    def report_ice(self, peer: Peer, *reports: IceReport) -> None:
        """Take what those who have a peer's sockets have found."""
        with self._step(peer) as now:
            self._conference.report_ice(peer, reports, now)

    def forget_peer(self, peer: Peer, *, failed: bool) -> None:
        """Let go of a peer whose task ends: it has left, it has `failed`, or only this server ends."""
        now = trio.current_time()
        if failed:
            self._remove_failed(peer, now)
        else:
            self._conference.remove(peer, "server stopping", now, Departure.MOVED)
        self.flush(now)
        self._timers.discard(peer)
        self.tasks.pop(peer, None)

    # --- what they have in common ---

    def _tick(self, peer: Peer) -> None:
        """Do what is due for a peer."""
        with self._step(peer) as now:
            self._conference.handle_timeout(peer, now)

    @contextmanager
    def _step(self, peer: Peer) -> Iterator[float]:
        """Hold one step about a peer, at the time that is yielded, and settle it."""
        now = trio.current_time()
        try:
            yield now
        except Exception:
            self._fail(peer, now)
        self.flush(now)

    def _flush_peer(self, peer: Peer, now: float) -> None:
        for datagram, path in peer.outgoing(now):
            self._egress.put(datagram, path)
        task = self.tasks.get(peer)
        if task is None:
            return
        for message in peer.take_messages():
            task.post(message)
        if task.ice is not None:
            task.ice.carry_out(peer.take_ice_requests())
        if peer.ended is None:
            self._timers.set(peer, peer.next_timeout())
        else:
            self._timers.discard(peer)
            task.stop(peer.ended)

    def _fail(self, peer: Peer, now: float) -> None:
        log.exception("peer failed", peer=peer.id, room=peer.room_id)
        if peer in self.tasks:
            self.tasks[peer].stop("internal error")
        self._remove_failed(peer, now)

    def _remove_failed(self, peer: Peer, now: float) -> None:
        """Take a peer out of its room in which something is broken: that may break in this, too."""
        try:
            self._conference.remove(peer, "internal error", now)
        except Exception:
            log.exception("failed peer could not be closed", peer=peer.id, room=peer.room_id)
