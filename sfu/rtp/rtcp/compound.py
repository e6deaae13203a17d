"""A whole RTCP datagram: several packets one after the other (RFC 3550 section 6.1, RFC 5506).

To add a message, write its file next to this one, and add its row to `_BY_TYPE` or `_BY_FORMAT`.
"""

from collections.abc import Callable, Iterable
from typing import Final

from sfu.rtp.rtcp.application import Application
from sfu.rtp.rtcp.extended_report import ExtendedReport
from sfu.rtp.rtcp.full_intra_request import FullIntraRequest
from sfu.rtp.rtcp.generic_nack import GenericNack
from sfu.rtp.rtcp.goodbye import Goodbye
from sfu.rtp.rtcp.header import RawPacket, split
from sfu.rtp.rtcp.picture_loss import PictureLossIndication
from sfu.rtp.rtcp.remb import Remb, is_remb
from sfu.rtp.rtcp.report import ReceiverReport, SenderReport
from sfu.rtp.rtcp.source_description import SourceDescription
from sfu.rtp.rtcp.transport_feedback import TransportWideFeedback
from sfu.rtp.rtcp.unknown import UnknownRtcp

RtcpPacket = (
    SenderReport
    | ReceiverReport
    | SourceDescription
    | Goodbye
    | Application
    | ExtendedReport
    | GenericNack
    | TransportWideFeedback
    | PictureLossIndication
    | FullIntraRequest
    | Remb
    | UnknownRtcp
)

_BY_TYPE: Final[dict[int, Callable[[int, bytes], RtcpPacket]]] = {
    SenderReport.PACKET_TYPE: SenderReport.decode,
    ReceiverReport.PACKET_TYPE: ReceiverReport.decode,
    SourceDescription.PACKET_TYPE: SourceDescription.decode,
    Goodbye.PACKET_TYPE: Goodbye.decode,
    Application.PACKET_TYPE: Application.decode,
    ExtendedReport.PACKET_TYPE: lambda _, body: ExtendedReport.decode(body),
}
"""Packet types whose five header bits count something."""

_BY_FORMAT: Final[dict[tuple[int, int], Callable[[bytes], RtcpPacket]]] = {
    (GenericNack.PACKET_TYPE, GenericNack.FORMAT): GenericNack.decode,
    (TransportWideFeedback.PACKET_TYPE, TransportWideFeedback.FORMAT): TransportWideFeedback.decode,
    (PictureLossIndication.PACKET_TYPE, PictureLossIndication.FORMAT): PictureLossIndication.decode,
    (FullIntraRequest.PACKET_TYPE, FullIntraRequest.FORMAT): FullIntraRequest.decode,
    (Remb.PACKET_TYPE, Remb.FORMAT): Remb.decode,
}
"""Feedback messages (RFC 4585), whose five header bits are a format."""


def parse_compound(data: bytes) -> list[RtcpPacket]:
    """Return the packets of one datagram, in order.

    Reduced-size RTCP is accepted (RFC 5506): a datagram need not begin with a report. Raises `BadPacket`
    when any packet is malformed: the start of the next one is unknown then. Unknown types and
    formats are returned as `UnknownRtcp`.

    >>> parse_compound(bytes.fromhex("81cd0003 00000001 0000002a 00070001"))
    [GenericNack(sender_ssrc=1, media_ssrc=42, lost=(7, 8))]
    """
    return [_decode(packet) for packet in split(data)]


def serialize_compound(packets: Iterable[RtcpPacket]) -> bytes:
    """Return one datagram with these packets, in this order. Raises `ValueError` when a field does not fit.

    The caller decides whether a report and a CNAME have to come first: that depends on the negotiation.

    >>> serialize_compound([PictureLossIndication(sender_ssrc=1, media_ssrc=42)]).hex(" ", 4)
    '81ce0002 00000001 0000002a'
    """
    return b"".join(packet.encode() for packet in packets)


def _decode(packet: RawPacket) -> RtcpPacket:
    by_type = _BY_TYPE.get(packet.packet_type)
    if by_type is not None:
        return by_type(packet.five_bits, packet.body)
    by_format = _BY_FORMAT.get((packet.packet_type, packet.five_bits))
    if by_format is None or (by_format == Remb.decode and not is_remb(packet.body)):
        return UnknownRtcp(*packet)
    return by_format(packet.body)
