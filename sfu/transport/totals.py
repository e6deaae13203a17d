"""Sums over streams, for counters that have to go on when a stream has ended.

A metric that counts must never go down. So whoever owns streams adds up what those counted that are gone,
and what is there comes on top whenever somebody asks.
"""

from collections import Counter
from dataclasses import dataclass, field

from sfu.transport.stream_statistics import ReceiveStatistics, SendStatistics


@dataclass(slots=True)
class ReceiveTotals:
    """What happened to published streams; the fields mean what they mean in `ReceiveStatistics`."""

    packets: int = 0
    octets: int = 0
    repaired: int = 0
    given_up: int = 0
    nacked: int = 0
    key_frame_requests: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    def add(self, other: "ReceiveStatistics | ReceiveTotals") -> None:
        """Add a stream, or the sum of several."""
        self.packets += other.packets
        self.octets += other.octets
        self.repaired += other.repaired
        self.given_up += other.given_up
        self.nacked += other.nacked
        self.key_frame_requests += other.key_frame_requests
        self.dropped.update(other.dropped)


@dataclass(slots=True)
class SendTotals:
    """What happened to outgoing streams; the fields mean what they mean in `SendStatistics`."""

    packets: int = 0
    octets: int = 0
    retransmitted: int = 0
    retransmitted_octets: int = 0
    nacked: int = 0
    key_frame_requests: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    def add(self, other: "SendStatistics | SendTotals") -> None:
        """Add a stream, or the sum of several."""
        self.packets += other.packets
        self.octets += other.octets
        self.retransmitted += other.retransmitted
        self.retransmitted_octets += other.retransmitted_octets
        self.nacked += other.nacked
        self.key_frame_requests += other.key_frame_requests
        self.dropped.update(other.dropped)
