"""A connection from start to end: what is dropped, retransmitted, refused and reported."""

from collections.abc import Callable

import pytest
from dtls.openssl import records
from dtls.support import connected_pair, connection, kinds, pump

from sfu.dtls import (
    AlertDescription,
    ApplicationData,
    ConnectionState,
    DtlsClosed,
    DtlsConnection,
    DtlsFailed,
    HandshakeCompleted,
)
from sfu.dtls.alerts import AlertLevel, AlertMessage
from sfu.dtls.configuration import MIN_MTU
from sfu.dtls.connection import MAX_UNREAD
from sfu.dtls.flights import MAX_RETRANSMISSIONS
from sfu.dtls.fragments import HandshakeMessage
from sfu.dtls.groups import X25519
from sfu.dtls.messages import HandshakeType
from sfu.dtls.record import DTLS_1_2, ContentType, Record, parse_record
from sfu.dtls.record_layer import MAX_EARLY_RECORDS

FATAL = AlertMessage(AlertLevel.FATAL, AlertDescription.HANDSHAKE_FAILURE).serialize()


def plain(content_type: int, fragment: bytes, *, version: int = DTLS_1_2, epoch: int = 0) -> bytes:
    """A record that an attacker could make."""
    return Record(content_type, version, epoch << 48 | 77, fragment).serialize()


def protected(sender: DtlsConnection, content_type: ContentType, plaintext: bytes) -> bytes:
    """A record that only the other end can make, with content that our code never sends."""
    return sender._layer.seal(content_type, 1, plaintext).serialize()


def drops(end: DtlsConnection) -> dict[str, int]:
    return dict(end.statistics().dropped)


def before_finished() -> tuple[DtlsConnection, DtlsConnection, bytes]:
    """A client and a server, and the client's last datagram, which the server has not seen."""
    client, server = connection("client"), connection("server")
    client.start(0.0)
    (hello,) = client.outgoing(0.0)
    server.receive(hello, 0.0)
    (flight,) = server.outgoing(0.0)
    client.receive(flight, 0.0)
    (last,) = client.outgoing(0.0)
    return client, server, last


# Local misuse


@pytest.mark.parametrize(
    "misuse",
    [
        lambda client, server: server.send(b"x", 0.0),
        lambda client, server: server.refuse_certificate(0.0),
        lambda client, server: server.srtp_keys(),
        lambda client, server: server.export_keying_material(b"label", 1),
        lambda client, server: (client.start(0.0), client.start(0.0)),
    ],
)
def test_calls_before_completion_raise(misuse: Callable[[DtlsConnection, DtlsConnection], None]) -> None:
    with pytest.raises(RuntimeError):
        misuse(connection("client"), connection("server"))


def test_calls_that_come_too_late_raise() -> None:
    client, _ = connected_pair()
    client.close(1.0)
    with pytest.raises(RuntimeError):
        client.send(b"x", 1.0)
    with pytest.raises(RuntimeError):
        client.start(1.0)


def test_starting_a_server_changes_nothing() -> None:
    server = connection("server")
    server.start(0.0)
    assert server.outgoing(0.0) == []
    assert server.next_timeout() is None


def test_an_mtu_below_the_minimum_is_refused() -> None:
    connection("server", mtu=MIN_MTU)
    with pytest.raises(ValueError, match="mtu"):
        connection("server", mtu=MIN_MTU - 1)


def test_data_that_does_not_fit() -> None:
    client, server = connected_pair(mtu=1000)
    client.send(bytes(client.max_data), 1.0)
    with pytest.raises(ValueError, match="do not fit"):
        client.send(bytes(client.max_data + 1), 1.0)
    (datagram,) = client.outgoing(1.0)
    assert len(datagram) == 1000
    server.receive(datagram, 1.0)
    assert server.events() == [ApplicationData(bytes(client.max_data))]


# The handshake


def test_a_completed_handshake() -> None:
    client, server = connection("client"), connection("server")
    client.start(0.0)
    pump(client, server)
    (event,) = server.events()
    assert isinstance(event, HandshakeCompleted)
    assert (event.cipher_suite, event.group) == ("ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", X25519.name)
    assert server.state is client.state is ConnectionState.CONNECTED
    assert drops(server) == drops(client) == {}
    assert server.export_keying_material(b"l", 9, b"c") == client.export_keying_material(b"l", 9, b"c")
    assert client.statistics().records_sent == server.statistics().records_received == 6


