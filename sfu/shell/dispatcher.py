"""Calls the conference for each datagram, message and deadline, and carries out what it says.

    datagram, message, deadline ──> Dispatcher ──> Conference: decides, without waiting
                                        └─ flush <── PeerOutput: datagrams, messages, wake-up, end

A failure while a peer is served is raised in that peer's own task, and ends this peer alone. A failure that
belongs to no peer is counted and logged. The server goes on after both.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Concatenate, Final, ParamSpec, Protocol

import trio

from sfu.conference.conference import Conference
from sfu.conference.errors import Refused
from sfu.conference.messages import Join, ServerMessage
from sfu.conference.peer import Peer, PeerOutput
from sfu.conference.records import Proof, SessionRecord
from sfu.conference.session import Departure
from sfu.ice.full_messages import IceReport, IceRequest
from sfu.ice.path import IcePath
from sfu.shell.internal_errors import InternalErrors
from sfu.shell.signaling import Signaling
from sfu.shell.store.sessions import Sessions
from sfu.shell.timers import Timers
from sfu.transport.egress import Egress

TIMERS_PAUSE: Final = 1.0
"""Seconds without timers after these have failed: a fault that lasts must not take all the time there is."""

P = ParamSpec("P")


class RunningPeer(Protocol):
    """What others call of a peer's task, a `sfu.shell.peer.PeerTask`."""

    def attach(self, signaling: Signaling) -> None:
        """Go on with this WebSocket."""

    @property
    def failed(self) -> bool:
        """Whether `fail` was called: the peer is ending."""

    def post(self, message: ServerMessage) -> None:
        """Queue a message to the client."""

    def carry_out(self, requests: Sequence[IceRequest]) -> None:
        """Pass requests on to the sockets of the peer's full ICE agents."""

    def stop(self, reason: str) -> None:
        """End the task: the peer has left its room."""

    def fail(self, error: Exception) -> None:
        """Raise `error` in the task, which ends it. `Dispatcher.forget` follows."""


