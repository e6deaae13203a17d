"""What systemd is told about this process: that it is ready, that it stops, and that its event loop runs.

This is the protocol of sd_notify(3): a datagram with one assignment, to the socket that ``NOTIFY_SOCKET``
names. Without that variable nothing is sent.
"""

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import trio

from sfu.shell.backoff import ReportTimes
from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS, Timeouts
from sfu.shell.logs import get_logger

READY: Final = b"READY=1"
STOPPING: Final = b"STOPPING=1"
WATCHDOG: Final = b"WATCHDOG=1"

log = get_logger(__name__)


class Systemd:
    """The service manager that started this process, if one did."""

    def __init__(
        self, sock: socket.socket, environ: Mapping[str, str], timeouts: Timeouts = DEFAULT_TIMEOUTS
    ) -> None:
        """`sock` is an unconnected, non-blocking datagram socket. `environ` is what systemd has set."""
        self._socket = sock
        self._address = _address(environ)
        self._interval = _watchdog_interval(environ)
        self._timeouts = timeouts
        self._reports = ReportTimes(timeouts.report_interval)

    @classmethod
    @contextmanager
    def open(
        cls, environ: Mapping[str, str] = os.environ, timeouts: Timeouts = DEFAULT_TIMEOUTS
    ) -> Iterator["Systemd"]:
        """Open the socket for as long as the block lasts.

        One socket, so that a process without free file descriptors can still answer the watchdog. It is not
        connected, because systemd binds its own again when it is updated.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
            yield cls(sock, environ, timeouts)

    async def notify(self, message: bytes) -> None:
        """Send a message. A failure is logged and has no other consequence here."""
        await trio.lowlevel.checkpoint()
        if self._address is None:
            return
        try:
            with trio.fail_after(self._timeouts.systemd_notify):
                await self._send(message, self._address)
        except (OSError, trio.TooSlowError) as error:
            if self._reports.is_due("any", trio.current_time()):
                reason = getattr(error, "strerror", None) or str(error) or "its socket is full"
                log.warning("systemd cannot be notified", message=message.decode(), reason=reason)

    async def _send(self, message: bytes, address: str) -> None:
        while True:
            try:
                self._socket.sendto(message, address)
                return
            except BlockingIOError:
                # An unconnected socket is always writable, however full the other one is.
                await trio.sleep(self._timeouts.systemd_retry)

    async def run_watchdog(self) -> None:
        """Answer systemd's watchdog until cancelled; return at once if the unit has none.

        If this task or the event loop stands still, systemd restarts the service. So nothing may restart the
        task by itself.
        """
        if self._interval is None:
            await trio.lowlevel.checkpoint()
            return
        while True:
            await trio.sleep(self._interval / 2)
            await self.notify(WATCHDOG)


def _address(environ: Mapping[str, str]) -> str | None:
    """Return the address of systemd's socket. ``@`` stands for the null byte of an abstract address."""
    name = environ.get("NOTIFY_SOCKET", "")
    if name.startswith("/"):
        return name
    if name.startswith("@"):
        return "\0" + name[1:]
    if name:
        log.warning("systemd cannot be notified", address=name, reason="only Unix sockets are supported")
    return None


def _watchdog_interval(environ: Mapping[str, str]) -> float | None:
    """Return the seconds within which systemd must hear of this process; `None` without a watchdog."""
    microseconds, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID")
    # The variables may be those of a parent process.
    if pid not in (None, str(os.getpid())) or not (microseconds.isascii() and microseconds.isdigit()):
        return None
    return int(microseconds) / 1e6 or None
