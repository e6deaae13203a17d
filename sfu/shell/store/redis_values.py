"""Reading the values of sessions out of Redis. A value that cannot be read is counted and left as it is."""

from collections import Counter
from typing import Any

from sfu.errors import BadPacket
from sfu.state.codec import Stored, decode


class ValueReader:
    """Reads the values of sessions."""

    def __init__(self) -> None:
        self.unreadable: Counter[str] = Counter()
        """Values that could not be read, by reason."""

    def read(self, session_id: str, value: Any) -> Stored | None:
        """Return the content of a session's key; None if there is none, or none that can be read."""
        if value is None:
            return None
        try:
            if not isinstance(value, bytes):
                raise BadPacket("state-type", "not a string")
            found = decode(value)
            if found.record.session_id != session_id:
                raise BadPacket("state-id", "the value of another session")
        except BadPacket as error:
            self.unreadable[error.reason] += 1
            return None
        return found
