"""Mbed TLS as the other end, through a small C program (mbedtls_end.c) that is compiled on demand.

Its timers, datagrams, time and random bytes can all be replaced. So unlike OpenSSL and GnuTLS it never waits,
and the same seed sends the same bytes.
"""

import ctypes
import shutil
import subprocess
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from cryptography.hazmat.primitives import serialization

from sfu.dtls import Certificate
from sfu.dtls.groups import GROUPS

SOURCE = Path(__file__).with_name("mbedtls_end.c")

PROBE = """
#include <mbedtls/version.h>
#if MBEDTLS_VERSION_MAJOR != 2 || MBEDTLS_VERSION_MINOR != 28 || !defined MBEDTLS_SSL_DTLS_SRTP
#error
#endif
"""
"""Compiles only with the version that the program is written for. Version 3 has other names."""

COMPILE = ("cc", "-std=c11", "-Wall", "-Wextra", "-O1", "-shared", "-fPIC")
LINK = (
    # Linked statically, so that its calls of time() call our function; hidden, so that other code is
    # unaffected.
    "-Wl,--wrap=time",
    "-Wl,--exclude-libs,ALL",
    "-Wl,-Bstatic",
    "-lmbedtls",
    "-lmbedx509",
    "-lmbedcrypto",
    "-Wl,-Bdynamic",
)

WANT_READ = -0x6900
FATAL_ALERT = -0x7780
PEER_CLOSED = -0x7880
CERTIFICATE_REFUSED = -0x2700

AES128_CM_SHA1_80, AES128_CM_SHA1_32 = 1, 2
"""SRTP protection profiles by their numbers in use_srtp. Mbed TLS supports none with AES-GCM."""

MAX_CALLS = 16
"""The most library calls for one datagram: one for each record, and one for an expired timer."""
MAX_CERTIFICATE = 4096
MAX_DATA = 16384
MAX_OUTPUT = 65536


class Options(ctypes.Structure):
    """``struct options``."""

    _fields_ = (
        ("server", ctypes.c_int),
        ("cookies", ctypes.c_int),
        ("ask_certificate", ctypes.c_int),
        ("extended_master_secret", ctypes.c_int),
        ("mtu", ctypes.c_int),
        ("certificate", ctypes.c_char_p),
        ("certificate_length", ctypes.c_size_t),
        ("key", ctypes.c_char_p),
        ("key_length", ctypes.c_size_t),
        ("peer_sha256", ctypes.c_char_p),
        ("suites", ctypes.POINTER(ctypes.c_int)),
        ("groups", ctypes.POINTER(ctypes.c_int)),
        ("profiles", ctypes.POINTER(ctypes.c_int)),
        ("seed", ctypes.c_char_p),
        ("seed_length", ctypes.c_size_t),
    )


def missing() -> str | None:
    """Return what is missing on this machine, or `None`."""
    if shutil.which("cc") is None:
        return "no C compiler (apt-get install gcc libc6-dev)"
    probe = subprocess.run(["cc", "-E", "-x", "c", "-"], input=PROBE.encode(), capture_output=True)
    return None if probe.returncode == 0 else "no Mbed TLS 2.28 with DTLS-SRTP (apt-get install libmbedtls-dev)"


def build(folder: Path) -> Any:
    """Compile the program into a folder, and load it."""
    path = folder / "mbedtls_end.so"
    subprocess.run([*COMPILE, "-o", path, SOURCE, *LINK], check=True)
    library = ctypes.CDLL(str(path))
    pointer, text, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
    number, seconds = ctypes.c_int, ctypes.c_double
    for function, result, arguments in (
        ("end_new", pointer, [pointer, pointer]),
        ("end_free", None, [pointer]),
        ("end_set_now", None, [pointer, seconds]),
        ("end_put", number, [pointer, text, size]),
        ("end_has_input", number, [pointer]),
        ("end_handshake", number, [pointer]),
        ("end_read", number, [pointer, text, size]),
        ("end_write", number, [pointer, text, size]),
        ("end_close", number, [pointer]),
        ("end_send_alert", number, [pointer, number, number]),
        ("end_received_alert", number, [pointer]),
        ("end_take", size, [pointer, text]),
        ("end_deadline", seconds, [pointer]),
        ("end_profile", number, [pointer]),
        ("end_peer_certificate", size, [pointer, text, size]),
        ("end_export", number, [pointer, text, text, size]),
    ):
        entry = getattr(library, function)
        entry.restype, entry.argtypes = result, arguments
    return library


def _codes(numbers: Sequence[int]) -> "ctypes.Array[ctypes.c_int]":
    return (ctypes.c_int * (len(numbers) + 1))(*numbers)