def test_key_logs_agree_and_are_off_by_default() -> None:
    lines: list[str] = []
    connected_pair(key_log=lines.append)
    assert len(lines) == 2
    assert lines[0] == lines[1]


def test_every_record_in_its_own_datagram_in_reverse_order() -> None:
    client, server = connection("client"), connection("server")
    client.start(0.0)
    for _ in range(6):
        for sender, receiver in ((client, server), (server, client)):
            for datagram in sender.outgoing(0.0):
                for record in reversed(records(datagram)):
                    receiver.receive(record, 0.0)
    assert server.state is client.state is ConnectionState.CONNECTED


def test_a_lost_change_cipher_spec_has_no_effect() -> None:
    _client, server, last = before_finished()
    for record in records(last):
        if record[0] != ContentType.CHANGE_CIPHER_SPEC:
            server.receive(record, 0.0)
    assert server.state is ConnectionState.CONNECTED


def test_a_failed_negotiation_sends_an_alert() -> None:
    client, server = connection("client", groups=[X25519]), connection("server", groups=[])
    client.start(0.0)
    (hello,) = client.outgoing(0.0)
    server.receive(hello, 0.0)
    (datagram,) = server.outgoing(0.0)
    assert parse_record(datagram)[0].fragment == FATAL
    assert server.events() == [
        DtlsFailed(
            "dtls-handshake-failure", "no common group", AlertDescription.HANDSHAKE_FAILURE, by_peer=False
        )
    ]
    assert server.state is ConnectionState.FAILED
    assert server.next_timeout() is None
    server.receive(hello, 1.0)
    assert server.outgoing(1.0) == []
    assert drops(server) == {"dtls-not-open": 1}


def test_a_failure_ends_the_rest_of_the_datagram() -> None:
    server = connection("server")
    unexpected = HandshakeMessage(HandshakeType.FINISHED, 0, b"").fragment(0, 0).serialize()
    again = HandshakeMessage(HandshakeType.FINISHED, 1, b"").fragment(0, 0).serialize()
    server.receive(plain(ContentType.HANDSHAKE, unexpected + again) * 2, 0.0)
    (event,) = server.events()
    assert isinstance(event, DtlsFailed)
    assert event.reason == "dtls-unexpected-message"
    assert len(server.outgoing(0.0)) == 1


# Time


def test_the_client_retransmits_its_hello_and_gives_up() -> None:
    client = connection("client")
    client.start(0.0)
    assert client.next_timeout() == 1.0
    assert len(client.outgoing(0.0)) == 1
    sent = []
    while (deadline := client.next_timeout()) is not None:
        client.handle_timeout(deadline - 0.01)
        client.handle_timeout(deadline)
        sent.append(len(client.outgoing(deadline)))
    assert sent == [1] * MAX_RETRANSMISSIONS + [0]
    (event,) = client.events()
    assert event == DtlsFailed(
        "dtls-timeout", "no answer; the peer's last alert in the clear: none", None, by_peer=False
    )
    assert client.state is ConnectionState.FAILED


def test_other_timers() -> None:
    client = connection("client", initial_timeout=0.2, max_timeout=0.5)
    client.start(0.0)
    times = []
    for _ in range(4):
        deadline = client.next_timeout()
        assert deadline is not None
        times.append(round(deadline, 3))
        client.handle_timeout(deadline)
    assert times == [0.2, 0.6, 1.1, 1.6]


def test_retransmissions_have_new_record_numbers() -> None:
    client = connection("client")
    client.start(0.0)
    client.handle_timeout(1.0)
    first, second = client.outgoing(1.0)
    assert first != second
    assert parse_record(first)[0].fragment == parse_record(second)[0].fragment


