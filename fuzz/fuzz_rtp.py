"""RTP packets: only BadPacket escapes, and what parses serializes to the same meaning.

What is behind the header has harnesses of its own: ``header_extensions``, ``payloads``, ``redundancy``.
"""

from sfu.errors import BadPacket
from sfu.rtp.packet import RtpPacket, is_rtcp


def one_input(data: bytes) -> None:
    """Check the invariants on one datagram."""
    is_rtcp(data)
    try:
        packet = RtpPacket.parse(data)
    except BadPacket:
        return
    again = packet.serialize()
    assert RtpPacket.parse(again) == packet
    assert len(packet.payload) <= len(data) - 12
    assert len(packet.csrcs) <= 15
    # The form that we write is one that comes back byte by byte.
    assert RtpPacket.parse(again).serialize() == again
