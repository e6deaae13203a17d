"""What is counted about a published and about an outgoing stream: what metrics are made from."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReceiveStatistics:
    """What happened to one published stream so far."""

    packets: int
    """RTP packets accepted, RTX not counted, padding-only ones counted."""
    octets: int
    """Their payload bytes."""
    lost: int
    """Packets that did not come in this stream since it last restarted its numbering (RFC 3550 A.3); a repair
    by RTX does not lower it."""
    jitter_ticks: float
    jitter_seconds: float
    repaired: int
    """Packets that came after we asked for them."""
    given_up: int
    """Packets that never came."""
    nacked: int
    """Packets asked for, repetitions counted."""
    key_frames: int
    """Key frames begun; for audio, frames."""
    key_frame_requests: int
    """PLI or FIR sent."""
    dropped: Mapping[str, int]
    """Packets that were not forwarded, by reason."""


@dataclass(frozen=True, slots=True)
class SendStatistics:
    """What happened to one outgoing stream so far; what the receiver says comes from its latest report."""

    packets: int
    """RTP packets sent, repetitions not counted."""
    octets: int
    """Their payload bytes."""
    retransmitted: int
    """Packets sent again."""
    retransmitted_octets: int
    """Bytes of those, header included."""
    nacked: int
    """Packets that the receiver asked for, repetitions counted."""
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
    """Packets that were not sent, by reason; and answers refused, under ``nack-…``."""
