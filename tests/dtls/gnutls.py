"""GnuTLS as the other end: the system's libgnutls through ctypes.

Its timers use the wall clock, but can be set to milliseconds. The virtual clock decides when to wait for them.
"""

import ctypes
import ctypes.util
import errno
import time
from collections import deque
from functools import cache
from typing import Any, Literal

from cryptography.hazmat.primitives import serialization

from sfu.dtls import Certificate

PUSH = ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
PULL = ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
PULL_TIMEOUT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_uint)

SERVER, CLIENT, DATAGRAM, NONBLOCK = 1, 2, 4, 8
CREDENTIALS_CERTIFICATE = 1
CERTIFICATE_REQUIRED = 2
FORMAT_DER = 0
AGAIN, INTERRUPTED, WARNING_ALERT = -28, -52, -16
AES128_CM_SHA1_80 = 1
MAX_RECORDS = 16
FIRST_TIMER = 2
"""Milliseconds; GnuTLS doubles it."""


class Datum(ctypes.Structure):
    """gnutls_datum_t."""

    _fields_ = (("data", ctypes.c_char_p), ("size", ctypes.c_uint))


@cache
def libgnutls() -> Any | None:
    """The system's libgnutls with the calls used below; `None` if it is not installed."""
    name = ctypes.util.find_library("gnutls")
    if name is None:
        return None
    library = ctypes.CDLL(name)
    pointer, text, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
    number, unsigned = ctypes.c_int, ctypes.c_uint
    for function, result, arguments in (
        ("gnutls_init", number, [pointer, unsigned]),
        ("gnutls_deinit", None, [pointer]),
        ("gnutls_priority_set_direct", number, [pointer, text, pointer]),
        ("gnutls_certificate_allocate_credentials", number, [pointer]),
        ("gnutls_certificate_free_credentials", None, [pointer]),
        ("gnutls_certificate_set_x509_key_mem", number, [pointer, pointer, pointer, number]),
        ("gnutls_credentials_set", number, [pointer, number, pointer]),
        ("gnutls_certificate_server_set_request", None, [pointer, number]),
        ("gnutls_srtp_set_profile", number, [pointer, number]),
        ("gnutls_dtls_set_mtu", None, [pointer, unsigned]),
        ("gnutls_dtls_set_timeouts", None, [pointer, unsigned, unsigned]),
        ("gnutls_dtls_get_timeout", unsigned, [pointer]),
        ("gnutls_transport_set_push_function", None, [pointer, PUSH]),
        ("gnutls_transport_set_pull_function", None, [pointer, PULL]),
        ("gnutls_transport_set_pull_timeout_function", None, [pointer, PULL_TIMEOUT]),
        ("gnutls_transport_set_errno", None, [pointer, number]),
        ("gnutls_handshake", number, [pointer]),
        ("gnutls_record_recv", ctypes.c_ssize_t, [pointer, text, size]),
        ("gnutls_record_send", ctypes.c_ssize_t, [pointer, text, size]),
        ("gnutls_prf_rfc5705", number, [pointer, size, text, size, text, size, text]),
    ):
        entry = getattr(library, function)
        entry.restype, entry.argtypes = result, arguments
    return library


