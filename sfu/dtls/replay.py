"""The sliding window that rejects replayed records (RFC 6347 section 4.1.2.6)."""

WINDOW = 64
"""How far a record may be behind the newest one. RFC 6347 recommends this as the default."""


class ReplayWindow:
    """Records which of the last 64 numbers were received.

    Call `is_fresh` before a record is decrypted, and `mark` only after it has been authenticated. Otherwise a
    forged record could move the window past the genuine ones.
    """

    __slots__ = ("_newest", "_seen")

    def __init__(self) -> None:
        self._newest = -1
        self._seen = 0  # bit i is set when newest - i was received

    def is_fresh(self, number: int) -> bool:
        """Return False if `number` was received before, or is too old to know."""
        behind = self._newest - number
        return behind < 0 or (behind < WINDOW and not self._seen >> behind & 1)

    def mark(self, number: int) -> None:
        """Record that an authentic record with this number has been received. The number must be fresh."""
        ahead = number - self._newest
        if ahead > 0:
            # Far jumps shift everything out; the cap keeps the shifted number small.
            self._seen = (self._seen << min(ahead, WINDOW) | 1) & ((1 << WINDOW) - 1)
            self._newest = number
        else:
            self._seen |= 1 << -ahead
