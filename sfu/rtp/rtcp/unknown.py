"""RTCP packets of a type or feedback format that nothing here understands, kept as they came."""

from dataclasses import dataclass

from sfu.rtp.rtcp.header import join


@dataclass(frozen=True, slots=True)
class UnknownRtcp:
    """RFC 3550 section 6.1: "other RTCP packet types … may follow in any order"; ignoring them is right."""

    packet_type: int
    """0 … 255."""
    five_bits: int
    """The header bits that hold a count or, for feedback, the message format."""
    body: bytes
    """What follows the header, without padding."""

    def encode(self) -> bytes:
        """Return the whole packet. Raises `ValueError` for a field out of range."""
        if not 0 <= self.packet_type <= 255:
            raise ValueError(f"packet type {self.packet_type}")
        return join(self.packet_type, self.five_bits, self.body)
