"""What the receiver of an outgoing stream reports about it (RFC 3550 section 6.4.1)."""

from typing import Final, NamedTuple

from sfu.rtp.ntp import compact_ntp, seconds_from_compact
from sfu.rtp.rtcp import ReportBlock

SENT_REMEMBERED: Final = 8
"""Sender reports whose time of sending is known: more than are in flight at one report a second."""

PLAUSIBLE_STEP: Final = 1 << 16
"""Packets that may pass between two reports: half a minute at 2000 a second. libdatachannel writes the sequence
number into the upper half of the field, which looks like millions."""


class Progress(NamedTuple):
    """What a report block says that those before it did not."""

    expected: int
    """Packets that should have come since the block before, by its sequence numbers; 0 in the first one."""
    lost: int
    """Those of them that did not come; negative when duplicates or late ones outnumber them."""
    round_trip: float | None
    """Seconds to the receiver and back, if the block names a report of ours."""


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
    """Seconds to the receiver and back; `None` before it is known."""

    def __init__(self) -> None:
        self.fraction_lost = 0.0
        self.lost = self.jitter = 0
        self.round_trip = None
        self._counted: tuple[int, int] | None = None  # highest sequence number and loss of the newest block
        self._sent: tuple[tuple[int, float], ...] = ()

    def sent(self, ntp_time: int, now: float) -> None:
        """A sender report with this NTP time leaves."""
        self._sent = (*self._sent, (compact_ntp(ntp_time), now))[-SENT_REMEMBERED:]

    def receive(self, block: ReportBlock, now: float) -> Progress:
        """A report block came. Returns what is new in it."""
        expected = lost = 0
        restarts = True
        round_trip = None
        if self._counted is not None:
            # RFC 3550 section 6.4.4: differences between blocks say how it goes now. The number is extended
            # to 32 bits, and wraps; an older block that was overtaken tells nothing.
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
            # The RFC's A - LSR - DLSR, but with our own record of when that report left: the time in it is
            # the publisher's, not ours.
            if compact == block.last_sender_report:
                delay = seconds_from_compact(block.delay_since_last_sender_report)
                self.round_trip = round_trip = max(0.0, now - sent - delay)
        return Progress(expected, lost, round_trip)
