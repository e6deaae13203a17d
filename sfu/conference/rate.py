"""The rate limit of a client's signaling messages."""

MESSAGE_WEIGHT = 16 * 1024
"""Characters that count as one message. Parsing a description that long takes about 3 ms. So a client's share
of the server's time does not depend on the length of its messages."""


def weight_of(text: str | bytes) -> float:
    """Return how many messages this message counts as."""
    return max(1.0, len(text) / MESSAGE_WEIGHT)


class TokenBucket:
    """Allows `rate` events per second on average, and `burst` at once."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._updated_at = now
        self._refused = False

    def take(self, now: float, weight: float = 1.0) -> bool:
        """Count one event at `now` (seconds) if it is allowed; return whether it is.

        A heavy event is allowed as easily as a light one. It may overdraw the bucket; `pause` then tells how
        long to wait until that is repaid.
        """
        self._tokens = min(self._burst, self._tokens + (now - self._updated_at) * self._rate)
        self._updated_at = now
        self._refused = self._tokens < 1
        if self._refused:
            return False
        self._tokens -= weight
        return True

    def pause(self) -> float:
        """Return how many seconds not to read: 0.0, except after a refusal or while the bucket is overdrawn.

        Without the pause, a client that goes on sending would get a refusal for every message. With it, one
        message is refused, and none is read until the next one is allowed.
        """
        return (1 - self._tokens) / self._rate if self._refused or self._tokens < 0 else 0.0
