"""One peer's task: its signaling, and the boundary around it.

What happens in the room is decided by `sfu.conference`; here is only who waits for what. The peer is gone when
`PeerTask.run` has returned.
"""

from typing import TYPE_CHECKING, Final, Protocol

import trio

from sfu.conference.messages import ServerMessage
from sfu.conference.peer import Peer
from sfu.ice.full_messages import IceRequest
from sfu.shell.logs import get_logger
from sfu.shell.signaling import Signaling

if TYPE_CHECKING:
    from sfu.shell.dispatcher import Dispatcher

CONNECTION_LOST: Final = 4001
"""The close code for those who may resume: they stalled, or another server has their session."""

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

    def carry_out(self, requests: list[IceRequest]) -> None:
        """Note what is to be done."""

    async def run(self) -> None:
        """Do it, until cancelled; what fails in it is its own concern."""


class PeerTask:
    """Runs one peer, from its join to its end, over as many WebSockets as its session lasts."""

    def __init__(self, steps: "Dispatcher", peer: Peer, ice: IceTask | None = None) -> None:
        self.peer = peer
        self.ice = ice
        """Where it has full ICE agents, whoever works for them."""
        self._signaling: Signaling | None = None
        """The newest: it wins over every one before. None: this process has seen none yet."""
        self._steps = steps
        self._scope = trio.CancelScope()
        self._attached = trio.Event()

    async def run(self) -> None:
        """Run the peer until it leaves, its session expires, or something in it fails.

        A failure is logged and costs this peer alone.
        """
        failed = False
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    if self.ice is not None:
                        nursery.start_soon(self.ice.run)
                    await self._run_session()
        except* Exception as group:
            failed = True
            log.error("peer failed", peer=self.peer.id, exc_info=group)
        finally:
            self._steps.forget_peer(self.peer, failed=failed)
            reason = self.peer.ended or "unknown"
            log.info("peer gone", peer=self.peer.id, room=self.peer.room_id, reason=reason)
            self._retire(reason)

    def attach(self, signaling: Signaling) -> None:
        """Go on with this WebSocket: the session has been begun or resumed on it."""
        self._retire("replaced")
        self._signaling = signaling
        self._attached.set()

    def post(self, message: ServerMessage) -> None:
        """Queue a message to the client."""
        assert self._signaling is not None, "a peer without a client is told nothing"
        self._signaling.post(message)

    async def _run_session(self) -> None:
        """Serve one WebSocket after the other; between two of them the session is suspended.

        Only signaling ends then: timers and media go on. For how long, is the session's deadline, which is one
        of the timers.
        """
        while True:
            await self._attached.wait()
            self._attached = trio.Event()
            signaling = self._signaling
            assert signaling is not None, "a WebSocket was attached"
            await signaling.read(self._receive)
            if signaling is self._signaling:
                self._steps.suspend(self.peer)
                log.info("peer suspended", peer=self.peer.id, room=self.peer.room_id)
                signaling.retire(CONNECTION_LOST, "connection lost")

    def stop(self, reason: str) -> None:
        """End the peer's task: it has left its room."""
        self._scope.cancel(reason)

    def _retire(self, reason: str) -> None:
        if self._signaling is not None:
            self._signaling.retire(CLOSE_CODES.get(reason, INTERNAL_ERROR), reason)

    def _receive(self, text: str | bytes) -> float:
        self._steps.receive_message(self.peer, text)
        return self.peer.bucket.pause()
