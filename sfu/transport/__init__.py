"""One peer's transport: ICE, DTLS, SRTP, RTP and RTCP joined, and the path of a media packet through it.

Pure code: datagrams and `now` go in, datagrams and events come out. `PeerTransport` is one peer's machine,
`RouteTable` finds the peer that a datagram is for, `fan_out` forwards a packet to many.

A part hands up what it has in two ways. The result of a call is returned: a decrypted packet, a packet to
forward, retransmissions. Everything else that has happened waits in `events()`, which the owner calls after
each call.
"""

from sfu.transport.demux import RouteTable
from sfu.transport.egress import Egress
from sfu.transport.events import (
    KeyFrameRequested,
    Secured,
    StreamEnded,
    StreamStarted,
    TransportClosed,
    TransportFailed,
)
from sfu.transport.fan_out import fan_out
from sfu.transport.peer import PeerTransport, TransportEvent, TransportStatistics
from sfu.transport.receive_stream import MediaPacket, ReceiveStream
from sfu.transport.send_stream import SendStream

__all__ = [
    "Egress",
    "KeyFrameRequested",
    "MediaPacket",
    "PeerTransport",
    "ReceiveStream",
    "RouteTable",
    "Secured",
    "SendStream",
    "StreamEnded",
    "StreamStarted",
    "TransportClosed",
    "TransportEvent",
    "TransportFailed",
    "TransportStatistics",
    "fan_out",
]