class GnuTlsEnd:
    """One end of a DTLS connection by GnuTLS."""

    def __init__(
        self,
        role: Literal["server", "client"],
        certificate: Certificate,
        *,
        mtu: int = 1200,
        priority: bytes = b"NORMAL:-VERS-ALL:+VERS-DTLS1.2",
    ) -> None:
        library = libgnutls()
        assert library is not None
        self._library = library
        self._session = ctypes.c_void_p()
        flags = (SERVER if role == "server" else CLIENT) | DATAGRAM | NONBLOCK
        assert library.gnutls_init(ctypes.byref(self._session), flags) == 0
        assert library.gnutls_priority_set_direct(self._session, priority, None) == 0
        self._credentials = ctypes.c_void_p()
        assert library.gnutls_certificate_allocate_credentials(ctypes.byref(self._credentials)) == 0
        key = certificate.private_key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        assert (
            library.gnutls_certificate_set_x509_key_mem(
                self._credentials,
                ctypes.byref(Datum(certificate.der, len(certificate.der))),
                ctypes.byref(Datum(key, len(key))),
                FORMAT_DER,
            )
            == 0
        )
        assert library.gnutls_credentials_set(self._session, CREDENTIALS_CERTIFICATE, self._credentials) == 0
        if role == "server":
            library.gnutls_certificate_server_set_request(self._session, CERTIFICATE_REQUIRED)
        assert library.gnutls_srtp_set_profile(self._session, AES128_CM_SHA1_80) == 0
        library.gnutls_dtls_set_mtu(self._session, mtu)
        library.gnutls_dtls_set_timeouts(self._session, FIRST_TIMER, 1_000_000)
        self._input: deque[bytes] = deque()
        self._output: list[bytes] = []
        self._callbacks = (PUSH(self._push), PULL(self._pull), PULL_TIMEOUT(lambda *_: int(bool(self._input))))
        push, pull, pull_timeout = self._callbacks
        library.gnutls_transport_set_push_function(self._session, push)
        library.gnutls_transport_set_pull_function(self._session, pull)
        library.gnutls_transport_set_pull_timeout_function(self._session, pull_timeout)
        self._timeout = 1.0
        self._deadline: float | None = None
        self.connected = False
        self.error = 0
        self.data: list[bytes] = []
        if role == "client":
            self._step(0.0)

    def free(self) -> None:
        """Free the memory."""
        self._library.gnutls_deinit(self._session)
        self._library.gnutls_certificate_free_credentials(self._credentials)

    def _push(self, _: int | None, data: int | None, size: int) -> int:
        self._output.append(ctypes.string_at(data or 0, size))
        return size

    def _pull(self, _: int | None, buffer: int | None, size: int) -> int:
        if not self._input:
            self._library.gnutls_transport_set_errno(self._session, errno.EAGAIN)
            return -1
        datagram = self._input.popleft()[:size]
        ctypes.memmove(buffer or 0, datagram, len(datagram))
        return len(datagram)

    def _step(self, now: float) -> None:
        # One call handles one record, and a datagram may have many.
        for _ in range(MAX_RECORDS):
            self._call()
        self._deadline = None if self.connected else self._deadline or now + self._timeout

    def _call(self) -> None:
        if self.connected:
            buffer = ctypes.create_string_buffer(4096)
            result = self._library.gnutls_record_recv(self._session, buffer, 4096)
            if result > 0:
                self.data.append(buffer.raw[:result])
        else:
            result = self._library.gnutls_handshake(self._session)
            if result == 0:
                self.connected = True
        if result < 0 and result not in (AGAIN, INTERRUPTED, WARNING_ALERT):
            self.error = result

    def receive(self, data: bytes, now: float) -> None:
        """Take a datagram."""
        if self.connected:
            # A server answers a retransmitted Finished only after its real timer has expired.
            self._wait()
        self._input.append(data)
        self._step(now)

    def _wait(self) -> None:
        time.sleep((self._library.gnutls_dtls_get_timeout(self._session) + 1) / 1000)

    def outgoing(self, now: float) -> list[bytes]:
        """The datagrams that GnuTLS has sent."""
        datagrams, self._output = self._output, []
        return datagrams

    def next_timeout(self) -> float | None:
        """The virtual time at which GnuTLS's timer expires."""
        return self._deadline

    def handle_timeout(self, now: float) -> None:
        """Wait for the real timer and let GnuTLS retransmit."""
        if self._deadline is None or now < self._deadline:
            return
        self._wait()
        self._timeout = min(2 * self._timeout, 60.0)
        self._deadline = now + self._timeout
        self._step(now)

    def send(self, data: bytes) -> None:
        """Send data."""
        assert self._library.gnutls_record_send(self._session, data, len(data)) == len(data)

    def export(self, label: bytes, length: int) -> bytes:
        """Export keying material (RFC 5705) without a context."""
        output = ctypes.create_string_buffer(length)
        assert self._library.gnutls_prf_rfc5705(self._session, len(label), label, 0, None, length, output) == 0
        return output.raw[:length]
