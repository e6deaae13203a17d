"""What is counted about published and outgoing streams, for metrics; one by one, and as sums.

A metric that counts must never go down, so the sums go on when a stream has ended: the owner of streams adds up
the counters of those that have ended, and adds the present ones when it is asked.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ReceiveStatistics:
    """What happened to one published stream so far."""

    packets: int
    """RTP packets accepted, RTX not counted, padding-only ones counted."""
    octets: int
    """Their payload bytes."""
    lost: int
    """Packets that did not come in this stream since it last restarted its numbering (RFC 3550 section A.3).
    Retransmissions by RTX do not lower it."""
    jitter_ticks: float
    jitter_seconds: float
    repaired: int
    """Packets that came after the server asked for them."""
    given_up: int
    """Packets that never came."""
    nacked: int
    """Packets asked for; asking again counts."""
    key_frames: int
    """Key frames begun; for audio, frames."""
    key_frame_requests: int
    """PLI or FIR sent."""
    dropped: Mapping[str, int]
    """Packets that were not forwarded, by reason."""


@dataclass(frozen=True, slots=True)
class SendStatistics:
    """What happened to one outgoing stream so far. The receiver's values are from its latest report."""

    packets: int
    """RTP packets sent, without retransmissions."""
    octets: int
    """Their payload bytes."""
    retransmitted: int
    """Retransmissions sent."""
    retransmitted_octets: int
    """Their bytes, headers included."""
    nacked: int
    """Packets that the receiver asked for again; asking twice counts twice."""
    key_frame_requests: int
    """PLI and FIR from the receiver."""
    fraction_lost: float
    """0 … 1 of the packets between its last two reports."""
    lost: int
    """Packets lost since the start."""
    jitter_seconds: float
    round_trip: float | None
    """Seconds; `None` before it is known."""
    dropped: Mapping[str, int]
    """Packets that were not sent, by reason; under ``nack-…``, those that were asked for and not sent again."""


@dataclass(slots=True)
class ReceiveTotals:
    """What happened to published streams; the fields are those of `ReceiveStatistics`."""

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
    """What happened to outgoing streams; the fields are those of `SendStatistics`."""

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
