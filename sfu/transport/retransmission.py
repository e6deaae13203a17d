"""How much one receiver may ask for again: the limits on answering its NACKs.

A NACK of a few bytes asks for up to seventeen packets per pair, as often as its sender likes, so a hostile
receiver could have the server send many times what it forwards (to an address that is its own, but through
everybody's uplink). Two limits: a packet is repeated only so often and so fast, and all repetitions together
stay below what the stream itself sends.
"""

from typing import Final

MIN_INTERVAL: Final = 0.02
"""Seconds between two repetitions of one packet while the round trip time is unknown."""

MAX_REPEATS: Final = 10
"""Repetitions of one packet; browsers do not ask more often."""

BURST: Final = 256 * 1024
"""Bytes that may be repeated ahead of what was sent: one second of a 2 Mbit/s stream lost as a whole."""

MAX_TRACKED: Final = 1024
"""Packets whose repetitions are remembered. More than a history holds, so none is forgotten too early."""


class RetransmissionLimit:
    """The limits for one outgoing stream."""

    __slots__ = ("_allowance", "_repeats", "_sent_before", "interval")

    interval: float
    """Shortest time in seconds between two repetitions of one packet."""

    def __init__(self) -> None:
        self.interval = MIN_INTERVAL
        self._allowance = BURST
        self._sent_before = 0
        self._repeats: dict[int, tuple[float, int]] = {}

    def set_round_trip(self, seconds: float) -> None:
        """A repetition cannot have been missed before it could arrive; half, as the measured time varies."""
        self.interval = max(MIN_INTERVAL, seconds / 2)

    def allow(self, sequence: int, size: int, octets_sent: int, now: float) -> bool:
        """Whether packet `sequence` of `size` bytes may be repeated now; True counts it as repeated.

        `octets_sent` is what the stream has sent so far without repetitions.
        """
        at, count = self._repeats.get(sequence, (float("-inf"), 0))
        if count >= MAX_REPEATS or now < at + self.interval:
            return False
        self._allowance = min(BURST, self._allowance + octets_sent - self._sent_before)
        self._sent_before = octets_sent
        if size > self._allowance:
            return False
        self._allowance -= size
        self._repeats.pop(sequence, None)  # to the end: the dictionary is in order of the last repetition
        self._repeats[sequence] = (now, count + 1)
        if len(self._repeats) > MAX_TRACKED:
            del self._repeats[next(iter(self._repeats))]
        return True
