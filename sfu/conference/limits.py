"""Limits on what clients may use. Each is a setting (`sfu.shell.config.settings`)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on what clients can make the server keep. A request beyond one is refused and counted."""

    max_rooms: int = 1000
    max_peers_per_room: int = 100
    max_tracks_per_peer: int = 8
    max_id_length: int = 128
    """Characters of a room id, a user id and a name."""
    messages_per_second: int = 20
    """Signaling messages of one client per second, on average."""
    messages_burst: int = 40
    """Signaling messages of one client at once."""
    session_ttl: float = 30.0
    """Seconds for which a session can be resumed after its client has disconnected."""
