"""The state of one RTP stream, under any order of packets: nothing raises, grows without bound, or spins.

The input is a program: each step is a byte that says what and a byte of detail. Packets arrive in order,
late, again, after gaps and after a restart of their numbering; forwarding begins, ends and skips; time
passes. Side by side run the statistics, the missing packets, the history, the transport-wide arrivals and the
renumbering, and:

* a number counts as new once, and nothing is asked for that is there, or more often than is allowed;
* the history gives back what was put in, or nothing; every collection has its bound;
* no outgoing number stands for two packets, and each leads back to the one that it stands for;
* reports and feedback serialize to what parses the same, and a timer that was handled is not due at once.
"""

from collections import Counter
from itertools import islice
from math import isfinite

from sfu.rtp.arrivals import ArrivalRecorder
from sfu.rtp.history import PacketHistory
from sfu.rtp.nack import MAX_MISSING, MAX_REQUESTS, MissingPackets
from sfu.rtp.rewrite import SequenceMap
from sfu.rtp.rtcp import ReceiverReport, RtcpPacket, TransportWideFeedback, parse_compound, serialize_compound
from sfu.rtp.statistics import ReceptionStatistics

TARGETS = ("sfu.rtp.arrivals", "sfu.rtp.history", "sfu.rtp.nack", "sfu.rtp.rewrite", "sfu.rtp.statistics")
"""What the inputs' coverage is measured on."""

MAX_STEPS = 500
DEPTH = 32
CLOCK_RATE = 90_000


class Stream:
    """One stream and all that is kept of it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sent = 65_000
        """The sender's running number, its low 16 bits on the wire."""
        self.statistics = ReceptionStatistics(CLOCK_RATE)
        self.missing = MissingPackets(asks=True)
        self.history = PacketHistory(DEPTH)
        self.arrivals = ArrivalRecorder()
        self.sequences = SequenceMap(first_out=100)
        self.new: set[int] = set()
        """Extended numbers that came."""
        self.asked: Counter[int] = Counter()
        self.given: dict[int, int] = {}
        """Outgoing numbers, and the source number of each."""
        self.restarts = 0

    def step(self, what: int, detail: int) -> None:
        """Do one thing."""
        match what % 10:
            case 0 | 1 | 2:
                for _ in range(1 + detail % 16):
                    self.sent += 1
                    self.arrive(self.sent)
            case 3:
                self.sent += 1 + detail
                self.arrive(self.sent)
            case 4:
                self.arrive(self.sent - detail)
            case 5:
                self.sent += detail << 8
                self.arrive(self.sent)
            case 6:
                self.pass_time(detail / 256)
            case 7:
                self.pass_time(detail / 16)
            case 8:
                self.forward(detail)
            case 9:
                self.report(detail)

    def arrive(self, number: int) -> None:
        """A packet comes, out of SRTP: with a number near or far, a timestamp and a payload of its own."""
        self.arrivals.record(number & 0xFFFF, self.now)
        extended = self.statistics.receive(number & 0xFFFF, number * 3000 & 0xFFFF_FFFF, self.now)
        if extended is None:
            return
        assert extended & 0xFFFF == number & 0xFFFF
        if self.statistics.restarts != self.restarts:
            self.restarts = self.statistics.restarts
            self.missing.restart()
            self.history.clear()
        if self.missing.receive(extended, self.now):
            assert extended not in self.new
            self.new.add(extended)
            self.history.add(extended, extended.to_bytes(8, signed=True), self.now)
            assert len(self.history) <= DEPTH
            self.map(extended)
        assert len(self.missing) <= MAX_MISSING
        assert self.statistics.highest == self.missing.highest

    def map(self, extended: int) -> None:
        """Renumber a packet, if it is to be forwarded."""
        out = self.sequences.map(extended)
        if out is not None:
            assert self.given.setdefault(out, extended) == extended
            assert self.sequences.inverse(out) == extended

    def forward(self, detail: int) -> None:
        """Begin or end forwarding, or leave the next packet out."""
        highest = self.statistics.highest
        if highest is None:
            return
        if not self.sequences.is_open:
            self.sequences.begin(highest + 1)
        elif detail & 1:
            self.sequences.end(highest)
        else:
            # Left out before it is shown to the map, as a sender does.
            self.sent = highest + 1
            self.sequences.skip(highest + 1)
            assert self.sequences.map(highest + 1) is None
            self.arrive(self.sent)
        after = self.sequences.next_out(self.statistics.highest or 0)
        assert after not in self.given

    def pass_time(self, seconds: float) -> None:
        """Ask for what is missing, and report what came, when it is due."""
        end = self.now + seconds
        while True:
            times = [self.missing.next_timeout(), self.arrivals.next_timeout()]
            due = min((time for time in times if time is not None), default=end)
            if due >= end:
                break
            self.now = max(self.now, due)
            self.ask()
            self.feed_back()
        self.now = end
        for number in islice(self.new, 4):
            kept = self.history.get(number, self.now)
            assert kept is None or kept == number.to_bytes(8, signed=True)

    def ask(self) -> None:
        """The requests that are due."""
        numbers = self.missing.take_due(self.now)
        assert list(numbers) == sorted(set(numbers))
        assert self.new.isdisjoint(numbers)
        for number in numbers:
            self.asked[number] += 1
            assert self.asked[number] <= MAX_REQUESTS
        after = self.missing.next_timeout()
        assert after is None or after > self.now, "a timer that is due again at once would spin"

    def feed_back(self) -> None:
        """The feedback that is due."""
        packets: list[RtcpPacket] = []
        for message in self.arrivals.take_feedback(self.now, sender_ssrc=1, media_ssrc=2):
            assert isinstance(message, TransportWideFeedback)
            assert all(isfinite(arrival or 0.0) for _, arrival in message.arrivals())
            packets.append(message)
        if packets:
            assert parse_compound(serialize_compound(packets)) == packets
        after = self.arrivals.next_timeout()
        assert after is None or after > self.now

    def report(self, detail: int) -> None:
        """A reception report, and a round trip time from the answer to it."""
        self.missing.set_round_trip(detail / 100)
        if self.statistics.highest is None:
            return
        report = ReceiverReport(1, (self.statistics.report_block(2, 3, 4),))
        assert parse_compound(serialize_compound([report])) == [report]
        assert self.statistics.lost == self.statistics.expected - self.statistics.received
        assert isfinite(self.statistics.jitter_seconds)


def one_input(data: bytes) -> None:
    """Run one program."""
    stream = Stream()
    for at in range(0, min(len(data) - 1, 2 * MAX_STEPS), 2):
        stream.step(data[at], data[at + 1])
