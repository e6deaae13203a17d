"""The names of our keys in Redis (docs/state.md)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keys:
    """Names of keys, below a common prefix that lets installations share one Redis."""

    prefix: str = ""

    def session(self, session_id: str) -> str:
        """Return the key of a session: all that is kept of it, as JSON (`sfu.state.codec`)."""
        return f"{self.prefix}session:{session_id}"

    def room_meta(self, room_id: str) -> str:
        """Return the key of what is known of a room: a hash."""
        return f"{self.prefix}room:{room_id}:meta"

    def room_peers(self, room_id: str) -> str:
        """Return the key of a room's peers: a sorted set of ids by when they expire (Unix time in ms)."""
        return f"{self.prefix}room:{room_id}:peers"

    def peer_tracks(self, peer_id: str) -> str:
        """Return the key of what a peer publishes: a JSON list."""
        return f"{self.prefix}peer:{peer_id}:tracks"

    def server_sessions(self, server_id: str) -> str:
        """Return the key of the index of a server's sessions: ids by when they expire, as a room's peers."""
        return f"{self.prefix}server:{server_id}:sessions"
