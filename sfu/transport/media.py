"""A media packet on its way through the server: what the forwarding loop and the router get to see."""

from dataclasses import dataclass

from sfu.rtp.packet import RtpPacket


@dataclass(slots=True, eq=False)
class MediaPacket:
    """One packet of a published stream, received, checked and numbered."""

    rtp: RtpPacket
    """The packet as the publisher numbered it (payload type, header-extension ids, timestamp)."""
    sequence: int
    """Its number for forwarding: extended, and without holes where the publisher sent padding only."""
    in_order: bool
    """Whether it is newer than every packet before it; false for a late or recovered one."""
    key_frame: bool
    """Whether a decoder can start with it; always true for audio."""
