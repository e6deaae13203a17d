"""The SSRCs of what one transport sends: random to everybody else, and never the same one twice.

All streams of a transport share its SRTP keys, and what encrypts a packet is made from SSRC and packet number:
a stream with the SSRC of one that has ended would count anew and repeat it (RFC 3711 section 9.1). To draw at
random and remember what was drawn would take ever more memory, so all 32-bit numbers are gone through once.
"""

from collections.abc import Callable


class SsrcSequence:
    """Calling it gives the next SSRC, from 1 to 2**32 - 1; which comes first and in which order is random."""

    __slots__ = ("_last", "_step")

    def __init__(self, random: Callable[[int], bytes]) -> None:
        """`random` gives that many unpredictable bytes."""
        self._last = int.from_bytes(random(4))
        # An odd step passes every number before it comes to one again.
        self._step = int.from_bytes(random(4)) | 1

    def __call__(self) -> int:
        """Take the next one. 0 is left out: in RTCP it stands for no stream at all."""
        self._last = (self._last + self._step) & 0xFFFF_FFFF
        return self._last or self()
