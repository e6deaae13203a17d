"""Flights: the messages that are sent and retransmitted together, and the timer for that.

A flight is the unit of retransmission (RFC 6347 section 4.2.4). We keep its messages, not its records: each
transmission has new record sequence numbers.
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
"""The handshake fails after this many unanswered retransmissions by timer. If half of all datagrams are lost in
each direction, three of four attempts fail, and thirty in a row fail once in 6000 handshakes. A limit in *time*
is up to the owner, which closes a connection that takes too long."""

REPEAT_INTERVAL = 0.04
"""Least seconds between two transmissions of a flight that the peer's retransmissions cause. Browsers
retransmit after 50 ms (libwebrtc's initial DTLS timeout), so each genuine retransmission is answered. An
attacker who replays one gets at most 25 flights a second."""

MIN_FRAGMENT = 32
"""A message is cut only if at least this many of its bytes fit into the current datagram."""


class ChangeCipherSpec:
    """Marks the position of the ChangeCipherSpec record in a flight."""


CHANGE_CIPHER_SPEC = b"\x01"
"""The content of that record (RFC 5246 section 7.1)."""


@dataclass(frozen=True, slots=True)
class Flight:
    """Messages that are sent together. Those after the ChangeCipherSpec are sent in epoch 1."""

    messages: Sequence[HandshakeMessage | ChangeCipherSpec]
    awaits_reply: bool = True
    """Whether a timer retransmits the flight. The last flight of a handshake and a HelloVerifyRequest are
    retransmitted only when the peer retransmits its own."""


class Retransmission:
    """The timer of the current flight, and the decision to retransmit it."""

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
        """When to retransmit it."""
        self.count = 0
        """All retransmissions so far."""

    def begin(self, flight: Flight, *, answered: int, now: float) -> None:
        """Record that a new flight is sent. It answers the peer's messages below message_seq `answered`."""
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
        """Return whether the timer has expired."""
        return self.deadline is not None and now >= self.deadline

    def repeat_by_timer(self, now: float) -> bool:
        """Set the timer to twice the time. Return False after too many retransmissions."""
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
        """Return whether to retransmit the flight because the peer has retransmitted message `message_seq`.

        It has to be a message that our flight answered: then the peer may not have received the flight. A
        duplicate of the flight that is now arriving does not count, and the answer is False within
        `REPEAT_INTERVAL`. The timer is not changed.
        """
        if self.flight is None or message_seq >= self._answered or now - self._sent_at < REPEAT_INTERVAL:
            return False
        self._sent_at = now
        self.count += 1
        return True


SealRecord = Callable[[ContentType, int, bytes], Record]
"""Makes a record from ``(content type, epoch, plaintext)``, with the next sequence number of that epoch."""


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
        """Add a record without cutting it. A record longer than the MTU gets its own datagram."""
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
