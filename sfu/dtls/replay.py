"""The sliding window that refuses records seen before (RFC 6347 section 4.1.2.6)."""

WINDOW = 64
"""How far behind the newest record an older one may arrive: what RFC 6347 recommends as the default."""


class ReplayWindow:
    """Remembers which of the last 64 numbers were received.

    Ask with `is_fresh` before the record is decrypted, and `mark` only after it has proven authentic:
    otherwise a forged record could move the window past the genuine ones.
    """

    __slots__ = ("_newest", "_seen")

    def __init__(self) -> None:
        self._newest = -1
        self._seen = 0  # bit i is set when newest - i was received

    def is_fresh(self, number: int) -> bool:
        """Tell whether `number` was neither received before nor is too old to know."""
        behind = self._newest - number
        return behind < 0 or (behind < WINDOW and not self._seen >> behind & 1)

    def mark(self, number: int) -> None:
        """Note that an authentic record with this (fresh) number has been received."""
        ahead = number - self._newest
        if ahead > 0:
            # Far jumps shift everything out; the cap keeps the shifted number small.
            self._seen = (self._seen << min(ahead, WINDOW) | 1) & ((1 << WINDOW) - 1)
            self._newest = number
        else:
            self._seen |= 1 << -ahead
