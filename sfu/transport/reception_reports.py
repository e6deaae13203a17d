"""What a peer reports about the streams that are sent to it: loss, jitter and round trip time.

`ReceptionReports` follows the report blocks about one outgoing stream (RFC 3550 section 6.4.1).
`ReportedQuality` counts what they say over all streams of the peer, at the moment when a report arrives. So how
often metrics are read changes nothing in the counts.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from sfu.histogram import Distribution, Histogram
from sfu.rtp.ntp import compact_ntp, seconds_from_compact
from sfu.rtp.rtcp import ReportBlock

SENT_REMEMBERED: Final = 8
"""Sender reports whose sending time is remembered. At one report a second, fewer are in flight."""

PLAUSIBLE_STEP: Final = 1 << 16
"""Most packets between two reports: half a minute at 2000 a second. libdatachannel writes the sequence number
into the upper half of the field, which looks like millions."""

JITTER_BOUNDS: Final = (1.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0)
"""Milliseconds."""

ROUND_TRIP_BOUNDS: Final = (10.0, 25.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
"""Milliseconds."""


class Progress(NamedTuple):
    """What is new in a report block."""

    expected: int
    """Packets that should have come since the previous block, by its sequence numbers; 0 in the first one."""
    lost: int
    """Those of them that did not come; negative when there were more duplicates and late packets."""
    round_trip: float | None
    """Round trip time in seconds, if the block names a sender report of this server."""


class ReceptionReports:
    """The latest report block about one outgoing stream, and the round trip time from them."""

    __slots__ = ("_counted", "_sent", "fraction_lost", "jitter", "lost", "round_trip")

    fraction_lost: float
    """0 … 1 of the packets between the receiver's last two reports."""
    lost: int
    """Packets lost since the start."""
    jitter: int
    """Interarrival jitter in RTP clock ticks."""
    round_trip: float | None
    """Round trip time in seconds; `None` before it is known."""

    def __init__(self) -> None:
        self.fraction_lost = 0.0
        self.lost = self.jitter = 0
        self.round_trip = None
        self._counted: tuple[int, int] | None = None  # highest sequence number and loss of the newest block
        self._sent: tuple[tuple[int, float], ...] = ()

    def sent(self, ntp_time: int, now: float) -> None:
        """Remember that a sender report with this NTP time is sent."""
        self._sent = (*self._sent, (compact_ntp(ntp_time), now))[-SENT_REMEMBERED:]

    def receive(self, block: ReportBlock, now: float) -> Progress:
        """Take a report block. Returns what is new in it."""
        expected = lost = 0
        restarts = True
        round_trip = None
        if self._counted is not None:
            # RFC 3550 section 6.4.4: the differences between blocks show the present quality. The number has 32
            # bits, and wraps. An older block that was overtaken by a newer one adds nothing.
            highest, lost_before = self._counted
            ahead = (block.highest_sequence - highest) & 0xFFFF_FFFF
            if 0 < ahead < PLAUSIBLE_STEP:
                expected, lost = ahead, block.cumulative_lost - lost_before
            restarts = PLAUSIBLE_STEP <= ahead <= 2**32 - PLAUSIBLE_STEP
        if expected or restarts:
            self._counted = (block.highest_sequence, block.cumulative_lost)
        self.fraction_lost = block.fraction_lost / 256
        self.lost = block.cumulative_lost
        self.jitter = block.jitter
        for compact, sent in self._sent:
            # The RFC's A - LSR - DLSR, but with the server's own record of when that report was sent: the time
            # in the report is on the publisher's clock.
            if compact == block.last_sender_report:
                delay = seconds_from_compact(block.delay_since_last_sender_report)
                self.round_trip = round_trip = max(0.0, now - sent - delay)
        return Progress(expected, lost, round_trip)


@dataclass(frozen=True, slots=True)
class QualityStatistics:
    """What the reports of one peer have said so far."""

    expected: int
    """Packets that should have come, by the sequence numbers in the reports."""
    lost: int
    """Those of them that did not come; negative when there were more duplicates than losses."""
    jitter: Distribution
    """Interarrival jitter in milliseconds, once per report about a stream of which packets came."""
    round_trip: Distribution
    """Round trip times in milliseconds."""


class ReportedQuality:
    """Counts what the reports of one peer say."""

    __slots__ = ("_expected", "_jitter", "_lost", "_round_trip")

    def __init__(self) -> None:
        self._expected = self._lost = 0
        self._jitter = Histogram(JITTER_BOUNDS)
        self._round_trip = Histogram(ROUND_TRIP_BOUNDS)

    def add(self, progress: Progress, jitter: float) -> None:
        """Count what is new in a report; `jitter` is in seconds."""
        if progress.expected:
            self._expected += progress.expected
            self._lost += progress.lost
            self._jitter.observe(jitter * 1000)
        if progress.round_trip is not None:
            self._round_trip.observe(progress.round_trip * 1000)

    def statistics(self) -> QualityStatistics:
        """Return the counts so far."""
        return QualityStatistics(
            self._expected, self._lost, self._jitter.statistics(), self._round_trip.statistics()
        )
