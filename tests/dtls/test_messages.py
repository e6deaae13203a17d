from typing import Protocol

import pytest
from support.captures import VECTORS

from sfu.dtls.alerts import DecodeError, IllegalParameter
from sfu.dtls.extensions import ExtensionType, UseSrtp, decode_u16_list
from sfu.dtls.fragments import HandshakeMessage, Reassembler, parse_fragment
from sfu.dtls.messages import (
    CertificateChain,
    CertificateRequest,
    CertificateVerify,
    ClientHello,
    ClientKeyExchange,
    Finished,
    HandshakeType,
    HelloVerifyRequest,
    ServerHello,
    ServerHelloDone,
    ServerKeyExchange,
)
from sfu.dtls.record import ContentType, parse_record
from sfu.errors import BadPacket


class Message(Protocol):
    @classmethod
    def parse(cls, body: bytes) -> "Message": ...

    def serialize(self) -> bytes: ...


CLASSES: dict[int, type[Message]] = {
    HandshakeType.CLIENT_HELLO: ClientHello,
    HandshakeType.SERVER_HELLO: ServerHello,
    HandshakeType.HELLO_VERIFY_REQUEST: HelloVerifyRequest,
    HandshakeType.CERTIFICATE: CertificateChain,
    HandshakeType.SERVER_KEY_EXCHANGE: ServerKeyExchange,
    HandshakeType.CERTIFICATE_REQUEST: CertificateRequest,
    HandshakeType.SERVER_HELLO_DONE: ServerHelloDone,
    HandshakeType.CERTIFICATE_VERIFY: CertificateVerify,
    HandshakeType.CLIENT_KEY_EXCHANGE: ClientKeyExchange,
    HandshakeType.FINISHED: Finished,
}


def messages_of(*datagrams: bytes) -> list[HandshakeMessage]:
    """The unencrypted handshake messages, from any message_seq on."""
    found: list[HandshakeMessage] = []
    reassembler = Reassembler()
    first = True
    for datagram in datagrams:
        offset = 0
        while offset < len(datagram):
            record, offset = parse_record(datagram, offset)
            if record.content_type != ContentType.HANDSHAKE or record.epoch:
                continue
            inner = 0
            while inner < len(record.fragment):
                fragment, inner = parse_fragment(record.fragment, inner)
                if first:
                    reassembler.next_seq = fragment.message_seq
                    first = False
                reassembler.add(fragment)
    while message := reassembler.pop():
        found.append(message)
    return found


def captured() -> dict[str, HandshakeMessage]:
    """Every handshake message of the vectors, by name."""
    found = {}
    for path in sorted((VECTORS / "dtls").glob("*.bin")):
        if path.stem.endswith("hello-1"):
            continue
        datagrams = [path.read_bytes()]
        second = path.with_name(path.name.replace("-0.bin", "-1.bin"))
        if second != path and second.exists():
            datagrams.append(second.read_bytes())
        for message in messages_of(*datagrams):
            found[f"{path.stem}:{HandshakeType(message.message_type).name}"] = message
    return found


CAPTURED = captured()
MADE: dict[str, Message] = {
    "client hello": ClientHello(bytes(32), (0xC02B, 0x00FF), {23: b"", 14: b"x"}, b"cookie", b"session"),
    "client hello without extensions": ClientHello(bytes(32), (0xC02B,), {}),
    "server hello": ServerHello(bytes(32), 0xC02B, {23: b""}, b"session"),
    "hello verify request": HelloVerifyRequest(b"cookie"),
    "certificate": CertificateChain((b"one", b"two")),
    "no certificate": CertificateChain(()),
    "server key exchange": ServerKeyExchange(29, bytes(32), 0x0403, b"signature"),
    "certificate request": CertificateRequest(b"\x40\x01", (0x0403, 0x0401), b"authorities"),
    "server hello done": ServerHelloDone(),
    "client key exchange": ClientKeyExchange(bytes(32)),
    "certificate verify": CertificateVerify(0x0403, b"signature"),
    "finished": Finished(bytes(12)),
}
MAY_END_BEFORE_EXTENSIONS = (ClientHello, ServerHello)


def test_the_vectors_have_messages_of_all_common_types() -> None:
    kinds = {message.message_type for message in CAPTURED.values()}
    assert set(CLASSES) - kinds == {HandshakeType.HELLO_VERIFY_REQUEST, HandshakeType.FINISHED}


@pytest.mark.parametrize("name", CAPTURED)
def test_captured_messages_round_trip(name: str) -> None:
    message = CAPTURED[name]
    assert CLASSES[message.message_type].parse(message.body).serialize() == message.body


@pytest.mark.parametrize("name", CAPTURED)
def test_captured_messages_cut_and_with_bytes_after_the_end(name: str) -> None:
    message = CAPTURED[name]
    kind = CLASSES[message.message_type]
    for size in range(len(message.body)):
        try:
            parsed = kind.parse(message.body[:size])
        except BadPacket:
            continue
        # Only the extensions may be absent.
        assert isinstance(parsed, MAY_END_BEFORE_EXTENSIONS)
        assert not parsed.extensions
    with pytest.raises(DecodeError):
        kind.parse(message.body + b"\0")


@pytest.mark.parametrize("name", MADE)
def test_constructed_messages_whole_cut_and_with_extra_bytes(name: str) -> None:
    message = MADE[name]
    raw = message.serialize()
    assert type(message).parse(raw) == message
    for size in range(len(raw)):
        try:
            parsed = type(message).parse(raw[:size])
        except BadPacket:
            continue
        assert isinstance(parsed, MAY_END_BEFORE_EXTENSIONS)
    with pytest.raises(DecodeError):
        type(message).parse(raw + b"\0")


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
def test_what_browsers_offer(browser: str) -> None:
    hello = ClientHello.parse(CAPTURED[f"{browser}-client-hello-0:CLIENT_HELLO"].body)
    assert len(hello.serialize()) > 1200
    assert 0xC02B in hello.cipher_suites
    assert 0xFEFC in decode_u16_list(hello.extensions[ExtensionType.SUPPORTED_VERSIONS], width=1)
    assert hello.extensions[ExtensionType.EXTENDED_MASTER_SECRET] == b""
    assert {1, 7, 8} <= set(UseSrtp.decode(hello.extensions[ExtensionType.USE_SRTP]).profiles)


@pytest.mark.parametrize("kind", [ClientHello, ServerHello])
def test_a_session_id_that_is_too_long(kind: type[Message]) -> None:
    with pytest.raises(DecodeError, match="session id"):
        kind.parse(bytes.fromhex("fefd") + bytes(32) + bytes([33]) + bytes(100))


def test_an_explicit_curve_is_refused() -> None:
    with pytest.raises(IllegalParameter):
        ServerKeyExchange.parse(b"\1" + bytes(50))


def test_secrets_and_proofs_stay_out_of_repr() -> None:
    assert "secret" not in repr(Finished(b"secret"))
    assert "secret" not in repr(CertificateVerify(1, b"secret"))
