"""Arrival times of a transport's packets, from which transport-wide feedback is made.

A browser numbers all packets that it sends over one transport. It estimates the bandwidth of the path to the
server from the arrival times that the server sends back (draft-holmer-rmcat-transport-wide-cc-extensions-01).
"""

from typing import Final

from sfu.rtp.rtcp import TransportWideFeedback, feedback_for
from sfu.rtp.serial import Unwrapper

INTERVAL: Final = 0.1
"""Seconds between feedback messages. The draft suggests 50 to 250 ms; libwebrtc uses 100 ms at usual rates."""

PACKETS: Final = 100
"""Arrivals after which feedback does not wait for the interval, so that a message stays small."""

MEMORY: Final = 0.5
"""Seconds that a reported arrival is kept. A packet that comes after its neighbours has been reported as lost.
It is reported again together with them, so that only its own status changes."""

MAX_ARRIVALS: Final = 2000
"""Arrivals kept: half a second at 4000 packets/s. Beyond that the oldest are forgotten."""


class ArrivalRecorder:
    """Arrivals on one transport, and the feedback about them."""

    __slots__ = ("_arrivals", "_deadline", "_feedback_count", "_pending", "_start", "_unwrapper")

    def __init__(self) -> None:
        self._unwrapper = Unwrapper(16)
        self._arrivals: dict[int, float] = {}
        self._start: int | None = None
        self._pending = 0
        self._deadline: float | None = None
        self._feedback_count = 0

    def record(self, sequence_number: int, now: float) -> None:
        """Record the arrival of a packet with this transport-wide sequence number. A duplicate is ignored."""
        number = self._unwrapper.unwrap(sequence_number)
        arrivals = self._arrivals
        if number in arrivals:
            return
        arrivals[number] = now
        if len(arrivals) > MAX_ARRIVALS:
            del arrivals[next(iter(arrivals))]
        if self._start is None or number < self._start:
            self._start = number
        self._pending += 1
        if self._deadline is None:
            self._deadline = now + INTERVAL
        if self._pending >= PACKETS:
            self._deadline = now

    def next_timeout(self) -> float | None:
        """Return when feedback is due; `None` while there is nothing to report."""
        return self._deadline

    def take_feedback(self, now: float, *, sender_ssrc: int, media_ssrc: int) -> list[TransportWideFeedback]:
        """Return the messages due, usually none or one. `media_ssrc` is any stream of the transport."""
        if self._deadline is None or now < self._deadline or self._start is None:
            return []
        start = self._start
        arrivals = sorted(item for item in self._arrivals.items() if item[0] >= start)
        messages = feedback_for(
            arrivals,
            first=start,
            sender_ssrc=sender_ssrc,
            media_ssrc=media_ssrc,
            feedback_count=self._feedback_count,
        )
        self._feedback_count = (self._feedback_count + len(messages)) & 0xFF
        self._start = arrivals[-1][0] + 1
        self._pending = 0
        self._deadline = None
        self._forget(now - MEMORY)
        return messages

    def _forget(self, before: float) -> None:
        # In order of arrival, so the old ones come first.
        while self._arrivals:
            number = next(iter(self._arrivals))
            if self._arrivals[number] >= before:
                return
            del self._arrivals[number]
