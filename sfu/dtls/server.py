"""The server's side of the handshake (RFC 6347 figure 1; RFC 8422 section 5).

::

    ClientHello            -->
                           <-- ServerHello, Certificate, ServerKeyExchange,
                               CertificateRequest, ServerHelloDone
    Certificate, ClientKeyExchange, CertificateVerify,
    [ChangeCipherSpec], Finished
                           -->
                           <-- [ChangeCipherSpec], Finished

With the cookie exchange a ClientHello and a HelloVerifyRequest come first.
"""

import hmac
from enum import Enum
from typing import ClassVar

from sfu.dtls.alerts import HandshakeFailure, IllegalParameter, ProtocolVersion
from sfu.dtls.certificate import public_key_of
from sfu.dtls.configuration import DtlsConfiguration
from sfu.dtls.extensions import (
    EMPTY_RENEGOTIATION_INFO,
    Extensions,
    ExtensionType,
    UseSrtp,
    check_point_formats,
    check_renegotiation_info,
    decode_u16_list,
    encode_point_formats,
)
from sfu.dtls.flights import Flight
from sfu.dtls.groups import SECP256R1, KeyShare, NamedGroup
from sfu.dtls.handshake import Handshake, HandshakeTable, HandshakeTransition, negotiate
from sfu.dtls.keys import RANDOM_LENGTH
from sfu.dtls.messages import (
    ECDSA_SIGN,
    NULL_COMPRESSION,
    RSA_SIGN,
    CertificateChain,
    CertificateRequest,
    ClientHello,
    ClientKeyExchange,
    HandshakeType,
    HelloVerifyRequest,
    ServerHello,
    ServerHelloDone,
    ServerKeyExchange,
)
from sfu.dtls.record import DTLS_1_2
from sfu.dtls.signatures import SCHEMES, SignatureScheme, key_kind, schemes_for
from sfu.dtls.srtp import SrtpProtectionProfile
from sfu.dtls.suites import CipherSuite

COOKIE_LENGTH = 20
"""Bytes. It cannot be guessed, and is below the limit of 32 bytes in DTLS 1.0 (RFC 4347 section 4.2.1)."""

EMPTY_RENEGOTIATION_INFO_SCSV = 0x00FF
"""A suite code that means the same as an empty renegotiation_info (RFC 5746 section 3.3)."""


class ServerState(Enum):
    """The message that the server waits for."""

    FIRST_CLIENT_HELLO = "ClientHello without a cookie"
    CLIENT_HELLO = "ClientHello"
    CERTIFICATE = "Certificate"
    CLIENT_KEY_EXCHANGE = "ClientKeyExchange"
    CERTIFICATE_VERIFY = "CertificateVerify"
    FINISHED = "Finished"
    CONNECTED = "nothing more"