class Dispatcher:
    """Serves all peers of one server."""

    def __init__(self, conference: Conference, sessions: Sessions, egress: Egress) -> None:
        self.errors = InternalErrors()
        """The failures so far."""
        self._tasks: dict[Peer, RunningPeer] = {}
        self._conference = conference
        self._table = conference.table
        self._sessions = sessions
        self._egress = egress
        egress.on_error = lambda error: self.errors.note("send", error)
        self._timers: Timers[Peer] = Timers()

    @property
    def tasks(self) -> Mapping[Peer, RunningPeer]:
        """The tasks of the peers that run here."""
        return self._tasks

    def admit(self, peer: Peer, task: RunningPeer) -> None:
        """Serve `peer` from now on, until `forget`. `task` runs it."""
        self._tasks[peer] = task

    def join(self, request: Join, proof: Proof | None, now: float) -> Peer:
        """Let a client in, or resume its session: see `Admission.join`. `admit` follows for a new peer.

        A failure ends the peer that was to be made or resumed, and is raised.
        """
        try:
            return self._conference.admission.join(request, proof, now)
        except Refused:
            raise
        except Exception as error:
            self.errors.note("join", error)
            resumed = None if proof is None else self._conference.directory.find_session(proof.session_id)
            if resumed is not None:
                self._fail(resumed, error)
            self._drop_unfinished(error)
            self.flush(now)
            raise

    def restore(self, record: SessionRecord, deadline: float, now: float) -> Peer | None:
        """Restore a session, if it may be: see `Admission.restore`. `admit` follows for its peer."""
        try:
            return self._conference.admission.restore(record, deadline, now)
        except Exception as error:
            self.errors.note("restore", error)
            self._drop_unfinished(error)
            return None

    def forget(self, peer: Peer, error: BaseException | None) -> None:
        """Let go of a peer whose task has ended: it has left, has failed with `error`, or the server ends."""
        now = trio.current_time()
        del self._tasks[peer]
        if error is not None:
            self._remove_failed(peer, error)
        else:
            self._do(peer, self._conference.remove, "server stopping", now, Departure.MOVED)
        self._contain("timers", self._timers.discard, peer)
        self.flush(now)

    # --- from the sockets that all peers share ---

    def receive(self, data: bytes, path: IcePath, now: float) -> None:
        """Take a datagram. `flush` follows after the last one of a batch."""
        try:
            peer = self._table.route(data, path, now)
        except Exception as error:
            self.errors.note("route", error)
            return
        if peer is not None:
            try:
                self._conference.receive(peer, data, path, now)
            except Exception as error:
                self._fail(peer, error)

    def flush(self, now: float) -> None:
        """Send, post and schedule what came of all calls since the last `flush`."""
        try:
            for output in self._conference.flush(now):
                self._carry_out(output)
        except Exception as error:
            self.errors.note("flush", error)
        self._contain("store", self._sessions.save)
        self._contain("send", self._egress.flush)

    def is_claimed(self, path: IcePath) -> bool:
        """Return whether an authenticated check has shown that a path belongs to a peer."""
        return self._owner(path) is not None

    def lose_path(self, path: IcePath) -> None:
        """Note that the TCP connection with this path has ended."""
        peer = self._owner(path)
        if peer is not None:
            now = trio.current_time()
            self._do(peer, self._conference.lose_path, path, now)
            self.flush(now)

    def set_path_full(self, path: IcePath, full: bool) -> None:
        """Note whether too much waits on the TCP connection with this path.

        It becomes full in the middle of sending, so nothing is sent here then.
        """
        peer = self._owner(path)
        if peer is not None:
            now = trio.current_time()
            self._do(peer, self._conference.set_path_full, path, full, now)
            if not full:
                self.flush(now)

    # --- from the tasks of one peer ---

    def receive_message(self, peer: Peer, text: str | bytes) -> None:
        """Do what a client's message asks."""
        now = trio.current_time()
        self._do(peer, self._conference.receive_message, text, now)
        self.flush(now)

    def suspend(self, peer: Peer) -> None:
        """Note that a peer's WebSocket is gone."""
        now = trio.current_time()
        self._do(peer, self._conference.suspend, now)
        self.flush(now)

    def receive_datagram(self, peer: Peer, data: bytes, path: IcePath) -> None:
        """Take a datagram from a socket of the peer's own. `flush` follows after the last one of a batch."""
        self._do(peer, self._conference.receive, data, path, trio.current_time())

    def report_ice(self, peer: Peer, *reports: IceReport) -> None:
        """Take what the sockets of a peer's full ICE agents have found."""
        now = trio.current_time()
        self._do(peer, self._conference.report_ice, reports, now)
        self.flush(now)

    # --- from the server ---

    async def run_timers(self) -> None:
        """Wake each peer when it is due, until cancelled."""
        while True:
            try:
                await self._timers.run(self._wake)
            except Exception as error:
                self.errors.note("timers", error)
            await trio.sleep(TIMERS_PAUSE)

    def remove(self, peer: Peer, reason: str, departure: Departure) -> None:
        """Take a peer out of its room, which ends its task."""
        now = trio.current_time()
        self._do(peer, self._conference.remove, reason, now, departure)
        self.flush(now)

    def drain(self, deadline_ms: int) -> None:
        """Tell all clients that the server stops in `deadline_ms` milliseconds at the latest."""
        self._contain("drain", self._conference.drain, deadline_ms)
        self.flush(trio.current_time())

    def end_all(self, reason: str) -> None:
        """End all peers here. Their sessions stay in the store, to be resumed at a server."""
        now = trio.current_time()
        peers = tuple(self._tasks)
        for peer in peers:
            self._do(peer, self._conference.suspend, now)
        self._contain("store", self._sessions.save)
        for peer in peers:
            self._do(peer, self._conference.remove, reason, now, Departure.MOVED)
        self.flush(now)

    # --- what these share ---

    def _owner(self, path: IcePath) -> Peer | None:
        try:
            return self._table.owner(path)
        except Exception as error:
            self.errors.note("route", error)
            return None

    def _wake(self, peer: Peer) -> None:
        """Do what is due for a peer."""
        now = trio.current_time()
        self._do(peer, self._conference.handle_timeout, now)
        self.flush(now)

    def _carry_out(self, output: PeerOutput) -> None:
        """Send, post and schedule what a peer has."""
        peer = output.peer
        task = self._tasks.get(peer)
        if task is not None and task.failed:
            return
        try:
            if output.error is not None:
                raise output.error
            for datagram, path in output.datagrams:
                self._egress.put(datagram, path)
            if task is None:
                return  # these were its last datagrams
            for message in output.messages:
                task.post(message)
            if output.ice_requests:
                task.carry_out(output.ice_requests)
        except Exception as error:
            self._fail(peer, error)
            return
        if output.ended is None:
            self._contain("timers", self._timers.set, peer, output.wake_at)
        else:
            self._contain("timers", self._timers.discard, peer)
            task.stop(output.ended)

    def _do(
        self, peer: Peer, step: Callable[Concatenate[Peer, P], None], *args: P.args, **named: P.kwargs
    ) -> None:
        """Call a method of the conference about a peer. What fails in it ends the peer.

        Nothing is done for a peer that has failed and is ending.
        """
        task = self._tasks.get(peer)
        if task is not None and task.failed:
            return
        try:
            step(peer, *args, **named)
        except Exception as error:
            self._fail(peer, error)

    def _contain(self, where: str, step: Callable[P, None], *args: P.args, **named: P.kwargs) -> None:
        """Call something that belongs to no peer. A failure is noted, and what comes next goes on."""
        try:
            step(*args, **named)
        except Exception as error:
            self.errors.note(where, error)

    def _fail(self, peer: Peer, error: Exception) -> None:
        """Raise in a peer's task what has failed for it. Until that has ended, its datagrams find no peer."""
        task = self._tasks.get(peer)
        if task is None and peer.ended is not None:
            self.errors.note("remove", error)  # its last datagrams
        elif task is None:
            self._remove_failed(peer, error)
        elif not task.failed:
            task.fail(error)
            self._contain("timers", self._timers.discard, peer)
            self._contain("route", self._table.remove, peer)

    def _drop_unfinished(self, error: Exception) -> None:
        """Remove the peers that were being made when that failed: they have no task."""
        for peer in self._conference.directory.peers():
            if peer not in self._tasks and peer.ended is None:
                self._fail(peer, error)

    def _remove_failed(self, peer: Peer, error: BaseException) -> None:
        """Take a peer out of its room in which something is broken. That may break in this, too."""
        self.errors.note_peer(peer.id, peer.room_id, error)
        try:
            self._conference.remove(peer, "internal error", trio.current_time())
        except Exception as second:
            self.errors.note("remove", second)
            self._conference.abandon(peer)
        if peer.ended is None:  # it was not in the room yet
            self._conference.abandon(peer)
