"""The bodies of handshake messages: one class each, decode and encode side by side.

RFC 5246 section 7.4, RFC 6347 section 4.3.2 (cookie), RFC 8422 section 5 (ECDHE). Every ``parse`` takes a
whole message body and raises `DecodeError` when its structure is wrong. The handshakes check the meaning.
"""

from dataclasses import dataclass, field
from enum import IntEnum

from sfu.dtls.alerts import DecodeError, IllegalParameter
from sfu.dtls.extensions import Extensions, read_extensions, write_extensions
from sfu.dtls.record import DTLS_1_2
from sfu.dtls.wire import Reader, Writer


class HandshakeType(IntEnum):
    """The types of handshake messages."""

    HELLO_REQUEST = 0
    CLIENT_HELLO = 1
    SERVER_HELLO = 2
    HELLO_VERIFY_REQUEST = 3
    CERTIFICATE = 11
    SERVER_KEY_EXCHANGE = 12
    CERTIFICATE_REQUEST = 13
    SERVER_HELLO_DONE = 14
    CERTIFICATE_VERIFY = 15
    CLIENT_KEY_EXCHANGE = 16
    FINISHED = 20


NULL_COMPRESSION = 0
NAMED_CURVE = 3
ECDSA_SIGN = 64
RSA_SIGN = 1


@dataclass(frozen=True, slots=True)
class ClientHello:
    """What the client supports."""

    random: bytes
    cipher_suites: tuple[int, ...]
    extensions: Extensions
    cookie: bytes = b""
    session_id: bytes = b""
    compression_methods: bytes = bytes([NULL_COMPRESSION])
    version: int = DTLS_1_2

    @classmethod
    def parse(cls, body: bytes) -> "ClientHello":
        """Decode."""
        with Reader(body) as reader:
            version = reader.u16()
            random = reader.take(32)
            session_id = reader.vector(1)
            if len(session_id) > 32:
                raise DecodeError(f"session id of {len(session_id)} bytes")
            cookie = reader.vector(1)
            cipher_suites = reader.u16_list(2)
            compression_methods = reader.vector(1, minimum=1)
            extensions = read_extensions(reader)
        return cls(random, cipher_suites, extensions, cookie, session_id, compression_methods, version)

    def serialize(self) -> bytes:
        """Encode."""
        writer = Writer()
        writer.u16(self.version)
        writer.put(self.random)
        writer.vector(self.session_id, 1)
        writer.vector(self.cookie, 1)
        writer.u16_list(self.cipher_suites, 2)
        writer.vector(self.compression_methods, 1)
        write_extensions(writer, self.extensions)
        return writer.getvalue()


@dataclass(frozen=True, slots=True)
class ServerHello:
    """What the server has chosen."""

    random: bytes
    cipher_suite: int
    extensions: Extensions
    session_id: bytes = b""
    compression_method: int = NULL_COMPRESSION
    version: int = DTLS_1_2

    @classmethod
    def parse(cls, body: bytes) -> "ServerHello":
        """Decode."""
        with Reader(body) as reader:
            version = reader.u16()
            random = reader.take(32)
            session_id = reader.vector(1)
            if len(session_id) > 32:
                raise DecodeError(f"session id of {len(session_id)} bytes")
            cipher_suite = reader.u16()
            compression_method = reader.u8()
            extensions = read_extensions(reader)
        return cls(random, cipher_suite, extensions, session_id, compression_method, version)

    def serialize(self) -> bytes:
        """Encode."""
        writer = Writer()
        writer.u16(self.version)
        writer.put(self.random)
        writer.vector(self.session_id, 1)
        writer.u16(self.cipher_suite)
        writer.u8(self.compression_method)
        write_extensions(writer, self.extensions)
        return writer.getvalue()


@dataclass(frozen=True, slots=True)
class HelloVerifyRequest:
    """The server's request to return a cookie, before it does expensive work."""

    cookie: bytes
    version: int = 0xFEFF
    """RFC 6347 section 4.2.1: DTLS 1.0, whatever will be negotiated. It has no meaning."""

    @classmethod
    def parse(cls, body: bytes) -> "HelloVerifyRequest":
        """Decode."""
        with Reader(body) as reader:
            version = reader.u16()
            return cls(reader.vector(1), version)

    def serialize(self) -> bytes:
        """Encode."""
        writer = Writer()
        writer.u16(self.version)
        writer.vector(self.cookie, 1)
        return writer.getvalue()


