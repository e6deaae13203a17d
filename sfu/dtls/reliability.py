"""Carries the messages of a handshake over a network that loses, reorders and duplicates (RFC 6347 section
4.2).

Fragments are reassembled into whole messages in order. The role's handshake handles these and answers with
flights. Flights go out as datagrams, and go out again when the timer expires or the peer retransmits its own
flight.
"""

from collections.abc import Iterator

from sfu.dtls.flights import ChangeCipherSpec, DatagramPacker, Flight, Retransmission
from sfu.dtls.fragments import Fragment, HandshakeMessage, Reassembler, parse_fragment
from sfu.dtls.handshake import Handshake
from sfu.dtls.record_layer import RecordLayer
from sfu.errors import BadPacket


class ReliableHandshake:
    """Both directions of one handshake. Methods return the datagrams to send."""

    __slots__ = ("_handshake", "_layer", "_mtu", "_reassembler", "_retransmission", "epoch")

    def __init__(self, handshake: Handshake, layer: RecordLayer) -> None:
        """`layer` numbers, seals and counts the records."""
        configuration = handshake.configuration
        self._handshake: Handshake | None = handshake
        self._layer = layer
        self._retransmission = Retransmission(configuration.initial_timeout, configuration.max_timeout)
        self._mtu = configuration.mtu
        self._reassembler = Reassembler()
        self.epoch = 0
        """The epoch of the next record that we send: 1 after our ChangeCipherSpec."""

    @property
    def buffered(self) -> int:
        """Bytes of incomplete and early messages that are kept."""
        return self._reassembler.buffered

    @property
    def retransmissions(self) -> int:
        """Flights sent again so far."""
        return self._retransmission.count

    def next_timeout(self) -> float | None:
        """Return when `handle_timeout` has something to do; `None` if never."""
        return self._retransmission.deadline

    @property
    def completed(self) -> Handshake | None:
        """The handshake, once it is complete; `None` before that and after `end`."""
        handshake = self._handshake
        return handshake if handshake is not None and handshake.complete else None

    def start(self, now: float) -> list[bytes]:
        """Return the client's first flight."""
        assert self._handshake is not None, "the start comes before the end"
        return self._send(self._handshake.start(), now)

    def handle_timeout(self, now: float) -> list[bytes] | None:
        """Return the last flight again if its timer has expired; `None` after too many retransmissions."""
        if not self._retransmission.due(now):
            return []
        if not self._retransmission.repeat_by_timer(now):
            return None
        return self._pack()

    def receive(self, plaintext: bytes, protected: bool, now: float) -> Iterator[bytes]:
        """Take the fragments of a record, handle the messages that they complete, and yield the answers.

        The iterator must be used up. It raises the `Alert` that ends the handshake, after the datagrams that go
        out before it. Afterwards `completed` says whether the handshake is complete.
        """
        offset = 0
        while offset < len(plaintext):
            try:
                fragment, offset = parse_fragment(plaintext, offset)
            except BadPacket as error:
                self._layer.drop(error.reason)
                break
            yield from self._receive_fragment(fragment, protected, now)
        handshake = self._handshake
        assert handshake is not None, "nothing is received after the end"
        while not handshake.complete and (message := self._reassembler.pop()):
            yield from self._handle_message(handshake, message, now)

    def receive_again(self, fragment: Fragment, now: float) -> list[bytes]:
        """The peer retransmits a handled message: return the flight that answered it, if that is due."""
        self._layer.drop("dtls-message-repeated")
        return self._pack() if self._retransmission.repeat_by_peer(fragment.message_seq, now) else []

    def end(self) -> None:
        """Stop, complete or not. The last flight is kept, in case the peer has not received it.

        The handshake and its transcript are freed: an idle connection should be small.
        """
        self._handshake = None
        self._retransmission.stop()
        self._reassembler.discard()

    def _receive_fragment(self, fragment: Fragment, protected: bool, now: float) -> list[bytes]:
        if fragment.message_seq < self._reassembler.next_seq:
            return self.receive_again(fragment, now)
        if self._layer.has_keys and not protected:
            self._layer.drop("dtls-message-unprotected")
        else:
            try:
                self._reassembler.add(fragment)
            except BadPacket as error:
                self._layer.drop(error.reason)
        return []

    def _handle_message(self, handshake: Handshake, message: HandshakeMessage, now: float) -> list[bytes]:
        flight = handshake.receive(message)
        if handshake.traffic is not None and not self._layer.has_keys:
            # From here on messages must be protected: drop the plaintext ones that were waiting.
            self._layer.use_keys(handshake.traffic)
            self._reassembler.discard()
        return [] if flight is None else self._send(flight, now)

    def _send(self, flight: Flight, now: float) -> list[bytes]:
        self._retransmission.begin(flight, answered=self._reassembler.next_seq, now=now)
        datagrams = self._pack()
        if any(isinstance(message, ChangeCipherSpec) for message in flight.messages):
            self.epoch = 1
        return datagrams

    def _pack(self) -> list[bytes]:
        """Return the datagrams of the current flight, with new record numbers."""
        flight = self._retransmission.flight
        assert flight is not None, "there is a flight to send"
        packer = DatagramPacker(self._mtu, self._layer.seal, self._layer.overhead)
        packer.add_flight(flight)
        return packer.finish()
