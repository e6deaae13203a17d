"""Reception statistics of one stream: RFC 3550 appendix A.1 (sequence), A.3 (loss) and A.8 (jitter).

Sequence numbers in packets have 16 bits. Here they become *extended*: integers that do not wrap, so that the
code after this point compares them with ``<``.
"""

from typing import Final

from sfu.rtp.rtcp import ReportBlock
from sfu.rtp.serial import sequence_difference, timestamp_difference

MAX_DROPOUT: Final = 3000
"""Largest jump forward that counts as loss (RFC 3550's value): ten seconds of 300 packets/s."""

MAX_MISORDER: Final = 1000
"""Largest jump back that counts as a late packet. RFC 3550 suggests 100. But a retransmission without RTX comes
in this stream, and at 1000 packets/s and a round trip of 300 ms it is 300 packets late."""


class ReceptionStatistics:
    """Statistics of the packets that arrive from one SSRC.

    RFC 3550's probation (two consecutive packets before a source counts) is left out: it guards against packets
    of strangers, but these have passed SRTP's authentication, and it would cost the first packet of a key
    frame. The other half of A.1 is here: after a jump that is too large for loss, the second packet of the
    *new* numbering restarts the statistics, and the first one is dropped.
    """

    __slots__ = (
        "_base",
        "_clock_rate",
        "_expected_reported",
        "_last_arrival",
        "_last_timestamp",
        "_received_reported",
        "_restart_at",
        "highest",
        "jitter",
        "received",
        "restarts",
    )

    highest: int | None
    """Highest extended sequence number; `None` before the first packet."""
    received: int
    """Packets since the start or the last restart, duplicates included."""
    jitter: float
    """Interarrival jitter in ticks of the RTP clock (RFC 3550 section 6.4.1)."""
    restarts: int
    """How often the numbering has begun again."""

    def __init__(self, clock_rate: int) -> None:
        """`clock_rate` of the stream's RTP timestamps in Hz."""
        self._clock_rate = clock_rate
        self.highest = None
        self._base = 0
        self._restart_at: int | None = None
        self.received = self._received_reported = self._expected_reported = 0
        self.jitter = 0.0
        self._last_arrival = 0.0
        self._last_timestamp = 0
        self.restarts = 0

    def receive(self, sequence_number: int, timestamp: int, now: float) -> int | None:
        """Count a packet; return its extended sequence number, or `None` if it must not be used.

        The number increases at a restart too: it jumps to the next cycle.
        """
        highest = self.highest
        if highest is None:
            self._start(sequence_number)
            extended = sequence_number
        else:
            ahead = (sequence_number - highest) & 0xFFFF
            if ahead < MAX_DROPOUT:
                extended = self.highest = highest + ahead
            elif ahead >= 0x10000 - MAX_MISORDER:
                extended = highest + ahead - 0x10000
            elif sequence_number != self._restart_at:
                self._restart_at = (sequence_number + 1) & 0xFFFF
                return None
            else:
                self.restarts += 1
                extended = (highest | 0xFFFF) + 1 + sequence_number
                self._start(extended)
        if self.received:
            # A.8: the smoothed difference between the spacing at arrival and the spacing at sending.
            sent = timestamp_difference(timestamp, self._last_timestamp)
            deviation = abs((now - self._last_arrival) * self._clock_rate - sent)
            self.jitter += (deviation - self.jitter) / 16
        self._last_arrival = now
        self._last_timestamp = timestamp
        self.received += 1
        return extended

    def extend(self, sequence_number: int) -> int | None:
        """Return the extended form of a number near the highest, and count nothing; `None` before the first.

        For packets from RTX, which do not count in this stream's statistics (RFC 4588).
        """
        if self.highest is None:
            return None
        return self.highest + sequence_difference(sequence_number, self.highest & 0xFFFF)

    @property
    def expected(self) -> int:
        """The number of packets that should have come since the start or the last restart."""
        return 0 if self.highest is None else self.highest - self._base + 1

    @property
    def lost(self) -> int:
        """The number that did not come; negative with more duplicates than losses (RFC 3550 section 6.4.1)."""
        return self.expected - self.received

    @property
    def jitter_seconds(self) -> float:
        """`jitter` in seconds."""
        return self.jitter / self._clock_rate

    def report_block(self, ssrc: int, last_sender_report: int, delay: int) -> ReportBlock:
        """Return the report block about this stream (A.3). The next one's loss fraction begins here.

        `last_sender_report` (compact NTP time) and `delay` (1/65536 s) are copied. At least one packet must
        have been received.
        """
        expected, received = self.expected, self.received
        expected_now = expected - self._expected_reported
        lost_now = expected_now - (received - self._received_reported)
        self._expected_reported, self._received_reported = expected, received
        fraction = 0 if expected_now <= 0 or lost_now <= 0 else (lost_now << 8) // expected_now
        return ReportBlock(
            ssrc,
            min(fraction, 255),
            max(-0x80_0000, min(self.lost, 0x7F_FFFF)),
            (self.highest or 0) & 0xFFFF_FFFF,
            min(int(self.jitter), 0xFFFF_FFFF),
            last_sender_report,
            delay,
        )

    def _start(self, extended: int) -> None:
        self.highest = self._base = extended
        self._restart_at = None
        self.received = self._received_reported = self._expected_reported = 0
