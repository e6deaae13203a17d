"""RTP and RTCP: what their bytes mean, and the state that a forwarder has for a stream.

Pure code: bytes and `now` go in, values and bytes come out. Parsers raise `sfu.errors.BadPacket` and nothing
else. Begin to read at `sfu.rtp.packet` (one RTP packet) and `sfu.rtp.rtcp` (one RTCP datagram). Public are the
names below, those of `sfu.rtp.rtcp` (a class per message), the extensions of `sfu.rtp.extensions`,
`sfu.rtp.dependency_descriptor` and `sfu.rtp.video_layers_allocation`, and the payload descriptors of
`sfu.rtp.codecs`:

* packets: `RtpPacket`, `is_rtcp`, `parse_compound`, `serialize_compound`, `RtcpPacket`
* payloads: `is_key_frame`, `parse_red`, `serialize_red`, `RedBlock`, `unwrap_rtx`, `wrap_rtx`
* SRTP: `InboundSrtp`, `OutboundSrtp`
* one received stream: `ReceptionStatistics`, `MissingPackets`, `PacketHistory`, `ArrivalRecorder`
* one stream that is made from others: `SequenceMap`, `TimestampMap`
* numbers that wrap: `Unwrapper`, `is_newer_sequence`, `is_newer_timestamp`
"""

from sfu.rtp.arrivals import ArrivalRecorder
from sfu.rtp.history import PacketHistory
from sfu.rtp.key_frame import is_key_frame
from sfu.rtp.nack import MissingPackets
from sfu.rtp.packet import RtpPacket, is_rtcp
from sfu.rtp.red import RedBlock, parse_red, serialize_red
from sfu.rtp.rewrite import SequenceMap, TimestampMap
from sfu.rtp.rtcp import RtcpPacket, parse_compound, serialize_compound
from sfu.rtp.rtx import unwrap_rtx, wrap_rtx
from sfu.rtp.serial import Unwrapper, is_newer_sequence, is_newer_timestamp
from sfu.rtp.srtp import InboundSrtp, OutboundSrtp
from sfu.rtp.statistics import ReceptionStatistics

__all__ = [
    "ArrivalRecorder",
    "InboundSrtp",
    "MissingPackets",
    "OutboundSrtp",
    "PacketHistory",
    "ReceptionStatistics",
    "RedBlock",
    "RtcpPacket",
    "RtpPacket",
    "SequenceMap",
    "TimestampMap",
    "Unwrapper",
    "is_key_frame",
    "is_newer_sequence",
    "is_newer_timestamp",
    "is_rtcp",
    "parse_compound",
    "parse_red",
    "serialize_compound",
    "serialize_red",
    "unwrap_rtx",
    "wrap_rtx",
]
