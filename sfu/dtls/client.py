"""The client's side of the handshake. The figure is in `sfu.dtls.server`."""

from enum import Enum
from typing import ClassVar

from sfu.dtls.alerts import (
    DecodeError,
    HandshakeFailure,
    IllegalParameter,
    ProtocolVersion,
    UnsupportedExtension,
)
from sfu.dtls.certificate import public_key_of
from sfu.dtls.configuration import DtlsConfiguration
from sfu.dtls.extensions import (
    EMPTY_RENEGOTIATION_INFO,
    Extensions,
    ExtensionType,
    UseSrtp,
    check_point_formats,
    check_renegotiation_info,
    encode_point_formats,
    encode_u16_list,
)
from sfu.dtls.flights import ChangeCipherSpec, Flight
from sfu.dtls.fragments import HandshakeMessage
from sfu.dtls.groups import KeyShare
from sfu.dtls.handshake import (
    Handshake,
    HandshakeTable,
    HandshakeTransition,
    known_scheme,
    negotiate,
)
from sfu.dtls.keys import RANDOM_LENGTH
from sfu.dtls.messages import (
    NULL_COMPRESSION,
    CertificateChain,
    CertificateRequest,
    CertificateVerify,
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


class ClientState(Enum):
    """The message that the client waits for."""

    START = "not started"
    FIRST_SERVER_HELLO = "HelloVerifyRequest or ServerHello"
    SERVER_HELLO = "ServerHello"
    CERTIFICATE = "Certificate"
    SERVER_KEY_EXCHANGE = "ServerKeyExchange"
    CERTIFICATE_REQUEST = "CertificateRequest or ServerHelloDone"
    SERVER_HELLO_DONE = "ServerHelloDone"
    FINISHED = "Finished"
    CONNECTED = "nothing more"


class ClientHandshake(Handshake):
    """The client's handshake."""

    server = False
    done = ClientState.CONNECTED

    def __init__(self, configuration: DtlsConfiguration) -> None:
        super().__init__(configuration, ClientState.START)
        self._client_random = configuration.random(RANDOM_LENGTH)
        self._server_random = b""
        self._offered: Extensions = {}
        self._server_public = b""
        self._scheme: SignatureScheme | None = None

    def start(self) -> Flight:
        """Return the first flight."""
        self.state = ClientState.FIRST_SERVER_HELLO
        self._offered = self._offer()
        return self._hello(cookie=b"")

    def _offer(self) -> Extensions:
        configuration = self.configuration
        groups = tuple(group.code for group in configuration.groups)
        offer: Extensions = {
            ExtensionType.EXTENDED_MASTER_SECRET: b"",
            ExtensionType.RENEGOTIATION_INFO: EMPTY_RENEGOTIATION_INFO,
            ExtensionType.SUPPORTED_GROUPS: encode_u16_list(groups),
            ExtensionType.EC_POINT_FORMATS: encode_point_formats(),
            ExtensionType.SIGNATURE_ALGORITHMS: encode_u16_list(tuple(SCHEMES)),
        }
        if configuration.srtp_profiles:
            offer[ExtensionType.USE_SRTP] = UseSrtp(tuple(configuration.srtp_profiles)).encode()
        return offer

    def _hello(self, cookie: bytes) -> Flight:
        suites = tuple(suite.code for suite in self.configuration.suites)
        hello = ClientHello(self._client_random, suites, self._offered, cookie)
        return Flight([self._message(HandshakeType.CLIENT_HELLO, hello)])

    def _hello_verify_request(self, body: bytes) -> Flight:
        request = HelloVerifyRequest.parse(body)
        self._restart_transcript()
        # RFC 6347 section 4.2.1: the second ClientHello differs from the first only in the cookie.
        return self._hello(request.cookie)

    def _server_hello(self, body: bytes) -> None:
        hello = ServerHello.parse(body)
        if hello.version != DTLS_1_2:
            raise ProtocolVersion(f"server version {hello.version:#06x}")
        if hello.compression_method != NULL_COMPRESSION:
            raise IllegalParameter(f"compression method {hello.compression_method}")
        for code in hello.extensions:
            if code not in self._offered:
                raise UnsupportedExtension(f"extension {code}")
        if ExtensionType.EXTENDED_MASTER_SECRET not in hello.extensions:
            # RFC 7627 section 5.2 allows a client to require it.
            raise HandshakeFailure("no extended_master_secret")
        if ExtensionType.EC_POINT_FORMATS in hello.extensions:
            check_point_formats(hello.extensions[ExtensionType.EC_POINT_FORMATS])
        if ExtensionType.RENEGOTIATION_INFO in hello.extensions:
            check_renegotiation_info(hello.extensions[ExtensionType.RENEGOTIATION_INFO])
        error = IllegalParameter(f"cipher suite {hello.cipher_suite:#06x} was not offered")
        self.suite = negotiate(self.configuration.suites, (hello.cipher_suite,), error)
        self.srtp_profile = self._chosen_srtp_profile(hello.extensions)
        self._server_random = hello.random

    def _chosen_srtp_profile(self, extensions: Extensions) -> SrtpProtectionProfile | None:
        supported = self.configuration.srtp_profiles
        if not supported:
            return None
        content = extensions.get(ExtensionType.USE_SRTP)
        if content is None:
            raise HandshakeFailure("no use_srtp")
        chosen = UseSrtp.decode(content)
        if len(chosen.profiles) != 1:
            # RFC 5764 section 4.1.1: the server names exactly one, the chosen profile.
            raise DecodeError(f"{len(chosen.profiles)} SRTP protection profiles")
        if chosen.mki:
            # RFC 5764 section 4.1.3: it must equal the MKI that we offered, which was empty.
            raise IllegalParameter("an MKI that was not offered")
        error = IllegalParameter(f"SRTP protection profile {chosen.profiles[0]:#06x} was not offered")
        return negotiate(supported, chosen.profiles, error)

    def _certificate(self, body: bytes) -> None:
        assert self.suite is not None, "ServerHello came before"
        chain = CertificateChain.parse(body).certificates
        if not chain:
            # RFC 5246 section 7.4.2: only a client's list may be empty.
            raise DecodeError("no server certificate")
        self.peer_certificate = chain[0]
        self.peer_key = public_key_of(chain[0])
        if key_kind(self.peer_key) != self.suite.key_kind:
            raise IllegalParameter(f"{key_kind(self.peer_key)} certificate for {self.suite.name}")

    def _server_key_exchange(self, body: bytes) -> None:
        assert self.peer_key is not None, "Certificate came before"
        exchange = ServerKeyExchange.parse(body)
        error = IllegalParameter(f"group {exchange.group} was not offered")
        self.group = negotiate(self.configuration.groups, (exchange.group,), error)
        signed = self._client_random + self._server_random + exchange.parameters()
        known_scheme(exchange.scheme).verify(self.peer_key, exchange.signature, signed)
        self._server_public = exchange.public

    def _certificate_request(self, body: bytes) -> None:
        request = CertificateRequest.parse(body)
        kind = key_kind(self.configuration.certificate.private_key)
        error = HandshakeFailure(f"the server accepts no {kind} signature of ours")
        self._scheme = negotiate(schemes_for(kind), request.schemes, error)

    def _server_hello_done(self, body: bytes) -> Flight:
        ServerHelloDone.parse(body)
        assert self.group is not None, "ServerKeyExchange came before"
        messages: list[HandshakeMessage | ChangeCipherSpec] = []
        if self._scheme is not None:
            chain = CertificateChain((self.configuration.certificate.der,))
            messages.append(self._message(HandshakeType.CERTIFICATE, chain))
        share: KeyShare = self.group.share(self.configuration.random)
        messages.append(self._message(HandshakeType.CLIENT_KEY_EXCHANGE, ClientKeyExchange(share.public)))
        premaster = share.exchange(self._server_public)
        self._derive_secrets(premaster, self._client_random, self._server_random)
        if self._scheme is not None:
            signature = self._scheme.sign(self.configuration.certificate.private_key, bytes(self._transcript))
            proof = CertificateVerify(self._scheme.code, signature)
            messages.append(self._message(HandshakeType.CERTIFICATE_VERIFY, proof))
        messages += self._send_finished()
        self._start_protection()
        return Flight(messages)

    def _finished(self, body: bytes) -> None:
        self._check_finished(body)

    table: ClassVar[HandshakeTable] = {
        (ClientState.FIRST_SERVER_HELLO, HandshakeType.HELLO_VERIFY_REQUEST): HandshakeTransition(
            _hello_verify_request, ClientState.SERVER_HELLO
        ),
        (ClientState.FIRST_SERVER_HELLO, HandshakeType.SERVER_HELLO): HandshakeTransition(
            _server_hello, ClientState.CERTIFICATE
        ),
        (ClientState.SERVER_HELLO, HandshakeType.SERVER_HELLO): HandshakeTransition(
            _server_hello, ClientState.CERTIFICATE
        ),
        (ClientState.CERTIFICATE, HandshakeType.CERTIFICATE): HandshakeTransition(
            _certificate, ClientState.SERVER_KEY_EXCHANGE
        ),
        (ClientState.SERVER_KEY_EXCHANGE, HandshakeType.SERVER_KEY_EXCHANGE): HandshakeTransition(
            _server_key_exchange, ClientState.CERTIFICATE_REQUEST
        ),
        (ClientState.CERTIFICATE_REQUEST, HandshakeType.CERTIFICATE_REQUEST): HandshakeTransition(
            _certificate_request, ClientState.SERVER_HELLO_DONE
        ),
        (ClientState.CERTIFICATE_REQUEST, HandshakeType.SERVER_HELLO_DONE): HandshakeTransition(
            _server_hello_done, ClientState.FINISHED
        ),
        (ClientState.SERVER_HELLO_DONE, HandshakeType.SERVER_HELLO_DONE): HandshakeTransition(
            _server_hello_done, ClientState.FINISHED
        ),
        (ClientState.FINISHED, HandshakeType.FINISHED): HandshakeTransition(_finished, ClientState.CONNECTED),
    }