def test_the_server_retransmits_its_flight_when_the_client_does() -> None:
    client, server = connection("client"), connection("server")
    client.start(0.0)
    (hello,) = client.outgoing(0.0)
    server.receive(hello, 0.0)
    (flight,) = server.outgoing(0.0)
    server.receive(hello, 0.01)
    assert server.outgoing(0.01) == []
    server.receive(hello, 0.05)
    (again,) = server.outgoing(0.05)
    assert len(again) == len(flight)
    assert server.statistics().retransmissions == 1


def test_replayed_datagrams_get_a_bounded_number_of_answers() -> None:
    client, server = connection("client"), connection("server")
    client.start(0.0)
    (hello,) = client.outgoing(0.0)
    for tick in range(1000):
        server.receive(hello, tick / 1000)
    assert len(server.outgoing(1.0)) <= 26


def test_the_server_retransmits_its_last_flight_only_for_an_authentic_finished() -> None:
    client, server, last = before_finished()
    server.receive(last, 0.0)
    (lost,) = server.outgoing(0.0)
    server.receive(last, 1.0)
    assert server.outgoing(1.0) == []
    client.handle_timeout(1.0)
    (repeated,) = client.outgoing(1.0)
    server.receive(repeated, 1.0)
    (again,) = server.outgoing(1.0)
    assert len(again) == len(lost)
    client.receive(again, 1.0)
    assert client.state is ConnectionState.CONNECTED
    assert drops(server)["dtls-record-replayed"] == 1


# What is dropped


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (b"\x16", "dtls-record-truncated"),
        (plain(22, b"")[:-1] + b"\xff", "dtls-record-truncated"),
        (plain(22, b"x", version=0x0303), "dtls-record-version"),
        (plain(22, b"x", epoch=2), "dtls-record-epoch"),
        (plain(22, b"x"), "dtls-fragment-truncated"),
        (plain(22, HandshakeMessage(1, 9, b"").serialize()), "dtls-message-ahead"),
        (plain(23, b"data"), "dtls-record-type"),
        (plain(20, b"\2"), "dtls-record-type"),
        (plain(99, b"x"), "dtls-record-type"),
        (plain(21, b"x"), "dtls-alert-length"),
        (plain(21, FATAL), "dtls-alert-unauthenticated"),
    ],
)
def test_dropped_and_counted(datagram: bytes, reason: str) -> None:
    client, server = connection("client"), connection("server")
    server.receive(datagram, 0.0)
    assert drops(server) == {reason: 1}
    assert server.outgoing(0.0) == []
    client.start(0.0)
    pump(client, server)
    assert kinds(server.events()) == ["HandshakeCompleted"]


def test_garbage_after_a_whole_message_in_one_record() -> None:
    client, server = connection("client"), connection("server")
    client.start(0.0)
    (hello,) = client.outgoing(0.0)
    message = parse_record(hello)[0].fragment
    server.receive(plain(22, message + b"garbage"), 0.0)
    assert drops(server) == {"dtls-fragment-truncated": 1}
    assert len(server.outgoing(0.0)) == 1


def test_an_empty_datagram() -> None:
    server = connection("server")
    server.receive(b"", 0.0)
    assert drops(server) == {}


def test_a_client_that_is_not_started_drops_everything() -> None:
    client = connection("client")
    client.receive(plain(21, FATAL), 0.0)
    assert drops(client) == {"dtls-not-open": 1}


def test_an_alert_in_the_clear_shows_in_the_reason_of_the_timeout() -> None:
    client = connection("client")
    client.start(0.0)
    client.receive(plain(21, FATAL), 0.0)
    while (deadline := client.next_timeout()) is not None:
        client.handle_timeout(deadline)
    (event,) = client.events()
    assert isinstance(event, DtlsFailed)
    assert event.detail.endswith("handshake_failure")


def test_early_records_wait_within_bounds() -> None:
    _client, server, last = before_finished()
    for _ in range(MAX_EARLY_RECORDS):
        server.receive(plain(22, b"forged", epoch=1), 0.0)
    assert drops(server) == {}
    server.receive(plain(22, b"forged", epoch=1), 0.0)
    assert drops(server) == {"dtls-record-early": 1}
    assert server._layer.waiting == MAX_EARLY_RECORDS
    server.receive(last, 0.0)
    assert server.state is ConnectionState.CONNECTED
    assert drops(server)["dtls-record-auth"] == MAX_EARLY_RECORDS


