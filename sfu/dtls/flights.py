"""Flights: what is sent together, sent again together, and when.

A flight is the unit of retransmission (RFC 6347 section 4.2.4). We keep its messages, not its records:
every transmission gets fresh record sequence numbers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sfu.dtls.fragments import HEADER as FRAGMENT_HEADER
from sfu.dtls.fragments import HandshakeMessage
from sfu.dtls.record import HEADER as RECORD_HEADER
from sfu.dtls.record import ContentType, Record

INITIAL_TIMEOUT = 1.0
"""Seconds until the first retransmission (RFC 6347 section 4.2.4.1)."""

MAX_TIMEOUT = 60.0
"""Seconds at which doubling stops (RFC 6347 section 4.2.4.1)."""

MAX_RETRANSMISSIONS = 30
"""After how many unanswered retransmissions by timer the handshake has failed. When half of all datagrams are
lost in each direction, three of four tries fail, and thirty in a row once in 6000 handshakes. How much
*time* may pass is for the owner to say, who closes what takes too long."""

REPEAT_INTERVAL = 0.04
"""Seconds that must lie between two transmissions of a flight when the peer's repetition asks for it. Browsers
start to repeat after 50 ms (libwebrtc's initial DTLS timeout), so each genuine repetition is answered, and
a stranger who replays one cannot draw more than 25 flights a second."""

MIN_FRAGMENT = 32
"""A message is only cut when at least so many of its bytes fit into the datagram begun."""


class ChangeCipherSpec:
    """The place in a flight where the ChangeCipherSpec record goes."""


CHANGE_CIPHER_SPEC = b"\x01"
"""The content of that record (RFC 5246 section 7.1)."""


@dataclass(frozen=True, slots=True)
class Flight:
    """What goes out together. Messages after the ChangeCipherSpec are sent in epoch 1."""

    messages: Sequence[HandshakeMessage | ChangeCipherSpec]
    awaits_reply: bool = True
    """Whether the flight is sent again by timer. The last flight of a handshake and a HelloVerifyRequest are
    only sent again when the peer repeats its own."""


class Retransmission:
    """The timer of the current flight, and the decision to send it again."""

    __slots__ = (
        "_answered",
        "_attempts",
        "_initial",
        "_maximum",
        "_sent_at",
        "_timeout",
        "count",
        "deadline",
        "flight",
    )

    def __init__(self, initial_timeout: float, max_timeout: float) -> None:
        self._initial = initial_timeout
        self._maximum = max_timeout
        self._timeout = initial_timeout
        self._attempts = 0
        self._answered = 0
        self._sent_at = 0.0
        self.flight: Flight | None = None
        """The flight last sent."""
        self.deadline: float | None = None
        """When to send it again."""
        self.count = 0
        """Retransmissions so far, for whatever reason."""

    def begin(self, flight: Flight, *, answered: int, now: float) -> None:
        """Note that a new flight goes out, in answer to the peer's messages below message_seq `answered`."""
        self.flight = flight
        self._answered = answered
        self._sent_at = now
        self._attempts = 0
        self._timeout = self._initial
        self.deadline = now + self._timeout if flight.awaits_reply else None

    def stop(self) -> None:
        """Stop the timer: the flight has been answered in full."""
        self.deadline = None

    def due(self, now: float) -> bool:
        """Tell whether the timer has run out."""
        return self.deadline is not None and now >= self.deadline

    def repeat_by_timer(self, now: float) -> bool:
        """Set the timer again, with twice the time; False when it is time to give up."""
        if self._attempts >= MAX_RETRANSMISSIONS:
            self.deadline = None
            return False
        self._attempts += 1
        self._timeout = min(2 * self._timeout, self._maximum)
        self._sent_at = now
        self.deadline = now + self._timeout
        self.count += 1
        return True

    def repeat_by_peer(self, message_seq: int, now: float) -> bool:
        """Tell whether a message seen before means that the peer misses our flight, and is not too soon.

        Only a message that our flight answered says so; a repeated piece of the flight now arriving does not.
        The timer is left alone: it stays the upper bound.
        """
        if self.flight is None or message_seq >= self._answered or now - self._sent_at < REPEAT_INTERVAL:
            return False
        self._sent_at = now
        self.count += 1
        return True


SealRecord = Callable[[ContentType, int, bytes], Record]
"""``(content type, epoch, plaintext)`` to a record with the next sequence number of that epoch."""


class DatagramPacker:
    """Puts records into as few datagrams as the path MTU allows, cutting handshake messages to fit."""

    __slots__ = ("_current", "_datagrams", "_mtu", "_overhead", "_seal")

    def __init__(self, mtu: int, seal: SealRecord, overhead: Callable[[int], int]) -> None:
        """`mtu` counts UDP payload bytes; ``overhead(epoch)`` is what protection adds to a plaintext."""
        self._mtu = mtu
        self._seal = seal
        self._overhead = overhead
        self._current = b""
        self._datagrams: list[bytes] = []

    def _room(self, epoch: int) -> int:
        return self._mtu - len(self._current) - RECORD_HEADER.size - self._overhead(epoch)

    def _end_datagram(self) -> None:
        if self._current:
            self._datagrams.append(self._current)
            self._current = b""

    def add(self, content_type: ContentType, epoch: int, plaintext: bytes) -> None:
        """Add a record that is never cut; what is longer than the MTU gets a datagram of its own."""
        if self._room(epoch) < len(plaintext):
            self._end_datagram()
        self._current += self._seal(content_type, epoch, plaintext).serialize()

    def add_message(self, message: HandshakeMessage, epoch: int) -> None:
        """Add a handshake message as one record or several."""
        offset, size = 0, len(message.body)
        while True:
            room = self._room(epoch) - FRAGMENT_HEADER.size
            if room < min(size - offset, MIN_FRAGMENT):
                self._end_datagram()
                room = self._room(epoch) - FRAGMENT_HEADER.size
            piece = message.fragment(offset, min(size - offset, room))
            self.add(ContentType.HANDSHAKE, epoch, piece.serialize())
            offset += len(piece.body)
            if offset >= size:
                return

    def add_flight(self, flight: Flight) -> None:
        """Add a whole flight."""
        epoch = 0
        for message in flight.messages:
            if isinstance(message, ChangeCipherSpec):
                self.add(ContentType.CHANGE_CIPHER_SPEC, epoch, CHANGE_CIPHER_SPEC)
                epoch = 1
            else:
                self.add_message(message, epoch)

    def finish(self) -> list[bytes]:
        """Return the datagrams."""
        self._end_datagram()
        return self._datagrams
