"""One peer's task: its signaling, and the boundary around it.

What happens in the room is decided by `sfu.conference`; here is only who waits for what. The peer is gone when
`PeerTask.run` has returned.
"""

from typing import TYPE_CHECKING, Final, Protocol

import trio

from sfu.conference.peer import Peer
from sfu.ice.full import IceRequest
from sfu.logs import get_logger
from sfu.signaling import Signaling

if TYPE_CHECKING:
    from sfu.server import Server

CLOSE_CODES: Final = {"left": 1000, "server stopping": 1001, "fingerprint-mismatch": 1008, "replaced": 4000}
"""WebSocket close codes by the reason for which a peer ended (RFC 6455 section 7.4)."""

INTERNAL_ERROR: Final = 1011
"""The close code for every other reason."""

CONNECTION_LOST: Final = 4001
"""The close code for a client that stalled, should it still read: it may resume."""

log = get_logger(__name__)


class IceTask(Protocol):
    """The sockets of a peer's full ICE agents: a `sfu.full_ice.FullIce`."""

    def carry_out(self, requests: list[IceRequest]) -> None:
        """Note what is to be done."""

    async def run(self) -> None:
        """Do it, until cancelled; what fails in it is its own concern."""


class PeerTask:
    """Runs one peer, from its join to its end, over as many WebSockets as its session lasts."""

    def __init__(self, server: "Server", peer: Peer, signaling: Signaling, ice: IceTask | None = None) -> None:
        self.peer = peer
        self.ice = ice
        """Where it has full ICE agents, whoever works for them."""
        self.signaling = signaling
        """The newest: it wins over every one before."""
        self._server = server
        self._scope = trio.CancelScope()
        self._attached = trio.Event()

    async def run(self) -> None:
        """Run the peer until it leaves, its session expires, or something in it fails.

        A failure is logged and costs this peer alone.
        """
        reason = "server stopping"
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    if self.ice is not None:
                        nursery.start_soon(self.ice.run)
                    await self._run_session()
        except* Exception as group:
            reason = "internal error"
            log.error("peer failed", peer=self.peer.id, exc_info=group)
        finally:
            self._server.remove(self.peer, reason)
            ended = self.peer.ended or reason
            log.info("peer gone", peer=self.peer.id, room=self.peer.room.id, reason=ended)
            self.signaling.retire(CLOSE_CODES.get(ended, INTERNAL_ERROR), ended)

    def attach(self, signaling: Signaling) -> None:
        """Go on with another WebSocket: the session has been resumed on it."""
        self.signaling.retire(CLOSE_CODES["replaced"], "replaced")
        self.signaling = signaling
        self._attached.set()
        log.info("peer resumed", peer=self.peer.id, room=self.peer.room.id)

    async def _run_session(self) -> None:
        """Serve one WebSocket after the other; between two of them the session is suspended.

        Only signaling ends then: timers and media go on. For how long, is the session's deadline, which is one
        of the timers.
        """
        while True:
            self._attached = trio.Event()
            signaling = self.signaling
            await signaling.run(self._receive)
            if signaling is self.signaling:
                self._server.suspend(self.peer)
                log.info("peer suspended", peer=self.peer.id, room=self.peer.room.id)
                signaling.retire(CONNECTION_LOST, "connection lost")
                await self._attached.wait()

    def stop(self, reason: str) -> None:
        """End the peer's task: it has left its room."""
        self._scope.cancel(reason)

    def _receive(self, text: str | bytes) -> float:
        self._server.receive_message(self.peer, text)
        return self.peer.bucket.pause()
