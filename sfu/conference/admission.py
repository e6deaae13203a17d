"""The way into rooms: who joins, who comes back to a session, and which stored sessions are put back."""

from collections.abc import Callable, Mapping

from sfu.conference.connection import Connection
from sfu.conference.errors import BadRequest, Unavailable
from sfu.conference.grants import Authenticate, Grants
from sfu.conference.limits import Limits
from sfu.conference.marks import Marks
from sfu.conference.messages import Join
from sfu.conference.peer import Peer
from sfu.conference.rate import TokenBucket
from sfu.conference.records import Claimed, SessionRecord
from sfu.conference.room import Room
from sfu.conference.session import Session


class Admission:
    """Finds or makes the peer of each join, and the peers of stored sessions."""

    def __init__(
        self,
        rooms: Mapping[str, Room],
        by_session: dict[str, Peer],
        marks: Marks,
        limits: Limits,
        open_room: Callable[[str], Room],
        make_connection: Callable[[float], Connection],
        random: Callable[[int], bytes],
        authenticate: Authenticate,
    ) -> None:
        """`open_room` makes a room, which is in `rooms` then.

        Peers that are made here are put into `by_session`, by the ids of their sessions; whoever has them
        takes them out when they have ended.
        """
        self.resumes = 0
        """Sessions that were resumed."""
        self.failed_resumes = 0
        """Joins that named a session and did not prove it."""
        self._rooms = rooms
        self._by_session = by_session
        self._marks = marks
        self._limits = limits
        self._open_room = open_room
        self._make_connection = make_connection
        self._random = random
        self._authenticate = authenticate
        # What an unknown id is compared with, so that it takes as long as a known one.
        self._nobody, _ = Session.create(random)
        self._nobody.end()

    def admit(self, request: Join, claimed: Claimed | None, now: float) -> Peer:
        """Return the peer of a join: see `Conference.join`. Raises `Refused`."""
        limit = self._limits.max_id_length
        for name, value in (("roomId", request.room_id), ("userId", request.user_id), ("name", request.name)):
            if len(value) > limit:
                raise BadRequest(f"{name} has {len(value)} characters, {limit} are allowed")
        return self._resume(request, claimed, now) or self._enter(request, now)

    def find_session(self, session_id: str) -> Peer | None:
        """Return the peer of a session that has not ended."""
        peer = self._by_session.get(session_id)
        return peer if peer is not None and peer.ended is None else None

    def full(self, room_id: str, user_id: str) -> str | None:
        """Return why there is no place for a user in a room; None if there is one."""
        room = self._rooms.get(room_id)
        if room is None:
            # A room that nobody is in is only remembered, and makes place for another.
            no_more = len(self._rooms) >= self._limits.max_rooms and all(
                other.peers for other in self._rooms.values()
            )
            return "no more rooms can be opened on this server" if no_more else None
        no_more = len(room.peers) >= self._limits.max_peers_per_room and room.find_user(user_id) is None
        return "the room is full" if no_more else None

    def restore(self, record: SessionRecord, deadline: float, now: float) -> Peer | None:
        """Put a session of another server, or of an earlier life, back: suspended, until `deadline` at most.

        None: it is here already, there is no place for it, or its user has another session here by now. That
        one wins, unless it has been restored as well and would expire earlier: then it is the older one.
        """
        if self.find_session(record.session_id) is not None:
            return None
        room = self._rooms.get(record.room_id)
        old = room.find_user(record.user_id) if room else None
        if old is not None and not (old.restored and _rank(old) < (deadline, record.session_id)):
            self._marks.ended.add(record.session_id)
            return None
        if self.full(record.room_id, record.user_id) or (room and record.peer_id in room.peers):
            return None
        room = room or self._open_room(record.room_id)
        if old is not None:
            room.remove(old, "replaced", now, for_good=False)
            self._marks.ended.add(old.session.id)
        session = Session(record.session_id, record.tokens, record.generation)
        peer = self._make_peer(
            record.peer_id, record.user_id, record.name, room.id, session, record.grants, now
        )
        room.restore(peer, record, deadline, now)
        return peer

    def _resume(self, request: Join, claimed: Claimed | None, now: float) -> Peer | None:
        if request.session_id is None:
            return None
        peer = self.prove(request) if claimed is None else self._find_claimed(request, claimed, now)
        if peer is None:
            self.failed_resumes += 1
            return None
        was_away = peer.suspended
        if claimed is None or claimed.record is None:
            token = peer.session.resume(request.session_token or "", self._random)
        else:
            token = claimed.token
            peer.session.adopt(claimed.record.tokens, claimed.record.generation)
        current = peer.connection
        keep = request.transport == "keep" and current.known and not current.transport.ended
        peer.name = request.name or peer.name
        connection = None if keep else self._make_connection(now)
        self._rooms[peer.room_id].resume(peer, token, connection, now, was_away=was_away)
        self.resumes += 1
        return peer

    def prove(self, request: Join) -> Peer | None:
        """Return whom id and token prove, in the same time whichever of the two is wrong."""
        peer = self.find_session(request.session_id or "")
        session = self._nobody if peer is None else peer.session
        if not session.accepts(request.session_token or "") or peer is None:
            return None
        return peer if (peer.room_id, peer.user_id) == (request.room_id, request.user_id) else None

    def _find_claimed(self, request: Join, claimed: Claimed, now: float) -> Peer | None:
        """Return whom the store says that this is; what is known here is newer than what is stored."""
        record = claimed.record
        if record is None:
            self._nobody.accepts(request.session_token or "")  # an unknown session takes as long as a known one
            return None
        named = (request.session_id, request.room_id, request.user_id)
        if (record.session_id, record.room_id, record.user_id) != named:
            return None
        return self.find_session(record.session_id) or self.restore(record, now + self._limits.session_ttl, now)

    def _enter(self, request: Join, now: float) -> Peer:
        """A fresh join.

        A user who is in the room already is replaced: with authentication it is the same one; without, a
        reloaded page cannot prove that, and a ghost beside it helps nobody.
        """
        grants = self._authenticate(request)
        if reason := self.full(request.room_id, request.user_id):
            raise Unavailable(reason)
        room = self._rooms.get(request.room_id) or self._open_room(request.room_id)
        old = room.find_user(request.user_id)
        if old:
            room.remove(old, "replaced", now)
        session, token = Session.create(self._random)
        peer_id = self._random(8).hex()
        peer = self._make_peer(peer_id, request.user_id, request.name, room.id, session, grants, now)
        room.add(peer, token)
        return peer

    def _make_peer(
        self, peer_id: str, user_id: str, name: str, room_id: str, session: Session, grants: Grants, now: float
    ) -> Peer:
        bucket = TokenBucket(self._limits.messages_per_second, self._limits.messages_burst, now)
        peer = Peer(peer_id, user_id, name, room_id, session, self._make_connection(now), bucket, grants)
        self._by_session[session.id] = peer
        return peer


def _rank(peer: Peer) -> tuple[float, str]:
    """Which of two restored sessions of one user counts: the one that would expire later was stored later."""
    assert peer.session.deadline is not None, (
        "a session that was restored, and not resumed since, has a deadline"
    )
    return peer.session.deadline, peer.session.id