def test_plaintext_that_waited_is_dropped_once_there_are_keys() -> None:
    _client, server, last = before_finished()
    forged = HandshakeMessage(HandshakeType.FINISHED, 4, bytes(12)).serialize()
    server.receive(plain(22, forged), 0.0)
    server.receive(last, 0.0)
    assert server.state is ConnectionState.CONNECTED


def test_new_plaintext_is_dropped_once_there_are_keys() -> None:
    _client, server, last = before_finished()
    forged = HandshakeMessage(HandshakeType.FINISHED, 1, bytes(12)).serialize()
    *rest, finished = records(last)
    server.receive(b"".join(rest), 0.0)
    server.receive(plain(22, HandshakeMessage(HandshakeType.FINISHED, 4, bytes(12)).serialize()), 0.0)
    assert drops(server) == {"dtls-message-unprotected": 1}
    server.receive(plain(22, forged), 0.0)
    assert drops(server) == {"dtls-message-unprotected": 1, "dtls-message-repeated": 1}
    server.receive(finished, 0.0)
    assert server.state is ConnectionState.CONNECTED


def test_data_before_finished() -> None:
    client, server, last = before_finished()
    *rest, finished = records(last)
    server.receive(b"".join(rest), 0.0)
    server.receive(protected(client, ContentType.APPLICATION_DATA, b"early"), 0.0)
    assert drops(server) == {"dtls-data-early": 1}
    server.receive(finished, 0.0)
    assert kinds(server.events()) == ["HandshakeCompleted"]


def test_replayed_records() -> None:
    client, server = connected_pair()
    client.send(b"once", 1.0)
    (datagram,) = client.outgoing(1.0)
    server.receive(datagram + datagram, 1.0)
    server.receive(datagram, 1.0)
    assert server.events() == [ApplicationData(b"once")]
    assert drops(server) == {"dtls-record-replayed": 2}


def test_forged_records_do_not_move_the_replay_window() -> None:
    client, server = connected_pair()
    forged = Record(ContentType.APPLICATION_DATA, DTLS_1_2, (1 << 48) + 2**40, bytes(50)).serialize()
    server.receive(forged, 1.0)
    client.send(b"genuine", 1.0)
    pump(client, server, 1.0)
    assert server.events() == [ApplicationData(b"genuine")]
    assert drops(server) == {"dtls-record-auth": 1}


def test_nothing_in_the_clear_after_completion() -> None:
    _client, server = connected_pair()
    for content_type in (20, 21, 22, 23):
        server.receive(plain(content_type, FATAL), 1.0)
    assert drops(server) == {"dtls-record-epoch": 4}
    assert server.state is ConnectionState.CONNECTED


def test_unread_data_is_bounded() -> None:
    client, server = connected_pair()
    for _ in range(MAX_UNREAD + 5):
        client.send(b"x", 1.0)
    pump(client, server, 1.0)
    assert drops(server) == {"dtls-data-unread": 5}
    assert len(server.events()) == MAX_UNREAD


@pytest.mark.parametrize(
    ("content_type", "plaintext", "reason"),
    [
        (ContentType.CHANGE_CIPHER_SPEC, b"\1", "dtls-record-type"),
        (ContentType.ALERT, b"\1", "dtls-alert-length"),
        (ContentType.ALERT, bytes([1, AlertDescription.USER_CANCELED]), "dtls-alert-warning"),
        (ContentType.HANDSHAKE, b"x", "dtls-fragment-truncated"),
    ],
)
def test_unusual_records_of_an_authentic_peer(content_type: ContentType, plaintext: bytes, reason: str) -> None:
    client, server = connected_pair()
    server.receive(protected(client, content_type, plaintext), 1.0)
    assert drops(server) == {reason: 1}
    assert server.outgoing(1.0) == []
    assert server.state is ConnectionState.CONNECTED


