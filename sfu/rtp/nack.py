"""Which packets are missing, and when to ask for them again (RFC 4585 section 6.2.1).

A gap may be reordering, so the first request waits a moment. A request or its answer may be lost too, so it is
sent again once per round trip. A packet that has not come after a second is given up: it would be too late to
be shown. A very wide gap is not asked for at all: a key frame is the better remedy.

The missing numbers are kept for streams without NACK as well, since they show whether a late packet is new: it
is new if its number is missing, and a duplicate otherwise.
"""

from typing import Final

REORDERING_WAIT: Final = 0.005
"""Seconds before a gap is asked for. Reordering on real paths is mostly within a few packets. Waiting longer
than one paced burst (5 ms in libwebrtc) would delay every repair for the sake of rare cases."""

DEFAULT_ROUND_TRIP: Final = 0.1
"""Seconds between requests while the round trip time is unknown: a round trip across an ocean."""

MIN_RETRY: Final = 0.02
"""Fewest seconds between two requests for one packet: the answer to the first may be waiting in a pacer."""

MAX_REQUESTS: Final = 10
"""Requests for one packet; the same limit as libwebrtc's."""

MAX_AGE: Final = 1.0
"""Seconds after which a packet is given up; it would come too late to be played."""

MAX_MISSING: Final = 500
"""Most missing packets tracked, and so the widest gap that is asked for. Senders keep about as many."""


class MissingPackets:
    """The missing packets of one stream, by extended sequence number."""

    __slots__ = (
        "_asks",
        "_missing",
        "_next",
        "given_up",
        "highest",
        "key_frame_needed",
        "recovered",
        "requested",
        "retry_after",
    )

    highest: int | None
    """Highest number that came; `None` before the first."""
    retry_after: float
    """Seconds between requests for one packet: the round trip time, see `set_round_trip`."""
    key_frame_needed: bool
    """Set when more is missing than can be repaired. The owner clears it when it has requested a key frame."""
    requested: int
    """Packets requested; requesting one again counts."""
    recovered: int
    """Packets that came after they were asked for."""
    given_up: int
    """Packets that never came."""

    def __init__(self, *, asks: bool) -> None:
        """`asks`: whether NACK was negotiated; without it nothing is ever due."""
        self._asks = asks
        self.highest = None
        # number → [when it was missed, when to ask next, requests so far], oldest first: gaps open at the
        # live end only, so insertion order is both the order of numbers and the order of age.
        self._missing: dict[int, tuple[float, float, int]] = {}
        self._next: float | None = None
        self.retry_after = DEFAULT_ROUND_TRIP
        self.key_frame_needed = False
        self.requested = self.recovered = self.given_up = 0

    def __len__(self) -> int:
        """Return the number of missing packets."""
        return len(self._missing)

    def set_round_trip(self, seconds: float) -> None:
        """Use a measured round trip time from now on."""
        self.retry_after = max(MIN_RETRY, seconds)

    def receive(self, sequence: int, now: float) -> bool:
        """Note an arrival. Returns whether the packet is new: neither a duplicate nor given up."""
        highest = self.highest
        if highest is None:
            self.highest = sequence
            return True
        if sequence == highest + 1:
            self.highest = sequence
            return True
        if sequence > highest:
            self._miss(range(highest + 1, sequence), now)
            self.highest = sequence
            return True
        entry = self._missing.pop(sequence, None)
        if entry is None:
            return False
        if entry[2]:
            self.recovered += 1
        return True

    def take_due(self, now: float) -> tuple[int, ...]:
        """Return the numbers to ask for now, ascending. Each counts as asked for."""
        if self._next is None or now < self._next:
            return ()
        self._give_up(now)
        ask = []
        following: float | None = None
        for number, (missed, at, requests) in self._missing.items():
            if at <= now:
                ask.append(number)
                requests += 1
                # After the last request, the answer may still come until the packet is given up.
                at = now + self.retry_after if requests < MAX_REQUESTS else missed + MAX_AGE
                self._missing[number] = (missed, at, requests)
            following = at if following is None else min(following, at)
        self._next = following
        self.requested += len(ask)
        return tuple(ask)

    def restart(self) -> None:
        """The sender's numbers begin again: nothing of the old numbering is missing any more."""
        self.given_up += len(self._missing)
        self._missing.clear()
        self._next = None
        self.highest = None

    def next_timeout(self) -> float | None:
        """Return when `take_due` has something to return or to clean up; may be early, never late."""
        return self._next

    def _miss(self, gap: range, now: float) -> None:
        self._give_up(now)
        if len(gap) + len(self._missing) > MAX_MISSING:
            self.given_up += len(gap) + len(self._missing)
            self._missing.clear()
            self._next = None
            self.key_frame_needed = True
            return
        at = now + REORDERING_WAIT
        for number in gap:
            self._missing[number] = (now, at, 0)
        if self._asks:
            self._next = at if self._next is None else min(self._next, at)

    def _give_up(self, now: float) -> None:
        while self._missing:
            number = next(iter(self._missing))
            if now < self._missing[number][0] + MAX_AGE:
                return
            del self._missing[number]
            self.given_up += 1
