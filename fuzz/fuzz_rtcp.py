"""RTCP datagrams: only BadPacket escapes, and what parses serializes to the same meaning."""

from sfu.errors import BadPacket
from sfu.rtp.rtcp import TransportWideFeedback, parse_compound, serialize_compound


def one_input(data: bytes) -> None:
    """Check the invariants on one datagram."""
    try:
        packets = parse_compound(data)
    except BadPacket:
        return
    assert parse_compound(serialize_compound(packets)) == packets
    for packet in packets:
        if isinstance(packet, TransportWideFeedback):
            assert len(list(packet.arrivals())) == len(packet.received) <= len(data)
