"""Renumbering: one outgoing stream counts on while its source changes.

A receiver must see one unbroken stream (same SSRC, consecutive sequence numbers) although the forwarder leaves
packets out, starts late, pauses, and changes the source. But a packet that the *network* lost must stay visible
as a gap. Otherwise the receiver would not ask for it, and would decode garbage.

`SequenceMap` keeps segments: ranges of source numbers that are forwarded with one offset::

    source   100 101 102 [103 104 left out] 105 106  x  108     107 was lost before it came here
    out       20  21  22                     23  24  .   26     25 stays a gap until 107 comes
             offset -80                     offset -82

A late packet finds its segment and gets the number that was left for it; one from a range that was left out
gets none. In the other direction, the segments show which source packet a receiver's NACK means.

All numbers here are extended: integers that never wrap. Only their low 16 bits are sent.
"""

from typing import Final, NamedTuple

SEGMENTS: Final = 64
"""Finished segments remembered. One ends with each packet or range left out, for example with each frame of a
dropped temporal layer. At 30 frames/s with every other one dropped, this reaches back four seconds: further
than any packet history."""


class _Segment(NamedTuple):
    first: int
    last: int
    offset: int


class SequenceMap:
    """Maps source sequence numbers to outgoing ones and back, each to at most one.

    No outgoing number is ever given to two source packets. This also keeps SRTP nonces unique.

    >>> numbers = SequenceMap(first_out=20)
    >>> numbers.begin(100)
    >>> numbers.skip(103)
    >>> [numbers.map(source) for source in (100, 101, 102, 103, 104)]
    [20, 21, 22, None, 23]
    >>> numbers.inverse(23)
    104
    """

    __slots__ = ("_finished", "_first", "_next", "offset")

    offset: int
    """What to add to a source number in the open segment. The forwarding loop reads it directly."""

    def __init__(self, first_out: int) -> None:
        """`first_out` is the outgoing number of the first packet."""
        # A list: an empty deque takes 600 bytes more, and most streams never have a finished segment.
        self._finished: list[_Segment] = []
        self._first: int | None = None
        self._next = first_out
        self.offset = 0

    @property
    def is_open(self) -> bool:
        """Whether packets are being forwarded, that is, between `begin` and `end`."""
        return self._first is not None

    def begin(self, source: int) -> None:
        """Forward from source number `source` on; it gets the next outgoing number.

        Raises `ValueError` if the last segment has not ended.
        """
        if self._first is not None:
            raise ValueError("the last segment has not ended")
        self._first = source
        self.offset = self._next - source

    def end(self, source: int) -> None:
        """Forward nothing after source number `source`, the highest one seen.

        Does nothing when nothing is being forwarded. A segment that ends before it began leaves no trace.
        """
        if self._first is None:
            return
        if source >= self._first:
            if len(self._finished) == SEGMENTS:
                del self._finished[0]
            self._finished.append(_Segment(self._first, source, self.offset))
            self._next = source + self.offset + 1
        self._first = None

    def skip(self, source: int) -> None:
        """Leave out one packet of the open segment, newer than all before it; the next closes up."""
        self.end(source - 1)
        self.begin(source + 1)

    def next_out(self, source: int) -> int:
        """Return the outgoing number after the last one in use; `source` is the highest source number seen."""
        if self._first is not None and source >= self._first:
            return source + self.offset + 1
        return self._next

    def forget_source(self) -> None:
        """The source changes: old source numbers have no meaning any more."""
        self._finished.clear()

    def map(self, source: int) -> int | None:
        """Return the outgoing number of a source packet; `None` when it is not to be forwarded."""
        if self._first is not None and source >= self._first:
            return source + self.offset
        for segment in reversed(self._finished):
            if segment.first <= source <= segment.last:
                return source + segment.offset
        return None

    def inverse(self, out: int) -> int | None:
        """Return the source number of an outgoing one; `None` if no known packet has it.

        The number may be higher than what was sent, since the open segment has no end yet.
        """
        if self._first is not None and out >= self._first + self.offset:
            return out - self.offset
        for segment in reversed(self._finished):
            if segment.first <= out - segment.offset <= segment.last:
                return out - segment.offset
        return None

    def find(self, number: int, newest: int) -> tuple[int, int | None]:
        """Return the outgoing number that a receiver means by these 16 bits, and the source number behind it.

        `newest` is the highest source number seen. The second one is `None` as in `inverse`.
        """
        newest_out = self.next_out(newest) - 1
        out = newest_out - ((newest_out - number) & 0xFFFF)
        return out, self.inverse(out)


class TimestampMap:
    """Maps source RTP timestamps to outgoing ones, without a jump when the source changes.

    RTP timestamps of two sources are unrelated, so at a change the outgoing one advances by the time that has
    passed, in ticks of the RTP clock.
    """

    __slots__ = ("_last", "is_open", "offset")

    offset: int
    """What to add to a source timestamp, modulo 2**32. The forwarding loop reads it directly."""
    is_open: bool
    """Whether a source has begun and not ended."""

    def __init__(self) -> None:
        self.is_open = False
        self._last: tuple[int, float] | None = None
        # The first source's own timestamps are as random as RFC 3550 section 5.1 wants them.
        self.offset = 0

    def end(self, source: int, now: float) -> None:
        """Remember the newest timestamp of the source that ends, and when its packet came."""
        self._last = (self.map(source), now)
        self.is_open = False

    @property
    def has_ended_before(self) -> bool:
        """Whether this is not the first source."""
        return self._last is not None

    def begin(self, source: int, clock_rate: int, now: float) -> None:
        """Begin a source whose first packet has timestamp `source`; nothing if one has begun and not ended.

        `clock_rate` is in ticks per second.
        """
        if self.is_open:
            return
        self.is_open = True
        if self._last is None:
            return
        last, at = self._last
        # At least one tick, since equal timestamps would make two frames one.
        elapsed = max(1, round((now - at) * clock_rate))
        self.offset = (last + elapsed - source) & 0xFFFF_FFFF

    def map(self, source: int) -> int:
        """Return the outgoing timestamp."""
        return (source + self.offset) & 0xFFFF_FFFF
