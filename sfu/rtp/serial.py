"""Serial number arithmetic: comparing counters that wrap around (RFC 1982).

RTP sequence numbers have 16 bits and RTP timestamps 32; both start anywhere and wrap. "Newer" therefore
means "less than half the number space ahead". RFC 1982 section 3.2 leaves the distance of exactly half the
space undefined; here it counts as *behind*, so that every pair has one answer.
"""


def sequence_difference(a: int, b: int) -> int:
    """Return by how many packets number `a` is ahead of `b`: -32768 … 32767, negative when it is older."""
    return ((a - b + 0x8000) & 0xFFFF) - 0x8000


def timestamp_difference(a: int, b: int) -> int:
    """Return how many RTP clock ticks timestamp `a` is ahead of `b`: -2**31 … 2**31 - 1."""
    return ((a - b + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000


def is_newer_sequence(a: int, b: int) -> bool:
    """Return whether sequence number `a` comes after `b`.

    >>> is_newer_sequence(3, 65533), is_newer_sequence(65533, 3)
    (True, False)
    """
    return 0 < ((a - b) & 0xFFFF) < 0x8000


def is_newer_timestamp(a: int, b: int) -> bool:
    """Return whether timestamp `a` comes after `b`."""
    return 0 < ((a - b) & 0xFFFF_FFFF) < 0x8000_0000


class Unwrapper:
    """Turns a wrapping counter into one that does not wrap.

    The first value is unchanged. Every later one becomes the number with the same low bits that is nearest to
    the newest so far. So values may arrive out of order by less than half the number space. A value older than
    the first becomes negative, which keeps differences right.

    >>> unwrapper = Unwrapper(16)
    >>> [unwrapper.unwrap(number) for number in (65534, 65535, 1, 0)]
    [65534, 65535, 65537, 65536]
    """

    __slots__ = ("_half", "_mask", "newest")

    newest: int | None
    """The highest unwrapped value so far; `None` before the first."""

    def __init__(self, bits: int) -> None:
        """`bits` is the counter's width: 16 for sequence numbers, 32 for timestamps."""
        self._mask = (1 << bits) - 1
        self._half = 1 << (bits - 1)
        self.newest = None

    def unwrap(self, value: int) -> int:
        """Return the unwrapped form of `value`; raise `newest` if it is newer."""
        unwrapped = self.peek(value)
        if self.newest is None or unwrapped > self.newest:
            self.newest = unwrapped
        return unwrapped

    def peek(self, value: int) -> int:
        """Do as `unwrap`, without remembering the value: for one that is not trusted yet."""
        newest = self.newest
        if newest is None:
            return value
        return newest + ((value - newest + self._half) & self._mask) - self._half
