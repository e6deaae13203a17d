"""Who is in a room, and how they are told something."""

from collections.abc import Iterable

from sfu.conference.marks import Marks
from sfu.conference.messages import ServerMessage
from sfu.conference.peer import Peer
from sfu.conference.track import Track


class Roster:
    """The peers of one room, in the order of their coming."""

    def __init__(self, marks: Marks) -> None:
        self.peers: dict[str, Peer] = {}
        """By peer id."""
        self._marks = marks

    def find_user(self, user_id: str) -> Peer | None:
        """Return the peer of a user, if that is here."""
        return next((peer for peer in self.peers.values() if peer.user_id == user_id), None)

    def find_track(self, track_id: str) -> Track | None:
        """Return a track that somebody publishes; a dormant one too."""
        tracks = (peer.tracks.get(track_id) for peer in self.peers.values())
        return next((track for track in tracks if track is not None), None)

    def others(self, peer_id: str) -> list[Peer]:
        """Return all peers except the one with this id."""
        return [other for other in self.peers.values() if other.id != peer_id]

    def tell(self, peers: Iterable[Peer], message: ServerMessage) -> None:
        """Queue a message to several."""
        for peer in peers:
            peer.tell(message)
            self.touch(peer)

    def touch(self, peer: Peer) -> None:
        """Have the shell look at the messages, datagrams and timers of `peer`."""
        self._marks.touched.add(peer)

    def note_change(self, peer: Peer) -> None:
        """Have the shell store the record of `peer`, unless it has ended: then there is none any more."""
        if peer.ended is None:
            self._marks.changed.add(peer)
