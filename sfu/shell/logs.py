"""Logging: events with fields, as lines for a person on a terminal and as JSON lines for programs.

Modules take a logger and say what happened, with fields::

    log = get_logger(__name__)
    log.info("peer joined", room=room_id, peer=peer_id)

Events go through the standard library's `logging`, so the messages of libraries (trio-websocket) come out in
the same form. The value of a field that holds a secret is replaced before anything is written.
"""

import json
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, TextIO

SECRET_FIELDS: Final = frozenset(
    {
        "auth_secret",
        "authorization",
        "cookie",
        "ice_pwd",
        "key",
        "master_secret",
        "password",
        "pwd",
        "secret",
        "session_token",
        "token",
    }
)
"""Fields that are never written out."""

FIELDS: Final = "fields"
"""The attribute of a `logging.LogRecord` that has the fields of an event of ours."""

_QUIET_LOGGERS: Final = ("trio-websocket",)
"""Libraries that log a remote party's misbehaviour as warnings; the server counts it instead."""

_STANDARD_ATTRIBUTES: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every `logging.LogRecord` has; the other attributes are what a library passed as `extra`."""

_RESET: Final = "\033[0m"
_BRIGHT: Final = "\033[1m"
_DIM: Final = "\033[2m"
_BLUE: Final = "\033[34m"
_CYAN: Final = "\033[36m"
_MAGENTA: Final = "\033[35m"
_LEVEL_COLORS: Final = {
    "critical": "\033[31m",
    "error": "\033[31m",
    "warning": "\033[33m",
    "info": "\033[32m",
    "debug": "\033[32m",
}
"""Terminal sequences (ECMA-48, SGR) by level."""

_LEVEL_WIDTH: Final = 9


class EventLogger:
    """Logs the events of one module."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, event: str, /, **fields: object) -> None:
        """Log what helps to find an error in the server."""
        self._log(logging.DEBUG, event, fields)

    def info(self, event: str, /, **fields: object) -> None:
        """Log what happens in normal operation."""
        self._log(logging.INFO, event, fields)

    def warning(self, event: str, /, **fields: object) -> None:
        """Log what an operator should look at."""
        self._log(logging.WARNING, event, fields)

    def error(self, event: str, /, exc_info: BaseException | None = None, **fields: object) -> None:
        """Log a failure of the server, with the stack of `exc_info`."""
        self._log(logging.ERROR, event, fields, exc_info)

    def exception(self, event: str, /, **fields: object) -> None:
        """Log a failure of the server, with the stack of the exception that is being handled."""
        self._log(logging.ERROR, event, fields, sys.exception())

    def critical(self, event: str, /, exc_info: BaseException | None = None, **fields: object) -> None:
        """Log the failure that ends the server, with the stack of `exc_info`."""
        self._log(logging.CRITICAL, event, fields, exc_info)

    def _log(
        self, level: int, event: str, fields: dict[str, object], exc_info: BaseException | None = None
    ) -> None:
        self._logger.log(level, event, exc_info=exc_info, extra={FIELDS: fields})


def get_logger(name: str) -> EventLogger:
    """Return the logger of a module. It follows every later call of `configure`."""
    return EventLogger(name)


def configure(level: str = "info", log_format: str = "auto", stream: TextIO | None = None) -> None:
    """Send the log to `stream` (standard error by default).

    `level` is ``debug``, ``info``, ``warning`` or ``error``; `log_format` is ``human``, ``json``, or
    ``auto``, which means ``human`` on a terminal and ``json`` elsewhere. May be called again.
    """
    stream = stream or sys.stderr
    human = log_format == "human" or (log_format == "auto" and stream.isatty())
    render = (_colored_line if stream.isatty() else _plain_line) if human else _json_line
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_EventFormatter(render))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught


class _EventFormatter(logging.Formatter):
    """Renders records of our own and of libraries alike."""

    def __init__(self, render: Callable[[dict[str, Any]], str]) -> None:
        super().__init__()
        self._render = render

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record; a traceback follows on more lines, or is a field of JSON."""
        event: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        for name, value in _fields(record).items():
            event[name] = "***" if name in SECRET_FIELDS else value
        if record.exc_info and record.exc_info[0] is not None:
            event["exception"] = self.formatException(record.exc_info)
        return self._render(event)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    attributes = vars(record)
    if FIELDS in attributes:
        fields: dict[str, Any] = attributes[FIELDS]
        return fields
    return {name: value for name, value in attributes.items() if name not in _STANDARD_ATTRIBUTES}


def _json_line(event: dict[str, Any]) -> str:
    # One line per event, tracebacks included, so that a log collector keeps them together.
    return json.dumps(event, default=repr)


def _plain_line(event: dict[str, Any]) -> str:
    head = f"{event.pop('timestamp')} [{event.pop('level'):{_LEVEL_WIDTH}}] {event.pop('event')}"
    return _with_traceback(
        event, f"{head} [{event.pop('logger')}]", lambda name, value: f"{name}={_text(value)}"
    )


def _colored_line(event: dict[str, Any]) -> str:
    level = event.pop("level")
    head = (
        f"{_DIM}{event.pop('timestamp')}{_RESET}"
        f" [{_LEVEL_COLORS.get(level, '')}{_BRIGHT}{level:{_LEVEL_WIDTH}}{_RESET}]"
        f" {_BRIGHT}{event.pop('event')}{_RESET}"
        f" [{_RESET}{_BRIGHT}{_BLUE}{event.pop('logger')}{_RESET}]{_RESET}"
    )
    return _with_traceback(
        event, head, lambda name, value: f"{_CYAN}{name}{_RESET}={_MAGENTA}{_text(value)}{_RESET}"
    )


def _with_traceback(event: dict[str, Any], head: str, field: Callable[[str, object], str]) -> str:
    """Return a line with the fields in alphabetical order, and the traceback on lines of its own."""
    exception = event.pop("exception", None)
    line = " ".join([head, *(field(name, event[name]) for name in sorted(event))])
    return line if exception is None else f"{line}\n{exception}"


def _text(value: object) -> str:
    """Return a value as a person reads it, in quotation marks where its end would not be seen."""
    return value if isinstance(value, str) and not set(value) & set(" \t=\r\n\"'") else repr(value)


def _log_uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Log an uncaught exception as an event, so that a log collector understands it."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    get_logger("sfu").critical("uncaught exception", exc_info=error)
