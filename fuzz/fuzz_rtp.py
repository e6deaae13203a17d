"""RTP packets: only BadPacket escapes, and what parses serializes to the same meaning.

Behind the header the payload goes to every reader of payloads: none raises anything but BadPacket, a key
frame is never seen in a payload that its codec's parser refuses, RTX and RED payloads are made again from
what was read in them.
"""

from collections.abc import Callable
from typing import Any

from sfu.errors import BadPacket
from sfu.rtp.codecs import av1, h264, vp8, vp9
from sfu.rtp.key_frame import is_key_frame
from sfu.rtp.packet import RtpPacket
from sfu.rtp.red import parse_red, serialize_red
from sfu.rtp.rtx import unwrap_rtx, wrap_rtx

READERS: dict[str, Callable[[bytes], Any]] = {
    "VP8": vp8.Vp8Descriptor.parse,
    "VP9": vp9.Vp9Descriptor.parse,
    "H264": h264.starting_units,
    "AV1": lambda payload: av1.Av1Payload.parse(payload).starting_obus(),
}


def one_input(data: bytes) -> None:
    """Check the invariants on one datagram."""
    try:
        packet = RtpPacket.parse(data)
    except BadPacket:
        return
    assert RtpPacket.parse(packet.serialize()) == packet
    check_payload(packet.payload)
    check_rtx(packet)
    check_red(packet.payload)


def check_payload(payload: bytes) -> None:
    """Every codec's reader on the same bytes."""
    vp8.key_frame_size(payload)
    for codec, read in READERS.items():
        key_frame = is_key_frame(codec, payload)
        try:
            read(payload)
        except BadPacket:
            # AV1's key frame is told by one bit of the first byte, whatever comes after it.
            assert not key_frame or codec == "AV1"


def check_rtx(packet: RtpPacket) -> None:
    """The packet taken as RTX."""
    try:
        original = unwrap_rtx(packet, payload_type=1, ssrc=2)
    except BadPacket:
        return
    if original is not None:
        wrapped = wrap_rtx(
            original,
            payload_type=packet.payload_type,
            ssrc=packet.ssrc,
            sequence_number=packet.sequence_number,
        )
        assert wrapped.payload == packet.payload


def check_red(payload: bytes) -> None:
    """The payload taken as RED."""
    try:
        blocks = parse_red(payload)
    except BadPacket:
        return
    assert serialize_red(blocks) == payload
