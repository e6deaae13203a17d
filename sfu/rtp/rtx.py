r"""RTX, the retransmission payload format: a packet is sent again in a stream of its own (RFC 4588).

::

    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                  RTP header of the RTX stream                 |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |   original sequence number    |   original payload ...
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

The RTX stream has its own SSRC, payload type and sequence numbers; timestamp and marker stay.
"""

from sfu.errors import BadPacket
from sfu.rtp.packet import RtpPacket


def unwrap_rtx(packet: RtpPacket, *, payload_type: int, ssrc: int) -> RtpPacket | None:
    """Return the original packet inside an RTX packet; `None` if it has only padding, as a bandwidth probe.

    `payload_type` and `ssrc` are the original stream's. The header extensions are those of the RTX packet, so
    some of them are not the original's: its repaired RID, its transport-wide sequence number. Raises
    `BadPacket` when the payload is too short for an original sequence number.
    """
    if not packet.payload:
        return None
    if len(packet.payload) < 2:
        raise BadPacket("rtx-truncated", "1 byte of payload")
    return RtpPacket(
        payload_type,
        packet.marker,
        packet.payload[0] << 8 | packet.payload[1],
        packet.timestamp,
        ssrc,
        packet.csrcs,
        packet.extensions,
        packet.payload[2:],
        0,
        packet.opaque_extension,
    )


def wrap_rtx(packet: RtpPacket, *, payload_type: int, ssrc: int, sequence_number: int) -> RtpPacket:
    """Return the RTX packet that retransmits `packet`; payload type, SSRC and sequence number are the RTX
    stream's.

    RFC 4588 section 4: header extensions and CSRCs are carried over, padding is removed.
    """
    return RtpPacket(
        payload_type,
        packet.marker,
        sequence_number,
        packet.timestamp,
        ssrc,
        packet.csrcs,
        packet.extensions,
        packet.sequence_number.to_bytes(2) + packet.payload,
        0,
        packet.opaque_extension,
    )
