"""Recordings of real clients: we answer their first flights, and no recorded datagram raises an error."""

import struct
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import pytest
from dtls.support import connection
from support.captures import VECTORS

from sfu.dtls import ConnectionState
from sfu.dtls.fragments import Reassembler, parse_fragment
from sfu.dtls.groups import SECP256R1, X25519
from sfu.dtls.messages import HandshakeType, ServerHello, ServerKeyExchange
from sfu.dtls.record import parse_record

HELLOS = sorted(path.name[: -len("-0.bin")] for path in (VECTORS / "dtls").glob("*-client-hello-0.bin"))
PCAPS = sorted((VECTORS / "dtls").glob("*.pcap"))


def first_flight(name: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((VECTORS / "dtls").glob(f"{name}-*.bin"))]


@pytest.mark.parametrize("name", HELLOS)
def test_a_client_hello_gets_our_flight(name: str) -> None:
    for order in permutations(first_flight(name)):
        server = connection("server")
        for datagram in order:
            assert server.outgoing(0.0) == []
            server.receive(datagram, 0.0)
        assert server.events() == []
        (answer,) = server.outgoing(0.0)
        reassembler = Reassembler()
        offset = 0
        while offset < len(answer):
            record, offset = parse_record(answer, offset)
            reassembler.add(parse_fragment(record.fragment)[0])
        messages = {}
        while message := reassembler.pop():
            messages[message.message_type] = message.body
        assert list(messages) == [
            HandshakeType.SERVER_HELLO,
            HandshakeType.CERTIFICATE,
            HandshakeType.SERVER_KEY_EXCHANGE,
            HandshakeType.CERTIFICATE_REQUEST,
            HandshakeType.SERVER_HELLO_DONE,
        ]
        assert ServerHello.parse(messages[HandshakeType.SERVER_HELLO]).cipher_suite == 0xC02B
        group = ServerKeyExchange.parse(messages[HandshakeType.SERVER_KEY_EXCHANGE]).group
        assert group == (SECP256R1 if name.startswith("ndc") else X25519).code


@pytest.mark.parametrize("name", HELLOS)
def test_every_datagram_twice(name: str) -> None:
    server = connection("server")
    for datagram in [*first_flight(name), *first_flight(name)]:
        server.receive(datagram, 0.0)
    assert len(server.outgoing(0.0)) == 1
    assert server.state is ConnectionState.HANDSHAKING


@pytest.mark.parametrize("name", HELLOS)
def test_any_changed_byte_raises_nothing(name: str) -> None:
    datagrams = first_flight(name)
    for position in range(0, len(datagrams[0]), 7):
        changed = bytearray(datagrams[0])
        changed[position] ^= 0x55
        server = connection("server")
        for datagram in (bytes(changed), *datagrams[1:]):
            server.receive(datagram, 0.0)


def udp_payloads(data: bytes) -> Iterator[bytes]:
    """The UDP payloads of a pcap of linktype RAW, IPv4 or IPv6 without options."""
    offset = 24
    while offset < len(data):
        size = struct.unpack_from("<8xI4x", data, offset)[0]
        packet = data[offset + 16 : offset + 16 + size]
        yield packet[28:] if packet[0] >> 4 == 4 else packet[48:]
        offset += 16 + size


@pytest.mark.parametrize("path", PCAPS, ids=lambda path: path.stem)
@pytest.mark.parametrize("role", ["server", "client"])
def test_whole_captures(path: Path, role: str) -> None:
    end = connection("server" if role == "server" else "client")
    end.start(0.0)
    for count, datagram in enumerate(udp_payloads(path.read_bytes())):
        end.receive(datagram, float(count))
        end.handle_timeout(float(count))
    assert end.state is not ConnectionState.CONNECTED
