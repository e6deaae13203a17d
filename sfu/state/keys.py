"""The names of our keys in Redis (docs/state.md), and the form of a session's id."""

import re
from dataclasses import dataclass
from typing import Final

from sfu.conference.session import ID_BYTES

_SESSION_ID: Final = re.compile(f"[0-9a-f]{{{2 * ID_BYTES}}}")


def is_session_id(text: str) -> bool:
    """Return whether `text` can be the id of a session. The store does not look up anything else."""
    return _SESSION_ID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class KeyNames:
    """Names keys, with a common prefix so that several installations can share one Redis."""

    prefix: str = ""

    def session(self, session_id: str) -> str:
        """Return the key of a session: everything that is kept of it, as JSON (`sfu.state.codec`)."""
        return f"{self.prefix}session:{session_id}"

    def room_meta(self, room_id: str) -> str:
        """Return the key of a room's metadata: a hash."""
        return f"{self.prefix}room:{room_id}:meta"

    def room_peers(self, room_id: str) -> str:
        """Return the key of a room's peers: a sorted set of peer ids, each with its expiry (Unix time, ms)."""
        return f"{self.prefix}room:{room_id}:peers"

    def peer_tracks(self, peer_id: str) -> str:
        """Return the key of the tracks that a peer publishes: a JSON list."""
        return f"{self.prefix}peer:{peer_id}:tracks"

    def server_sessions(self, server_id: str) -> str:
        """Return the key of a server's index: a sorted set of session ids, each with its expiry."""
        return f"{self.prefix}server:{server_id}:sessions"
