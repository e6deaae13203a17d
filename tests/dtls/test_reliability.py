"""A reliable handshake between two ends, without the rest of a connection."""

import pytest
from dtls.support import certificate, seeded

from sfu.dtls.alerts import UnexpectedMessage
from sfu.dtls.client import ClientHandshake
from sfu.dtls.configuration import DtlsConfiguration
from sfu.dtls.flights import MAX_RETRANSMISSIONS
from sfu.dtls.fragments import HandshakeMessage
from sfu.dtls.handshake import Handshake
from sfu.dtls.messages import HandshakeType
from sfu.dtls.record import ContentType
from sfu.dtls.record_layer import RecordLayer
from sfu.dtls.reliability import ReliableHandshake
from sfu.dtls.server import ServerHandshake


class End:
    """A handshake with its record layer, and the datagrams that it has sent."""

    def __init__(self, handshake: Handshake) -> None:
        self.layer = RecordLayer()
        self.sent: list[bytes] = []
        self.reliable = ReliableHandshake(handshake, self.layer)
        self.complete: Handshake | None = None

    def receive(self, datagram: bytes, now: float) -> None:
        for record in self.layer.unpack(datagram):
            plaintext = self.layer.admit(record)
            if plaintext is not None and record.content_type == ContentType.HANDSHAKE:
                self.sent += self.reliable.receive(plaintext, record.epoch > 0, now)
                self.complete = self.reliable.completed


def ends() -> tuple[End, End]:
    client = End(ClientHandshake(DtlsConfiguration(certificate(2), seeded(2), mtu=300)))
    server = End(ServerHandshake(DtlsConfiguration(certificate(1), seeded(1), mtu=300)))
    client.sent += client.reliable.start(0.0)
    return client, server


def carry(sender: End, receiver: End, now: float) -> int:
    datagrams = sender.sent[:]
    sender.sent.clear()
    for datagram in datagrams:
        receiver.receive(datagram, now)
    return len(datagrams)


def test_four_flights_complete_the_handshake() -> None:
    client, server = ends()
    assert (client.reliable.epoch, server.reliable.epoch) == (0, 0)
    assert carry(client, server, 0.0) == 1
    assert carry(server, client, 0.0) > 1
    assert client.reliable.epoch == 1
    carry(client, server, 0.0)
    carry(server, client, 0.0)
    for end in (client, server):
        assert end.complete is not None
        assert end.complete.complete
        assert end.reliable.epoch == 1
        end.reliable.end()
        assert end.reliable.next_timeout() is None


def test_a_flight_is_retransmitted_by_timer_until_it_gives_up() -> None:
    client, _ = ends()
    for count in range(1, MAX_RETRANSMISSIONS + 1):
        due = client.reliable.next_timeout()
        assert due is not None
        assert client.reliable.handle_timeout(due - 0.1) == []
        assert client.reliable.retransmissions == count - 1
        datagrams = client.reliable.handle_timeout(due)
        assert datagrams is not None
        client.sent += datagrams
        assert client.reliable.retransmissions == count
    assert len(client.sent) == 1 + MAX_RETRANSMISSIONS
    due = client.reliable.next_timeout()
    assert due is not None
    assert client.reliable.handle_timeout(due) is None


def test_after_the_end_the_last_flight_can_still_be_retransmitted() -> None:
    client, server = ends()
    carry(client, server, 0.0)
    carry(server, client, 0.0)
    carry(client, server, 0.0)
    (lost,) = server.sent
    server.sent.clear()
    server.reliable.end()
    finished = HandshakeMessage(HandshakeType.FINISHED, 4, bytes(12)).fragment(0, 12)
    server.sent += server.reliable.receive_again(finished, 1.0)
    assert [len(datagram) for datagram in server.sent] == [len(lost)]
    carry(server, client, 1.0)
    assert client.complete is not None


def test_an_unexpected_message_ends_the_handshake() -> None:
    _, server = ends()
    message = HandshakeMessage(HandshakeType.FINISHED, 0, bytes(12)).serialize()
    with pytest.raises(UnexpectedMessage):
        list(server.reliable.receive(message, False, 0.0))
