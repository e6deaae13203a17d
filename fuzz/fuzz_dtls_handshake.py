"""DTLS handshake messages: only alerts escape, and what parses serializes to the same meaning.

The first byte is the message's type. Extensions are given to their decoders, certificates to `public_key_of`.
"""

from collections.abc import Callable
from typing import Any

from sfu.dtls.alerts import Alert
from sfu.dtls.certificate import public_key_of
from sfu.dtls.extensions import (
    Extensions,
    UseSrtp,
    check_point_formats,
    check_renegotiation_info,
    decode_u16_list,
    encode_u16_list,
)
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

MESSAGES: dict[int, Any] = {
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


def numbers_round_trip(content: bytes) -> None:
    """Read a list of 16-bit numbers and write it again."""
    assert encode_u16_list(decode_u16_list(content)) == content


def use_srtp_round_trips(content: bytes) -> None:
    """Read use_srtp and write it again."""
    assert UseSrtp.decode(content).encode() == content


READERS: tuple[Callable[[bytes], object], ...] = (
    numbers_round_trip,
    use_srtp_round_trips,
    check_point_formats,
    check_renegotiation_info,
    lambda content: decode_u16_list(content, width=1),
)


def one_input(data: bytes) -> None:
    """Check the invariants on one message."""
    kind = MESSAGES.get(data[0]) if data else None
    if kind is None:
        return
    try:
        message = kind.parse(data[1:])
    except Alert:
        return
    assert kind.parse(message.serialize()) == message
    if isinstance(message, ClientHello | ServerHello):
        check_extensions(message.extensions)
    elif isinstance(message, CertificateChain):
        for der in message.certificates:
            refuse_or_not(public_key_of, der)


def check_extensions(extensions: Extensions) -> None:
    """Give every extension to every decoder."""
    for content in extensions.values():
        for reader in READERS:
            refuse_or_not(reader, content)


def refuse_or_not(reader: Callable[[bytes], object], content: bytes) -> None:
    """Call a decoder, which may raise an alert."""
    try:
        reader(content)
    except Alert:
        return
