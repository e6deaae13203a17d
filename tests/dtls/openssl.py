"""OpenSSL as the other end, through pyOpenSSL and memory BIOs (no loss), or through libssl itself (with loss).

pyOpenSSL cannot set DTLS's timers, which run on the wall clock from one second up. For tests with loss the
system's libssl is called by ctypes, because it can: its timer is set to a few milliseconds, and the virtual
clock decides when to wait for it.
"""

import ctypes
import ctypes.util
import time
from functools import cache
from typing import Any, Literal

from cryptography.hazmat.primitives import serialization
from cryptography.x509 import load_der_x509_certificate
from OpenSSL import SSL

from sfu.dtls import Certificate
from sfu.dtls.record import parse_record

BOTH_PROFILES = b"SRTP_AEAD_AES_128_GCM:SRTP_AEAD_AES_256_GCM:SRTP_AES128_CM_SHA1_80"


def records(datagram: bytes) -> list[bytes]:
    """Split a datagram into its records."""
    found, offset = [], 0
    while offset < len(datagram):
        _, end = parse_record(datagram, offset)
        found.append(datagram[offset:end])
        offset = end
    return found


class PyOpenSslEnd:
    """One end of a DTLS connection by pyOpenSSL, without timers."""

    def __init__(
        self,
        role: Literal["server", "client"],
        certificate: Certificate,
        *,
        profiles: bytes = BOTH_PROFILES,
        ciphers: bytes | None = None,
        ask_certificate: bool = True,
        cookie: bool = False,
    ) -> None:
        context = SSL.Context(SSL.DTLS_METHOD)
        context.use_certificate(load_der_x509_certificate(certificate.der))
        context.use_privatekey(certificate.private_key)
        if ask_certificate:
            context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
        if profiles:
            context.set_tlsext_use_srtp(profiles)
        if ciphers is not None:
            context.set_cipher_list(ciphers)
        self._listening = cookie
        context.set_cookie_generate_callback(lambda _: b"an OpenSSL cookie")
        context.set_cookie_verify_callback(lambda _, returned: returned == b"an OpenSSL cookie")
        self.key_log: list[str] = []
        context.set_keylog_callback(lambda _, line: self.key_log.append(line.decode()))
        self.ssl = SSL.Connection(context, None)
        if role == "client":
            self.ssl.set_connect_state()
        else:
            self.ssl.set_accept_state()
        self.connected = False
        self.closed = False
        self.error: SSL.Error | None = None
        self.data: list[bytes] = []
        if role == "client":
            self._step()

    def _step(self) -> None:
        try:
            if self._listening:
                self.ssl.DTLSv1_listen()  # raises until a ClientHello has the cookie
                self._listening = False
            if not self.connected:
                self.ssl.do_handshake()
                self.connected = True
            while True:
                self.data.append(self.ssl.recv(65536))
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.closed = True
        except SSL.Error as error:
            self.error = error

    def receive(self, data: bytes, now: float) -> None:
        """Take a datagram."""
        self.ssl.bio_write(data)
        self._step()

    def outgoing(self, now: float) -> list[bytes]:
        """What OpenSSL has written. The memory BIO joins its datagrams into one."""
        try:
            return [self.ssl.bio_read(65536)]
        except SSL.WantReadError:
            return []

    def next_timeout(self) -> float | None:
        """No timers."""
        return None

    def handle_timeout(self, now: float) -> None:
        """No timers."""


TIMER = ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_void_p, ctypes.c_uint)
VERIFY = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p)
TIMER_MICROSECONDS = 35_000
"""OpenSSL treats a timer that expires within 15 ms as expired, so this is 20 ms."""
SSL_ERROR_WANT_READ = 2
SSL_VERIFY_PEER_STRICT = 3
DTLS_CTRL_GET_TIMEOUT = 73
DTLS_CTRL_HANDLE_TIMEOUT = 74
SSL_OP_NO_QUERY_MTU = 0x1000
SSL_CTRL_SET_MTU = 17


@cache
def libssl() -> Any | None:
    """The system's libssl with the calls used below; `None` without a new enough version."""
    name = ctypes.util.find_library("ssl")
    if name is None:
        return None
    library = ctypes.CDLL(name)
    if not hasattr(library, "DTLS_set_timer_cb"):
        return None
    pointer, text, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
    number, long = ctypes.c_int, ctypes.c_long
    for function, result, arguments in (
        ("DTLS_method", pointer, []),
        ("SSL_CTX_new", pointer, [pointer]),
        ("SSL_CTX_free", None, [pointer]),
        ("SSL_CTX_use_certificate_ASN1", number, [pointer, number, text]),
        ("SSL_CTX_use_PrivateKey_ASN1", number, [number, pointer, text, long]),
        ("SSL_CTX_set_verify", None, [pointer, number, VERIFY]),
        ("SSL_CTX_set_tlsext_use_srtp", number, [pointer, text]),
        ("SSL_new", pointer, [pointer]),
        ("SSL_free", None, [pointer]),
        ("SSL_set_bio", None, [pointer, pointer, pointer]),
        ("SSL_set_options", ctypes.c_uint64, [pointer, ctypes.c_uint64]),
        ("SSL_ctrl", long, [pointer, number, long, pointer]),
        ("SSL_set_connect_state", None, [pointer]),
        ("SSL_set_accept_state", None, [pointer]),
        ("SSL_do_handshake", number, [pointer]),
        ("SSL_read", number, [pointer, pointer, number]),
        ("SSL_get_error", number, [pointer, number]),
        ("SSL_export_keying_material", number, [pointer, text, size, text, size, text, size, number]),
        ("DTLS_set_timer_cb", None, [pointer, TIMER]),
        ("BIO_new", pointer, [pointer]),
        ("BIO_s_mem", pointer, []),
        ("BIO_read", number, [pointer, text, number]),
        ("BIO_write", number, [pointer, text, number]),
        ("ERR_clear_error", None, []),
    ):  # fmt: skip
        entry = getattr(library, function)
        entry.restype, entry.argtypes = result, arguments
    return library


