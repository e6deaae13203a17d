"""One peer's task: it reads the peer's WebSockets, and is the boundary for the peer's failures.

What happens in the room is decided by `sfu.conference`. The peer is gone when `PeerTask.run` has returned.
"""

from collections.abc import Sequence
from typing import Final, Protocol

import trio

from sfu.conference.messages import ServerMessage
from sfu.conference.peer import Peer
from sfu.ice.full_messages import IceRequest
from sfu.shell.dispatcher import Dispatcher
from sfu.shell.logs import get_logger
from sfu.shell.signaling import Signaling

CONNECTION_LOST: Final = 4001
"""The close code after which the client may resume: it stalled, or another server has its session."""

CLOSE_CODES: Final = {
    "left": 1000,
    "server stopping": 1001,
    "fingerprint-mismatch": 1008,
    "replaced": 4000,
    "claimed elsewhere": CONNECTION_LOST,
}
"""WebSocket close codes by the reason for which a peer ended (RFC 6455 section 7.4)."""

INTERNAL_ERROR: Final = 1011
"""The close code for every other reason."""

log = get_logger(__name__)


class IceTask(Protocol):
    """The sockets of a peer's full ICE agents: a `sfu.shell.full_ice.agent.FullIce`."""

    def carry_out(self, requests: Sequence[IceRequest]) -> None:
        """Note what is to be done."""

    async def run(self) -> None:
        """Do it, until cancelled. Its own failures end here, too."""


class PeerTask:
    """Runs one peer, from its join to its end, over as many WebSockets as its session lasts."""

    def __init__(self, dispatcher: Dispatcher, peer: Peer, ice: IceTask | None = None) -> None:
        self.peer = peer
        self._ice = ice
        """The sockets of its full ICE agents, if it has such agents."""
        self._signaling: Signaling | None = None
        """The newest WebSocket, which replaces all before. None: there was none yet in this process."""
        self._dispatcher = dispatcher
        self._scope = trio.CancelScope()
        self._attached = trio.Event()
        self._error: Exception | None = None

    async def run(self) -> None:
        """Run the peer until it leaves, its session expires, or something in it fails.

        This is the boundary: a failure of the peer, wherever it was found, is raised in this nursery. It is
        logged and ends this peer alone.
        """
        failure: BaseException | None = None
        try:
            async with trio.open_nursery() as nursery:
                if self._ice is not None:
                    nursery.start_soon(self._ice.run)
                with self._scope:
                    await self._run_session()
                if self._error is not None:
                    raise self._error
                nursery.cancel_scope.cancel("the peer has ended")
        except* Exception as group:
            failure = group
        finally:
            self._dispatcher.forget(self.peer, failure or self._error)
            reason = self.peer.ended or "unknown"
            log.info("peer gone", peer=self.peer.id, room=self.peer.room_id, reason=reason)
            self._retire(reason)

    def attach(self, signaling: Signaling) -> None:
        """Go on with this WebSocket: the session has been begun or resumed on it."""
        self._retire("replaced")
        self._signaling = signaling
        self._attached.set()

    # --- what the dispatcher calls ---

    @property
    def failed(self) -> bool:
        """Whether the peer has failed, and is ending."""
        return self._error is not None

    def post(self, message: ServerMessage) -> None:
        """Queue a message to the client."""
        assert self._signaling is not None, "a peer without a client is told nothing"
        self._signaling.post(message)

    def carry_out(self, requests: Sequence[IceRequest]) -> None:
        """Pass requests on to the sockets of the full ICE agents."""
        if self._ice is not None:
            self._ice.carry_out(requests)

    def stop(self, reason: str) -> None:
        """End the task: the peer has left its room."""
        self._scope.cancel(reason)

    def fail(self, error: Exception) -> None:
        """Raise `error` in this task, which ends it."""
        self._error = error
        self._scope.cancel("internal error")

    # --- the session ---

    async def _run_session(self) -> None:
        """Serve one WebSocket after the other. Between two of them the session is suspended.

        Only signaling ends then: timers and media go on, until the deadline of the session, which is one of the
        timers.
        """
        while True:
            await self._attached.wait()
            self._attached = trio.Event()
            signaling = self._signaling
            assert signaling is not None, "a WebSocket was attached"
            await signaling.read(self._receive)
            if signaling is self._signaling:
                self._dispatcher.suspend(self.peer)
                log.info("peer suspended", peer=self.peer.id, room=self.peer.room_id)
                signaling.retire(CONNECTION_LOST, "connection lost")

    def _receive(self, text: str | bytes) -> float:
        self._dispatcher.receive_message(self.peer, text)
        return self.peer.bucket.pause()

    def _retire(self, reason: str) -> None:
        if self._signaling is not None:
            self._signaling.retire(CLOSE_CODES.get(reason, INTERNAL_ERROR), reason)
