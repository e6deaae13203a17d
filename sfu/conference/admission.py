"""Admission to rooms: fresh joins, resumes of sessions, and sessions restored from the store."""

from collections.abc import Callable

from sfu.conference.connection import Connection
from sfu.conference.directory import Directory
from sfu.conference.errors import BadRequest, Unavailable
from sfu.conference.grants import Authenticate, Grants
from sfu.conference.messages import Join
from sfu.conference.peer import Peer
from sfu.conference.rate import TokenBucket
from sfu.conference.records import Proof, SessionRecord
from sfu.conference.room import RoomContext
from sfu.conference.session import Departure, Session, make_token


class Admission:
    """Finds or makes the peer of each join, and the peers of stored sessions."""

    def __init__(
        self,
        directory: Directory,
        context: RoomContext,
        make_connection: Callable[[float], Connection],
        authenticate: Authenticate,
    ) -> None:
        """`authenticate` is asked at each fresh join. A resume is authenticated by its session's token."""
        self.resumes = 0
        """Sessions that were resumed."""
        self.failed_resumes = 0
        """Joins that named a session and did not resume it."""
        self._directory = directory
        self._limits = context.limits
        self._random = context.random
        self._pending = context.pending
        self._make_connection = make_connection
        self._authenticate = authenticate
        # Tokens for unknown session ids are compared with this session's, so that an unknown id takes as long
        # as a known one.
        self._unknown_session, _ = Session.create(context.random)

    def prove(self, request: Join) -> Proof | None:
        """Return the proof of the session that `request` names, if that session is here and proven.

        None tells nothing about the reason, and takes the same time for an unknown session id as for a known
        one. A proof is for `join` at once: after a wait it may be out of date.
        """
        peer = self._directory.find_session(request.session_id or "")
        session = self._unknown_session if peer is None else peer.session
        following = make_token(self._random)
        tokens = session.prove(request.session_token or "", following)
        if peer is None or tokens is None:
            return None
        if (peer.room_id, peer.user_id) != (request.room_id, request.user_id):
            return None
        return Proof(session.id, tokens, session.generation + 1, following)

    def join(self, request: Join, proof: Proof | None, now: float) -> Peer:
        """Let a client into a room, or resume its session if there is a proof of it.

        A session that cannot be resumed, for whatever reason, becomes a fresh join; the client is not told why.

        Raises:
            Refused: an id is too long, there is no place, or the client may not enter.
        """
        limit = self._limits.max_id_length
        for name, value in (("roomId", request.room_id), ("userId", request.user_id), ("name", request.name)):
            if len(value) > limit:
                raise BadRequest(f"{name} has {len(value)} characters, {limit} are allowed")
        peer = None if proof is None else self._find_proven(proof, now)
        if proof is not None and peer is not None:
            self._resume(peer, proof, request, now)
            return peer
        if request.session_id is not None:
            self.failed_resumes += 1
        return self._enter(request, now)

    def restore(self, record: SessionRecord, deadline: float, now: float) -> Peer | None:
        """Restore a session of another server, or from before a restart: suspended, until `deadline` at most.

        Return None if it is here already, if it or its room exceeds a limit, or if its user has another session
        here.
        Such a session has precedence, unless it was restored as well and would expire earlier: then it is the
        older one.
        """
        if self._directory.find_session(record.session_id) is not None or not self._is_within_limits(record):
            return None
        old = self._directory.find_user(record.room_id, record.user_id)
        if old is not None and not (old.restored and _rank(old) < (deadline, record.session_id)):
            self._pending.ended.add(record.session_id)
            return None
        known = self._directory.rooms.get(record.room_id)
        peer_id_taken = known is not None and record.peer_id in known.peers
        if peer_id_taken or self._directory.obstacle(record.room_id, record.user_id):
            return None
        room = self._directory.find_or_open_room(record.room_id)
        if old is not None:
            room.remove(old, "replaced", now, Departure.MOVED)
            self._pending.ended.add(old.session.id)
        session = Session(record.session_id, record.tokens, record.generation)
        peer = self._make_peer(
            record.peer_id, record.user_id, record.name, room.id, session, record.grants, now
        )
        room.restore(peer, record, deadline, now)
        return peer

    def _is_within_limits(self, record: SessionRecord) -> bool:
        """Return whether a stored session is one that this server could have stored.

        After a resume, a peer can have dormant tracks beside as many that replace them.
        """
        limits = self._limits
        tracks = 2 * limits.max_tracks_per_peer
        return (
            max(map(len, (record.room_id, record.user_id, record.name))) <= limits.max_id_length
            and len(record.tracks) <= tracks
            and len(record.subscriptions) <= tracks * limits.max_peers_per_room
        )

    def _find_proven(self, proof: Proof, now: float) -> Peer | None:
        """Return the peer of a proven session. What is known here is newer than what is stored."""
        peer = self._directory.find_session(proof.session_id)
        if peer is None and proof.record is not None:
            peer = self.restore(proof.record, now + self._limits.session_ttl, now)
        return peer

    def _resume(self, peer: Peer, proof: Proof, request: Join, now: float) -> None:
        was_away = peer.suspended
        peer.session.resume(proof.tokens, proof.generation)
        current = peer.connection
        keep = request.transport == "keep" and current.known and not current.transport.ended
        peer.name = request.name or peer.name
        connection = None if keep else self._make_connection(now)
        room = self._directory.room_of(peer)
        room.resume(peer, proof.token, connection, now, was_away=was_away)
        self.resumes += 1

    def _enter(self, request: Join, now: float) -> Peer:
        """Let a client in as a new peer.

        It replaces a peer of the same user in the room. With authentication that is the same user. Without, a
        reloaded page cannot prove that it is, and a dead peer beside the new one would help no client.
        """
        grants = self._authenticate(request)
        if obstacle := self._directory.obstacle(request.room_id, request.user_id):
            raise Unavailable(obstacle)
        room = self._directory.find_or_open_room(request.room_id)
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
        self._directory.add_session(peer)
        return peer


def _rank(peer: Peer) -> tuple[float, str]:
    """Return the precedence of a restored session of a user: what would expire later was stored later."""
    assert peer.session.deadline is not None, (
        "a session that was restored, and not resumed since, has a deadline"
    )
    return peer.session.deadline, peer.session.id