class MbedTlsEnd:
    """One end of a DTLS connection by Mbed TLS."""

    def __init__(
        self,
        library: Any,
        role: Literal["server", "client"],
        certificate: Certificate,
        *,
        seed: int = 0,
        mtu: int = 1200,
        cookies: bool = False,
        ask_certificate: bool = True,
        extended_master_secret: bool = True,
        peer_sha256: bytes | None = None,
        suites: Sequence[int] = (),
        groups: Sequence[int] = tuple(GROUPS),
        profiles: Sequence[int] = (AES128_CM_SHA1_80,),
    ) -> None:
        """Without `suites` the library uses its own. `peer_sha256` is the required fingerprint."""
        key = certificate.private_key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        random = b"Mbed TLS %d" % seed
        options = Options(
            server=role == "server",
            cookies=cookies,
            ask_certificate=ask_certificate,
            extended_master_secret=extended_master_secret,
            mtu=mtu,
            certificate=certificate.der,
            certificate_length=len(certificate.der),
            key=key,
            key_length=len(key),
            peer_sha256=peer_sha256,
            suites=_codes(suites),
            groups=_codes(groups),
            profiles=_codes(profiles),
            seed=random,
            seed_length=len(random),
        )
        self._library = library
        error = ctypes.c_int()
        self._end = library.end_new(ctypes.byref(options), ctypes.byref(error))
        assert error.value == 0, f"Mbed TLS says {error.value:#x}"
        self._output: deque[bytes] = deque()
        self.connected = False
        self.error = 0
        """The first error of Mbed TLS. After it the end does nothing."""
        self.alert: int | None = None
        """The peer's fatal alert, if that was the error."""
        self.data: list[bytes] = []
        if role == "client":
            self._step()

    def free(self) -> None:
        """Free the memory."""
        self._library.end_free(self._end)

    def _step(self) -> None:
        for _ in range(MAX_CALLS):
            if self.error or (self._call() == WANT_READ and not self._library.end_has_input(self._end)):
                break
        else:
            raise AssertionError("Mbed TLS needs too many calls for one datagram")
        self._take()

    def _call(self) -> int:
        if self.connected:
            buffer = ctypes.create_string_buffer(MAX_DATA)
            result: int = self._library.end_read(self._end, buffer, MAX_DATA)
            if result > 0:
                self.data.append(buffer.raw[:result])
        else:
            result = self._library.end_handshake(self._end)
            self.connected = result == 0
        if result < 0 and result != WANT_READ:
            self.error = result
            self.alert = self._library.end_received_alert(self._end) if result == FATAL_ALERT else None
        return result

    def _take(self) -> None:
        buffer = ctypes.create_string_buffer(MAX_OUTPUT)
        length = self._library.end_take(self._end, buffer)
        written = buffer.raw[:length]
        while written:
            end = 2 + int.from_bytes(written[:2], "big")
            self._output.append(written[2:end])
            written = written[end:]

    def receive(self, data: bytes, now: float) -> None:
        """Take a datagram."""
        if self.error:
            return
        self._library.end_set_now(self._end, now)
        assert self._library.end_put(self._end, data, len(data)) == 0
        self._step()

    def outgoing(self, now: float) -> list[bytes]:
        """The datagrams that Mbed TLS has sent."""
        datagrams = list(self._output)
        self._output.clear()
        return datagrams

    def next_timeout(self) -> float | None:
        """The time at which its timer expires."""
        deadline: float = self._library.end_deadline(self._end)
        return None if self.error or deadline < 0 else deadline

    def handle_timeout(self, now: float) -> None:
        """Let Mbed TLS check its timer."""
        self._library.end_set_now(self._end, now)
        self._step()

    def send(self, data: bytes) -> None:
        """Send data."""
        assert self._library.end_write(self._end, data, len(data)) == len(data)
        self._take()

    def close(self) -> None:
        """Send close_notify."""
        assert self._library.end_close(self._end) == 0
        self._take()

    def send_alert(self, level: int, description: int) -> None:
        """Send an alert."""
        assert self._library.end_send_alert(self._end, level, description) == 0
        self._take()

    @property
    def srtp_profile(self) -> int:
        """The negotiated profile; 0 for none."""
        profile: int = self._library.end_profile(self._end)
        return profile

    @property
    def peer_certificate(self) -> bytes:
        """DER; empty if the peer sent no certificate."""
        buffer = ctypes.create_string_buffer(MAX_CERTIFICATE)
        length: int = self._library.end_peer_certificate(self._end, buffer, MAX_CERTIFICATE)
        return buffer.raw[:length]

    def export(self, label: bytes, length: int) -> bytes:
        """Export keying material (RFC 5705) without a context."""
        buffer = ctypes.create_string_buffer(length)
        assert self._library.end_export(self._end, label, buffer, length) == 0
        return buffer.raw[:length]
