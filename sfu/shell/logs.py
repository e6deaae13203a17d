"""Logging: events with fields, as lines for a person on a terminal and as JSON lines for programs.

Modules take a logger and say what happened, with fields::

    log = get_logger(__name__)
    log.info("peer joined", room=room_id, peer=peer_id)

Events go through the standard library's `logging`, so the messages of libraries (trio-websocket) come out in
the same form. The value of a field that holds a secret is replaced before anything is written. Characters that
cannot be seen are written as escapes, wherever they come from: a client cannot move the cursor of a terminal or
forge a line.
"""

import json
import logging
import sys
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Any, Final, TextIO

import click

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

_LEVEL_COLORS: Final = {"critical": "red", "error": "red", "warning": "yellow"}
"""Colours on a terminal by level; the other levels are green."""


class EventLogger(logging.LoggerAdapter[logging.Logger]):
    """Logs the events of one module. Keyword arguments other than ``exc_info`` are fields of the event."""

    def process(self, msg: object, kwargs: MutableMapping[str, Any]) -> tuple[object, MutableMapping[str, Any]]:
        """Hand the fields to the record, where `logging` would refuse them as unknown arguments."""
        exc_info = kwargs.pop("exc_info", None)
        return msg, {"exc_info": exc_info, "extra": {FIELDS: dict(kwargs)}}


def get_logger(name: str) -> EventLogger:
    """Return the logger of a module. It follows every later call of `configure`."""
    return EventLogger(logging.getLogger(name))


def configure(level: str = "info", log_format: str = "auto", stream: TextIO | None = None) -> None:
    """Send the log to `stream` (standard error by default).

    `level` is ``debug``, ``info``, ``warning`` or ``error``; `log_format` is ``human``, ``json``, or
    ``auto``, which means ``human`` on a terminal and ``json`` elsewhere. May be called again.
    """
    stream = stream or sys.stderr
    human = log_format == "human" or (log_format == "auto" and stream.isatty())
    render = partial(_human_line, colors=stream.isatty()) if human else _json_line
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


def _human_line(event: dict[str, Any], *, colors: bool) -> str:
    """Return a line with the fields in alphabetical order, and the traceback on lines of its own."""
    style = click.style if colors else _without_style
    level, exception = event.pop("level"), event.pop("exception", None)
    words = [
        style(event.pop("timestamp"), dim=True),
        f"[{style(f'{level:9}', fg=_LEVEL_COLORS.get(level, 'green'), bold=True)}]",
        style(_escaped(event.pop("event")), bold=True),
        f"[{style(event.pop('logger'), fg='blue', bold=True)}]",
        *(f"{style(name, fg='cyan')}={style(_text(event[name]), fg='magenta')}" for name in sorted(event)),
    ]
    line = " ".join(words)
    if exception is None:
        return line
    # Indented: a line of an error's text does not look like an event.
    return "\n".join((line, *(f"  {_escaped(part)}" for part in exception.split("\n"))))


def _without_style(text: str, **_style: object) -> str:
    return text


def _text(value: object) -> str:
    """Return a value as a person reads it, in quotation marks where its end would not be seen."""
    is_plain = isinstance(value, str) and value.isprintable() and not set(value) & set(" =\"'")
    return str(value) if is_plain else _escaped(repr(value))


def _escaped(text: str) -> str:
    """Return a text on one line, with an escape for each character that cannot be seen."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _log_uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Log an uncaught exception as an event, so that a log collector understands it."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    get_logger("sfu").critical("uncaught exception", exc_info=error)