def test_renegotiation_is_refused_at_a_limited_rate() -> None:
    client, server = connected_pair()
    wish = HandshakeMessage(HandshakeType.CLIENT_HELLO, 0, b"").serialize()
    for now in (1.0, 1.01, 1.05):
        server.receive(protected(client, ContentType.HANDSHAKE, wish), now)
    first, second = server.outgoing(1.05)
    client.receive(first, 1.05)
    client.receive(second, 1.05)
    assert drops(client) == {"dtls-alert-warning": 2}
    assert drops(server) == {"dtls-renegotiation": 3}
    assert server.state is client.state is ConnectionState.CONNECTED


# Ends


def test_an_authentic_fatal_alert() -> None:
    client, server = connected_pair()
    server.receive(protected(client, ContentType.ALERT, FATAL), 1.0)
    assert server.events() == [
        DtlsFailed("dtls-peer-alert", "handshake_failure", AlertDescription.HANDSHAKE_FAILURE, by_peer=True)
    ]
    server.close(1.0)
    assert server.events() == []
    assert server.outgoing(1.0) == []


@pytest.mark.parametrize("role", ["server", "client"])
def test_the_owner_refuses_a_certificate(role: str) -> None:
    client, server = connected_pair()
    ours, theirs = (server, client) if role == "server" else (client, server)
    ours.refuse_certificate(1.0)
    pump(ours, theirs, 1.0)
    (refused,) = ours.events()
    assert isinstance(refused, DtlsFailed)
    assert (refused.reason, refused.alert, refused.by_peer) == ("dtls-bad-certificate", 42, False)
    assert theirs.events() == [
        DtlsFailed("dtls-peer-alert", "bad_certificate", AlertDescription.BAD_CERTIFICATE, by_peer=True)
    ]
    assert ours.state is theirs.state is ConnectionState.FAILED


def test_refusing_the_certificate_of_a_peer_that_has_closed() -> None:
    """Its last datagram may hold its Finished and its close_notify: both are reported together."""
    client, server, last = before_finished()
    goodbye = AlertMessage(AlertLevel.WARNING, AlertDescription.CLOSE_NOTIFY).serialize()
    server.receive(last + protected(client, ContentType.ALERT, goodbye), 0.0)
    completed, closed = server.events()
    assert isinstance(completed, HandshakeCompleted)
    assert closed == DtlsClosed(by_peer=True)
    server.outgoing(0.0)
    server.refuse_certificate(0.0)
    assert (server.outgoing(0.0), server.events(), server.state) == ([], [], ConnectionState.CLOSED)


def test_close() -> None:
    client, server = connected_pair()
    client.close(1.0)
    client.close(1.0)
    pump(client, server, 1.0)
    assert client.events() == [DtlsClosed(by_peer=False)]
    assert server.events() == [DtlsClosed(by_peer=True)]
    assert client.state is server.state is ConnectionState.CLOSED
    assert drops(client) == {"dtls-not-open": 1}  # the other close_notify


def test_close_during_the_handshake() -> None:
    client = connection("client")
    client.start(0.0)
    client.close(0.5)
    assert client.next_timeout() is None
    *_, last = client.outgoing(0.5)
    assert parse_record(last)[0].fragment == bytes([AlertLevel.WARNING, AlertDescription.CLOSE_NOTIFY])


def test_the_handshake_is_freed_when_it_ends() -> None:
    client, server = connection("client", mtu=MIN_MTU), connection("server", mtu=MIN_MTU)
    client.start(0.0)
    pump(client, server)
    for end in (client, server):
        assert end._handshake._handshake is None
    client, server = connection("client"), connection("server")
    client.start(0.0)
    (hello,) = client.outgoing(0.0)
    message = parse_record(hello)[0].fragment
    part = HandshakeMessage(HandshakeType.CLIENT_HELLO, 0, message[12:]).fragment(0, 20).serialize()
    server.receive(plain(22, part), 0.0)
    server.receive(plain(22, b"early", epoch=1), 0.0)
    assert (server._handshake.buffered, server._layer.waiting) == (len(message) - 12, 1)
    server.close(0.0)
    assert (server._handshake.buffered, server._layer.waiting) == (0, 0)
    assert server._handshake._handshake is None


def test_keys_can_be_exported_after_the_close() -> None:
    client, server = connected_pair()
    client.close(1.0)
    assert client.srtp_keys().local_key == server.srtp_keys().remote_key
