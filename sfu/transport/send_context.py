"""What is needed to send to one peer: SSRCs, its SRTP context and its selected path.

A peer's transport has one `SendContext`, and all streams that are sent to the peer hold it. So a new path, or
the end of the transport, is set once and is true at once for every stream.
"""

from collections.abc import Callable

from sfu.ice.path import IcePath
from sfu.rtp.srtp import OutboundSrtp


class SendContext:
    """The sending side of one peer's transport. It begins closed, and is not opened again after `close`."""

    __slots__ = ("full", "path", "srtp")

    srtp: OutboundSrtp | None
    """`None` before DTLS has made keys, while there is no path, and after the end: nothing is sent then."""
    path: IcePath | None
    """Where to send; `None` exactly while `srtp` is."""
    full: bool
    """Whether the path's connection (TCP) is slower than its media. `SendStream` then drops video."""

    def __init__(self) -> None:
        self.srtp = None
        self.path = None
        self.full = False

    def open(self, srtp: OutboundSrtp, path: IcePath) -> None:
        """Send from now on, protected by `srtp`. A new path is not full. `close` will close `srtp`."""
        self.srtp = srtp
        self.path = path
        self.full = False

    def suspend(self) -> None:
        """Send nothing until `open`, because there is no path.

        The SRTP context is kept by its owner: a new one with the same keys would count from zero again and
        repeat nonces.
        """
        self.srtp = None
        self.path = None

    def close(self) -> None:
        """Free the SRTP context. Streams that still hold this object send nothing from now on."""
        if self.srtp is not None:
            self.srtp.close()
        self.suspend()


class SsrcSequence:
    """The SSRCs for what one transport sends: unpredictable for others, and never the same one twice.

    All streams of a transport share its SRTP keys, and the nonce of a packet is made from SSRC and packet
    number. A stream with the SSRC of one that has ended would count from the start again and repeat nonces (RFC
    3711 section 9.1). Remembering all SSRCs drawn at random would take ever more memory, so the sequence goes
    through all 32-bit numbers once, with a random start and a random odd step.
    """

    __slots__ = ("_last", "_step")

    def __init__(self, random: Callable[[int], bytes]) -> None:
        """`random` gives that many unpredictable bytes."""
        self._last = int.from_bytes(random(4))
        # An odd step visits every number before it comes to one again.
        self._step = int.from_bytes(random(4)) | 1

    def __call__(self) -> int:
        """Return the next SSRC, from 1 to 2**32 - 1. In RTCP, 0 stands for no stream."""
        self._last = (self._last + self._step) & 0xFFFF_FFFF
        if self._last == 0:
            self._last = self._step
        return self._last