class LibSslEnd:
    """One end of a DTLS connection by libssl, which retransmits when the virtual clock says so."""

    def __init__(self, role: Literal["server", "client"], certificate: Certificate, *, mtu: int = 1200) -> None:
        library = libssl()
        assert library is not None
        self._library = library
        self._context = library.SSL_CTX_new(library.DTLS_method())
        key = certificate.private_key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        assert library.SSL_CTX_use_certificate_ASN1(self._context, len(certificate.der), certificate.der) == 1
        assert library.SSL_CTX_use_PrivateKey_ASN1(408, self._context, key, len(key)) == 1  # EVP_PKEY_EC
        self._verify = VERIFY(lambda *_: 1)
        library.SSL_CTX_set_verify(self._context, SSL_VERIFY_PEER_STRICT, self._verify)
        assert library.SSL_CTX_set_tlsext_use_srtp(self._context, BOTH_PROFILES) == 0
        self._ssl = library.SSL_new(self._context)
        self._input = library.BIO_new(library.BIO_s_mem())
        self._output = library.BIO_new(library.BIO_s_mem())
        library.SSL_set_bio(self._ssl, self._input, self._output)
        library.SSL_set_options(self._ssl, SSL_OP_NO_QUERY_MTU)
        library.SSL_ctrl(self._ssl, SSL_CTRL_SET_MTU, mtu, None)
        self._mtu = mtu
        self._timer = TIMER(lambda *_: TIMER_MICROSECONDS)
        library.DTLS_set_timer_cb(self._ssl, self._timer)
        self._timeout = 1.0
        self._deadline: float | None = None
        self.connected = False
        self.error = 0
        if role == "client":
            library.SSL_set_connect_state(self._ssl)
            self._step(0.0)
        else:
            library.SSL_set_accept_state(self._ssl)

    def free(self) -> None:
        """Free the memory."""
        self._library.SSL_free(self._ssl)
        self._library.SSL_CTX_free(self._context)

    def _step(self, now: float) -> None:
        library = self._library
        library.ERR_clear_error()
        if self.connected:
            buffer = ctypes.create_string_buffer(4096)
            result = library.SSL_read(self._ssl, buffer, 4096)
        else:
            result = library.SSL_do_handshake(self._ssl)
        if result <= 0:
            error = library.SSL_get_error(self._ssl, result)
            if error != SSL_ERROR_WANT_READ:
                self.error = error
        elif not self.connected:
            self.connected = True
            self._timeout = 1.0
        remaining = (ctypes.c_long * 2)()
        running = library.SSL_ctrl(self._ssl, DTLS_CTRL_GET_TIMEOUT, 0, remaining)
        self._deadline = None if not running else self._deadline or now + self._timeout

    def receive(self, data: bytes, now: float) -> None:
        """Take a datagram."""
        self._library.BIO_write(self._input, data, len(data))
        self._step(now)

    def outgoing(self, now: float) -> list[bytes]:
        """The records that OpenSSL has written, packed into datagrams."""
        buffer = ctypes.create_string_buffer(65536)
        size = self._library.BIO_read(self._output, buffer, 65536)
        if size <= 0:
            return []
        datagrams = [b""]
        for record in records(buffer.raw[:size]):
            if len(datagrams[-1]) + len(record) > self._mtu:
                datagrams.append(b"")
            datagrams[-1] += record
        return datagrams

    def next_timeout(self) -> float | None:
        """The virtual time at which OpenSSL's timer expires."""
        return self._deadline

    def handle_timeout(self, now: float) -> None:
        """Wait for the real timer (20 ms at most) and let OpenSSL retransmit."""
        if self._deadline is None or now < self._deadline:
            return
        time.sleep(0.021)
        self._library.SSL_ctrl(self._ssl, DTLS_CTRL_HANDLE_TIMEOUT, 0, None)
        self._timeout = min(2 * self._timeout, 60.0)
        self._deadline = now + self._timeout
        self._step(now)

    def export(self, label: bytes, length: int) -> bytes:
        """Export keying material (RFC 5705) without a context."""
        output = ctypes.create_string_buffer(length)
        done = self._library.SSL_export_keying_material(
            self._ssl, output, length, label, len(label), None, 0, 0
        )
        assert done == 1
        return output.raw[:length]
