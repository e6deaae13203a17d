"""RTX and RED payloads: only BadPacket escapes, and payloads are made again from what was read in them.

The same bytes are taken as the payload of an RTX packet and as a RED payload.
"""

from sfu.errors import BadPacket
from sfu.rtp.packet import RtpPacket
from sfu.rtp.red import parse_red, serialize_red
from sfu.rtp.rtx import unwrap_rtx, wrap_rtx

TARGETS = ("sfu.rtp.red", "sfu.rtp.rtx")
"""What the inputs' coverage is measured on."""


def one_input(data: bytes) -> None:
    """Check the invariants on one payload."""
    check_rtx(data)
    check_red(data)


def check_rtx(payload: bytes) -> None:
    """RFC 4588, inside a packet that has all that a packet can have."""
    packet = RtpPacket(97, True, 7, 90_000, 2, (3, 4), ((1, b"mid"),), payload, 5)
    try:
        original = unwrap_rtx(packet, payload_type=96, ssrc=1)
    except BadPacket:
        assert len(payload) == 1
        return
    if original is None:
        assert not payload
        return
    assert original.payload == payload[2:]
    assert original.sequence_number < 2**16
    assert RtpPacket.parse(original.serialize()) == original
    wrapped = wrap_rtx(original, payload_type=97, ssrc=2, sequence_number=7)
    # Padding is the only thing that a repetition leaves out (section 4).
    assert wrapped == RtpPacket(97, True, 7, 90_000, 2, (3, 4), ((1, b"mid"),), payload)


def check_red(payload: bytes) -> None:
    """RFC 2198."""
    try:
        blocks = parse_red(payload)
    except BadPacket:
        return
    assert blocks[-1].timestamp_offset == 0
    assert serialize_red(blocks) == payload
