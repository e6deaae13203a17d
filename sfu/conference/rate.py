"""How often a client may speak."""

MESSAGE_WEIGHT = 16 * 1024
"""Characters that count as one message for the rate: reading a description that long takes some 3 ms.
So a client's share of the server's time does not depend on how long its messages are."""


def weight_of(text: str | bytes) -> float:
    """Return as how many messages a message counts."""
    return max(1.0, len(text) / MESSAGE_WEIGHT)


class TokenBucket:
    """Lets `rate` events a second pass on average, and `burst` at once."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._updated_at = now
        self._refused = False

    def take(self, now: float, weight: float = 1.0) -> bool:
        """Return whether one more event may pass at `now` (seconds), and if so count it.

        One that weighs more than an ordinary event passes as easily; what it takes too much is owed, and paid
        by the pause that follows.
        """
        self._tokens = min(self._burst, self._tokens + (now - self._updated_at) * self._rate)
        self._updated_at = now
        self._refused = self._tokens < 1
        if self._refused:
            return False
        self._tokens -= weight
        return True

    def pause(self) -> float:
        """Return for how many seconds not to listen: 0.0, except after a refusal or while something is owed.

        Whoever goes on speaking while refused would cost a refusal for every message. So one is refused, and
        then nothing is heard until the next may pass.
        """
        return (1 - self._tokens) / self._rate if self._refused or self._tokens < 0 else 0.0
