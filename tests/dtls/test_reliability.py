"""Handshake messages between two ends, without what a connection does besides."""

import pytest
from dtls.support import certificate, seeded

from sfu.dtls.alerts import UnexpectedMessage
from sfu.dtls.client import ClientHandshake
from sfu.dtls.configuration import DtlsConfiguration
from sfu.dtls.flights import MAX_RETRANSMISSIONS, Retransmission
from sfu.dtls.fragments import HandshakeMessage
from sfu.dtls.handshake import Handshake
from sfu.dtls.messages import HandshakeType
from sfu.dtls.record import ContentType
from sfu.dtls.record_layer import RecordLayer
from sfu.dtls.reliability import ReliableHandshake
from sfu.dtls.server import ServerHandshake


class End:
    """An exchange with a record layer, and what it has sent and come to."""

    def __init__(self, handshake: Handshake) -> None:
        self.layer = RecordLayer()
        self._sent: list[bytes] = []
        self.exchange = ReliableHandshake(handshake, self.layer, Retransmission(1.0, 60.0), mtu=300)
        self.complete: Handshake | None = None

    @property
    def sent(self) -> list[bytes]:
        """The datagrams that have not been carried yet."""
        self._sent += self.exchange.outgoing()
        return self._sent

    def receive(self, datagram: bytes, now: float) -> None:
        for record in self.layer.unpack(datagram):
            plaintext = self.layer.admit(record)
            if plaintext is not None and record.content_type == ContentType.HANDSHAKE:
                self.complete = self.exchange.receive(plaintext, record.epoch > 0, now) or self.complete


def ends() -> tuple[End, End]:
    client = End(ClientHandshake(DtlsConfiguration(certificate(2), seeded(2))))
    server = End(ServerHandshake(DtlsConfiguration(certificate(1), seeded(1))))
    client.exchange.start(0.0)
    return client, server


def carry(sender: End, receiver: End, now: float) -> int:
    datagrams = sender.sent[:]
    sender.sent.clear()
    for datagram in datagrams:
        receiver.receive(datagram, now)
    return len(datagrams)


def test_three_flights_complete_it() -> None:
    client, server = ends()
    assert (client.exchange.epoch, server.exchange.epoch) == (0, 0)
    assert carry(client, server, 0.0) == 1
    assert carry(server, client, 0.0) > 1
    assert client.exchange.epoch == 1
    carry(client, server, 0.0)
    carry(server, client, 0.0)
    for end in (client, server):
        assert end.complete is not None
        assert end.complete.complete
        assert end.exchange.epoch == 1
        end.exchange.end()
        assert end.exchange.next_timeout() is None


def test_a_flight_is_sent_again_by_timer_until_it_is_time_to_give_up() -> None:
    client, _ = ends()
    for count in range(1, MAX_RETRANSMISSIONS + 1):
        due = client.exchange.next_timeout()
        assert due is not None
        assert client.exchange.handle_timeout(due - 0.1)
        assert client.exchange.retransmissions == count - 1
        assert client.exchange.handle_timeout(due)
        assert client.exchange.retransmissions == count
    assert len(client.sent) == 1 + MAX_RETRANSMISSIONS
    due = client.exchange.next_timeout()
    assert due is not None
    assert not client.exchange.handle_timeout(due)


def test_after_the_end_the_last_flight_is_still_there_for_who_misses_it() -> None:
    client, server = ends()
    carry(client, server, 0.0)
    carry(server, client, 0.0)
    carry(client, server, 0.0)
    (lost,) = server.sent
    server.sent.clear()
    server.exchange.end()
    finished = HandshakeMessage(HandshakeType.FINISHED, 4, bytes(12)).fragment(0, 12)
    server.exchange.receive_again(finished, 1.0)
    assert [len(datagram) for datagram in server.sent] == [len(lost)]
    carry(server, client, 1.0)
    assert client.complete is not None


def test_a_message_out_of_place_ends_it() -> None:
    _, server = ends()
    message = HandshakeMessage(HandshakeType.FINISHED, 0, bytes(12)).serialize()
    with pytest.raises(UnexpectedMessage):
        server.exchange.receive(message, False, 0.0)
