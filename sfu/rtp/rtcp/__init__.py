"""RTCP: a file per message, and `parse_compound`/`serialize_compound` for whole datagrams.

Every message is a frozen dataclass with `decode` and `encode` (the latter makes the whole packet, header
included). Adding one: see `sfu.rtp.rtcp.compound`.
"""

from sfu.rtp.rtcp.application import Application
from sfu.rtp.rtcp.compound import RtcpPacket, parse_compound, serialize_compound
from sfu.rtp.rtcp.extended_report import ExtendedReport
from sfu.rtp.rtcp.full_intra_request import FirEntry, FullIntraRequest
from sfu.rtp.rtcp.generic_nack import GenericNack
from sfu.rtp.rtcp.goodbye import Goodbye
from sfu.rtp.rtcp.picture_loss import PictureLossIndication
from sfu.rtp.rtcp.remb import Remb
from sfu.rtp.rtcp.report import ReceiverReport, ReportBlock, SenderReport
from sfu.rtp.rtcp.source_description import SdesChunk, SdesItem, SourceDescription
from sfu.rtp.rtcp.transport_feedback import TransportWideFeedback, feedback_for
from sfu.rtp.rtcp.unknown import UnknownRtcp

__all__ = [
    "Application",
    "ExtendedReport",
    "FirEntry",
    "FullIntraRequest",
    "GenericNack",
    "Goodbye",
    "PictureLossIndication",
    "ReceiverReport",
    "Remb",
    "ReportBlock",
    "RtcpPacket",
    "SdesChunk",
    "SdesItem",
    "SenderReport",
    "SourceDescription",
    "TransportWideFeedback",
    "UnknownRtcp",
    "feedback_for",
    "parse_compound",
    "serialize_compound",
]
