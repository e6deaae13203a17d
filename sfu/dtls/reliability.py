"""How the messages of a handshake get across a network that loses, reorders and doubles (RFC 6347 section 4.2).

Fragments go in and become whole messages in order; the role's handshake takes these and answers with flights;
they go out as datagrams, and out again when the timer runs out or the peer repeats its own.
"""

from sfu.dtls.flights import ChangeCipherSpec, DatagramPacker, Flight, Retransmission
from sfu.dtls.fragments import Fragment, HandshakeMessage, Reassembler, parse_fragment
from sfu.dtls.handshake import Handshake
from sfu.dtls.record_layer import RecordLayer
from sfu.errors import BadPacket


class ReliableHandshake:
    """The two directions of one handshake."""

    __slots__ = ("_handshake", "_layer", "_mtu", "_outgoing", "_reassembler", "_retransmission", "epoch")

    def __init__(
        self,
        handshake: Handshake,
        layer: RecordLayer,
        retransmission: Retransmission,
        mtu: int,
    ) -> None:
        """`layer` numbers, seals and counts records; datagrams have at most `mtu` bytes."""
        self._handshake: Handshake | None = handshake
        self._layer = layer
        self._retransmission = retransmission
        self._outgoing: list[bytes] = []
        self._mtu = mtu
        self._reassembler = Reassembler()
        self.epoch = 0
        """That of the next record of ours: 1 once our ChangeCipherSpec has gone out."""

    @property
    def buffered(self) -> int:
        """How many bytes of incomplete and early messages are kept."""
        return self._reassembler.buffered

    @property
    def retransmissions(self) -> int:
        """Flights sent again so far."""
        return self._retransmission.count

    def next_timeout(self) -> float | None:
        """When `handle_timeout` wants to be called, or None."""
        return self._retransmission.deadline

    def outgoing(self) -> list[bytes]:
        """Return the datagrams to send now, and forget them."""
        if not self._outgoing:
            return []
        datagrams, self._outgoing = self._outgoing, []
        return datagrams

    def start(self, now: float) -> None:
        """Send the client's first flight."""
        assert self._handshake is not None, "the start comes before the end"
        self._send(self._handshake.start(), now)

    def handle_timeout(self, now: float) -> bool:
        """Send the last flight again if it is time; False when it is time to give up."""
        if self._retransmission.due(now):
            if not self._retransmission.repeat_by_timer(now):
                return False
            self._transmit()
        return True

    def receive(self, plaintext: bytes, protected: bool, now: float) -> Handshake | None:
        """Take the fragments of a record, and handle the messages that they complete.

        Returns the handshake if it is complete now. Raises the `Alert` that ends it.
        """
        offset = 0
        while offset < len(plaintext):
            try:
                fragment, offset = parse_fragment(plaintext, offset)
            except BadPacket as error:
                self._layer.drop(error.reason)
                break
            self._receive_fragment(fragment, protected, now)
        handshake = self._handshake
        assert handshake is not None, "nothing is received after the end"
        while message := self._reassembler.pop():
            self._handle_message(handshake, message, now)
            if handshake.complete:
                return handshake
        return None

    def receive_again(self, fragment: Fragment, now: float) -> None:
        """The peer repeats a message that has been handled: it may miss the flight that was the answer."""
        self._layer.drop("dtls-message-repeated")
        if self._retransmission.repeat_by_peer(fragment.message_seq, now):
            self._transmit()

    def end(self) -> None:
        """Stop, complete or not. The last flight stays, for a peer that misses it.

        The handshake goes with its transcript: a connection that idles for hours should be small.
        """
        self._handshake = None
        self._retransmission.stop()
        self._reassembler.discard()

    def _receive_fragment(self, fragment: Fragment, protected: bool, now: float) -> None:
        if fragment.message_seq < self._reassembler.next_seq:
            self.receive_again(fragment, now)
        elif self._layer.has_keys and not protected:
            self._layer.drop("dtls-message-unprotected")
        else:
            try:
                self._reassembler.add(fragment)
            except BadPacket as error:
                self._layer.drop(error.reason)

    def _handle_message(self, handshake: Handshake, message: HandshakeMessage, now: float) -> None:
        flight = handshake.receive(message)
        if handshake.traffic is not None and not self._layer.has_keys:
            # From here on plaintext has no say: forget what of it was still waiting.
            self._layer.use_keys(handshake.traffic)
            self._reassembler.discard()
        if flight is not None:
            self._send(flight, now)

    def _send(self, flight: Flight, now: float) -> None:
        self._retransmission.begin(flight, answered=self._reassembler.next_seq, now=now)
        self._transmit()
        if any(isinstance(message, ChangeCipherSpec) for message in flight.messages):
            self.epoch = 1

    def _transmit(self) -> None:
        """Put the current flight into datagrams."""
        flight = self._retransmission.flight
        assert flight is not None, "there is something to send"
        packer = DatagramPacker(self._mtu, self._layer.seal, self._layer.overhead)
        packer.add_flight(flight)
        self._outgoing += packer.finish()
