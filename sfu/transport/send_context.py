"""Where one peer's protected packets leave: its SRTP context and its selected path.

A peer's transport has one outlet and all streams that are sent to the peer hold it, so a change of path or
the end of the transport is said once and is true at once for every stream.
"""

from sfu.ice.path import IcePath
from sfu.rtp.srtp import OutboundSrtp


class SendContext:
    """The outgoing end of one peer's transport. Closed at first, and closed for good after `close`."""

    __slots__ = ("full", "path", "srtp")

    srtp: OutboundSrtp | None
    """`None` before DTLS has given keys and after the end: then nothing is sent."""
    path: IcePath | None
    """Where to send; `None` only while `srtp` is."""
    full: bool
    """Whether more waits on that path than should, its connection (TCP) being slow: see `SendStream.hold`."""

    def __init__(self) -> None:
        self.srtp = None
        self.path = None
        self.full = False

    def open(self, srtp: OutboundSrtp, path: IcePath) -> None:
        """From now on packets go out, protected by `srtp`, which the outlet closes at its end."""
        self.srtp = srtp
        self.path = path
        self.full = False

    def close(self) -> None:
        """Free the SRTP context. Streams that still hold the outlet send nothing any more."""
        if self.srtp is not None:
            self.srtp.close()
        self.srtp = None
        self.path = None