@dataclass(frozen=True, slots=True)
class CertificateChain:
    """The Certificate message: DER certificates, the sender's own first. WebRTC uses only the first."""

    certificates: tuple[bytes, ...]

    @classmethod
    def parse(cls, body: bytes) -> "CertificateChain":
        """Decode."""
        with Reader(body) as reader, reader.block(3) as block:
            certificates = []
            while block:
                certificates.append(block.vector(3, minimum=1))
            return cls(tuple(certificates))

    def serialize(self) -> bytes:
        """Encode."""
        writer = Writer()
        with writer.block(3):
            for certificate in self.certificates:
                writer.vector(certificate, 3)
        return writer.getvalue()


@dataclass(frozen=True, slots=True)
class ServerKeyExchange:
    """The server's ephemeral public key, signed together with both randoms."""

    group: int
    public: bytes
    scheme: int
    signature: bytes = field(repr=False)

    @classmethod
    def parse(cls, body: bytes) -> "ServerKeyExchange":
        """Decode; raise `IllegalParameter` if the curve is not a named one."""
        with Reader(body) as reader:
            if (kind := reader.u8()) != NAMED_CURVE:
                raise IllegalParameter(f"curve type {kind}")
            return cls(reader.u16(), reader.vector(1, minimum=1), reader.u16(), reader.vector(2))

    def serialize(self) -> bytes:
        """Encode."""
        writer = Writer()
        writer.put(self.parameters())
        writer.u16(self.scheme)
        writer.vector(self.signature, 2)
        return writer.getvalue()

    def parameters(self) -> bytes:
        """Encode the part that is signed (after client and server random, RFC 8422 section 5.4)."""
        writer = Writer()
        writer.u8(NAMED_CURVE)
        writer.u16(self.group)
        writer.vector(self.public, 1)
        return writer.getvalue()


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """The server's request for a client certificate, with the signature schemes that it can verify."""

    certificate_types: bytes
    schemes: tuple[int, ...]
    authorities: bytes = b""
    """Distinguished names, unread: self-signed certificates have no authority."""

    @classmethod
    def parse(cls, body: bytes) -> "CertificateRequest":
        """Decode."""
        with Reader(body) as reader:
            return cls(reader.vector(1, minimum=1), reader.u16_list(2), reader.vector(2))

    def serialize(self) -> bytes:
        """Encode."""
        writer = Writer()
        writer.vector(self.certificate_types, 1)
        writer.u16_list(self.schemes, 2)
        writer.vector(self.authorities, 2)
        return writer.getvalue()


@dataclass(frozen=True, slots=True)
class ServerHelloDone:
    """The end of the server's first flight; empty."""

    @classmethod
    def parse(cls, body: bytes) -> "ServerHelloDone":
        """Decode."""
        Reader(body).finish()
        return cls()

    def serialize(self) -> bytes:
        """Encode."""
        return b""


@dataclass(frozen=True, slots=True)
class ClientKeyExchange:
    """The client's ephemeral public key."""

    public: bytes

    @classmethod
    def parse(cls, body: bytes) -> "ClientKeyExchange":
        """Decode."""
        with Reader(body) as reader:
            return cls(reader.vector(1, minimum=1))

    def serialize(self) -> bytes:
        """Encode."""
        writer = Writer()
        writer.vector(self.public, 1)
        return writer.getvalue()


@dataclass(frozen=True, slots=True)
class CertificateVerify:
    """The client's proof that it holds its certificate's key: a signature over all messages so far."""

    scheme: int
    signature: bytes = field(repr=False)

    @classmethod
    def parse(cls, body: bytes) -> "CertificateVerify":
        """Decode."""
        with Reader(body) as reader:
            return cls(reader.u16(), reader.vector(2))

    def serialize(self) -> bytes:
        """Encode."""
        writer = Writer()
        writer.u16(self.scheme)
        writer.vector(self.signature, 2)
        return writer.getvalue()


@dataclass(frozen=True, slots=True)
class Finished:
    """A keyed hash over all messages so far: 12 bytes."""

    verify_data: bytes = field(repr=False)

    @classmethod
    def parse(cls, body: bytes) -> "Finished":
        """Decode."""
        with Reader(body) as reader:
            return cls(reader.take(12))

    def serialize(self) -> bytes:
        """Encode."""
        return self.verify_data
