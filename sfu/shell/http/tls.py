"""The TLS certificate of the public port, which is read again while the server runs.

The files are read again when they have changed, and when SIGHUP asks for it. Each read makes a new context, so
that a wrong file cannot harm the context in use: OpenSSL drops the old key when it loads a certificate that the
key does not fit. New connections use the new context, and existing ones keep theirs.
"""

import ssl
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import trio
from cryptography import x509

from sfu.shell.backoff import ReportTimes
from sfu.shell.config.settings import ConfigError, Settings
from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS, Timeouts
from sfu.shell.logs import get_logger

log = get_logger(__name__)

WARN_BEFORE: Final = timedelta(days=14)
"""Time before a certificate's expiry from which the log warns. ACME clients renew one of 90 days after 60."""

WARN_SHARE: Final = 6
"""A certificate that is valid for a few days is warned about in the last sixth of that time only."""


class Validity(NamedTuple):
    """From when and until when a certificate is valid."""

    begin: datetime
    end: datetime


class TlsMaterial(NamedTuple):
    """What one read of the files has given."""

    context: ssl.SSLContext
    validity: Validity | None
    """`None` if OpenSSL accepts the certificate and our library cannot parse it."""


@dataclass(frozen=True, slots=True)
class TlsStatistics:
    """How the reads of the certificate went, and how long it is valid."""

    reads: Mapping[str, int]
    """Reads by result: ``ok`` or ``error``."""
    remaining: float | None
    """Seconds until the certificate expires, negative afterwards; `None` if that is not known."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class TlsCertificate:
    """A certificate chain and its key, from two files. `run` keeps up with changes of the files."""

    def __init__(
        self,
        cert: Path,
        key: Path,
        *,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        """Read the files. Raises `ConfigError`."""
        self._cert = cert
        self._key = key
        self._timeouts = timeouts
        self._now = now
        # Before the read: a change in between makes another read necessary.
        self._state = _state_of(cert, key)
        self._current = _read(cert, key)
        self._reads = Counter(ok=1)
        self._requested = trio.Event()
        self._reports = ReportTimes(timeouts.certificate_report)

    @property
    def context(self) -> ssl.SSLContext:
        """The context for the next connection."""
        return self._current.context

    def read_again(self) -> None:
        """Make `run` read the files now, whether they have changed or not."""
        self._requested.set()

    async def run(self) -> None:
        """Read the files again whenever that is due, until cancelled. A failed read changes nothing."""
        while True:
            self._warn_of_expiry()
            with trio.move_on_after(self._timeouts.certificate_poll):
                await self._requested.wait()
            try:
                await self._refresh()
            except ConfigError as error:
                self._reads["error"] += 1
                log.error("TLS certificate cannot be read: the old one stays in use", reason=str(error))
            except Exception:
                self._reads["error"] += 1
                log.exception("reading the TLS certificate failed")

    async def _refresh(self) -> None:
        """Read the files if they have changed or `read_again` was called. Raises `ConfigError`."""
        requested = self._requested.is_set()
        self._requested = trio.Event()
        # In a thread: a network file system may be slow.
        state = await trio.to_thread.run_sync(_state_of, self._cert, self._key, abandon_on_cancel=True)
        if not requested and state == self._state:
            return
        self._state = state
        self._current = await trio.to_thread.run_sync(_read, self._cert, self._key, abandon_on_cancel=True)
        self._reads["ok"] += 1
        self._reports.clear()
        validity = self._current.validity
        expires = None if validity is None else validity.end.isoformat()
        log.info("TLS certificate read again", cert=str(self._cert), expires=expires)

    def _warn_of_expiry(self) -> None:
        """Log once a day that the certificate expires soon, or that it has expired."""
        validity = self._current.validity
        if validity is None:
            return
        remaining = validity.end - self._now()
        if remaining >= min(WARN_BEFORE, (validity.end - validity.begin) / WARN_SHARE):
            return
        if self._reports.is_due("expiry", trio.current_time()):
            cert, expires = str(self._cert), validity.end.isoformat()
            if remaining > timedelta(0):
                log.warning("TLS certificate expires soon", cert=cert, expires=expires)
            else:
                log.error("TLS certificate has expired", cert=cert, expires=expires)

    def statistics(self) -> TlsStatistics:
        """Return the counts so far, and the time that is left."""
        validity = self._current.validity
        remaining = None if validity is None else (validity.end - self._now()).total_seconds()
        return TlsStatistics(dict(self._reads), remaining)


class TlsListener(trio.abc.Listener[trio.SSLStream[trio.SocketStream]]):
    """Accepts TLS connections, each with the certificate that is current then."""

    def __init__(self, transport_listener: trio.SocketListener, certificate: TlsCertificate) -> None:
        self.transport_listener = transport_listener
        self._certificate = certificate

    async def accept(self) -> trio.SSLStream[trio.SocketStream]:
        """Accept a connection. The handshake happens at its first read."""
        stream = await self.transport_listener.accept()
        return trio.SSLStream(stream, self._certificate.context, server_side=True, https_compatible=True)

    async def aclose(self) -> None:
        """Accept no more connections."""
        await self.transport_listener.aclose()


def certificate_from(settings: Settings, timeouts: Timeouts = DEFAULT_TIMEOUTS) -> TlsCertificate | None:
    """Read the certificate that the settings name; `None` if they name none. Raises `ConfigError`."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return TlsCertificate(settings.tls_cert, settings.tls_key, timeouts=timeouts)


def _read(cert: Path, key: Path) -> TlsMaterial:
    """Read a certificate chain and its key. Raises `ConfigError`."""

    def refuse() -> str:
        # Otherwise OpenSSL would ask for the passphrase on the terminal, and the start would hang.
        raise ConfigError(f"SFU_TLS_KEY={key}: expected a key without a passphrase")

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(cert, key, refuse)
        return TlsMaterial(context, _validity(cert.read_bytes()))
    except OSError as error:
        expected = "expected a certificate chain and its private key, both PEM"
        # The error does not say which of the two files is wrong.
        raise ConfigError(f"SFU_TLS_CERT={cert}, SFU_TLS_KEY={key}: {error.strerror}; {expected}") from error


def _validity(chain: bytes) -> Validity | None:
    """Return when the server's own certificate is valid. It is the first of the chain."""
    try:
        first = x509.load_pem_x509_certificates(chain)[0]
    except (ValueError, x509.InvalidVersion):
        return None
    return Validity(first.not_valid_before_utc, first.not_valid_after_utc)


def _state_of(*files: Path) -> tuple[tuple[int, int, int, int] | None, ...]:
    """Return what changes when one of the files does. Links are followed: ACME clients replace links."""
    return tuple(map(_file_state, files))


def _file_state(file: Path) -> tuple[int, int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    # Renaming a file onto another keeps its modification time; a change of rights may make a file readable.
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
