"""The handshake without records: the alert for each violation, and no message can be skipped."""

from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from dtls.support import certificate, seeded

from sfu.dtls.alerts import (
    Alert,
    BadCertificate,
    DecodeError,
    DecryptError,
    HandshakeFailure,
    IllegalParameter,
    ProtocolVersion,
    UnexpectedMessage,
    UnsupportedExtension,
)
from sfu.dtls.certificate import Certificate
from sfu.dtls.client import ClientHandshake, ClientState
from sfu.dtls.configuration import DtlsConfiguration
from sfu.dtls.extensions import ExtensionType, UseSrtp, encode_u16_list
from sfu.dtls.flights import ChangeCipherSpec
from sfu.dtls.fragments import HandshakeMessage
from sfu.dtls.groups import SECP256R1, X25519
from sfu.dtls.handshake import Handshake
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
from sfu.dtls.server import ServerHandshake, ServerState
from sfu.dtls.signatures import SCHEMES
from sfu.dtls.srtp import SrtpProtectionProfile
from sfu.dtls.suites import SUITES

CLASSES: dict[int, Any] = {
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

Change = Callable[[Any], Any]
Delivered = Callable[[Handshake, HandshakeMessage], bool]


def client_settings(**changes: Any) -> DtlsConfiguration:
    return replace(DtlsConfiguration(certificate(2), seeded(2)), **changes)


def server_settings(**changes: Any) -> DtlsConfiguration:
    return replace(DtlsConfiguration(certificate(1), seeded(1)), **changes)


def run_handshake(
    client: ClientHandshake,
    server: ServerHandshake,
    change: dict[tuple[str, HandshakeType], Change] | None = None,
    before: Delivered = lambda receiver, message: True,
) -> None:
    """Carry messages between two handshakes, some of them changed, until there are no more.

    A change is looked up by the receiver's role and the message type. `before` returns False to stop.
    """
    change = change or {}
    waiting: list[tuple[Handshake, HandshakeMessage | ChangeCipherSpec]] = [
        (server, message) for message in client.start().messages
    ]
    while waiting:
        receiver, message = waiting.pop(0)
        if isinstance(message, ChangeCipherSpec):
            continue
        kind = HandshakeType(message.message_type)
        changed = change.get(("server" if receiver.server else "client", kind))
        if changed is not None:
            parsed = changed(CLASSES[kind].parse(message.body))
            message = message._replace(body=parsed if isinstance(parsed, bytes) else parsed.serialize())
        if not before(receiver, message):
            return
        flight = receiver.receive(message)
        if flight is not None:
            other = client if receiver is server else server
            waiting += [(other, answer) for answer in flight.messages]


def extension(code: int, content: bytes | None) -> Change:
    """Change one extension of a hello, or remove it."""

    def change(hello: ClientHello | ServerHello) -> ClientHello | ServerHello:
        extensions = {kept: value for kept, value in hello.extensions.items() if kept != code}
        if content is not None:
            extensions[code] = content
        return replace(hello, extensions=extensions)

    return change


def field(**values: Any) -> Change:
    """Change fields of a message."""
    return lambda message: replace(message, **values)


def flip(name: str) -> Change:
    """Change the last byte of a field."""

    def change(message: Any) -> Any:
        content = getattr(message, name)
        return replace(message, **{name: content[:-1] + bytes([content[-1] ^ 1])})

    return change


def named(cases: dict[str, Any]) -> list[Any]:
    """Test parameters, named by the dictionary's keys."""
    return [
        pytest.param(*case, id=name) if isinstance(case, tuple) else pytest.param(case, id=name)
        for name, case in cases.items()
    ]


def raw(body: bytes) -> Change:
    """Send these bytes as the message's body."""
    return lambda message: body


def test_complete() -> None:
    client, server = ClientHandshake(client_settings()), ServerHandshake(server_settings())
    run_handshake(client, server)
    assert client.complete
    assert server.complete
    assert client.suite is server.suite is SUITES[0xC02B]
    assert client.group is server.group is X25519
    assert client.srtp_profile is server.srtp_profile is SrtpProtectionProfile.AEAD_AES_128_GCM
    assert client.secrets is not None
    assert server.secrets is not None
    assert client.secrets.key_log_line() == server.secrets.key_log_line()


def test_a_server_cannot_start() -> None:
    with pytest.raises(RuntimeError):
        ServerHandshake(server_settings()).start()


def test_complete_with_a_cookie() -> None:
    client = ClientHandshake(client_settings())
    server = ServerHandshake(server_settings(cookie_exchange=True))
    run_handshake(client, server)
    assert client.complete
    assert server.complete


def test_the_servers_preferences_win() -> None:
    client = ClientHandshake(client_settings())
    server = ServerHandshake(
        server_settings(
            suites=[SUITES[0xCCA9], SUITES[0xC02B]],
            groups=[SECP256R1],
            srtp_profiles=[
                SrtpProtectionProfile.AES128_CM_HMAC_SHA1_80,
                SrtpProtectionProfile.AEAD_AES_128_GCM,
            ],
        )
    )
    run_handshake(client, server)
    assert client.suite is SUITES[0xCCA9]
    assert client.group is SECP256R1
    assert client.srtp_profile is SrtpProtectionProfile.AES128_CM_HMAC_SHA1_80


VERSIONS = ExtensionType.SUPPORTED_VERSIONS


@pytest.mark.parametrize(
    ("change", "alert"),
    named(
        {
            "1.3 only": (extension(VERSIONS, bytes.fromhex("02fefc")), ProtocolVersion),
            "versions of odd length": (extension(VERSIONS, bytes.fromhex("03fefcfe")), DecodeError),
            "no versions at all": (extension(VERSIONS, b"\0"), DecodeError),
            "1.0": (field(version=0xFEFF), ProtocolVersion),
            "TLS": (field(version=0x0303), ProtocolVersion),
            "compression only": (field(compression_methods=b"\1"), IllegalParameter),
            "no EMS": (extension(ExtensionType.EXTENDED_MASTER_SECRET, None), HandshakeFailure),
            "compressed points only": (extension(ExtensionType.EC_POINT_FORMATS, b"\1\1"), IllegalParameter),
            "renegotiation": (extension(ExtensionType.RENEGOTIATION_INFO, b"\1x"), HandshakeFailure),
            "unknown suites": (field(cipher_suites=(0x1301, 0x002F, 0x0A0A)), HandshakeFailure),
            "suites for RSA": (field(cipher_suites=(0xC02F,)), HandshakeFailure),
            "no suites": (field(cipher_suites=()), HandshakeFailure),
            "unknown groups": (
                extension(ExtensionType.SUPPORTED_GROUPS, encode_u16_list((0x11EC, 0x0A0A))),
                HandshakeFailure,
            ),
            "empty groups": (extension(ExtensionType.SUPPORTED_GROUPS, b"\0\0"), DecodeError),
            "no schemes": (extension(ExtensionType.SIGNATURE_ALGORITHMS, None), HandshakeFailure),
            "SHA-1 only": (
                extension(ExtensionType.SIGNATURE_ALGORITHMS, encode_u16_list((0x0203, 0x0201))),
                HandshakeFailure,
            ),
            "no use_srtp": (extension(ExtensionType.USE_SRTP, None), HandshakeFailure),
            "unknown profile": (extension(ExtensionType.USE_SRTP, UseSrtp((2,)).encode()), HandshakeFailure),
            "use_srtp cut": (extension(ExtensionType.USE_SRTP, b"\0\2"), DecodeError),
            "nothing": (raw(b""), DecodeError),
        }
    ),
)
def test_client_hello_refused(change: Change, alert: type[Alert]) -> None:
    client, server = ClientHandshake(client_settings()), ServerHandshake(server_settings())
    with pytest.raises(alert):
        run_handshake(client, server, {("server", HandshakeType.CLIENT_HELLO): change})
    assert server.state is ServerState.CLIENT_HELLO  # the server refused


@pytest.mark.parametrize(
    "change",
    named(
        {
            "1.3 too": extension(VERSIONS, bytes.fromhex("06 7a7a fefc fefd")),
            "1.3 as the version": field(version=0xFEFC),
            "no point formats": extension(ExtensionType.EC_POINT_FORMATS, None),
            "no renegotiation": extension(ExtensionType.RENEGOTIATION_INFO, None),
            "unknown extension": extension(0x7A7A, b"grease"),
            "unknown suites": field(cipher_suites=(0x7A7A, 0xC02B, 0x00FF)),
            "an MKI": extension(ExtensionType.USE_SRTP, UseSrtp((7,), b"mki").encode()),
            "a session": field(session_id=b"to be resumed"),
            "an unknown cookie": field(cookie=b"biscuit"),
        }
    ),
)
def test_client_hello_accepted(change: Change) -> None:
    client, server = ClientHandshake(client_settings()), ServerHandshake(server_settings())
    # The change makes the transcripts differ, so the client's signature is wrong.
    with pytest.raises(DecryptError):
        run_handshake(client, server, {("server", HandshakeType.CLIENT_HELLO): change})
    assert server.state is ServerState.CERTIFICATE_VERIFY


def test_without_supported_groups_it_is_p256() -> None:
    client, server = ClientHandshake(client_settings()), ServerHandshake(server_settings())
    without = extension(ExtensionType.SUPPORTED_GROUPS, None)
    with pytest.raises(DecryptError):
        run_handshake(client, server, {("server", HandshakeType.CLIENT_HELLO): without})
    assert client.group is SECP256R1


def test_the_server_hello_has_only_offered_extensions() -> None:
    server = ServerHandshake(server_settings())
    offered: dict[int, bytes] = {
        ExtensionType.EXTENDED_MASTER_SECRET: b"",
        ExtensionType.SIGNATURE_ALGORITHMS: encode_u16_list((0x0403,)),
        ExtensionType.USE_SRTP: UseSrtp((8, 1)).encode(),
    }
    for extra, suites, expected in (
        ({}, (0xC02B,), {23, 14}),
        ({}, (0xC02B, 0x00FF), {23, 14, 0xFF01}),
        ({0xFF01: b"\0", 11: b"\1\0"}, (0xC02B,), {23, 14, 0xFF01, 11}),
    ):
        server = ServerHandshake(server_settings())
        hello = ClientHello(bytes(32), suites, offered | extra)
        flight = server.receive(HandshakeMessage(HandshakeType.CLIENT_HELLO, 0, hello.serialize()))
        assert flight is not None
        (answer, *_) = flight.messages
        assert isinstance(answer, HandshakeMessage)
        parsed = ServerHello.parse(answer.body)
        assert set(parsed.extensions) == expected
        assert UseSrtp.decode(parsed.extensions[14]) == UseSrtp((8,))
        assert parsed.random[-8:-1] != b"DOWNGRD"


def test_a_wrong_cookie() -> None:
    client = ClientHandshake(client_settings())
    server = ServerHandshake(server_settings(cookie_exchange=True))
    with pytest.raises(HandshakeFailure, match="cookie"):
        run_handshake(
            client, server, {("client", HandshakeType.HELLO_VERIFY_REQUEST): field(cookie=b"biscuit")}
        )


def test_no_cookie_for_an_invalid_client_hello() -> None:
    client, server = ClientHandshake(client_settings()), ServerHandshake(server_settings(cookie_exchange=True))
    with pytest.raises(DecodeError):
        run_handshake(client, server, {("server", HandshakeType.CLIENT_HELLO): raw(b"")})
    assert server.state is ServerState.FIRST_CLIENT_HELLO


def test_cookies_differ() -> None:
    cookies = set()
    for seed in range(3):
        server = ServerHandshake(server_settings(cookie_exchange=True, random=seeded(seed)))
        flight = server.receive(ClientHandshake(client_settings()).start().messages[0])  # type: ignore[arg-type]
        assert flight is not None
        assert not flight.awaits_reply
        cookies.add(flight.messages[0].body)  # type: ignore[union-attr]
    assert len(cookies) == 3


P521 = ec.generate_private_key(ec.SECP521R1())
RSA = rsa.generate_private_key(65537, 2048)


@pytest.mark.parametrize(
    ("kind", "change", "alert"),
    named(
        {
            "no certificate": (HandshakeType.CERTIFICATE, field(certificates=()), HandshakeFailure),
            "no X.509": (HandshakeType.CERTIFICATE, field(certificates=(b"x",)), BadCertificate),
            "empty certificate": (HandshakeType.CERTIFICATE, field(certificates=(b"",)), DecodeError),
            "another's certificate": (
                HandshakeType.CERTIFICATE,
                field(certificates=(certificate(9).der,)),
                DecryptError,
            ),
            "no point": (HandshakeType.CLIENT_KEY_EXCHANGE, field(public=b"\4" + bytes(64)), IllegalParameter),
            "small order": (HandshakeType.CLIENT_KEY_EXCHANGE, field(public=bytes(32)), IllegalParameter),
            "other key": (
                HandshakeType.CLIENT_KEY_EXCHANGE,
                field(public=X25519.share(seeded(5)).public),
                DecryptError,
            ),
            "wrong signature": (HandshakeType.CERTIFICATE_VERIFY, flip("signature"), DecryptError),
            "wrong scheme": (HandshakeType.CERTIFICATE_VERIFY, field(scheme=0x0401), IllegalParameter),
            "unknown scheme": (HandshakeType.CERTIFICATE_VERIFY, field(scheme=0x0203), HandshakeFailure),
            "wrong Finished": (HandshakeType.FINISHED, flip("verify_data"), DecryptError),
            "short Finished": (HandshakeType.FINISHED, raw(bytes(11)), DecodeError),
            "long Finished": (HandshakeType.FINISHED, raw(bytes(13)), DecodeError),
        }
    ),
)
def test_the_server_refuses_client_messages(kind: HandshakeType, change: Change, alert: type[Alert]) -> None:
    client, server = ClientHandshake(client_settings()), ServerHandshake(server_settings())
    with pytest.raises(alert):
        run_handshake(client, server, {("server", kind): change})
    # Refused at once, and not only by the Finished, which detects every change. A wrong certificate is detected
    # by the CertificateVerify.
    later = alert is DecryptError and kind in (HandshakeType.CERTIFICATE, HandshakeType.CLIENT_KEY_EXCHANGE)
    assert (server.state, HandshakeType.CERTIFICATE_VERIFY if later else kind) in ServerHandshake.table


@pytest.mark.parametrize(
    ("kind", "change", "alert"),
    named(
        {
            "1.0": (HandshakeType.SERVER_HELLO, field(version=0xFEFF), ProtocolVersion),
            "compression": (HandshakeType.SERVER_HELLO, field(compression_method=1), IllegalParameter),
            "extension not offered": (
                HandshakeType.SERVER_HELLO,
                extension(43, b"\2\xfe\xfc"),
                UnsupportedExtension,
            ),
            "no EMS": (HandshakeType.SERVER_HELLO, extension(23, None), HandshakeFailure),
            "compressed points": (HandshakeType.SERVER_HELLO, extension(11, b"\1\1"), IllegalParameter),
            "renegotiation": (HandshakeType.SERVER_HELLO, extension(0xFF01, b"\1x"), HandshakeFailure),
            "suite not offered": (HandshakeType.SERVER_HELLO, field(cipher_suite=0xC014), IllegalParameter),
            "no use_srtp": (HandshakeType.SERVER_HELLO, extension(14, None), HandshakeFailure),
            "two profiles": (HandshakeType.SERVER_HELLO, extension(14, UseSrtp((7, 1)).encode()), DecodeError),
            "profile not offered": (
                HandshakeType.SERVER_HELLO,
                extension(14, UseSrtp((2,)).encode()),
                IllegalParameter,
            ),
            "an MKI": (
                HandshakeType.SERVER_HELLO,
                extension(14, UseSrtp((7,), b"m").encode()),
                IllegalParameter,
            ),
            "no certificate": (HandshakeType.CERTIFICATE, field(certificates=()), DecodeError),
            "another's certificate": (
                HandshakeType.CERTIFICATE,
                field(certificates=(certificate(9).der,)),
                DecryptError,
            ),
            "suite for RSA": (HandshakeType.SERVER_HELLO, field(cipher_suite=0xC02F), IllegalParameter),
            "group not offered": (HandshakeType.SERVER_KEY_EXCHANGE, field(group=25), IllegalParameter),
            "wrong signature": (HandshakeType.SERVER_KEY_EXCHANGE, flip("signature"), DecryptError),
            "wrong key": (HandshakeType.SERVER_KEY_EXCHANGE, flip("public"), DecryptError),
            "unknown scheme": (HandshakeType.SERVER_KEY_EXCHANGE, field(scheme=0x0201), HandshakeFailure),
            "no scheme for us": (HandshakeType.CERTIFICATE_REQUEST, field(schemes=(0x0401,)), HandshakeFailure),
            "not done": (HandshakeType.SERVER_HELLO_DONE, raw(b"x"), DecodeError),
        }
    ),
)
def test_the_client_refuses_server_messages(kind: HandshakeType, change: Change, alert: type[Alert]) -> None:
    client, server = ClientHandshake(client_settings()), ServerHandshake(server_settings())
    with pytest.raises(alert):
        run_handshake(client, server, {("client", kind): change})
    assert client.state not in (ClientState.FINISHED, ClientState.CONNECTED)  # detected before the Finished


def test_a_servers_wrong_finished() -> None:
    client, server = ClientHandshake(client_settings()), ServerHandshake(server_settings())
    with pytest.raises(DecryptError):
        run_handshake(client, server, {("client", HandshakeType.FINISHED): flip("verify_data")})
    assert server.complete
    assert not client.complete


def test_a_signed_public_key_that_is_not_a_point() -> None:
    settings = server_settings()
    scheme = 0x0403

    def change(exchange: ServerKeyExchange) -> ServerKeyExchange:
        public = bytes(32)
        unsigned = ServerKeyExchange(X25519.code, public, scheme, b"")
        signed = client._client_random + client._server_random + unsigned.parameters()
        return replace(unsigned, signature=SCHEMES[scheme].sign(settings.certificate.private_key, signed))

    client, server = ClientHandshake(client_settings()), ServerHandshake(settings)
    with pytest.raises(IllegalParameter, match="X25519"):
        run_handshake(client, server, {("client", HandshakeType.SERVER_KEY_EXCHANGE): change})


def test_an_rsa_client() -> None:
    client = ClientHandshake(client_settings(certificate=Certificate(b"x", RSA)))
    server = ServerHandshake(server_settings())
    with pytest.raises(BadCertificate):
        run_handshake(client, server)


def stopped_at(state: Enum, cookie: bool) -> Handshake:
    """A handshake in this state."""
    client = ClientHandshake(client_settings())
    server = ServerHandshake(server_settings(cookie_exchange=cookie))
    ours: Handshake = server if isinstance(state, ServerState) else client
    if ours.state is not state:
        run_handshake(client, server, before=lambda receiver, message: ours.state is not state)
    assert ours.state is state
    return ours


@pytest.mark.parametrize("state", [*ServerState, *ClientState], ids=str)
def test_every_message_without_a_row_is_unexpected(state: Enum) -> None:
    cookie = state in (ServerState.FIRST_CLIENT_HELLO, ClientState.SERVER_HELLO)
    rows = {*ServerHandshake.table, *ClientHandshake.table}
    for kind in [*HandshakeType, 4, 99]:
        if (state, kind) in rows:
            continue
        handshake = stopped_at(state, cookie)
        with pytest.raises(UnexpectedMessage):
            handshake.receive(HandshakeMessage(kind, 0, b""))
        assert handshake.state is state


def test_every_state_is_reached_and_left() -> None:
    for table, first, last in (
        (
            ServerHandshake.table,
            {ServerState.FIRST_CLIENT_HELLO, ServerState.CLIENT_HELLO},
            ServerState.CONNECTED,
        ),
        (ClientHandshake.table, {ClientState.FIRST_SERVER_HELLO}, ClientState.CONNECTED),
    ):
        reached = {row.next_state for row in table.values()} | first
        left = {state for state, _ in table} | {last}
        assert reached == left