class ServerHandshake(Handshake):
    """The server's handshake."""

    server = True
    done = ServerState.CONNECTED

    def __init__(self, configuration: DtlsConfiguration) -> None:
        first = ServerState.FIRST_CLIENT_HELLO if configuration.cookie_exchange else ServerState.CLIENT_HELLO
        super().__init__(configuration, first)
        self._cookie = b""
        self._client_random = b""
        self._server_random = b""
        self._share: KeyShare | None = None

    def _first_client_hello(self, body: bytes) -> Flight:
        ClientHello.parse(body)
        self._cookie = self.configuration.random(COOKIE_LENGTH)
        request = self._message(HandshakeType.HELLO_VERIFY_REQUEST, HelloVerifyRequest(self._cookie))
        self._restart_transcript()
        # RFC 6347 section 4.2.4: a HelloVerifyRequest has no timer; if it is lost, the client retransmits.
        return Flight([request], awaits_reply=False)

    def _client_hello(self, body: bytes) -> Flight:
        hello = ClientHello.parse(body)
        if self._cookie and not hmac.compare_digest(hello.cookie, self._cookie):
            raise HandshakeFailure("wrong cookie")
        extensions = hello.extensions
        check_version(hello)
        if NULL_COMPRESSION not in hello.compression_methods:
            raise IllegalParameter("no null compression")
        if ExtensionType.EXTENDED_MASTER_SECRET not in extensions:
            # RFC 7627 section 5.2 allows a server to require it; every browser sends it.
            raise HandshakeFailure("no extended_master_secret")
        if ExtensionType.EC_POINT_FORMATS in extensions:
            check_point_formats(extensions[ExtensionType.EC_POINT_FORMATS])
        if ExtensionType.RENEGOTIATION_INFO in extensions:
            check_renegotiation_info(extensions[ExtensionType.RENEGOTIATION_INFO])
        kind = key_kind(self.configuration.certificate.private_key)
        suites = [suite for suite in self.configuration.suites if suite.key_kind == kind]
        self.suite = negotiate(suites, hello.cipher_suites, HandshakeFailure("no common cipher suite"))
        # RFC 8422 section 4: without the extension the server may choose; every client supports P-256.
        groups = extensions.get(ExtensionType.SUPPORTED_GROUPS)
        offered = (SECP256R1.code,) if groups is None else decode_u16_list(groups)
        self.group = negotiate(self.configuration.groups, offered, HandshakeFailure("no common group"))
        self.srtp_profile = self._choose_srtp_profile(extensions)
        # RFC 5246 section 7.4.1.4.1: without the extension the client means SHA-1, which we do not support.
        schemes = extensions.get(ExtensionType.SIGNATURE_ALGORITHMS)
        offered = () if schemes is None else decode_u16_list(schemes)
        scheme = negotiate(schemes_for(kind), offered, HandshakeFailure("no common signature scheme"))
        self._client_random = hello.random
        # RFC 8446 section 4.1.3: only a server that supports 1.3 sends the downgrade sentinel.
        self._server_random = self.configuration.random(RANDOM_LENGTH)
        self._share = self.group.share(self.configuration.random)
        return self._answer(hello, self.suite, self.group, scheme, self._share.public)

    def _choose_srtp_profile(self, extensions: Extensions) -> SrtpProtectionProfile | None:
        supported = self.configuration.srtp_profiles
        if not supported:
            return None
        content = extensions.get(ExtensionType.USE_SRTP)
        if content is None:
            raise HandshakeFailure("no use_srtp")
        offered = UseSrtp.decode(content).profiles
        return negotiate(supported, offered, HandshakeFailure("no common SRTP protection profile"))

    def _answer(
        self, hello: ClientHello, suite: CipherSuite, group: NamedGroup, scheme: SignatureScheme, public: bytes
    ) -> Flight:
        certificate = self.configuration.certificate
        parameters = ServerKeyExchange(group.code, public, scheme.code, b"").parameters()
        signature = scheme.sign(certificate.private_key, hello.random + self._server_random + parameters)
        return Flight(
            [
                self._message(
                    HandshakeType.SERVER_HELLO,
                    ServerHello(self._server_random, suite.code, self._answer_extensions(hello)),
                ),
                self._message(HandshakeType.CERTIFICATE, CertificateChain((certificate.der,))),
                self._message(
                    HandshakeType.SERVER_KEY_EXCHANGE,
                    ServerKeyExchange(group.code, public, scheme.code, signature),
                ),
                self._message(
                    HandshakeType.CERTIFICATE_REQUEST,
                    CertificateRequest(bytes([ECDSA_SIGN, RSA_SIGN]), tuple(SCHEMES)),
                ),
                self._message(HandshakeType.SERVER_HELLO_DONE, ServerHelloDone()),
            ]
        )

    def _answer_extensions(self, hello: ClientHello) -> Extensions:
        """Answer only offered extensions (RFC 5246 section 7.4.1.4), and in 1.2 never supported_versions."""
        offered = hello.extensions
        answer: Extensions = {ExtensionType.EXTENDED_MASTER_SECRET: b""}
        if ExtensionType.RENEGOTIATION_INFO in offered or EMPTY_RENEGOTIATION_INFO_SCSV in hello.cipher_suites:
            answer[ExtensionType.RENEGOTIATION_INFO] = EMPTY_RENEGOTIATION_INFO
        if ExtensionType.EC_POINT_FORMATS in offered:
            answer[ExtensionType.EC_POINT_FORMATS] = encode_point_formats()
        if self.srtp_profile is not None:
            # Without an MKI: RFC 5764 section 4.1.3 allows the server to decline it.
            answer[ExtensionType.USE_SRTP] = UseSrtp((self.srtp_profile,)).encode()
        return answer

    def _certificate(self, body: bytes) -> None:
        chain = CertificateChain.parse(body).certificates
        if not chain:
            # RFC 5246 section 7.4.6. Without a certificate the fingerprint cannot be checked.
            raise HandshakeFailure("no client certificate")
        self.peer_certificate = chain[0]
        self.peer_key = public_key_of(chain[0])

    def _client_key_exchange(self, body: bytes) -> None:
        assert self._share is not None, "our share was sent before"
        premaster = self._share.exchange(ClientKeyExchange.parse(body).public)
        self._share = None
        self._derive_secrets(premaster, self._client_random, self._server_random)

    def _certificate_verify(self, body: bytes) -> None:
        self._check_certificate_verify(body)
        self._start_protection()

    def _finished(self, body: bytes) -> Flight:
        self._check_finished(body)
        return Flight(self._send_finished(), awaits_reply=False)

    table: ClassVar[HandshakeTable] = {
        (ServerState.FIRST_CLIENT_HELLO, HandshakeType.CLIENT_HELLO): HandshakeTransition(
            _first_client_hello, ServerState.CLIENT_HELLO
        ),
        (ServerState.CLIENT_HELLO, HandshakeType.CLIENT_HELLO): HandshakeTransition(
            _client_hello, ServerState.CERTIFICATE
        ),
        (ServerState.CERTIFICATE, HandshakeType.CERTIFICATE): HandshakeTransition(
            _certificate, ServerState.CLIENT_KEY_EXCHANGE
        ),
        (ServerState.CLIENT_KEY_EXCHANGE, HandshakeType.CLIENT_KEY_EXCHANGE): HandshakeTransition(
            _client_key_exchange, ServerState.CERTIFICATE_VERIFY
        ),
        (ServerState.CERTIFICATE_VERIFY, HandshakeType.CERTIFICATE_VERIFY): HandshakeTransition(
            _certificate_verify, ServerState.FINISHED
        ),
        (ServerState.FINISHED, HandshakeType.FINISHED): HandshakeTransition(_finished, ServerState.CONNECTED),
    }


def check_version(hello: ClientHello) -> None:
    """Raise `ProtocolVersion` unless the client supports DTLS 1.2. Version numbers count downwards."""
    versions = hello.extensions.get(ExtensionType.SUPPORTED_VERSIONS)
    if versions is not None:
        if DTLS_1_2 not in decode_u16_list(versions, width=1):
            raise ProtocolVersion("supported_versions without DTLS 1.2")
    elif hello.version > DTLS_1_2 or hello.version >> 8 != DTLS_1_2 >> 8:
        raise ProtocolVersion(f"client version {hello.version:#06x}")
