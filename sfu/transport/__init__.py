"""One peer's transport: ICE, DTLS, SRTP, RTP and RTCP joined, and the way of a media packet through it.

Pure code: datagrams and `now` go in, datagrams and events come out. `PeerTransport` is one peer's machine,
`TransportTable` finds the one that a datagram is for, `fan_out` forwards a packet to many.
"""

from sfu.transport.demux import TransportTable
from sfu.transport.egress import Egress
from sfu.transport.events import (
    Closed,
    Failed,
    KeyFrameRequested,
    Media,
    Secured,
    StreamEnded,
    StreamStarted,
)
from sfu.transport.fan_out import fan_out
from sfu.transport.peer import PeerTransport, TransportEvent, TransportStatistics
from sfu.transport.receiver import ReceiveStream
from sfu.transport.sender import SendStream

__all__ = [
    "Closed",
    "Egress",
    "Failed",
    "KeyFrameRequested",
    "Media",
    "PeerTransport",
    "ReceiveStream",
    "Secured",
    "SendStream",
    "StreamEnded",
    "StreamStarted",
    "TransportEvent",
    "TransportStatistics",
    "TransportTable",
    "fan_out",
]
