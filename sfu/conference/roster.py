"""The peers of a room, how they are told something, and what the shell still has to do for them."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from sfu.conference.messages import ServerMessage
from sfu.conference.peer import Peer
from sfu.conference.track import Track


@dataclass(slots=True)
class Pending:
    """What the shell has yet to look at, in all rooms: see `Conference.flush` and `take_changed`."""

    dirty: set[Peer] = field(default_factory=set)
    """Peers whose messages, datagrams or timers may have changed."""
    changed: set[Peer] = field(default_factory=set)
    """Peers whose `Peer.record` may have changed."""
    ended: set[str] = field(default_factory=set)
    """Ids of sessions that cannot be resumed any more, at this server or another."""


class Roster:
    """The peers of one room, in the order in which they joined."""

    def __init__(self, pending: Pending) -> None:
        self.peers: dict[str, Peer] = {}
        """By peer id."""
        self._pending = pending

    def find_user(self, user_id: str) -> Peer | None:
        """Return the peer of a user, if there is one."""
        return next((peer for peer in self.peers.values() if peer.user_id == user_id), None)

    def find_track(self, track_id: str) -> Track | None:
        """Return a published track, dormant or not; None if there is none with this id."""
        tracks = (peer.tracks.get(track_id) for peer in self.peers.values())
        return next((track for track in tracks if track is not None), None)

    def others(self, peer_id: str) -> list[Peer]:
        """Return all peers except the one with this id."""
        return [other for other in self.peers.values() if other.id != peer_id]

    def tell(self, peers: Iterable[Peer], message: ServerMessage) -> None:
        """Queue a message to several peers."""
        for peer in peers:
            peer.tell(message)
            self.mark_dirty(peer)

    def mark_dirty(self, peer: Peer) -> None:
        """Note that the messages, datagrams or timers of `peer` may have changed."""
        self._pending.dirty.add(peer)

    def mark_changed(self, peer: Peer) -> None:
        """Note that the record of `peer` is to be stored. A peer that has ended has no record any more."""
        if peer.ended is None:
            self._pending.changed.add(peer)
