"""Logging: the same events for people and for programs, without secrets."""

import io
import json
import logging
import re
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from sfu.shell.logs import SECRET_FIELDS, configure, get_logger


class Terminal(io.StringIO):
    """A stream that says that a person reads it."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, hook = root.handlers[:], root.level, sys.excepthook
    yield
    logging.captureWarnings(False)
    root.handlers[:], sys.excepthook = handlers, hook
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    """Return the events of a stream of JSON lines."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_lines() -> None:
    stream = io.StringIO()
    configure("info", "auto", stream)
    get_logger("sfu.x").info("peer joined", room="blue")
    get_logger("sfu.x").debug("not this")
    (event,) = lines(stream)
    assert event["event"] == "peer joined"
    assert event["room"] == "blue"
    assert event["level"] == "info"
    assert event["logger"] == "sfu.x"
    assert str(event["timestamp"]).endswith("Z")


def test_human_on_a_terminal() -> None:
    stream = Terminal()
    configure("info", "auto", stream)
    get_logger("sfu.x").warning("peer left", room="blue")
    assert "peer left" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_a_line_for_a_person() -> None:
    stream = io.StringIO()
    configure("info", "human", stream)
    get_logger("sfu.x").info("peer joined", user="Ann B", room="blue", tracks=("a", "v"))
    line = stream.getvalue().partition(" ")[2]
    assert line == "[info     ] peer joined [sfu.x] room=blue tracks=('a', 'v') user='Ann B'\n"


def test_colors_only_on_a_terminal() -> None:
    stream, terminal = io.StringIO(), Terminal()
    for each in (stream, terminal):
        configure("info", "human", each)
        get_logger("sfu.x").error("failed", room="blue")
    assert "\033" not in stream.getvalue()
    assert "\033[31m" in terminal.getvalue()
    plain = re.sub("\033\\[[0-9]+m", "", terminal.getvalue())
    assert plain.partition(" ")[2] == stream.getvalue().partition(" ")[2]


def test_format_can_be_forced_either_way() -> None:
    stream, terminal = io.StringIO(), Terminal()
    configure("info", "human", stream)
    get_logger("sfu.x").info("hello")
    configure("info", "json", terminal)
    get_logger("sfu.x").info("hello")
    assert not stream.getvalue().startswith("{")
    assert lines(terminal)[0]["event"] == "hello"


def test_level_is_kept() -> None:
    stream = io.StringIO()
    configure("error", "json", stream)
    get_logger("sfu.x").warning("not this")
    get_logger("sfu.x").error("this")
    assert [event["event"] for event in lines(stream)] == ["this"]


@pytest.mark.parametrize("log_format", ["human", "json"])
@pytest.mark.parametrize("field", sorted(SECRET_FIELDS))
def test_secrets_are_never_written(field: str, log_format: str) -> None:
    stream = io.StringIO()
    configure("info", log_format, stream)
    fields: dict[str, Any] = {field: "hunter2"}
    get_logger("sfu.x").info("joined", **fields)
    logging.getLogger("foreign").warning("joined", extra={field: "hunter2"})
    assert "hunter2" not in stream.getvalue()
    assert stream.getvalue().count("***") == 2


@pytest.mark.parametrize("log_format", ["human", "json"])
def test_a_traceback_shows_no_values_of_variables(log_format: str) -> None:
    token = "hunter2"
    stream = Terminal()
    configure("info", log_format, stream)
    try:
        raise ValueError("wrong" if token else "right")
    except ValueError:
        get_logger("sfu.x").exception("failed")
    assert "ValueError: wrong" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()


def test_exception_stays_on_one_line() -> None:
    stream = io.StringIO()
    configure("info", "json", stream)
    try:
        raise ExceptionGroup("several", [ValueError("one"), KeyError("two")])
    except* ValueError:
        get_logger("sfu.x").exception("failed")
    except* KeyError:
        pass
    (event,) = lines(stream)
    assert "ValueError: one" in str(event["exception"])


def test_libraries_come_out_in_the_same_form() -> None:
    stream = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        configure("info", "json", stream)
        logging.getLogger("some.library").warning("it is %s", "late")
        logging.getLogger("trio-websocket").warning("a remote party misbehaved")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    events = lines(stream)
    assert [event["logger"] for event in events] == ["some.library", "py.warnings"]
    assert events[0]["event"] == "it is late"


def test_uncaught_exception_is_logged() -> None:
    stream = io.StringIO()
    configure("info", "json", stream)
    error = RuntimeError("nobody caught this")
    sys.excepthook(RuntimeError, error, None)
    (event,) = lines(stream)
    assert event["level"] == "critical"
    assert "nobody caught this" in str(event["exception"])


def test_keyboard_interrupt_is_not_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    configure("info", "json", stream)
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert stream.getvalue() == ""
    assert "KeyboardInterrupt" in capsys.readouterr().err
