"""The rooms and the sessions of a conference, by id."""

from sfu.conference.peer import Peer
from sfu.conference.room import Room, RoomContext


class Directory:
    """Finds rooms and sessions. Opens rooms, and makes place for them."""

    def __init__(self, context: RoomContext) -> None:
        """`context` is what all rooms share."""
        self.rooms: dict[str, Room] = {}
        """By room id. Empty rooms stay until `forget_room`, or until another room needs the place."""
        self._by_session: dict[str, Peer] = {}
        self._context = context

    def room_of(self, peer: Peer) -> Room:
        """Return the room of a peer that has not ended."""
        return self.rooms[peer.room_id]

    def find_user(self, room_id: str, user_id: str) -> Peer | None:
        """Return the peer of a user in a room, if there is one."""
        room = self.rooms.get(room_id)
        return None if room is None else room.find_user(user_id)

    def obstacle(self, room_id: str, user_id: str) -> str | None:
        """Return why a user cannot enter a room, as far as numbers of rooms and peers go; None if they can."""
        room = self.rooms.get(room_id)
        if room is None:
            # An empty room makes place for another.
            full = len(self.rooms) >= self._context.limits.max_rooms and all(
                other.peers for other in self.rooms.values()
            )
            return "no more rooms can be opened on this server" if full else None
        # A user who is in the room already takes no further place.
        full = len(room.peers) >= self._context.limits.max_peers_per_room and room.find_user(user_id) is None
        return "the room is full" if full else None

    def find_or_open_room(self, room_id: str) -> Room:
        """Return a room; open it if needed, in the place of an empty one if there are too many."""
        room = self.rooms.get(room_id)
        if room is None:
            if len(self.rooms) >= self._context.limits.max_rooms:
                self.forget_room(next(room for room in self.rooms.values() if not room.peers))
            room = self.rooms[room_id] = Room(room_id, self._context)
        return room

    def forget_room(self, room: Room) -> None:
        """Drop an empty room. Dropping it twice is harmless.

        Raises:
            RuntimeError: there are peers in the room.
        """
        if room.peers:
            raise RuntimeError("the room is not empty")
        if self.rooms.get(room.id) is room:
            del self.rooms[room.id]

    def peers(self) -> tuple[Peer, ...]:
        """Return the peers of all sessions."""
        return tuple(self._by_session.values())

    def find_session(self, session_id: str) -> Peer | None:
        """Return the peer of a session that has not ended."""
        peer = self._by_session.get(session_id)
        return peer if peer is not None and peer.ended is None else None

    def add_session(self, peer: Peer) -> None:
        """Make the session of a new peer known."""
        self._by_session[peer.session.id] = peer

    def forget_session(self, peer: Peer) -> None:
        """Drop the session of a peer that has ended, unless another peer has the session by now."""
        if self._by_session.get(peer.session.id) is peer:
            del self._by_session[peer.session.id]
