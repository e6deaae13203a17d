"""Bounds on what one client may use. Each is a setting of the same name (`sfu.shell.config.settings`)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what clients can make the server hold; beyond one, a request is refused and counted."""

    max_rooms: int = 1000
    max_peers_per_room: int = 100
    max_tracks_per_peer: int = 8
    max_id_length: int = 128
    """Characters of a room id, a user id and a name."""
    messages_per_second: int = 20
    """Signaling messages of one client, on average."""
    messages_burst: int = 40
    """Signaling messages of one client at once."""
    session_ttl: float = 30.0
    """Seconds that a session whose client is gone can be resumed."""
