"""Logging: events with fields, for a person on a terminal and as JSON lines for programs.

Modules take a logger and say what happened, with fields::

    log = get_logger(__name__)
    log.info("peer joined", room=room_id, peer=peer_id)

Libraries that use the standard library's `logging` (trio-websocket) come out in the same form. Fields
whose name says that they hold a secret are replaced before anything is written.
"""

import logging
import sys
from types import TracebackType
from typing import Final, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

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

_QUIET_LOGGERS: Final = ("trio-websocket",)
"""Libraries that report a remote party's misbehaviour as their own warnings; ours are counted instead."""


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module; it follows `configure` whenever that is called."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def configure(level: str = "info", log_format: str = "auto", stream: TextIO | None = None) -> None:
    """Send the log to `stream` (standard error by default).

    `level` is ``debug``, ``info``, ``warning`` or ``error``; `log_format` is ``human``, ``json``, or
    ``auto``, which means ``human`` on a terminal and ``json`` elsewhere. May be called again.
    """
    stream = stream or sys.stderr
    human = log_format == "human" or (log_format == "auto" and stream.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_secrets,
    ]
    last: list[Processor]
    if human:
        # Plain tracebacks: where Rich happens to be installed, others would show variables, secret ones too.
        plain = structlog.dev.plain_traceback
        last = [
            structlog.dev.ConsoleRenderer(colors=stream.isatty(), pad_event_to=0, exception_formatter=plain)
        ]
    else:
        # One line per event, tracebacks included, so that a log collector keeps them together.
        last = [
            structlog.processors.format_exc_info,
            _in_reading_order,
            structlog.processors.JSONRenderer(default=repr),
        ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,  # tests and `configure` called again
    )
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught


def _without_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for name in SECRET_FIELDS.intersection(event):
        event[name] = "***"
    return event


def _in_reading_order(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Put first what every event has, so that JSON lines can be read by eye too."""
    first = {name: event.pop(name) for name in ("timestamp", "level", "logger", "event") if name in event}
    return {**first, **event}


def _log_uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Log what nobody caught, instead of a bare traceback that no log collector understands."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    get_logger("sfu").critical("uncaught exception", exc_info=(kind, error, traceback))
