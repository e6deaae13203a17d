"""The packets of one stream that receivers may still ask for.

This is most of a media server's memory: 512 packets of 1200 bytes are 633 KiB for each published video stream
(measured). So the history is bounded by count *and* by age. It keeps each packet once for all receivers, as the
plain bytes that came out of SRTP. A packet that is retransmitted is parsed again. That is rare, and keeping it
parsed would take half as much memory again.
"""

from typing import Final

DEPTH: Final = 512
"""Packets kept of a video stream: a second at 5 Mbit/s. The answer to a later NACK would come too late to be
shown."""

MAX_AGE: Final = 1.0
"""Seconds that a packet is kept: a little more than three round trips of a bad connection (300 ms each).
Browsers give up a missing packet after about the same time."""


class PacketHistory:
    """The newest packets of one stream by extended sequence number (see `sfu.rtp.statistics`)."""

    __slots__ = ("_depth", "_entries", "_max_age", "_newest", "_oldest")

    def __init__(self, depth: int = DEPTH, max_age: float = MAX_AGE) -> None:
        """Keep at most `depth` packets (at least 1), none longer than `max_age` seconds."""
        self._depth = depth
        self._max_age = max_age
        # A ring: number n lies at n % depth. Entries outside _oldest … _newest do not count.
        self._entries: list[tuple[float, bytes] | None] = [None] * depth
        self._oldest = 0
        self._newest = -1

    def add(self, sequence: int, data: bytes, now: float) -> None:
        """Remember a packet that arrived `now`. One that is too old for the depth is ignored."""
        entries, depth = self._entries, self._depth
        newest = self._newest
        if newest < self._oldest or sequence - newest >= depth:
            # The first packet, or a jump over the whole ring.
            entries[:] = [None] * depth
            self._oldest = self._newest = sequence
        elif sequence > newest:
            for lost in range(newest + 1, sequence):
                entries[lost % depth] = None
            self._newest = sequence
            self._oldest = max(self._oldest, sequence - depth + 1)
        elif sequence < self._oldest:
            if sequence <= newest - depth:
                return
            self._oldest = sequence
        entries[sequence % depth] = (now, data)
        self._expire(now - self._max_age)

    def get(self, sequence: int, now: float) -> bytes | None:
        """Return the packet with this number; `None` when it never came or is too old."""
        if not self._oldest <= sequence <= self._newest:
            return None
        entry = self._entries[sequence % self._depth]
        if entry is None or entry[0] < now - self._max_age:
            return None
        return entry[1]

    def clear(self) -> None:
        """Forget everything."""
        self._entries[:] = [None] * self._depth
        self._oldest, self._newest = 0, -1

    def __len__(self) -> int:
        """Return the number of packets."""
        return sum(entry is not None for entry in self._entries)

    def _expire(self, before: float) -> None:
        entries, depth = self._entries, self._depth
        oldest, newest = self._oldest, self._newest
        # Each number is visited once, so this costs about one iteration for every packet added.
        while oldest < newest:
            entry = entries[oldest % depth]
            if entry is not None and entry[0] >= before:
                break
            entries[oldest % depth] = None
            oldest += 1
        self._oldest = oldest
