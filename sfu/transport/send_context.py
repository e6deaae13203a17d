"""What is needed to send to one peer: its SRTP context and its selected path.

A peer's transport has one `SendContext`, and all streams that are sent to the peer hold it. So a new path, or
the end of the transport, is set once and is true at once for every stream.
"""

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
