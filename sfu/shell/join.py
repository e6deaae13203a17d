"""How peers come to this server: clients join on WebSockets, and the store brings sessions back.

This is a join, from the WebSocket to the `room-state` message::

    Joins.serve_websocket            a client has opened a WebSocket
    └─ Joins._serve_until_joined     reads its messages until a join succeeds
       └─ Joins._join                one attempt; raises `Refused`
          ├─ Sessions.prove          is it a resume? Asks this server, then the store
          ├─ TokenVerifier.prepare   only a fresh join may wait for the keys of tokens
          ├─ Dispatcher.join         contains what fails in the next
          │  └─ Admission.join       decides; the room queues `join` and `room-state` for the client
          ├─ RoomTasks.task_of       starts the tasks of a new peer
          └─ Dispatcher.flush        hands the queued messages to the WebSocket
    Signaling.write                  sends them
"""

from types import TracebackType
from typing import Final

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from sfu.conference.conference import Conference
from sfu.conference.envelope import BadMessage, parse
from sfu.conference.errors import Conflict, Refused, TooManyRequests, Unavailable
from sfu.conference.messages import Join, Ping, Pong, refusal
from sfu.conference.rate import TokenBucket, weight_of
from sfu.conference.records import SessionRecord
from sfu.conference.session import Departure
from sfu.shell.auth.tokens import TokenVerifier
from sfu.shell.config.settings import Settings
from sfu.shell.config.timeouts import Timeouts
from sfu.shell.dispatcher import Dispatcher
from sfu.shell.logs import get_logger
from sfu.shell.room import RoomTasks
from sfu.shell.signaling import Signaling
from sfu.shell.store.sessions import Sessions

FINAL_REFUSALS: Final = (401, 403)
"""Error codes after which another join on the same connection is pointless (SPEC section 2)."""

POLICY_VIOLATION: Final = 1008
"""The WebSocket close code after such an error (RFC 6455 section 7.4.1)."""

log = get_logger(__name__)


class Joins:
    """Lets peers in, and hands sessions over to other servers."""

    def __init__(
        self,
        settings: Settings,
        timeouts: Timeouts,
        conference: Conference,
        sessions: Sessions,
        token_verifier: TokenVerifier,
        rooms: RoomTasks,
        dispatcher: Dispatcher,
        stopping: trio.Event,
    ) -> None:
        """Once `stopping` is set, joins are refused and no session is restored."""
        self.websockets = WebSocketCount()
        """Of the WebSockets that are open."""
        self._settings = settings
        self._timeouts = timeouts
        self._conference = conference
        self._sessions = sessions
        self._token_verifier = token_verifier
        self._rooms = rooms
        self._dispatcher = dispatcher
        self._stopping = stopping

    async def serve_websocket(self, websocket: WebSocketConnection) -> None:
        """Serve one WebSocket until it is closed: first a client that has not joined, then its peer."""
        signaling = Signaling(websocket, self._timeouts)
        with self.websockets:
            try:
                joined = await self._serve_until_joined(websocket, signaling)
            except (ConnectionClosed, trio.TooSlowError):
                return
            if joined:
                await signaling.write()

    async def _serve_until_joined(self, websocket: WebSocketConnection, signaling: Signaling) -> bool:
        """Answer a client until it has joined; return False if it was refused and may not try again.

        Raises:
            ConnectionClosed: the client is gone.
            trio.TooSlowError: it has not joined in time, or does not read.
        """
        rate, burst = self._settings.messages_per_second, self._settings.messages_burst
        bucket = TokenBucket(rate, burst, trio.current_time())
        count = self._conference.count_message
        deadline = trio.current_time() + self._timeouts.join
        while True:
            # One deadline for all messages: pings and refused joins do not move it. A join's own waits have
            # limits of their own.
            with trio.fail_at(deadline):
                await trio.sleep(bucket.pause())
                text = await websocket.get_message()
            may_pass = bucket.take(trio.current_time(), weight_of(text))
            message_type: str | None = None
            try:
                # Parsed also if it is refused: the error names the message's type.
                message = parse(text)
                message_type = message.message_type
                if not may_pass:
                    raise TooManyRequests("too many messages: slow down")
                match message:
                    case Join():
                        await self._join(message, websocket, signaling)
                    case Ping() | Pong():
                        pass
                    case _:
                        raise Conflict("join a room first")
                count(message_type, "ok")
                if isinstance(message, Join):
                    return True
                if isinstance(message, Ping):
                    await signaling.send(Pong(message.data))
            except Refused as error:
                if isinstance(error, BadMessage):
                    message_type = error.message_type
                count(message_type, str(error.code))
                await signaling.send(refusal(error, message_type))
                if error.code in FINAL_REFUSALS:
                    with trio.move_on_after(self._timeouts.websocket_close):
                        await websocket.aclose(POLICY_VIOLATION, str(error))
                    return False

    async def _join(self, request: Join, websocket: WebSocketConnection, signaling: Signaling) -> None:
        """Let a client in, or resume its session; send it the room's state.

        Raises:
            Refused: the client may not enter. That is logged.
            ConnectionClosed: the client has disconnected while the store or an issuer of tokens was asked.
        """
        try:
            self._refuse_if_stopping()  # before another server hands the session over to this one
            proof = await self._sessions.prove(request)
            if proof is None:
                await self._token_verifier.prepare(request)
            self._refuse_if_stopping()
            if websocket.closed is not None:
                # The client may have come on another WebSocket meanwhile: it keeps what it has there. A session
                # that was claimed is at no other server now; here the client will find it.
                if proof is not None and proof.record is not None:
                    self.restore([(proof.record, self._settings.session_ttl_sec)])
                raise ConnectionClosed(websocket.closed)
            now = trio.current_time()
            peer = self._dispatcher.join(request, proof, now)
        except Refused as error:
            log.info("join refused", code=error.code, reason=str(error))
            raise
        self._rooms.task_of(peer).attach(signaling)
        event = "peer resumed" if peer.session.generation > 1 else "peer joined"
        log.info(event, peer=peer.id, room=peer.room_id, user=peer.user_id)
        self._dispatcher.flush(now)

    def _refuse_if_stopping(self) -> None:
        if self._stopping.is_set():
            raise Unavailable("the server is stopping")

    def restore(self, found: list[tuple[SessionRecord, float]]) -> None:
        """Restore sessions that the store has found, each with the seconds that remain to it."""
        if self._stopping.is_set():
            return
        now = trio.current_time()
        restored = 0
        for record, remaining in found:
            peer = self._dispatcher.restore(record, now + remaining, now)
            if peer is not None:
                self._rooms.task_of(peer)
                restored += 1
        log.info("sessions restored", found=len(found), restored=restored)
        self._dispatcher.flush(now)

    def hand_over(self, session_id: str) -> None:
        """End a session here that another server has claimed."""
        peer = self._conference.directory.find_session(session_id)
        if peer is not None:
            self._dispatcher.remove(peer, "claimed elsewhere", Departure.MOVED)


class WebSocketCount:
    """How many WebSockets are open, as a context manager around each.

    Each is served by the task of its HTTP connection. So there is no nursery that holds the WebSockets alone,
    and whose end could be waited for.
    """

    def __init__(self) -> None:
        self.open = 0
        self._none_left = trio.Event()

    def __enter__(self) -> None:
        self.open += 1

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.open -= 1
        if not self.open:
            self._none_left.set()
            self._none_left = trio.Event()

    async def wait_until_none(self) -> None:
        """Wait until none is open."""
        if self.open:
            await self._none_left.wait()
